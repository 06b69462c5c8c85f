//! How long something takes, each time.

use std::time::Duration;

/// The upper bounds of the buckets: from an answer on loopback to a call that is given up.
pub const BOUNDS: [Duration; 6] = [
    Duration::from_millis(5),
    Duration::from_millis(25),
    Duration::from_millis(100),
    Duration::from_millis(500),
    Duration::from_secs(2),
    Duration::from_secs(10),
];

/// How often something took how long.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Durations {
    /// How many fit under each of [`BOUNDS`] and under none before it; the last took longer than all.
    buckets: [u64; BOUNDS.len() + 1],
    sum: Duration,
}

impl Durations {
    /// It took that long.
    pub fn note(&mut self, took: Duration) {
        let bucket = BOUNDS.iter().position(|bound| took <= *bound).unwrap_or(BOUNDS.len());
        self.buckets[bucket] += 1;
        self.sum += took;
    }

    /// How many took no longer than each of the bounds.
    pub fn within(&self) -> impl Iterator<Item = (Duration, u64)> {
        let mut sum = 0;
        BOUNDS.into_iter().zip(self.buckets).map(move |(bound, count)| {
            sum += count;
            (bound, sum)
        })
    }

    /// How many there were.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// How long all took together.
    pub fn sum(&self) -> Duration {
        self.sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_falls_under_the_first_bound_that_it_does_not_exceed() {
        let mut durations = Durations::default();
        for milliseconds in [0, 5, 6, 100, 11_000] {
            durations.note(Duration::from_millis(milliseconds));
        }
        let within: Vec<_> = durations.within().map(|(_, count)| count).collect();
        assert_eq!(within, [2, 3, 4, 4, 4, 4]);
        assert_eq!((durations.count(), durations.sum()), (5, Duration::from_millis(11_111)));
    }
}
