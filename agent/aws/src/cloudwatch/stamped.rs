//! The set of moments that have a datapoint.

use serde::{Deserialize, Serialize};

/// How much stamped time is remembered, in seconds: 15 days. CloudWatch refuses timestamps over two weeks old, so what
/// is forgotten cannot be stamped again. One run of minutes is two numbers, however long.
const REMEMBERED: u64 = 15 * 24 * 3600;
/// The most ranges that are kept. Only a clock that steps again and again makes a second one.
pub(super) const MOST_RANGES: usize = 64;

/// The moments that were stamped, as ranges of Unix seconds: from, and up to (not included). Sorted, apart.
///
/// It is bounded by how much it covers, not by how old its parts are, since the clock that would tell their age is the
/// one that stepped. Where a bound is met it may hold more than was stamped, or the oldest part is forgotten.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<(u64, u64)>", into = "Vec<(u64, u64)>")]
pub struct Stamped(Vec<(u64, u64)>);

impl Stamped {
    /// Whether any moment of `from..to` was stamped.
    pub fn overlaps(&self, from: u64, to: u64) -> bool {
        self.0.iter().any(|&(start, end)| start < to && from < end)
    }

    /// Adds `from..to`.
    pub fn insert(&mut self, from: u64, to: u64) {
        if from >= to {
            return;
        }
        let (mut from, mut to) = (from, to);
        self.0.retain(|&(start, end)| {
            let apart = end < from || to < start;
            if !apart {
                from = from.min(start);
                to = to.max(end);
            }
            apart
        });
        let place = self.0.partition_point(|&(start, _)| start < from);
        self.0.insert(place, (from, to));
        self.bound();
    }

    fn bound(&mut self) {
        while self.0.len() > MOST_RANGES {
            self.close_smallest_gap();
        }
        let covered: u64 = self.0.iter().map(|(start, end)| end - start).fold(0, u64::saturating_add);
        let mut excess = covered.saturating_sub(REMEMBERED);
        while excess > 0 {
            let (start, end) = &mut self.0[0];
            let cut = excess.min(*end - *start);
            *start += cut;
            excess -= cut;
            if start == end {
                self.0.remove(0);
            }
        }
    }

    fn close_smallest_gap(&mut self) {
        let gaps = self.0.windows(2).map(|pair| pair[1].0 - pair[0].1);
        if let Some((smallest, _)) = gaps.enumerate().min_by_key(|&(_, gap)| gap) {
            let (_, end) = self.0.remove(smallest + 1);
            self.0[smallest].1 = end;
        }
    }
}

impl From<Vec<(u64, u64)>> for Stamped {
    fn from(ranges: Vec<(u64, u64)>) -> Self {
        let mut stamped = Self::default();
        ranges.into_iter().for_each(|(from, to)| stamped.insert(from, to));
        stamped
    }
}

impl From<Stamped> for Vec<(u64, u64)> {
    fn from(stamped: Stamped) -> Self {
        stamped.0
    }
}
