//! Arrival and departure: whether this instance should serve, and the hooks on which its group waits.
//!
//! Nothing of it is remembered over a restart of the agent: the metadata service says where the instance is being taken, and
//! the group whether it waits.

use crate::condemn::Others;
use crate::connectors::Role;
use crate::time::doubled;
use crate::{
    Blame, Confidence, DecisionKind, Failure, FailureKind, Finding, Hook, HookResult, Mode, Mono, Notices, Order,
    Place, Target, Verdict,
};
use std::time::Duration;

/// What the group and the metadata service have in mind for this instance.
#[derive(Debug, Clone, Default, Hash)]
pub(super) struct Hooks {
    service: Service,
    rebalance: bool,
    next_notices: Mono,
    launch: Waiting,
    terminate: Waiting,
}

/// Whether the instance is to serve.
#[derive(Debug, Default, Clone, PartialEq, Eq, Hash)]
enum Service {
    /// It is.
    #[default]
    On,
    /// Not now, for that reason; it may come back.
    Away(&'static str),
    /// Not any more, for that reason.
    Leaving(String),
}

/// A hook that the group may wait at.
#[derive(Debug, Clone, Default, Hash)]
struct Waiting {
    /// The group does not wait there any more.
    over: bool,
    /// When the group is asked next.
    ask_at: Mono,
    /// Whether it was asked because there is something to tell it.
    told: bool,
    failures: u32,
    /// Since when its wait has run, or runs anew; `None`: since this host's first agent started.
    since: Option<Mono>,
    /// When the wait needs a heartbeat, or a decision.
    deadline: Option<Mono>,
}

/// Where a lifecycle state is, seen from a hook.
enum At {
    Before,
    Waits,
    Past,
}

impl Hook {
    const BOTH: [Self; 2] = [Hook::Launch, Hook::Terminate];

    fn name(self) -> &'static str {
        match self {
            Hook::Launch => "the launch hook",
            Hook::Terminate => "the terminate hook",
        }
    }

    /// Where that state is, seen from here. An instance that enters or leaves a warm pool passes the hooks as well
    /// (<https://docs.aws.amazon.com/autoscaling/ec2/userguide/warm-pool-instance-lifecycle.html>).
    fn place(self, lifecycle: &str) -> At {
        let state = lifecycle.strip_prefix("Warmed:").unwrap_or(lifecycle);
        let word = if self == Hook::Launch { "Pending" } else { "Terminating" };
        match state.strip_prefix(word) {
            Some("") => At::Before,
            Some(":Wait") => At::Waits,
            None if self == Hook::Terminate && !state.starts_with("Terminat") => At::Before,
            _ => At::Past,
        }
    }
}

impl Hooks {
    fn at(&mut self, hook: Hook) -> &mut Waiting {
        match hook {
            Hook::Launch => &mut self.launch,
            Hook::Terminate => &mut self.terminate,
        }
    }
}

impl Verdict {
    /// Whether the instance is to serve.
    pub(crate) fn is_on_duty(&self) -> bool {
        self.duty.hooks.service == Service::On
    }

    /// The same, and the agent is not told to stop.
    pub(crate) fn is_to_serve(&self) -> bool {
        self.is_on_duty() && !self.is_stopping()
    }

    /// Why it is not to serve, if so.
    pub(crate) fn off_duty(&self) -> Option<&str> {
        match &self.duty.hooks.service {
            Service::On => None,
            Service::Away(why) => Some(why),
            Service::Leaving(why) => Some(why),
        }
    }

    pub(crate) fn noticed(&mut self, now: Mono, notices: Notices) {
        if notices.rebalance && !std::mem::replace(&mut self.duty.hooks.rebalance, notices.rebalance) {
            let evidence = "this spot instance may be reclaimed; it serves until then";
            self.note(now, DecisionKind::Finding, "a rebalance is recommended", evidence);
        }
        if matches!(self.duty.hooks.service, Service::Leaving(_)) {
            return;
        }
        let duty = match (notices.spot, notices.target) {
            (Some(action), _) => Service::Leaving(format!("this spot instance is being reclaimed ({action})")),
            (None, Some(Target::Terminated)) => Service::Leaving("the group is terminating this instance".into()),
            (None, Some(Target::Warmed)) => Service::Away("this instance is in its group's warm pool"),
            (None, Some(Target::Standby)) => Service::Away("this instance is on standby in its group"),
            (None, Some(Target::InService | Target::Detached) | None) => Service::On,
        };
        if duty == self.duty.hooks.service {
            return;
        }
        let was_on = self.is_on_duty();
        self.duty.hooks.service = duty;
        match self.off_duty().map(String::from) {
            None => self.come_back(now),
            Some(why) if was_on => {
                self.note(now, DecisionKind::Action, "drain the connectors", why);
                self.change.suspend();
                self.condemn.drop_question();
                self.drop_reloads(now);
            }
            Some(_) => {}
        }
    }

