//! This instance's coming and going: where the group has it, and the hooks at which the group waits.

use super::group::{READ as READ_WITHIN, member};
use super::{AutoScaling, COMPLETE, Error, Membership};
use crate::service_clock::ServiceClock;
use aws_sdk_autoscaling::error::SdkError;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use cflared_verdict::{Group, Hook, HookResult, Place};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tracing::warn;

/// The permissions, beside those of reading the group.
const HOOKS: &str = "autoscaling:DescribeLifecycleHooks";
const HEARTBEAT: &str = "autoscaling:RecordLifecycleActionHeartbeat";

/// The hooks of the settings, and no others.
#[derive(Debug)]
pub struct Lifecycle {
    scaling: Arc<AutoScaling>,
    hooks: settings::Lifecycle,
    known: Mutex<Known>,
}

/// What need not be asked again.
#[derive(Debug, Default)]
struct Known {
    /// The group's name. An instance that was moved to another group is found at the next read of its place.
    group: Option<String>,
    timeouts: Option<Timeouts>,
    /// What was last said to be wrong with the hooks.
    trouble: Option<String>,
}

/// After how long without a heartbeat each hook of the settings ends by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Timeouts {
    launch: Option<Duration>,
    terminate: Option<Duration>,
}

impl Lifecycle {
    /// For the instance of `scaling`.
    pub fn new(scaling: Arc<AutoScaling>, hooks: settings::Lifecycle) -> Self {
        Self { scaling, hooks, known: Mutex::default() }
    }

    /// Reads the instance's state in its group and its rank: two questions, and once a third for the hooks that the
    /// settings name. Within 10 s.
    ///
    /// # Errors
    /// The instance is in no group, or a call failed. Hooks that cannot be read are logged, and their times are not known.
    pub async fn place(&self) -> Result<(Place, Membership), Error> {
        let read = tokio::time::timeout(READ_WITHIN, self.read_place()).await;
        read.unwrap_or_else(|_| Err(self.scaling.late()))
    }

    /// Ends the wait at a hook.
    ///
    /// # Errors
    /// [`Error::NotWaiting`] if the group does not wait there, as after an answer that was lost; else the settings do not
    /// name the hook, this is a dry run and the launch would be abandoned, the instance is in no group, or the call failed.
    pub async fn complete(&self, hook: Hook, result: HookResult) -> Result<(), Error> {
        let name = self.name(hook)?;
        if self.scaling.dry_run && result == HookResult::Abandon {
            return Err(Error::DryAbandon { instance: self.scaling.instance.clone() });
        }
        let result = match result {
            HookResult::Continue => "CONTINUE",
            HookResult::Abandon => "ABANDON",
        };
        let request = self.scaling.client.complete_lifecycle_action().auto_scaling_group_name(self.group().await?);
        let request = request.lifecycle_hook_name(name).instance_id(&self.scaling.instance);
        let answer = request.lifecycle_action_result(result).send().await;
        answer.map(drop).map_err(|error| self.failed(COMPLETE, name, &error))
    }

    /// Has the group wait at a hook for its whole time again.
    ///
    /// # Errors
    /// As [`Lifecycle::complete`].
    pub async fn heartbeat(&self, hook: Hook) -> Result<(), Error> {
        let name = self.name(hook)?;
        let client = &self.scaling.client;
        let request = client.record_lifecycle_action_heartbeat().auto_scaling_group_name(self.group().await?);
        let answer = request.lifecycle_hook_name(name).instance_id(&self.scaling.instance).send().await;
        answer.map(drop).map_err(|error| self.failed(HEARTBEAT, name, &error))
    }

    async fn read_place(&self) -> Result<(Place, Membership), Error> {
        let before = self.known().group.clone();
        let rank_in = async |group: &Option<String>| match group {
            Some(group) => self.rank(group).await.map(Some),
            None => Ok(None),
        };
        let (membership, rank) = tokio::join!(self.scaling.membership(), rank_in(&before));
        let membership = membership?;
        let group = Some(membership.group.clone());
        let rank = if group == before { rank? } else { rank_in(&group).await? };
        self.known().group = group;
        let timeouts = self.timeouts(&membership.group).await;
        let place = Place {
            lifecycle: membership.lifecycle.clone(),
            rank: rank.unwrap_or_default(),
            launch_timeout: timeouts.launch,
            terminate_timeout: timeouts.terminate,
        };
        Ok((place, membership))
    }

