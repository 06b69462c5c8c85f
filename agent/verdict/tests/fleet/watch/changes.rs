//! What must hold when something is changed on purpose: by a hand-over, at a hook, for somebody who asked.

use super::super::fault::{Cut, Kind};
use super::super::secret::{Flaw, number};
use super::super::{Fleet, MIN, Ms, S};
use super::{Asked, LINGERS, Watch, is_local};
use cflared_verdict::{Hook, HookResult, Order, RequestId, RunId};

/// A look that would have shown it is never further away.
const UNSEEN: Ms = 6 * S;
/// What an instance refuses can be read by the others after this.
const PUBLIC: Ms = 5 * MIN;

impl Watch {
    /// Somebody asks for a hand-over.
    pub fn asks(&mut self, i: usize, agent: u32) -> RequestId {
        self.asked.push(Asked { i, agent, answered: false });
        RequestId(self.asked.len() as u64 - 1)
    }
}

impl Fleet {
    pub(super) fn change_is_sound(&mut self, i: usize, order: &Order) {
        match order {
            Order::Start { .. } => self.one_hand_over_at_a_time(i),
            Order::Drain { run } => self.never_at_zero_by_a_hand_over(i, *run),
            Order::Install { version } => self.nobody_follows_a_refusal(i, number(&version.0)),
            Order::Commit { generation } => {
                let version = number(&self.instances[i].bundles[generation].version.0);
                self.no_origin_is_lost(i, version);
            }
            Order::Answer { request, .. } => self.answered_once(i, *request),
            Order::CompleteHook { hook, result } => self.the_group_waits_for_it(i, *hook, *result),
            _ => {}
        }
    }

    /// Whether the group means it to serve.
    fn on_duty(&self, i: usize) -> bool {
        let member = self.group.member(i).map(|member| member.lifecycle);
        member.is_some_and(|lifecycle| lifecycle != "Standby" && !lifecycle.starts_with("Terminating"))
    }

    fn one_hand_over_at_a_time(&mut self, i: usize) {
        let instance = &self.instances[i];
        let starting = instance.open.values().filter(|order| matches!(order, Order::Start { .. })).count();
        if instance.children.len() + starting > 1 {
            self.watch.fail("at most one hand-over at a time", self.now, i, "a third connector is started");
        }
    }

    fn never_at_zero_by_a_hand_over(&mut self, i: usize, run: RunId) {
        let seen = |since: Ms| self.now - since > UNSEEN;
        let carries = self.instances[i]
            .children
            .get(&run)
            .is_some_and(|child| child.carries() && child.registered.is_some_and(seen));
        let no_room = self.recently(i, MIN, |kind| *kind == Kind::MemoryShort);
        if !carries || !self.on_duty(i) || no_room {
            return;
        }
        // One that was lost a moment ago was not known to be.
        let counts = |child: &super::super::child::Child| {
            child.carries() || child.lost.is_some_and(|lost| self.now - lost <= UNSEEN)
        };
        let others = self.instances.iter().enumerate().flat_map(|(who, instance)| {
            instance.children.iter().filter(move |(other, _)| who != i || **other != run).map(|(_, child)| child)
        });
        if !others.into_iter().any(counts) {
            self.watch.fail("the tunnel is never at zero by a hand-over", self.now, i, format!("{run:?} is drained"));
        }
    }

