//! What is done about an outage, and when: read the secret again, probe, restart, condemn.

use crate::{
    Condemns, Confidence, DecisionKind, Failure, FailureKind, Finding, Mode, Mono, Order, Ready, Restarts, Run, Stop,
    Verdict,
};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How far an outage has been climbed. What a rung needs to remember lives in it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Ladder {
    /// Whether the secret was read again because of this outage.
    pub rechecked: bool,
    /// When the connector was last restarted because of this outage, and how often.
    pub restarted: Option<Restarted>,
    /// When condemning was called for, so that the evidence went to the log.
    pub testified: Option<Mono>,
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
    /// It is called for: the evidence is in the log, and the guard is asked.
    Due {
        /// When it is asked, or asked again.
        ask_at: Mono,
        /// The mark was made and did not show, as within the group's grace period.
        may_stand: bool,
    },
    /// The order is out: whether the group heard it is not known.
    Asked {
        /// It was refused before: that it is tried again is no news.
        again: bool,
    },
    /// The group shows our mark.
    Shown,
    /// The mark is being taken back.
    Lifting {
        /// When that is tried again.
        retry_at: Mono,
        /// What for.
        lift: Lift,
        /// How often it was tried.
        #[serde(default)]
        times: u32,
    },
    /// It must not be made, or could not be.
    Refused {
        /// When the guard is asked again.
        ask_at: Mono,
        /// Why.
        why: String,
        /// A mark of ours may stand: no answer came when it was made.
        may_stand: bool,
    },
}

/// What a mark is taken back for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lift {
    /// The tunnel is registered again.
    Registered,
    /// Another instance goes at the same time.
    Yields,
    /// It turned out that a new instance would meet the same.
    Blamed,
}

impl Mark {
    /// Whether the group may show a mark of ours.
    pub fn may_stand(&self) -> bool {
        match self {
            Mark::None => false,
            Mark::Asked { .. } | Mark::Shown | Mark::Lifting { .. } => true,
            Mark::Due { may_stand, .. } | Mark::Refused { may_stand, .. } => *may_stand,
        }
    }
}

/// The second restart of an outage comes so long after the first one.
pub(crate) const LATER: Duration = Duration::from_secs(300);
/// So many tries to take a mark back follow each other quickly, for the group may be about to act on it; the others are so far apart.
const QUICK_LIFTS: u32 = 8;
const SLOW_LIFT: Duration = Duration::from_secs(300);

impl Ladder {
    /// Whether it was restarted a short while ago.
    pub fn restarted_since(&self, earlier: Mono) -> bool {
        self.restarted.is_some_and(|restarted| restarted.at >= earlier)
    }

    /// When the next restart may help: `first` after the outage began, then ever more seldom. A connector that hangs
    /// after an outage comes back by a restart, and one that cannot register is not helped by many.
    pub fn restart_due(&self, outage_since: Mono, first: Duration) -> Mono {
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
        let Some((_, run)) = self.connectors.serving() else { return self.condemn.guard.drop_question() };
        let registered = run.connections() > 0;
        self.outage.look(now, registered, &self.config);
        if registered {
            self.step_origins(now);
            self.spare(now);
            return;
        }
        if self.reached(now, self.config.recheck_secret_after) && !self.condemn.ladder.rechecked {
            self.condemn.ladder.rechecked = true;
            self.change.reconsider(now);
            self.step_supply(now);
        }
        if self.reached(now, self.config.probe_after) {
            self.step_inquiry(now);
            self.step_hold_tag(now);
        }
        self.step_restart(now);
        self.step_blip(now);
        self.step_opinion(now);
        if self.reached(now, self.config.recheck_secret_after) {
            // The secret was read again: what no instance can help is a person's, and needs no more time.
            if self.outage.found().is_some_and(|finding| finding.blame.may_restart() != Restarts::Soon) {
                self.hold_for_blame(now);
            }
        }
        if self.return_comes_first(now) {
            // What is known by now may be old when it has been tried.
            self.condemn.guard.drop_question();
        } else if self.reached(now, self.config.condemn_after) && now >= self.condemnable_from() {
            self.condemn(now);
        }
    }

    /// Whether the outage has come so far. One that comes and goes counts as a long one.
    fn reached(&self, now: Mono, rung: Duration) -> bool {
        self.outage.clock().lasted(now).is_some_and(|lasted| lasted >= rung)
            || self.outage.clock().flapping(now, self.config.flapping_window)
    }

    fn step_restart(&mut self, now: Mono) {
        if self.config.mode == Mode::Observe {
            return;
        }
        let due = self.restart_due().is_some_and(|due| now >= due);
        let busy = self.orders.is_open(|order| matches!(order, Order::Restart { .. }));
        let Some((run, _)) = self.connectors.serving().filter(|(_, run)| run.since.is_some() && !busy) else { return };
        let Some(reason) = self.restart_reason(now, due) else { return };
        self.condemn.ladder.restart(now);
        let evidence = self.told_outage(now);
        self.note(now, DecisionKind::Action, "restart the connector", evidence);
        self.orders.give(Order::Restart { run, reason, stop: Stop::Graceful });
    }

