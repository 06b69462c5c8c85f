//! One Auto Scaling group, and how it changes by itself.

use crate::aws::time::iso;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// An Auto Scaling group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// How long after an instance came into service a mark has no effect, in milliseconds.
    pub grace_period_ms: u64,
    /// From a mark to `Terminating`, in milliseconds.
    pub replace_after_ms: u64,
    /// From `Terminating` to gone, in milliseconds.
    pub terminate_takes_ms: u64,
    /// From `Pending` to `InService`, in milliseconds.
    pub launch_takes_ms: u64,
    /// How many instances there should be; none: as many as there are when the group is put into the stand-in.
    pub desired: Option<usize>,
    /// Where instances are launched.
    pub availability_zones: Vec<String>,
    /// Suspended processes. `Launch`, `Terminate` and `ReplaceUnhealthy` have their effect; others are only told.
    pub suspended: BTreeSet<String>,
    /// Lifecycle hooks by name.
    pub hooks: BTreeMap<String, Hook>,
    /// Instances by id.
    pub instances: BTreeMap<String, GroupInstance>,
    /// What it did, oldest first.
    pub activities: Vec<Activity>,
}

/// An instance as its group sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GroupInstance {
    /// Availability zone.
    pub availability_zone: String,
    /// `LifecycleState` as the API names it: `Pending`, `Pending:Wait`, `InService`, `Standby`, `Terminating:Wait` …
    pub lifecycle_state: String,
    /// Since when it is in that state, in milliseconds since 1970.
    pub state_since_ms: u64,
    /// When it came into service, in milliseconds since 1970: its grace period begins here. 0: long ago.
    pub in_service_at_ms: u64,
    /// `HealthStatus`.
    pub health: Health,
    /// When it was marked, in milliseconds since 1970.
    pub unhealthy_since_ms: Option<u64>,
    /// The hooks it waits for, and when their time is up, in milliseconds since 1970.
    pub waits_for: BTreeMap<String, u64>,
}

/// `HealthStatus` of an instance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Health {
    /// It stays.
    #[default]
    Healthy,
    /// It is to be replaced.
    Unhealthy,
}

/// A lifecycle hook.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hook {
    /// When it stops an instance.
    pub transition: Transition,
    /// How long it waits for a heartbeat or a result, in milliseconds.
    pub heartbeat_timeout_ms: u64,
    /// What happens when the time is up.
    pub default_result: HookResult,
}

/// The two transitions that hooks are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transition {
    /// `autoscaling:EC2_INSTANCE_LAUNCHING`.
    Launching,
    /// `autoscaling:EC2_INSTANCE_TERMINATING`.
    Terminating,
}

/// `LifecycleActionResult`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum HookResult {
    /// Go on.
    Continue,
    /// A launching instance is terminated; a terminating one goes on.
    Abandon,
}

/// A scaling activity.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Activity {
    /// `ActivityId`.
    pub id: String,
    /// The instance it is about.
    pub instance: String,
    /// `Description`.
    pub description: String,
    /// `Cause`: the text a guard tells health replacements from others by.
    pub cause: String,
    /// `StatusCode`: `InProgress`, `WaitingForLifecycleAction` …, `Successful`.
    pub status: String,
    /// When it began, in milliseconds since 1970.
    pub start_ms: u64,
    /// When it ended, in milliseconds since 1970.
    pub end_ms: Option<u64>,
}

impl Default for Group {
    fn default() -> Self {
        Self {
            name: String::new(),
            grace_period_ms: 180_000,
            replace_after_ms: 1_000,
            terminate_takes_ms: 1_000,
            launch_takes_ms: 1_000,
            desired: None,
            availability_zones: vec![format!("{}a", crate::aws::DEFAULT_REGION)],
            suspended: BTreeSet::new(),
            hooks: BTreeMap::new(),
            instances: BTreeMap::new(),
            activities: Vec::new(),
        }
    }
}

impl Default for GroupInstance {
    fn default() -> Self {
        Self {
            availability_zone: format!("{}a", crate::aws::DEFAULT_REGION),
            lifecycle_state: IN_SERVICE.to_owned(),
            state_since_ms: 0,
            in_service_at_ms: 0,
            health: Health::Healthy,
            unhealthy_since_ms: None,
            waits_for: BTreeMap::new(),
        }
    }
}

