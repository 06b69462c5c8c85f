//! When an exited child is replaced.

use backon::{BackoffBuilder, ExponentialBuilder};
use std::time::Duration;

/// The times of the policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// A child that ran so long was stable.
    pub stable: Duration,
    /// The least delay after an unstable child. It doubles from exit to exit.
    pub first: Duration,
    /// The greatest delay.
    pub longest: Duration,
}

impl Default for Times {
    /// 30 s, 1 s, 60 s.
    fn default() -> Self {
        let [stable, first, longest] = [30, 1, 60].map(Duration::from_secs);
        Self { stable, first, longest }
    }
}

/// The policy: the exit of a stable child is answered at once; after that, and for a child that never became stable,
/// there is a jittered exponential delay, until a child is stable again.
#[derive(Debug)]
pub struct Respawn {
    times: Times,
    seed: u64,
    delays: <ExponentialBuilder as BackoffBuilder>::Backoff,
}

impl Respawn {
    /// A policy without a past.
    pub fn new(times: Times, seed: u64) -> Self {
        Self { times, seed, delays: delays(times, seed) }
    }

    /// How long to wait after a child that ran for `ran`; zero for one that could not be executed at all.
    pub fn after(&mut self, ran: Duration) -> Duration {
        if ran >= self.times.stable {
            self.delays = delays(self.times, self.seed);
            return Duration::ZERO;
        }
        self.delays.next().unwrap_or(self.times.longest)
    }
}

/// The library adds up to once the delay as jitter, so it is given half of the longest.
fn delays(times: Times, seed: u64) -> <ExponentialBuilder as BackoffBuilder>::Backoff {
    ExponentialBuilder::new()
        .with_min_delay(times.first)
        .with_max_delay(times.longest / 2)
        .without_max_times()
        .with_jitter()
        .with_jitter_seed(seed)
        .build()
}

#[cfg(test)]
mod tests;