    /// From when on the instance may be condemned: not in its startup grace, and not before the connector that there is now
    /// had its time to register, or to say why it cannot. It may be one from a new version of the secret.
    fn condemnable_from(&self) -> Mono {
        let ordered = self.connectors.serving().map_or(self.begun, |(_, run)| run.ordered);
        (self.started + self.config.startup_grace).max(ordered + self.config.probe_after)
    }

    /// From when on a hung child may be called a lost cause: a restart was tried and had its time. At once for one that
    /// does not live, because the connector tries by itself; `None` while a restart is still to come.
    pub(crate) fn restart_had_its_time(&self, now: Mono) -> Option<Mono> {
        let hung = |run: &Run| {
            matches!(run.ready, Some(Ready::Unanswered { .. })) && !run.is_crashing(now, self.config.crash_window)
        };
        if !self.connectors.serving().is_some_and(|(_, run)| hung(run)) {
            return Some(Mono::default());
        }
        let time = self.config.condemn_after.saturating_sub(self.config.restart_after);
        self.condemn.ladder.restarted.map(|restarted| restarted.at + time)
    }

    /// How long it has been out, and why, for a person.
    fn told_outage(&self, now: Mono) -> String {
        let evidence = match (self.outage.found(), self.connectors.serving()) {
            (Some(finding), _) => finding.evidence.clone(),
            (None, Some((_, run))) => run.evidence(),
            (None, None) => String::new(),
        };
        format!("{}; {evidence}", self.outage.clock().tell(now))
    }

    /// When the living child is to be restarted. One that replaced an exited child has its own time to register.
    fn restart_due(&self) -> Option<Mono> {
        let (since, (_, run)) = (self.outage.clock().reaches(Duration::ZERO)?, self.connectors.serving()?);
        let seldom = self.outage.found().is_some_and(|finding| finding.blame.may_restart() == Restarts::Seldom);
        let first = if seldom { LATER } else { self.config.restart_after };
        let due = self.condemn.ladder.restart_due(since, first);
        Some(due.max(run.since? + self.config.restart_after))
    }

    /// The tunnel is registered: nothing is condemned, and a mark that may stand is taken back.
    fn spare(&mut self, now: Mono) {
        self.condemn.guard.drop_question();
        if self.condemn.ladder.mark.may_stand() {
            self.lift(now, Lift::Registered, "the tunnel is registered again");
            return;
        }
        if self.condemn.ladder.mark != Mark::None {
            let what = "this instance is not condemned after all";
            self.note(now, DecisionKind::Action, what, "the tunnel is registered again");
            self.condemn.ladder.mark = Mark::None;
        }
        self.drop_opinion(now);
        if self.outage.clock().lasted(now).is_none() {
            self.condemn.ladder = Ladder::default();
            self.outage.over();
            self.condemn.guard.over();
        }
    }

    /// Takes our mark back, again and again until the group shows it, which it may not do for hours: it has begun to replace
    /// this instance, and cannot launch another.
    fn lift(&mut self, now: Mono, lift: Lift, why: &str) {
        let (lift, times) = match self.condemn.ladder.mark {
            Mark::Lifting { retry_at, .. } if now < retry_at => return,
            Mark::Lifting { lift, times, .. } => (lift, times),
            Mark::None | Mark::Due { .. } | Mark::Asked { .. } | Mark::Shown | Mark::Refused { .. } => (lift, 0),
        };
        if self.marking() {
            return;
        }
        if !matches!(self.condemn.ladder.mark, Mark::Lifting { .. }) {
            self.note(now, DecisionKind::Action, "take the mark back", why);
        }
        let again = if times < QUICK_LIFTS { self.config.ask_again } else { SLOW_LIFT };
        self.condemn.ladder.mark = Mark::Lifting { retry_at: now + again, lift, times: times.saturating_add(1) };
        self.orders.give(Order::MarkHealthy);
    }

