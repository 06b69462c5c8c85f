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
    /// From `Pending:Proceed` to `InService`, in milliseconds.
    pub proceed_takes_ms: u64,
    /// What its warm pool keeps instances as: `Stopped`, `Running` or `Hibernated`.
    pub pool_state: String,
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
    /// Its instance refreshes, oldest first. They are only told: instances are replaced by `terminate-instance`.
    pub refreshes: Vec<Refresh>,
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

/// What a person or another service may do with an instance, beside ending it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Move {
    /// It has just been launched for the group: `Pending`.
    Launch,
    /// It has just been launched for the warm pool: `Warmed:Pending`.
    Warm,
    /// From the warm pool into service: `Pending`.
    Serve,
    /// `EnterStandby`.
    EnterStandby,
    /// `ExitStandby`: `Pending`.
    ExitStandby,
}

/// `LifecycleActionResult`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum HookResult {
    /// Go on.
    Continue,
    /// A launching instance is terminated; a terminating one goes on, past all other hooks.
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

/// An instance refresh.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refresh {
    /// `InstanceRefreshId`.
    pub id: String,
    /// `Status`: `Pending`, `InProgress`, `Baking`, `Successful` …
    pub status: String,
    /// When it began, in milliseconds since 1970.
    pub start_ms: u64,
}

impl Default for Group {
    fn default() -> Self {
        Self {
            name: String::new(),
            grace_period_ms: 180_000,
            replace_after_ms: 1_000,
            terminate_takes_ms: 1_000,
            launch_takes_ms: 1_000,
            proceed_takes_ms: 0,
            pool_state: "Stopped".to_owned(),
            desired: None,
            availability_zones: vec![format!("{}a", crate::aws::DEFAULT_REGION)],
            suspended: BTreeSet::new(),
            hooks: BTreeMap::new(),
            instances: BTreeMap::new(),
            activities: Vec::new(),
            refreshes: Vec::new(),
        }
    }
}

impl Default for GroupInstance {
    fn default() -> Self {
        Self {
            availability_zone: format!("{}a", crate::aws::DEFAULT_REGION),
            lifecycle_state: "InService".to_owned(),
            state_since_ms: 0,
            in_service_at_ms: 0,
            health: Health::Healthy,
            unhealthy_since_ms: None,
            waits_for: BTreeMap::new(),
        }
    }
}