const PENDING: &str = "Pending";
const PENDING_WAIT: &str = "Pending:Wait";
pub(super) const IN_SERVICE: &str = "InService";
const TERMINATING: &str = "Terminating";
const TERMINATING_WAIT: &str = "Terminating:Wait";
const TERMINATING_PROCEED: &str = "Terminating:Proceed";

impl Group {
    /// A group of healthy instances that have long been in service, with the default times.
    pub fn new<'a>(name: &str, instances: impl IntoIterator<Item = &'a str>) -> Self {
        let instances = instances.into_iter().map(|id| (id.to_owned(), GroupInstance::default())).collect();
        Self { name: name.to_owned(), instances, ..Self::default() }
    }

    /// Does what is due: replaces the marked, ends hooks whose time is up, launches what is missing.
    pub(super) fn advance(&mut self, now_ms: u64) {
        let ids: Vec<String> = self.instances.keys().cloned().collect();
        ids.iter().for_each(|id| self.advance_instance(id, now_ms));
        let stays = |instance: &&GroupInstance| !instance.lifecycle_state.starts_with(TERMINATING);
        let missing = self.desired.unwrap_or(0).saturating_sub(self.instances.values().filter(stays).count());
        if !self.suspended.contains("Launch") {
            (0..missing).for_each(|_| self.launch(now_ms));
        }
    }

    fn advance_instance(&mut self, id: &str, now_ms: u64) {
        let instance = &self.instances[id];
        let passed = |since: u64, span: u64| now_ms >= since.saturating_add(span);
        match instance.lifecycle_state.as_str() {
            PENDING if passed(instance.state_since_ms, self.launch_takes_ms) => self.finish_launch(id, now_ms),
            PENDING_WAIT | TERMINATING_WAIT => self.end_late_hooks(id, now_ms),
            IN_SERVICE if self.may_replace() => {
                if instance.unhealthy_since_ms.is_some_and(|since| passed(since, self.replace_after_ms)) {
                    let why = "an instance was taken out of service in response to a user health-check.";
                    self.begin_termination(id, why, now_ms);
                }
            }
            TERMINATING | TERMINATING_PROCEED if passed(instance.state_since_ms, self.terminate_takes_ms) => {
                self.instances.remove(id);
                self.end_activity(id, now_ms);
            }
            _ => {}
        }
    }

    fn may_replace(&self) -> bool {
        !self.suspended.contains("ReplaceUnhealthy") && !self.suspended.contains("Terminate")
    }

    /// Begins to end an instance; `why` follows "At <time> " in the activity's cause.
    pub(super) fn begin_termination(&mut self, id: &str, why: &str, now_ms: u64) {
        let waits_for = self.hooks_for(Transition::Terminating, now_ms);
        let Some(instance) = self.instances.get_mut(id) else { return };
        if instance.lifecycle_state.starts_with(TERMINATING) {
            return;
        }
        instance.enter(if waits_for.is_empty() { TERMINATING } else { TERMINATING_WAIT }, now_ms);
        instance.waits_for = waits_for;
        self.begin_activity(id, format!("Terminating EC2 instance: {id}"), why, now_ms);
    }

    /// Sets the health of an instance. Gives false if its grace period kept it from having an effect.
    pub(super) fn set_health(&mut self, id: &str, health: Health, respects_grace: bool, now_ms: u64) -> bool {
        let Some(instance) = self.instances.get_mut(id) else { return false };
        let launching = instance.lifecycle_state.starts_with(PENDING);
        let in_grace = launching || now_ms < instance.in_service_at_ms.saturating_add(self.grace_period_ms);
        if health == Health::Unhealthy && respects_grace && in_grace {
            return false;
        }
        instance.health = health;
        instance.unhealthy_since_ms = match health {
            Health::Healthy => None,
            Health::Unhealthy => instance.unhealthy_since_ms.or(Some(now_ms)),
        };
        true
    }

    /// Gives a hook more time. Gives false if the instance does not wait for it.
    pub(super) fn heartbeat(&mut self, id: &str, hook: &str, now_ms: u64) -> bool {
        let timeout = self.hooks.get(hook).map_or(0, |hook| hook.heartbeat_timeout_ms);
        let deadline = self.instances.get_mut(id).and_then(|instance| instance.waits_for.get_mut(hook));
        deadline.map(|deadline| *deadline = now_ms + timeout).is_some()
    }

    /// Ends a hook. Gives false if the instance does not wait for it.
    pub(super) fn complete(&mut self, id: &str, hook: &str, result: HookResult, now_ms: u64) -> bool {
        let Some(instance) = self.instances.get_mut(id) else { return false };
        if instance.waits_for.remove(hook).is_none() {
            return false;
        }
        let launching = instance.lifecycle_state == PENDING_WAIT;
        if launching && result == HookResult::Abandon {
            instance.waits_for.clear();
            self.begin_termination(id, "an instance was abandoned by its lifecycle hook.", now_ms);
        } else if instance.waits_for.is_empty() && launching {
            self.come_into_service(id, now_ms);
        } else if instance.waits_for.is_empty() {
            instance.enter(TERMINATING_PROCEED, now_ms);
        }
        true
    }

    fn end_late_hooks(&mut self, id: &str, now_ms: u64) {
        let late = |(hook, deadline): (&String, &u64)| (now_ms >= *deadline).then(|| hook.clone());
        let late: Vec<String> = self.instances[id].waits_for.iter().filter_map(late).collect();
        for hook in late {
            let result = self.hooks.get(&hook).map_or(HookResult::Abandon, |hook| hook.default_result);
            self.complete(id, &hook, result, now_ms);
        }
    }

    fn hooks_for(&self, transition: Transition, now_ms: u64) -> BTreeMap<String, u64> {
        let these = self.hooks.iter().filter(|(_, hook)| hook.transition == transition);
        these.map(|(name, hook)| (name.clone(), now_ms + hook.heartbeat_timeout_ms)).collect()
    }

    fn launch(&mut self, now_ms: u64) {
        let id = format!("i-{}", &uuid::Uuid::new_v4().simple().to_string()[..17]);
        let crowd = |zone: &&String| self.instances.values().filter(|i| i.availability_zone == **zone).count();
        let zone = self.availability_zones.iter().min_by_key(crowd).cloned().unwrap_or_default();
        let mut instance = GroupInstance { availability_zone: zone, ..GroupInstance::default() };
        instance.enter(PENDING, now_ms);
        self.instances.insert(id.clone(), instance);
        let why = "an instance was launched in response to an unhealthy instance needing to be replaced.";
        self.begin_activity(&id, format!("Launching a new EC2 instance: {id}"), why, now_ms);
    }

    fn finish_launch(&mut self, id: &str, now_ms: u64) {
        let waits_for = self.hooks_for(Transition::Launching, now_ms);
        if waits_for.is_empty() {
            self.come_into_service(id, now_ms);
        } else if let Some(instance) = self.instances.get_mut(id) {
            instance.waits_for = waits_for;
            instance.enter(PENDING_WAIT, now_ms);
        }
    }

    fn come_into_service(&mut self, id: &str, now_ms: u64) {
        if let Some(instance) = self.instances.get_mut(id) {
            instance.enter(IN_SERVICE, now_ms);
            instance.in_service_at_ms = now_ms;
        }
        self.end_activity(id, now_ms);
    }

    fn begin_activity(&mut self, id: &str, description: String, why: &str, now_ms: u64) {
        self.end_activity(id, now_ms);
        self.activities.push(Activity {
            id: uuid::Uuid::new_v4().to_string(),
            instance: id.to_owned(),
            description,
            cause: format!("At {} {why}", iso(now_ms)),
            status: "InProgress".to_owned(),
            start_ms: now_ms,
            end_ms: None,
        });
    }

    fn end_activity(&mut self, id: &str, now_ms: u64) {
        let open = |activity: &&mut Activity| activity.instance == id && activity.end_ms.is_none();
        if let Some(activity) = self.activities.iter_mut().find(open) {
            activity.end_ms = Some(now_ms);
            activity.status = "Successful".to_owned();
        }
    }
}

impl GroupInstance {
    fn enter(&mut self, state: &str, now_ms: u64) {
        self.lifecycle_state = state.to_owned();
        self.state_since_ms = now_ms;
    }
}
