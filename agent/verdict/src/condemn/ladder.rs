//! The ladder of an outage: read the secret again, probe, restart, condemn.

use super::standing::{Lift, Standing};
use crate::{
    Blame, Condemns, Confidence, DecisionKind, Failure, FailureKind, Finding, Mode, Mono, Order, Ready, Restarts, Run,
    Stop, Verdict,
};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How far an outage has been climbed. What a rung needs to remember lives in it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, Hash)]
pub struct Ladder {
    /// Whether the secret was read again because of this outage.
    pub rechecked: bool,
    /// When the connector was last restarted because of this outage, and how often.
    pub restarted: Option<Restarted>,
    /// When condemning was called for, so that the evidence went to the log.
    pub testified: Option<Mono>,
    /// Where condemning stands.
    pub standing: Standing,
}

/// The restarts of one outage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Hash)]
pub struct Restarted {
    /// When the last one was ordered.
    pub at: Mono,
    /// How many there were.
    pub times: u32,
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
        let Some((_, run)) = self.connectors.serving() else {
            self.condemn.drop_question();
            return self.step_mark(now);
        };
        let registered = run.connections() > 0;
        self.outage.look(now, registered, &self.config);
        if registered {
            self.step_origins(now);
            self.spare(now);
            return;
        }
        if self.reached(now, self.config.recheck_secret_after) && !self.condemn.ladder.rechecked {
            self.condemn.ladder.rechecked = true;
            self.change.reconsider(now, self.config.poll_interval);
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
        self.step_mark(now);
        if self.return_comes_first(now) {
            // What is known by now may be old when it has been tried.
            self.condemn.drop_question();
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
        self.connectors.restart(&mut self.orders, run, reason, Stop::Graceful);
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
            let unanswered = matches!(run.ready, Some(Ready::Unanswered { .. }));
            run.pid.is_some() && unanswered && !run.is_crashing(now, self.config.crash_window, Mono::default())
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
        self.condemn.drop_question();
        if self.condemn.standing().may_stand() {
            self.lift(now, Lift::Registered, "the tunnel is registered again");
            return;
        }
        if *self.condemn.standing() != Standing::Calm {
            let what = "this instance is not condemned after all";
            self.note(now, DecisionKind::Action, what, "the tunnel is registered again");
            self.condemn.ladder.standing = Standing::Calm;
        }
        self.drop_opinion(now);
        if self.outage.clock().lasted(now).is_none() {
            self.condemn.ladder = Ladder::default();
            self.outage.over();
            // One that flaps waits for what the others report from one loss to the next.
            if !self.outage.clock().flapping(now, self.config.flapping_window) {
                self.condemn.guard.over();
            }
        }
    }

    /// Takes our mark back, again and again until the group shows it, which it may not do for hours: it has begun to replace
    /// this instance, and cannot launch another.
    pub(super) fn lift(&mut self, now: Mono, lift: Lift, why: &str) {
        let (lift, times) = match self.condemn.standing() {
            Standing::Lifting { retry_at, .. } if now < *retry_at => return,
            Standing::Lifting { lift, times, .. } => (*lift, *times),
            Standing::Calm | Standing::Called { .. } | Standing::Marking { .. } | Standing::Shown { .. } => (lift, 0),
        };
        if self.marking() {
            return;
        }
        if !matches!(self.condemn.standing(), Standing::Lifting { .. }) {
            self.note(now, DecisionKind::Action, "take the mark back", why);
        }
        let again = if times < QUICK_LIFTS { self.config.ask_again } else { SLOW_LIFT };
        self.condemn.ladder.standing =
            Standing::Lifting { retry_at: now + again, lift, times: times.saturating_add(1) };
        self.orders.give(Order::MarkHealthy);
    }

    fn condemn(&mut self, now: Mono) {
        match self.condemn.standing() {
            // It is being taken back.
            Standing::Lifting { lift: Lift::Yields | Lift::Blamed, .. } => return,
            // It was not lifted before the tunnel was lost again.
            Standing::Lifting { lift: Lift::Registered, .. } if !self.marking() => {
                self.condemn.ladder.standing = Standing::Shown { verifying: false };
            }
            Standing::Lifting { .. }
            | Standing::Calm
            | Standing::Called { .. }
            | Standing::Marking { .. }
            | Standing::Shown { .. } => {}
        }
        if let Some(why) = self.blamed_for_good() {
            let certain = self.outage.found().is_some_and(|finding| finding.confidence == Confidence::Certain);
            if certain && matches!(self.condemn.standing(), Standing::Shown { .. }) {
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
        if *self.condemn.standing() == Standing::Calm {
            self.condemn.ladder.standing = Standing::called(now, None, false);
        }
        // A child that was not looked at yet is nobody's fault.
        if self.outage.found().is_some() {
            self.step_guard(now);
        }
    }

    /// Why no new instance would do better, if that is so.
    fn blamed_for_good(&self) -> Option<String> {
        let Finding { blame, evidence, .. } = self.outage.found()?;
        // A zone's trouble is known by the others' reports alone, so the guard is asked again for it.
        let never = blame.may_condemn() == Condemns::Never && *blame != Blame::Zone;
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
        let standing = self.condemn.standing();
        let due = match standing {
            Standing::Calm | Standing::Called { no: None, .. } => true,
            Standing::Called { ask_at, .. } => now >= *ask_at || standing.is_asking(),
            Standing::Marking { .. } | Standing::Shown { .. } | Standing::Lifting { .. } => false,
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
                if let Standing::Called { may_stand, .. } = &mut self.condemn.ladder.standing {
                    *may_stand = false;
                }
            }
        }
    }

    pub(crate) fn lifted(&mut self, now: Mono) {
        let Standing::Lifting { lift, .. } = *self.condemn.standing() else { return };
        self.note(now, DecisionKind::Action, "the mark was taken back", "the group shows this instance healthy");
        let refused = |ask_at, why: &str| Standing::called(ask_at, Some(why.into()), false);
        self.condemn.ladder.standing = match lift {
            Lift::Registered => Standing::Calm,
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
        let mut moments = self.condemn.moments();
        moments.extend(self.blip_moments());
        moments.extend(self.opinion_moment());
        if let Some(since) = self.outage.clock().reaches(Duration::ZERO) {
            moments.push(since + self.config.recheck_secret_after);
            moments.push((since + self.config.probe_after).max(self.inquiry_moment()));
            moments.extend(self.restart_due());
            moments.push((since + self.config.condemn_after).max(self.condemnable_from()));
        }
        moments
    }
}