    /// A version that one of the group refuses is installed by no other one in turn.
    fn nobody_follows_a_refusal(&mut self, i: usize, version: u32) {
        let now = self.now;
        let asked = self.watch.asked.iter().any(|asked| asked.i == i && !asked.answered);
        let seen = |since: Ms| now - since > UNSEEN;
        let serves =
            self.instances[i].children.values().any(|child| child.carries() && child.registered.is_some_and(seen));
        let refused = self.instances[i].refusing.as_ref().is_some_and(|(_, refused)| number(&refused.0) == version);
        let tried = refused || self.watch.installed.contains(&(version, i));
        // Who carries nothing, or was asked to, does not wait; nor does who tries again what it refused itself.
        if asked || !serves || tried {
            return;
        }
        self.watch.installed.insert((version, i));
        let blind = |kind: &Kind| {
            matches!(kind, Kind::CloudWatch | Kind::CloudWatchDenied | Kind::ClockSkewed | Kind::Network(Cut::All))
        };
        let refuses = |other: &usize| {
            let refusing = self.instances[*other].refusing.as_ref();
            *other != i
                && refusing.is_some_and(|(since, refused)| number(&refused.0) == version && now - since > PUBLIC)
                && !self.recently(*other, 15 * MIN, blind)
        };
        let other = self.living.iter().copied().find(|other| refuses(other));
        if let Some(other) = other.filter(|_| !self.recently(i, 15 * MIN, blind)) {
            let what = format!("#{other} refuses v{version}");
            self.watch.fail("nobody follows a refusal", now, i, what);
        }
    }

    /// A version under which an origin would be lost never comes into use where another one serves.
    fn no_origin_is_lost(&mut self, i: usize, version: u32) {
        let serves = self.version(i).is_some_and(|current| self.secret.flaw(current).is_none());
        // One that comes back when the newer one is lost takes nothing over from it.
        let carries = self.instances[i].children.values().filter(|child| child.carries()).count() > 1;
        if self.secret.flaw(version) == Some(Flaw::DeadOrigin) && serves && carries {
            self.watch.fail("no origin is lost by a hand-over", self.now, i, format!("v{version}"));
        }
    }

    fn answered_once(&mut self, i: usize, request: RequestId) {
        let asked = usize::try_from(request.0).ok().and_then(|number| self.watch.asked.get_mut(number));
        if !asked.is_some_and(|asked| asked.i == i && !std::mem::replace(&mut asked.answered, true)) {
            self.watch.fail("who asks is answered once", self.now, i, format!("{request:?}"));
        }
    }

    /// The world has been well for long: who asked knows what came of it, unless the agent that was asked is gone.
    pub fn everybody_is_answered(&mut self) {
        for number in 0..self.watch.asked.len() {
            let Asked { i, agent, answered } = self.watch.asked[number];
            if !answered && self.instances[i].agent == agent {
                self.watch.fail("who asks is answered once", self.now, i, format!("request {number} was not"));
            }
        }
    }

    fn the_group_waits_for_it(&mut self, i: usize, hook: Hook, result: HookResult) {
        if !self.waits_or_waited(i, hook) {
            self.watch.fail("a hook is completed only while the group waits", self.now, i, format!("{hook:?}"));
        }
        let local = self.recently(i, LINGERS, is_local) || self.hangs(i);
        if result == HookResult::Abandon
            && !local
            && !self.cannot_know_better(i, "given up, with nothing but a version that fails without a word")
        {
            self.watch.fail("an instance is given up only for its host", self.now, i, format!("{hook:?}"));
        }
    }

    /// Whether it has nothing that works but for a version that fails without a word, while others may serve with the one
    /// before: that looks like a fault of this host. It is counted.
    pub(super) fn cannot_know_better(&mut self, i: usize, told: &'static str) -> bool {
        let silent = |version| matches!(self.secret.flaw(version), Some(Flaw::Fades | Flaw::Slow));
        let versions = self.instances[i].bundles.values().map(|installed| number(&installed.version.0));
        let silent = versions.clone().any(silent)
            && versions.into_iter().all(|version| silent(version) || !self.secret.accepts(version));
        if silent {
            *self.watch.excluded.entry(told).or_default() += 1;
        }
        silent
    }

    /// As many connectors are registered as are required; cheap, for it is asked all the time.
    pub fn enough_are_registered(&mut self) {
        let Some(required) = self.watch.required else { return };
        let there = self.living.iter().filter(|i| self.instances[**i].registered()).count();
        self.watch.lowest = self.watch.lowest.min(there);
        if there < required {
            let what = format!("{there} of {required}");
            self.watch.fail("as many are registered as the group requires", self.now, 0, what);
        }
    }
}
