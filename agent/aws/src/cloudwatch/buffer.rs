//! The datapoints that wait for a push, and the results of pushes. Pure: no clock, no network.
//!
//! A *grain* is one whole period (a minute, by default) of the wall clock; it gets one value, once. The life of a value:
//!
//! ```text
//! offer → fresh ──confirm──→ waiting ──take──→ in flight → delivered | lost | dropped | waiting again
//! ```
//!
//! A grain is stamped when its value is offered, and pushed only after the stamp is on disk ([`Buffer::confirm`]). So an
//! agent that dies at any point leaves either a grain that nobody has pushed, or one that its successor refuses.

use super::Stamped;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// For how long values wait for CloudWatch to come back, in seconds.
const KEPT: u64 = 24 * 3600;
/// The most values that wait: a whole day of periods of 10 s. With shorter periods, which are for trying things out,
/// memory is worth more than the day.
const MOST_KEPT: u64 = 8640;
/// For how long values are remembered after they were sent, in seconds: twice as long as is asked back for by default.
const RECENT: u64 = 20 * 60;

/// What was counted since the boot. `offered = delivered + lost + dropped + ` what waits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Counts {
    /// Grains that were stamped.
    pub offered: u64,
    /// Pushed and accepted.
    pub delivered: u64,
    /// Pushed with an unknown outcome, or known only to an agent that died: never pushed again.
    pub lost: u64,
    /// Given up unpushed: the buffer was full, or CloudWatch called it invalid.
    pub dropped: u64,
    /// Offered for a grain that was stamped before, as after the clock stepped back; not in `offered`.
    pub repeated: u64,
}

/// What the next agent of this boot needs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Saved {
    /// The moments that were stamped.
    pub stamped: Stamped,
    /// The counts. What is offered and not accounted for is lost to the next agent.
    pub counts: Counts,
}

/// What came of a push.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// CloudWatch has the values.
    Delivered,
    /// It may have them. Pushing them again could count them twice.
    Unknown,
    /// It does not have them, and may take them later.
    NotTaken,
    /// It does not have them, and never will.
    Invalid,
}

/// The values that are to be pushed.
#[derive(Debug)]
pub struct Buffer<T> {
    grain: u64,
    stamped: Stamped,
    counts: Counts,
    fresh: BTreeMap<u64, T>,
    waiting: BTreeMap<u64, T>,
    in_flight: BTreeMap<u64, T>,
    /// Values that CloudWatch has or may have, for a while.
    sent: BTreeMap<u64, T>,
}

impl<T> Buffer<T> {
    /// A buffer for periods of `grain`, a whole number of seconds, that goes on where `saved` ends.
    pub fn resume(grain: Duration, saved: Saved) -> Self {
        let Saved { stamped, mut counts } = saved;
        let accounted = counts.delivered.saturating_add(counts.lost).saturating_add(counts.dropped);
        // A file that was tampered with may account for more than was offered; the sum must hold from here on.
        counts.offered = counts.offered.max(accounted);
        counts.lost += counts.offered - accounted;
        Self {
            grain: seconds(grain),
            stamped,
            counts,
            fresh: BTreeMap::new(),
            waiting: BTreeMap::new(),
            in_flight: BTreeMap::new(),
            sent: BTreeMap::new(),
        }
    }

    /// Stamps the grain that ended last before `now` (the wall clock, since 1970) with `value`. False if it was stamped
    /// before: then nothing changes. To be called when a grain has just ended: see [`until_grain_ends`].
    pub fn offer(&mut self, now: Duration, value: T) -> bool {
        let end = now.as_secs() / self.grain * self.grain;
        let Some(start) = end.checked_sub(self.grain) else { return false };
        if self.stamped.overlaps(start, end) {
            self.counts.repeated += 1;
            return false;
        }
        self.stamped.insert(start, end);
        self.counts.offered += 1;
        self.fresh.insert(start, value);
        self.drop_excess();
        true
    }

    /// What must be on disk before [`Buffer::confirm`].
    pub fn save(&self) -> Saved {
        Saved { stamped: self.stamped.clone(), counts: self.counts }
    }

    /// What [`Buffer::save`] returned last is on disk, and nothing was offered since: those grains may be pushed.
    pub fn confirm(&mut self) {
        self.waiting.append(&mut self.fresh);
    }