    fn condemn(&mut self, now: Mono) {
        match &self.condemn.ladder.mark {
            Mark::Lifting { lift: lift @ (Lift::Yields | Lift::Blamed), .. } => return self.lift(now, *lift, ""),
            // It was not lifted before the tunnel was lost again.
            Mark::Lifting { lift: Lift::Registered, .. } if !self.marking() => self.condemn.ladder.mark = Mark::Shown,
            Mark::Lifting { .. }
            | Mark::None
            | Mark::Due { .. }
            | Mark::Asked { .. }
            | Mark::Shown
            | Mark::Refused { .. } => {}
        }
        if let Some(why) = self.blamed_for_good() {
            let certain = self.outage.found().is_some_and(|finding| finding.confidence == Confidence::Certain);
            if certain && self.condemn.ladder.mark == Mark::Shown {
                return self.lift(now, Lift::Blamed, &why);
            }
            return self.hold_for_blame(now);
        }
        if self.config.mode == Mode::Observe {
            return self.refuse_when_due(now, "the settings say mode: observe".into());
        }
        if self.condemn.ladder.testified.is_none() {
            let evidence = self.told_outage(now);
            self.note(now, DecisionKind::Action, "condemn this instance, if the guard agrees", evidence);
            self.condemn.ladder.testified = Some(now);
        }
        if self.condemn.ladder.mark == Mark::None {
            self.condemn.ladder.mark = Mark::Due { ask_at: now, may_stand: false };
        }
        // A child that was not looked at yet is nobody's fault.
        if self.outage.found().is_some() {
            self.step_guard(now);
        }
    }

    /// Why no new instance would do better, if that is so.
    fn blamed_for_good(&self) -> Option<String> {
        let Finding { blame, evidence, .. } = self.outage.found()?;
        let never = blame.may_condemn() == Condemns::Never;
        never.then(|| format!("a new instance would have the same {blame}: {evidence}"))
    }

    /// Holds for what no new instance would mend, when that is sure; a mark that was called for is given up.
    fn hold_for_blame(&mut self, now: Mono) {
        let sure = self.outage.found().is_some_and(|finding| finding.confidence != Confidence::Guess);
        if let Some(why) = self.blamed_for_good().filter(|_| sure) {
            self.refuse_when_due(now, why);
        }
    }

    fn refuse_when_due(&mut self, now: Mono, why: String) {
        let due = match &self.condemn.ladder.mark {
            Mark::None | Mark::Due { .. } => true,
            Mark::Refused { ask_at, .. } => now >= *ask_at || self.condemn.guard.is_asking(),
            Mark::Asked { .. } | Mark::Shown | Mark::Lifting { .. } => false,
        };
        if due {
            self.refuse(now, why);
        }
    }

    pub(crate) fn marked(&mut self, now: Mono, result: Result<bool, Failure>) {
        match result {
            Ok(true) => self.shown(now),
            Ok(false) => {
                let why = "the group took the mark and does not show it, as during its grace period; asked again";
                self.wait(now, why);
            }
            // It may stand, beside another one of the same moment: that is looked at soon.
            Err(Failure { kind: FailureKind::Unreachable, text }) => self.wait(now, &text),
            Err(Failure { text, .. }) => {
                self.refuse(now, text);
                if let Mark::Refused { may_stand, .. } = &mut self.condemn.ladder.mark {
                    *may_stand = false;
                }
            }
        }
    }

    pub(crate) fn lifted(&mut self, now: Mono) {
        self.note(now, DecisionKind::Action, "the mark was taken back", "the group shows this instance healthy");
        let lift = match self.condemn.ladder.mark {
            Mark::Lifting { lift, .. } => lift,
            Mark::None | Mark::Due { .. } | Mark::Asked { .. } | Mark::Shown | Mark::Refused { .. } => Lift::Registered,
        };
        let refused = |ask_at, why: &str| Mark::Refused { ask_at, why: why.into(), may_stand: false };
        self.condemn.ladder.mark = match lift {
            Lift::Registered => Mark::None,
            Lift::Yields => {
                refused(now + self.config.refused_again, "another instance of the group went at the same time")
            }
            Lift::Blamed => refused(now, "a new instance would meet the same"),
        };
    }

    pub(crate) fn marking(&self) -> bool {
        self.orders.is_open(|order| matches!(order, Order::MarkUnhealthy | Order::MarkHealthy))
    }

    pub(crate) fn ladder_moments(&self) -> Vec<Mono> {
        let mut moments = match &self.condemn.ladder.mark {
            Mark::Due { ask_at, may_stand: true } => vec![*ask_at, self.condemn.guard.next_verify()],
            Mark::Due { ask_at, .. } | Mark::Refused { ask_at, .. } => vec![*ask_at],
            Mark::Lifting { retry_at, .. } => vec![*retry_at],
            Mark::Shown => vec![self.condemn.guard.next_verify()],
            Mark::None | Mark::Asked { .. } => vec![],
        };
        moments.extend(self.blip_moments());
        moments.extend(self.opinion_moment());
        moments.extend(self.condemn.guard.moment());
        if let Some(since) = self.outage.clock().reaches(Duration::ZERO) {
            moments.push(since + self.config.recheck_secret_after);
            moments.push((since + self.config.probe_after).max(self.inquiry_moment()));
            moments.extend(self.restart_due());
            moments.push((since + self.config.condemn_after).max(self.condemnable_from()));
        }
        moments
    }
}