    /// How many serving instances have a lower id. A group does not list the instances of its warm pool, so this one
    /// need not be among them.
    async fn rank(&self, group: &str) -> Result<u32, Error> {
        let described = self.scaling.describe(group, &ServiceClock::default()).await?;
        let members = described.instances().iter().map(member).collect();
        Ok(Group { me: self.scaling.instance.clone(), members, ..Group::default() }.rank())
    }

    async fn timeouts(&self, group: &str) -> Timeouts {
        let known = self.known().timeouts;
        if let Some(known) = known {
            return known;
        }
        let (timeouts, trouble) = match self.read_timeouts(group).await {
            Ok(timeouts) => (timeouts, self.missing(group, timeouts)),
            Err(error) => (Timeouts::default(), Some(error.to_string())),
        };
        let mut known = self.known();
        match trouble {
            None => (known.timeouts, known.trouble) = (Some(timeouts), None),
            Some(trouble) if known.trouble.as_ref() == Some(&trouble) => {}
            Some(trouble) => {
                warn!(trouble, event = "hook_times_unknown", "the time-outs of the lifecycle hooks are not known");
                known.trouble = Some(trouble);
            }
        }
        timeouts
    }

    async fn read_timeouts(&self, group: &str) -> Result<Timeouts, Error> {
        let settings::Lifecycle { launch_hook, terminate_hook } = &self.hooks;
        let names: Vec<String> = [launch_hook, terminate_hook].into_iter().flatten().cloned().collect();
        if names.is_empty() {
            return Ok(Timeouts::default());
        }
        let request = self.scaling.client.describe_lifecycle_hooks().auto_scaling_group_name(group);
        let answer = request.set_lifecycle_hook_names(Some(names)).send().await;
        let answer = answer.map_err(|error| self.scaling.failed(HOOKS, &error))?;
        let timeout = |name: &Option<String>, transition: &str| {
            let named = |hook: &&aws_sdk_autoscaling::types::LifecycleHook| {
                name.is_some()
                    && hook.lifecycle_hook_name() == name.as_deref()
                    && hook.lifecycle_transition() == Some(transition)
            };
            let seconds = answer.lifecycle_hooks().iter().find(named)?.heartbeat_timeout()?;
            u64::try_from(seconds).ok().map(Duration::from_secs)
        };
        Ok(Timeouts {
            launch: timeout(launch_hook, "autoscaling:EC2_INSTANCE_LAUNCHING"),
            terminate: timeout(terminate_hook, "autoscaling:EC2_INSTANCE_TERMINATING"),
        })
    }

    /// Which hook of the settings the group does not have.
    fn missing(&self, group: &str, found: Timeouts) -> Option<String> {
        let missing = |named: &Option<String>, found: Option<Duration>, kind| match named {
            Some(name) if found.is_none() => Some((name.clone(), kind)),
            _ => None,
        };
        let launch = missing(&self.hooks.launch_hook, found.launch, "launch");
        let (name, kind) = launch.or_else(|| missing(&self.hooks.terminate_hook, found.terminate, "terminate"))?;
        Some(format!("the group {group} has no {kind} hook {name}; correct lifecycle.{kind}_hook, or add the hook"))
    }

    /// The group's name, asked for once.
    async fn group(&self) -> Result<String, Error> {
        let known = self.known().group.clone();
        if let Some(group) = known {
            return Ok(group);
        }
        let Membership { group, .. } = self.scaling.membership().await?;
        self.known().group = Some(group.clone());
        Ok(group)
    }

    fn name(&self, hook: Hook) -> Result<&str, Error> {
        let (name, key) = match hook {
            Hook::Launch => (&self.hooks.launch_hook, "lifecycle.launch_hook"),
            Hook::Terminate => (&self.hooks.terminate_hook, "lifecycle.terminate_hook"),
        };
        name.as_deref().ok_or_else(|| Error::NoHook { instance: self.scaling.instance.clone(), key })
    }

    fn failed<E>(&self, action: &'static str, hook: &str, error: &SdkError<E, HttpResponse>) -> Error
    where
        E: std::error::Error + ProvideErrorMetadata + 'static,
    {
        // "No active Lifecycle Action found with instance ID i-…"
        let inactive = error.code() == Some("ValidationError")
            && error.message().is_some_and(|text| text.to_ascii_lowercase().contains("no active lifecycle action"));
        if inactive {
            return Error::NotWaiting { instance: self.scaling.instance.clone(), hook: hook.into() };
        }
        // The group may be another one by now.
        self.known().group = None;
        self.scaling.failed(action, error)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
