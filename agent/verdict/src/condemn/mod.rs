//! What is done about an outage, rung by rung, up to being replaced; and whether that is safe.

mod guard;
mod ladder;
mod rules;

use crate::Mono;
use guard::Guard;
pub(crate) use guard::Others;
pub(crate) use ladder::{LATER, Ladder};
pub use ladder::{Lift, Mark};
use std::time::Duration;

/// How far an outage has been climbed, and where the question stands whether this instance may go.
#[derive(Debug)]
pub(crate) struct Condemn {
    ladder: Ladder,
    guard: Guard,
}

impl Condemn {
    /// What an earlier agent of this boot left.
    pub fn carried(ladder: Ladder) -> Self {
        Self { ladder, guard: Guard::default() }
    }
    /// What must survive a restart of the agent.
    pub fn carry(&self) -> Ladder {
        self.ladder.clone()
    }

    /// Where condemning stands.
    pub fn mark(&self) -> &Mark {
        &self.ladder.mark
    }

    /// The last answer of the guard, in words.
    pub fn said(&self) -> Option<&str> {
        self.guard.said()
    }

    /// What is known of the others, if that is younger than `lasts`.
    pub fn others(&self, now: Mono, lasts: Duration) -> Option<Others> {
        self.guard.others(now, lasts)
    }

    /// Whether the connector was restarted because of this outage.
    pub fn has_restarted(&self) -> bool {
        self.ladder.restarted.is_some()
    }

    /// Whether that was a short while ago.
    pub fn restarted_since(&self, earlier: Mono) -> bool {
        self.ladder.restarted_since(earlier)
    }

    /// The guard is asked at once, if it said no.
    pub fn ask_again(&mut self, now: Mono) {
        if let Mark::Refused { ask_at, .. } = &mut self.ladder.mark {
            *ask_at = (*ask_at).min(now);
        }
    }

    /// The guard is not asked any more.
    pub fn drop_question(&mut self) {
        self.guard.drop_question();
    }

    /// The instance is taken into service again: of the outage before only a mark counts.
    pub fn begin_anew(&mut self) {
        self.ladder = Ladder { mark: self.ladder.mark.clone(), ..Ladder::default() };
        self.guard.over();
    }
}
