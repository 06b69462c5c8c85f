//! The agent's clocks. Nothing else in the agent reads one for a decision.

use cflared_verdict::Mono;
use nix::time::{ClockId, clock_gettime};
use std::time::{Duration, SystemTime};

/// Reads the clocks.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    /// What the time of day was when the host booted, so that a moment is always told as the same time of day.
    booted_at: SystemTime,
}

/// No host is up for so long, and no calendar ends before it has been.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// The clocks drift apart by less than this unless one was set.
const DRIFT: Duration = Duration::from_secs(1);

impl Clock {
    /// Starts reading.
    pub fn start() -> Self {
        Self { booted_at: wall() - mono().since_boot() }
    }

    /// The time since the host's boot: never steps.
    pub fn mono(self) -> Mono {
        mono()
    }

    /// The time of day, which may step: for stamps and texts.
    pub fn wall(self) -> SystemTime {
        wall()
    }

    /// The time of day of `moment`.
    pub fn wall_at(self, moment: Mono) -> SystemTime {
        // What was read from a file may lie beyond any calendar.
        self.booted_at + moment.since_boot().min(LONGEST)
    }

    /// Notices that the time of day was set.
    pub fn resync(&mut self) {
        let now = Self::start();
        let (earlier, later) = (self.booted_at.min(now.booted_at), self.booted_at.max(now.booted_at));
        if later.duration_since(earlier).unwrap_or_default() > DRIFT {
            *self = now;
        }
    }

    /// How long it is to `moment`; zero if it has passed.
    pub fn until(self, moment: Mono) -> Duration {
        moment.since(mono())
    }
}

fn mono() -> Mono {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).expect("every Linux has this clock");
    Mono::new(now.into())
}

#[allow(clippy::disallowed_methods)] // this is the one place
fn wall() -> SystemTime {
    SystemTime::now()
}
