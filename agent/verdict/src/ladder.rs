//! What is done about an outage, and when: read the secret again, restart, condemn.

use crate::{DecisionKind, Failure, FailureKind, Mono, Order, Outcome, Reason, Verdict};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How soon a mark that the group does not show, or shows still, is asked for again.
const ASK_AGAIN: Duration = Duration::from_secs(15);
/// How soon a mark that was refused is asked for again.
const REFUSED_AGAIN: Duration = Duration::from_secs(60);

/// How far an outage has been climbed. What a rung needs to remember lives in it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Ladder {
    /// Whether the secret was read again because of this outage.
    pub rechecked: bool,
    /// When the connector was last restarted because of this outage, and how often.
    pub restarted: Option<Restarted>,
    /// Where condemning stands.
    pub mark: Mark,
}

/// The restarts of one outage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restarted {
    /// When the last one was ordered.
    pub at: Mono,
    /// How many there were.
    pub times: u32,
}

/// Where condemning stands.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mark {
    /// It is not called for.
    #[default]
    None,
    /// It is called for: the evidence is in the log, or the group did not show the mark yet.
    Due {
        /// When the mark is to be made.
        at: Mono,
    },
    /// The order is out: whether the group heard it is not known.
    Asked,
    /// The group shows our mark.
    Shown,
    /// The tunnel is back and the mark is being taken back.
    Lifting {
        /// When that is tried again.
        retry_at: Mono,
    },
    /// It could not be made.
    Refused {
        /// When it is tried again.
        retry_at: Mono,
        /// Why.
        why: String,
        /// No answer came, so the group may show it all the same.
        may_stand: bool,
    },
}

impl Mark {
    /// Whether the group may show a mark of ours.
    pub fn may_stand(&self) -> bool {
        match self {
            Mark::None | Mark::Due { .. } => false,
            Mark::Asked | Mark::Shown | Mark::Lifting { .. } => true,
            Mark::Refused { may_stand, .. } => *may_stand,
        }
    }
}

impl Ladder {
    /// When the next restart may help: `first` after the outage began, then ever more seldom. A connector that hangs
    /// after an outage comes back by a restart, and one that cannot register is not helped by many.
    pub fn restart_due(&self, outage_since: Mono, first: Duration) -> Mono {
        const LATER: Duration = Duration::from_secs(300);
        const SELDOM: Duration = Duration::from_secs(3600);
        match self.restarted {
            None => outage_since + first,
            Some(Restarted { at, times }) => at + (LATER * 2u32.saturating_pow(times - 1).min(64)).min(SELDOM),
        }
    }

    /// A restart was ordered.
    pub fn restart(&mut self, now: Mono) {
        let times = self.restarted.map_or(0, |restarted| restarted.times) + 1;
        self.restarted = Some(Restarted { at: now, times });
    }
}

impl Verdict {
    pub(crate) fn step_ladder(&mut self, now: Mono) {
        let Some((id, run)) = self.runs.serving() else { return };
        let (registered, evidence) = (run.connections() > 0, run.evidence());
        self.outage.note(now, registered, self.config.recovered_after, self.config.flapping_window);
        if registered {
            self.registered_once = true;
            self.spare(now);
            return;
        }
        let Some(lasted) = self.outage.lasted(now) else { return };
        if lasted >= self.config.recheck_secret_after && !self.ladder.rechecked {
            self.ladder.rechecked = true;
            self.supply.next_read = now;
            self.step_supply(now);
        }
        let restart_due = self.restart_due();
        let restarting = self.book.is_open(|order| matches!(order, Order::Restart { .. }));
        if restart_due.is_some_and(|due| now >= due) && !restarting {
            self.ladder.restart(now);
            let evidence = format!("{}; {evidence}", self.outage.tell(now));
            self.note(now, DecisionKind::Action, "restart the connector", evidence);
            self.book.give(Order::Restart { run: id, reason: Reason::Unregistered });
        }
        if lasted >= self.config.condemn_after && now >= self.started + self.config.startup_grace {
            self.condemn(now, evidence);
        }
    }

