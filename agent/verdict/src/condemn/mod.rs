//! The reaction to an outage, rung by rung, up to a replacement, and the guard that decides whether that is safe.

mod guard;
mod ladder;
mod rules;
mod standing;

use crate::Mono;
use guard::Guard;
pub(crate) use guard::Others;
pub(crate) use ladder::{LATER, Ladder};
pub use standing::Mark;
use standing::Question;
pub(crate) use standing::{Lift, Standing};
use std::time::Duration;

/// How far an outage has been climbed, and where the question stands whether this instance may go.
#[derive(Debug, Clone, Hash)]
pub(crate) struct Condemn {
    ladder: Ladder,
    guard: Guard,
}

impl Condemn {
    /// What an earlier agent of this boot left. Whether the group heard an order that was out is asked of the group.
    pub fn carried(mut ladder: Ladder, now: Mono, group_lag: Duration) -> Self {
        let mut guard = Guard::default();
        if let Standing::Marking { again } = ladder.standing {
            let no = again.then(|| "whether the group took the mark is not known".into());
            ladder.standing = Standing::called(now, no, true);
        }
        if ladder.standing.may_stand() {
            guard.inherits(now, group_lag);
        }
        Self { ladder, guard }
    }

    /// What must survive a restart of the agent.
    pub fn carry(&self) -> Ladder {
        let mut ladder = self.ladder.clone();
        ladder.standing.forget_question();
        ladder
    }

    /// Where condemning stands.
    pub fn standing(&self) -> &Standing {
        &self.ladder.standing
    }

    /// The guard's question has come so far.
    fn ask(&mut self, stage: Question) {
        if let Some(question) = self.ladder.standing.question() {
            *question = stage;
        }
    }

    /// When it wants to go on by itself.
    fn moments(&self) -> Vec<Mono> {
        let standing = &self.ladder.standing;
        let mut moments: Vec<Mono> = standing.planned().into_iter().collect();
        match standing {
            Standing::Shown { .. } | Standing::Called { may_stand: true, .. } => {
                moments.push(self.guard.next_verify());
            }
            Standing::Called { .. } | Standing::Calm | Standing::Marking { .. } | Standing::Lifting { .. } => {}
        }
        if let Standing::Called { question: Question::Clear { at, .. }, .. } = standing {
            moments.push(*at);
        }
        moments
    }

    /// The last answer of the guard, in words.
    pub fn said(&self) -> Option<&str> {
        self.guard.said()
    }

    /// What is known of the others, as long as this outage lasts: whether they are asked again is the guard's.
    pub fn others_of_this_outage(&self) -> Option<Others> {
        self.guard.others.map(|(_, others)| others)
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
        if let Standing::Called { ask_at, no: Some(_), .. } = &mut self.ladder.standing {
            *ask_at = (*ask_at).min(now);
        }
    }

    /// The guard is not asked any more. How long the others' reports have been waited for counts on: one that comes and goes would wait
    /// for ever.
    pub fn drop_question(&mut self) {
        self.ladder.standing.drop_question();
    }

    /// The instance is taken into service again: of the outage before only a mark counts.
    pub fn begin_anew(&mut self) {
        self.ladder = Ladder { standing: std::mem::take(&mut self.ladder.standing), ..Ladder::default() };
        self.ladder.standing.drop_question();
        self.guard.over();
    }
}