    /// Serves again, as after a boot.
    fn come_back(&mut self, now: Mono) {
        self.note(now, DecisionKind::Action, "serve again", "the group takes this instance into service");
        self.begun = now;
        self.outage.begin_anew();
        self.condemn.begin_anew();
        self.duty.hooks.launch = Waiting { since: Some(now), ..Waiting::default() };
        if let Some(installed) = self.change.resume(now).filter(|_| !self.connectors.full()) {
            self.start(now, installed, Role::Serving);
        }
    }

    pub(crate) fn step_lifecycle(&mut self, now: Mono) {
        if !self.change.identified() {
            return;
        }
        if now >= self.duty.hooks.next_notices && !self.orders.is_open(|order| matches!(order, Order::ReadNotices)) {
            self.duty.hooks.next_notices = now + self.config.notices_every;
            self.orders.give(Order::ReadNotices);
        }
        for hook in Hook::BOTH {
            self.step_hook(now, hook);
        }
    }

    /// Whether the group may wait at that hook, as far as is known.
    fn may_wait(&self, hook: Hook) -> bool {
        let named = match hook {
            Hook::Launch => self.config.launch_hook && !self.duty.hooks.launch.over,
            Hook::Terminate => self.config.terminate_hook && !self.duty.hooks.terminate.over,
        };
        let acts = self.config.mode == Mode::Act;
        acts && named && matches!(self.duty.hooks.service, Service::Leaving(_)) == (hook == Hook::Terminate)
    }

    /// Whether the group is being told something at that hook.
    fn is_telling(&self, hook: Hook) -> bool {
        self.orders.is_open(|order| {
            matches!(order, Order::CompleteHook { hook: at, .. } | Order::Heartbeat { hook: at } if *at == hook)
        })
    }

    fn step_hook(&mut self, now: Mono, hook: Hook) {
        let reading = self.orders.is_open(|order| matches!(order, Order::ReadPlace));
        if reading || self.is_telling(hook) || !self.may_wait(hook) {
            return;
        }
        let told = self.wish(now, hook).is_some();
        let waiting = self.duty.hooks.at(hook);
        if now >= waiting.ask_at || (told && !waiting.told) {
            waiting.told = told;
            self.read_place();
        }
    }

    pub(crate) fn read_place(&mut self) {
        if !self.orders.is_open(|order| matches!(order, Order::ReadPlace)) {
            self.orders.give(Order::ReadPlace);
        }
    }

    /// What the group is to be told at that hook; `None`: to wait on.
    fn wish(&self, now: Mono, hook: Hook) -> Option<HookResult> {
        if self.is_held(now) {
            return None;
        }
        match hook {
            Hook::Terminate => self.connectors.is_empty().then_some(HookResult::Continue),
            Hook::Launch if !self.is_on_duty() => Some(HookResult::Continue),
            Hook::Launch if self.has_settled(now) => Some(HookResult::Continue),
            Hook::Launch => {
                let due = self.duty.hooks.launch.deadline.is_some_and(|deadline| now >= deadline);
                (due && self.is_this_hosts_fault(now)).then_some(HookResult::Abandon)
            }
        }
    }

    fn has_settled(&self, now: Mono) -> bool {
        let enough = |run: &crate::Run| run.connections() >= self.config.min_connections;
        self.connectors.serving().is_some_and(|(_, run)| enough(run))
            && self.outage.clock().good_for(now) >= self.config.settle
    }

    /// Whether another instance in this one's place could do better.
    fn is_this_hosts_fault(&self, now: Mono) -> bool {
        let alive = self.condemn.others(now, self.config.evidence_lasts) == Some(Others::Alive);
        let blamed = self.outage.found().is_some_and(|Finding { blame, confidence, .. }| {
            let alone = *blame == Blame::Process || (*blame == Blame::HostNetwork && alive);
            alone && *confidence != Confidence::Guess
        });
        let judged = self.outage.clock().lasted(now).is_some_and(|lasted| lasted >= self.config.probe_after);
        judged && blamed && self.is_urgent()
    }

    /// Where the group has this instance was read, for whoever asked.
    pub(crate) fn place_read(&mut self, now: Mono, result: Result<Place, Failure>) {
        self.turn_is(now, &result);
        for hook in Hook::BOTH {
            if self.may_wait(hook) && !self.is_telling(hook) {
                self.hook_placed(now, hook, &result);
            }
        }
    }

    fn hook_placed(&mut self, now: Mono, hook: Hook, result: &Result<Place, Failure>) {
        let place = match result {
            Ok(place) => place,
            Err(Failure { kind: FailureKind::Disabled | FailureKind::Missing, .. }) => {
                self.duty.hooks.at(hook).over = true;
                return;
            }
            Err(failure) => {
                let text = failure.text.clone();
                return self.hook_failed(now, hook, "the instance's state in its group is not known", text);
            }
        };
        match hook.place(&place.lifecycle) {
            At::Past => self.duty.hooks.at(hook).over = true,
            At::Before => self.duty.hooks.at(hook).ask_at = now + self.config.ask_again,
            At::Waits => {
                let timeout = if hook == Hook::Launch { place.launch_timeout } else { place.terminate_timeout };
                self.group_waits(now, hook, timeout);
            }
        }
    }