    /// When the living child is to be restarted. One that replaced an exited child has its own time to register.
    fn restart_due(&self) -> Option<Mono> {
        let (since, (_, run)) = (self.outage.reaches(Duration::ZERO)?, self.runs.serving()?);
        let due = self.ladder.restart_due(since, self.config.restart_after);
        Some(due.max(run.since? + self.config.restart_after))
    }

    /// The tunnel is registered: nothing is condemned, and a mark that may stand is taken back.
    pub(crate) fn spare(&mut self, now: Mono) {
        if self.ladder.mark.may_stand() {
            let waiting = matches!(self.ladder.mark, Mark::Lifting { retry_at } if now < retry_at);
            if !waiting && !self.marking() {
                self.note(now, DecisionKind::Action, "take the mark back", "the tunnel is registered again");
                self.ladder.mark = Mark::Lifting { retry_at: now + ASK_AGAIN };
                self.book.give(Order::MarkHealthy);
            }
            return;
        }
        if self.ladder.mark != Mark::None {
            self.note(
                now,
                DecisionKind::Action,
                "this instance is not condemned after all",
                "the tunnel is registered again",
            );
            self.ladder.mark = Mark::None;
        }
        if self.outage.lasted(now).is_none() {
            self.ladder = Ladder::default();
        }
    }

    pub(crate) fn condemn(&mut self, now: Mono, evidence: String) {
        if self.marking() {
            return;
        }
        match &self.ladder.mark {
            Mark::None => {
                let evidence = format!("{}; {evidence}", self.outage.tell(now));
                self.note(now, DecisionKind::Action, "condemn this instance", evidence);
                self.ladder.mark = Mark::Due { at: now + self.config.evidence_pause };
            }
            Mark::Due { at } | Mark::Refused { retry_at: at, .. } if now >= *at => {
                self.ladder.mark = Mark::Asked;
                self.book.give(Order::MarkUnhealthy);
            }
            // An agent that was restarted in between does not know what came of it: asking again does no harm.
            Mark::Asked => self.book.give(Order::MarkUnhealthy),
            // It was not lifted before the tunnel was lost again.
            Mark::Lifting { .. } => self.ladder.mark = Mark::Shown,
            Mark::Due { .. } | Mark::Refused { .. } | Mark::Shown => {}
        }
    }

    pub(crate) fn marked(&mut self, now: Mono, result: Result<Outcome, Failure>) {
        match result {
            Ok(Outcome::Marked { shown: true }) => {
                self.ladder.mark = Mark::Shown;
                self.note(now, DecisionKind::Action, "this instance is condemned", "the group shows it unhealthy");
            }
            Ok(_) => {
                let why = "the group took the mark and does not show it, as during its grace period; asked again";
                self.note(now, DecisionKind::Refusal, "not condemned yet", why);
                self.ladder.mark = Mark::Due { at: now + ASK_AGAIN };
            }
            Err(Failure { kind, text }) => {
                self.note(now, DecisionKind::Refusal, "not condemned: a person is needed", &text);
                let may_stand = kind == FailureKind::Unreachable;
                self.ladder.mark = Mark::Refused { retry_at: now + REFUSED_AGAIN, why: text, may_stand };
            }
        }
    }

    pub(crate) fn marking(&self) -> bool {
        self.book.is_open(|order| matches!(order, Order::MarkUnhealthy | Order::MarkHealthy))
    }

    pub(crate) fn ladder_moments(&self) -> Vec<Mono> {
        let mut moments = match &self.ladder.mark {
            Mark::Due { at } => vec![*at],
            Mark::Refused { retry_at, .. } | Mark::Lifting { retry_at } => vec![*retry_at],
            Mark::None | Mark::Asked | Mark::Shown => vec![],
        };
        if let Some(since) = self.outage.reaches(Duration::ZERO) {
            moments.push(since + self.config.recheck_secret_after);
            moments.extend(self.restart_due());
            moments.push((since + self.config.condemn_after).max(self.started + self.config.startup_grace));
        }
        moments
    }
}
