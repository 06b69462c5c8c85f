//! Whether this instance should serve, and whether a hold is active: by its group, the metadata service, a person.

mod holds;
mod hooks;

use crate::{Mono, Verdict};
use holds::Holds;
pub use holds::{Hold, Holder, tag_holds};
use hooks::Hooks;

/// What others have in mind for this instance.
#[derive(Debug, Clone, Default, Hash)]
pub(crate) struct Duty {
    hooks: Hooks,
    holds: Holds,
    life: Life,
}

impl Duty {
    /// The agent is told to stop.
    pub fn stop(&mut self) {
        self.life = self.life.max(Life::Stopping);
    }

    /// Whether it was.
    pub fn is_stopping(&self) -> bool {
        self.life != Life::Running
    }

    /// Nothing is left that runs. Says whether the agent is to exit, once.
    pub fn may_exit(&mut self) -> bool {
        let told = self.life == Life::Stopping;
        if told {
            self.life = Life::Exiting;
        }
        told
    }
}

impl Verdict {
    /// The holds that are in force.
    pub(crate) fn holds_in_force(&self, now: Mono) -> impl Iterator<Item = (Holder, &Hold)> {
        self.duty.holds.in_force(now)
    }
}

/// How far the agent's own life has come.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Life {
    #[default]
    Running,
    /// Told to stop: connectors are drained.
    Stopping,
    /// Nothing is left: the order to exit is out.
    Exiting,
}
