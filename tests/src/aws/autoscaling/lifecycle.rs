//! The states that an instance goes through, and the hooks at which it waits
//! (<https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-lifecycle.html>).

use super::types::{Group, GroupInstance, HookResult, Move, Transition};
use std::collections::BTreeMap;

pub const PENDING: &str = "Pending";
pub const IN_SERVICE: &str = "InService";
pub const STANDBY: &str = "Standby";
pub const TERMINATING: &str = "Terminating";
pub const WAIT: &str = "Wait";
pub const PROCEED: &str = "Proceed";

/// What the states of a warm pool's instances begin with.
const WARMED: &str = "Warmed:";
/// No wait is longer, nor longer than a hundred heartbeats ("lifecycle hooks", the global timeout).
const LONGEST_WAIT_MS: u64 = 48 * 3600 * 1000;

impl Group {
    /// Makes an instance go another way. Gives false if it cannot from where it is.
    pub(super) fn go(&mut self, id: &str, way: Move, now_ms: u64) -> bool {
        let Some(instance) = self.instances.get_mut(id) else { return false };
        let (step, phase) = instance.step();
        let steady = phase.is_empty() && !instance.is_going();
        let (state, what) = match way {
            Move::Launch => (PENDING, "Launching a new EC2 instance"),
            Move::Warm => ("Warmed:Pending", "Launching a new EC2 instance into warm pool"),
            Move::Serve if steady && instance.is_warmed() => (PENDING, "Launching a new EC2 instance from warm pool"),
            Move::EnterStandby if step == IN_SERVICE => ("EnteringStandby", "Moving EC2 instance to Standby"),
            // As the guide's picture has it: from Standby to Pending, where launch hooks apply.
            Move::ExitStandby if step == STANDBY => (PENDING, "Moving EC2 instance out of Standby"),
            _ => return false,
        };
        instance.waits_for.clear();
        // The pool is no part of what is desired.
        self.desired = match way {
            Move::Warm => self.desired.map(|desired| desired.saturating_sub(1)),
            Move::Serve => self.desired.map(|desired| desired + 1),
            _ => self.desired,
        };
        self.enter(id, state, now_ms);
        self.begin_activity(id, format!("{what}: {id}"), "an instance was moved by a user request.", now_ms);
        true
    }

    pub(super) fn enter(&mut self, id: &str, state: &str, now_ms: u64) {
        if let Some(instance) = self.instances.get_mut(id) {
            state.clone_into(&mut instance.lifecycle_state);
            instance.state_since_ms = now_ms;
            if matches!(state, IN_SERVICE | STANDBY) {
                self.end_activity(id, now_ms);
            }
        }
    }

    /// Has an instance wait for the hooks of a transition, or go through it if there are none.
    pub(super) fn meet_hooks(&mut self, id: &str, transition: Transition, now_ms: u64) {
        let these = self.hooks.iter().filter(|(_, hook)| hook.transition == transition);
        let waits_for: BTreeMap<_, _> =
            these.map(|(name, hook)| (name.clone(), now_ms + hook.heartbeat_timeout_ms)).collect();
        let waits = !waits_for.is_empty();
        let Some(instance) = self.instances.get_mut(id) else { return };
        instance.waits_for = waits_for;
        let pool = if instance.is_warmed() { WARMED } else { "" };
        match transition {
            Transition::Launching if waits => self.enter(id, &format!("{pool}{PENDING}:{WAIT}"), now_ms),
            Transition::Launching => self.arrive(id, now_ms),
            Transition::Terminating if waits => self.enter(id, &format!("{pool}{TERMINATING}:{WAIT}"), now_ms),
            Transition::Terminating => self.enter(id, &format!("{pool}{TERMINATING}"), now_ms),
        }
    }

    /// Where a launch leads: into service or into the warm pool.
    pub(super) fn arrive(&mut self, id: &str, now_ms: u64) {
        let Some(instance) = self.instances.get_mut(id) else { return };
        if instance.is_warmed() {
            let state = format!("{WARMED}{}", self.pool_state);
            self.enter(id, &state, now_ms);
            return self.end_activity(id, now_ms);
        }
        instance.in_service_at_ms = now_ms;
        self.enter(id, IN_SERVICE, now_ms);
    }

    /// Gives a hook more time. Gives false if the instance does not wait for it.
    pub(super) fn heartbeat(&mut self, id: &str, hook: &str, now_ms: u64) -> bool {
        let timeout = self.hooks.get(hook).map_or(0, |hook| hook.heartbeat_timeout_ms);
        let Some(instance) = self.instances.get_mut(id) else { return false };
        let longest = instance.state_since_ms.saturating_add(LONGEST_WAIT_MS.min(timeout.saturating_mul(100)));
        let deadline = instance.waits_for.get_mut(hook);
        deadline.map(|deadline| *deadline = (now_ms + timeout).min(longest)).is_some()
    }

    /// Ends a hook. Gives false if the instance does not wait for it.
    pub(super) fn complete(&mut self, id: &str, hook: &str, result: HookResult, now_ms: u64) -> bool {
        let Some(instance) = self.instances.get_mut(id) else { return false };
        if instance.waits_for.remove(hook).is_none() {
            return false;
        }
        if result == HookResult::Abandon {
            // Other hooks of the transition are not waited for either.
            instance.waits_for.clear();
        }
        let (step, all) = (instance.step().0.to_owned(), instance.waits_for.is_empty());
        let pool = if instance.is_warmed() { WARMED } else { "" };
        if step == PENDING && result == HookResult::Abandon {
            self.begin_termination(id, "an instance was abandoned by its lifecycle hook.", now_ms);
        } else if all {
            self.enter(id, &format!("{pool}{step}:{PROCEED}"), now_ms);
        }
        true
    }

    pub(super) fn end_late_hooks(&mut self, id: &str, now_ms: u64) {
        let late = |(hook, deadline): (&String, &u64)| (now_ms >= *deadline).then(|| hook.clone());
        let late: Vec<String> = self.instances[id].waits_for.iter().filter_map(late).collect();
        for hook in late {
            let result = self.hooks.get(&hook).map_or(HookResult::Abandon, |hook| hook.default_result);
            self.complete(id, &hook, result, now_ms);
        }
    }
}

impl GroupInstance {
    /// Whether it is in the warm pool, or on its way there or from there to its end.
    pub fn is_warmed(&self) -> bool {
        self.lifecycle_state.starts_with(WARMED)
    }

    pub(super) fn is_going(&self) -> bool {
        self.step().0 == TERMINATING
    }

    /// The state without the warm pool, in two parts: `Pending` and `Wait`, `InService` and nothing.
    pub(super) fn step(&self) -> (&str, &str) {
        let state = self.lifecycle_state.strip_prefix(WARMED).unwrap_or(&self.lifecycle_state);
        match state {
            "EnteringStandby" => (STANDBY, "Entering"),
            state => state.split_once(':').unwrap_or((state, "")),
        }
    }
}

#[cfg(test)]
mod tests;
