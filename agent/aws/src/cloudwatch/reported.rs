//! The recent reports of this instance, to be subtracted from CloudWatch's totals. Pure.

use super::buffer::Buffer;
use super::metrics::{Dimensions, Sample};
use super::stamped::Stamped;
use std::collections::{BTreeMap, BTreeSet};

/// A look at the pusher's newest values, and at every moment that was stamped.
#[derive(Debug, Clone, Default)]
pub struct Reported {
    /// The length of a grain, in seconds.
    grain: u64,
    /// The moments that were stamped in this boot, by this agent or one before it.
    stamped: Stamped,
    /// The starts of the grains whose values CloudWatch cannot have: they were not sent, or not taken.
    unsent: BTreeSet<u64>,
    /// The values that CloudWatch has or may have.
    sent: BTreeMap<u64, Sample>,
}

/// A part of one grain's `Sum` and `SampleCount`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Share {
    /// Of the sum: how many were registered.
    pub live: u32,
    /// Of the samples: how many reported.
    pub reporting: u32,
}

impl Reported {
    /// As `buffer` has it now.
    pub fn of(buffer: &Buffer<Sample>) -> Self {
        Self {
            grain: buffer.grain(),
            stamped: buffer.save().stamped,
            unsent: buffer.unsent().collect(),
            sent: buffer.sent().map(|(start, sample)| (start, sample.clone())).collect(),
        }
    }

    /// The most of the grain from `start` (Unix seconds) that may be this instance's own: what is left belongs to others
    /// for certain. Whether a push with an unknown outcome was counted, or what an agent before this one reported, is not
    /// known; it is taken for counted, and for registered if the value is not known. So there may be more peers than
    /// the rest shows, and never fewer.
    pub fn own(&self, start: u64, of: &Dimensions) -> Share {
        match self.sent.get(&start) {
            Some(sample) if sample.of.environment == of.environment && sample.of.tunnel == of.tunnel => {
                Share { live: u32::from(sample.registered), reporting: 1 }
            }
            // It went to another tunnel's series.
            Some(_) => Share::default(),
            None if self.unsent.contains(&start) => Share::default(),
            None if self.stamped.overlaps(start, start.saturating_add(self.grain)) => Share { live: 1, reporting: 1 },
            None => Share::default(),
        }
    }

    /// Whether this instance may be one of those that reported in the grain from `start` that they are registered with a version.
    pub fn has_version(&self, start: u64, of: &Dimensions, label: &str) -> bool {
        match self.sent.get(&start) {
            Some(sample) => sample.of.tunnel == of.tunnel && sample.version.as_deref() == Some(label),
            // What is not known is taken for ours, so that there may be more peers, and never fewer.
            None => self.own(start, of).live > 0,
        }
    }

    /// Whether it is known that this instance reported a refused version in the grain from `start`.
    pub fn refused(&self, start: u64, of: &Dimensions) -> bool {
        let ours = |sample: &&Sample| sample.of.environment == of.environment && sample.of.tunnel == of.tunnel;
        self.sent.get(&start).filter(ours).is_some_and(|sample| sample.refusing)
    }

    /// Whether the value is known that this instance reported in the grain from `start`, if it did.
    pub fn knows(&self, start: u64) -> bool {
        self.sent.contains_key(&start)
            || self.unsent.contains(&start)
            || !self.stamped.overlaps(start, start.saturating_add(self.grain))
    }
}