    /// Takes up to `most` values for a push, each with the start of its grain in Unix seconds; none if there is nothing
    /// to push, or a push is in flight. The newest go first, as others decide by them, and only those that go `together` with
    /// the newest. A grain that ends after `now`, left behind by a clock that was ahead, waits for its time: CloudWatch refuses
    /// the future.
    pub fn take(&mut self, now: Duration, most: usize, together: impl Fn(&T, &T) -> bool) -> Option<&BTreeMap<u64, T>> {
        if !self.in_flight.is_empty() {
            return None;
        }
        let newest = now.as_secs().saturating_sub(self.grain);
        let mut due = self.waiting.range(..=newest).rev().peekable();
        let first = due.peek().map(|(_, value)| *value);
        let goes_along = |value: &T| first.is_some_and(|first| together(first, value));
        let starts: Vec<u64> = due.filter(|(_, value)| goes_along(value)).take(most).map(|(&start, _)| start).collect();
        self.in_flight = starts.iter().filter_map(|start| self.waiting.remove_entry(start)).collect();
        Some(&self.in_flight).filter(|values| !values.is_empty())
    }

    /// Tells what came of the push in flight.
    pub fn settle(&mut self, outcome: Outcome) {
        let count = self.in_flight.len() as u64;
        match outcome {
            Outcome::Delivered => self.counts.delivered += count,
            Outcome::Unknown => self.counts.lost += count,
            Outcome::Invalid => self.counts.dropped += count,
            Outcome::NotTaken => self.waiting.append(&mut self.in_flight),
        }
        if matches!(outcome, Outcome::Delivered | Outcome::Unknown) {
            self.sent.append(&mut self.in_flight);
            while self.sent.len() > self.recent() {
                self.sent.pop_first();
            }
        }
        self.in_flight.clear();
        self.drop_excess();
    }

    /// How many grains are neither delivered nor given up, those in flight included.
    pub fn waiting(&self) -> u64 {
        (self.fresh.len() + self.waiting.len() + self.in_flight.len()) as u64
    }

    /// The newest values that CloudWatch has or may have, the one in flight among them, by the start of their grain.
    pub fn sent(&self) -> impl Iterator<Item = (u64, &T)> {
        let newest = self.sent.iter().rev().chain(self.in_flight.iter().rev());
        newest.take(2 * self.recent()).map(|(&start, value)| (start, value))
    }

    /// The newest grains whose values CloudWatch does not have.
    pub fn unsent(&self) -> impl Iterator<Item = u64> {
        let newest = self.fresh.keys().rev().chain(self.waiting.keys().rev());
        newest.take(2 * self.recent()).copied()
    }

    /// The length of a grain, in seconds.
    pub fn grain(&self) -> u64 {
        self.grain
    }

    /// How many values are remembered after they were sent.
    fn recent(&self) -> usize {
        usize::try_from(RECENT / self.grain).unwrap_or(usize::MAX).max(1)
    }

    /// What was counted.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    fn drop_excess(&mut self) {
        let most = (KEPT / self.grain).clamp(1, MOST_KEPT);
        // What is in flight is neither pushed out nor in the way: it is a batch at most.
        while (self.fresh.len() + self.waiting.len()) as u64 > most {
            if self.waiting.pop_first().or_else(|| self.fresh.pop_first()).is_some() {
                self.counts.dropped += 1;
            }
        }
    }
}

/// How long it is from `now` (the wall clock, since 1970) to the end of the grain that it lies in.
pub fn until_grain_ends(now: Duration, grain: Duration) -> Duration {
    let grain = seconds(grain);
    Duration::from_secs((now.as_secs() / grain + 1) * grain) - now
}

/// How long after the end of a grain this instance pushes: always the same, at most 15 s and a quarter of the grain, and
/// spread evenly over a fleet, so that it does not call CloudWatch as one.
pub fn jitter(instance: &str, grain: Duration) -> Duration {
    // FNV-1a (http://www.isthe.com/chongo/tech/comp/fnv/): must give the same in every version of the agent.
    let hash = instance
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    let most = (grain / 4).min(Duration::from_secs(15));
    // The low bits of FNV-1a mix well enough; a share of the range in 1/65536 is fine-grained enough.
    most.mul_f64(((hash >> 16) & 0xffff) as f64 / 65536.0)
}

/// The settings allow whole seconds only; a grain of zero would divide by it.
fn seconds(grain: Duration) -> u64 {
    grain.as_secs().max(1)
}