    fn group_waits(&mut self, now: Mono, hook: Hook, timeout: Option<Duration>) {
        let started = if hook == Hook::Launch { self.started } else { now };
        let waiting = self.duty.hooks.at(hook);
        let since = *waiting.since.get_or_insert(started);
        // A quarter of the time is left for what goes wrong on the way.
        let deadline = timeout.map(|timeout| since + timeout * 3 / 4);
        waiting.deadline = deadline;
        waiting.ask_at = deadline.unwrap_or(now + self.config.refused_again).max(now + self.config.ask_again);
        let due = deadline.is_some_and(|deadline| now >= deadline);
        match self.wish(now, hook) {
            Some(result) => {
                let what =
                    format!("{}: {}", hook.name(), if result == HookResult::Continue { "continue" } else { "abandon" });
                let evidence = self.why(now);
                self.note(now, DecisionKind::Action, what, evidence);
                self.orders.give(Order::CompleteHook { hook, result });
            }
            None if due && hook == Hook::Launch && self.asks_for_others(now) => {}
            None if due => self.orders.give(Order::Heartbeat { hook }),
            None => {}
        }
    }

    /// Before an instance that cannot register is given up or waited for, the others are asked. Says whether they are.
    fn asks_for_others(&mut self, now: Mono) -> bool {
        let known =
            self.condemn.others(now, self.config.evidence_lasts).is_some_and(|others| others != Others::NotKnown);
        let young = self.outage.clock().lasted(now).is_none_or(|lasted| lasted < self.config.probe_after);
        if known || young {
            return false;
        }
        self.ask_others(now)
    }

    pub(crate) fn hook_completed(&mut self, now: Mono, hook: Hook, result: Result<(), Failure>) {
        match result {
            Ok(()) => {
                self.duty.hooks.at(hook).over = true;
                let what = format!("{} is completed", hook.name());
                self.note(now, DecisionKind::Action, what, "the group goes on");
            }
            Err(failure) => {
                let what = format!("{} was not completed", hook.name());
                self.hook_failed(now, hook, &what, failure.text);
            }
        }
    }

    pub(crate) fn hook_beaten(&mut self, now: Mono, hook: Hook, result: Result<(), Failure>) {
        match result {
            Ok(()) => {
                let waiting = self.duty.hooks.at(hook);
                (waiting.since, waiting.deadline, waiting.ask_at, waiting.failures) = (Some(now), None, now, 0);
            }
            Err(failure) => {
                let what = format!("{} got no heartbeat", hook.name());
                self.hook_failed(now, hook, &what, failure.text);
            }
        }
    }

    fn hook_failed(&mut self, now: Mono, hook: Hook, what: &str, text: String) {
        let again = self.config.ask_again;
        let waiting = self.duty.hooks.at(hook);
        waiting.ask_at = now + doubled(again, waiting.failures.min(3));
        waiting.failures = waiting.failures.saturating_add(1);
        if waiting.failures == 1 {
            self.note(now, DecisionKind::Refusal, what, text);
        }
    }

    pub(crate) fn lifecycle_moments(&self) -> Vec<Mono> {
        if !self.change.identified() {
            return vec![];
        }
        let hooks = Hook::BOTH.into_iter().filter(|hook| self.may_wait(*hook)).map(|hook| match hook {
            Hook::Launch => self.duty.hooks.launch.ask_at,
            Hook::Terminate => self.duty.hooks.terminate.ask_at,
        });
        let settled = self.outage.clock().good_since().map(|since| since + self.config.settle);
        let arriving = settled.filter(|_| self.may_wait(Hook::Launch));
        hooks.chain([self.duty.hooks.next_notices]).chain(arriving).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_before_a_hook_at_it_or_past_it() {
        let word = |hook: Hook, state| match hook.place(state) {
            At::Before => "before",
            At::Waits => "waits",
            At::Past => "past",
        };
        for (state, launch, terminate) in [
            ("Pending", "before", "before"),
            ("Pending:Wait", "waits", "before"),
            ("Pending:Proceed", "past", "before"),
            ("Warmed:Pending:Wait", "waits", "before"),
            ("Warmed:Stopped", "past", "before"),
            ("InService", "past", "before"),
            ("Standby", "past", "before"),
            ("Terminating", "past", "before"),
            ("Terminating:Wait", "past", "waits"),
            ("Warmed:Terminating:Wait", "past", "waits"),
            ("Terminating:Proceed", "past", "past"),
            ("Terminated", "past", "past"),
        ] {
            assert_eq!((word(Hook::Launch, state), word(Hook::Terminate, state)), (launch, terminate), "{state}");
        }
    }
}
