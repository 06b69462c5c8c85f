//! The one notion of time the verdict has.

use serde::{Deserialize, Serialize};
use std::hash::{Hash, Hasher};
use std::ops::Add;
use std::time::Duration;

/// A moment on a clock that never steps: the time since the host booted (`CLOCK_MONOTONIC`).
///
/// It is the same clock for every process of one boot, so a moment that was saved by an agent still means the same to
/// the agent that is started after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub struct Mono(Duration);

impl Mono {
    /// The moment `since_boot` after the host booted.
    pub const fn new(since_boot: Duration) -> Self {
        Self(since_boot)
    }

    /// How long after the host's boot this is.
    pub const fn since_boot(self) -> Duration {
        self.0
    }

    /// How long it is from `earlier` to here; zero if `earlier` is later.
    pub fn since(self, earlier: Mono) -> Duration {
        self.0.saturating_sub(earlier.0)
    }

    /// The moment that lies `earlier` before this one; the host's boot, if that is later.
    pub fn before(self, earlier: Duration) -> Mono {
        Mono(self.0.saturating_sub(earlier))
    }
}

/// As one `u128`, which nothing else that a verdict holds is hashed as: who compares states can count moments from now.
impl Hash for Mono {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u128(self.0.as_nanos());
    }
}

impl Add<Duration> for Mono {
    type Output = Mono;

    /// Saturates: a moment that far away never comes.
    fn add(self, later: Duration) -> Mono {
        Mono(self.0.saturating_add(later))
    }
}

/// A wait that was doubled so many times.
pub(crate) fn doubled(wait: Duration, times: u32) -> Duration {
    wait.saturating_mul(1u32.checked_shl(times).unwrap_or(u32::MAX))
}
