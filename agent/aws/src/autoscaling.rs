//! The calls to Auto Scaling about this instance.

mod cause;
mod group;
mod lifecycle;

pub use lifecycle::Lifecycle;

use crate::service_clock::ServiceClock;
use crate::{Call, failure};
use aws_sdk_autoscaling::Client;
use aws_sdk_autoscaling::config::Config;
use aws_sdk_autoscaling::config::retry::RetryConfig;
use aws_sdk_autoscaling::config::timeout::TimeoutConfig;
use aws_sdk_autoscaling::error::SdkError;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use cflared_verdict::{Failure, FailureKind};
use std::time::Duration;
use tokio::sync::Mutex;
use tracing::warn;

/// How often a mark is tried against other updates of the group, and how often it is read back.
const TRIES: u32 = 3;
/// Between two of those tries.
const PAUSE: Duration = Duration::from_millis(500);
/// Time-outs of a call: to connect, of an attempt, and of all attempts.
const CONNECT: Duration = Duration::from_secs(2);
const ATTEMPT: Duration = Duration::from_secs(4);
const CALL: Duration = Duration::from_secs(10);
/// Attempts of a call, for throttling and faults on the other side: marking twice is the same as once.
const ATTEMPTS: u32 = 3;

/// The health that a group is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// Replace this instance.
    Unhealthy,
    /// Our own mark is taken back.
    Healthy,
}

/// What came of a mark.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marked {
    /// Whether the group shows the mark. During the grace period the call succeeds and does nothing.
    pub shown: bool,
    /// The group, as read back.
    pub membership: Membership,
}

/// The instance's place in its group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    /// The group's name.
    pub group: String,
    /// The lifecycle state: `InService`, `Pending:Wait`, …
    pub lifecycle: String,
    /// Whether the group takes the instance for healthy.
    pub healthy: bool,
}

/// Why Auto Scaling was not told, or did not say.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Nobody would replace it.
    #[error(
        "failed to find the Auto Scaling group of {instance}: it is in none, so nothing would replace it; attach it to one"
    )]
    NotInGroup {
        /// The instance.
        instance: String,
    },
    /// Part of an answer is no answer.
    #[error(
        "failed to read the Auto Scaling group of {instance}: it has more than {most} {what}, too many to judge; look at \
         the group, and replace the instance by hand"
    )]
    TooMany {
        /// The instance.
        instance: String,
        /// Of what there are too many.
        what: &'static str,
        /// How many are read.
        most: usize,
    },
    /// Nothing is done in a dry run.
    #[error(
        "failed to mark {instance} {health}: this is a dry run; without --dry-run {MARK} would have been called now"
    )]
    DryRun {
        /// The instance.
        instance: String,
        /// What it would have been marked.
        health: &'static str,
    },
    /// An instance is not given up in a dry run.
    #[error(
        "failed to abandon the launch of {instance}: this is a dry run; without --dry-run {COMPLETE} would have been \
         called now"
    )]
    DryAbandon {
        /// The instance.
        instance: String,
    },
    /// The settings name no such hook.
    #[error(
        "failed to act on a lifecycle hook of {instance}: {key} names none; set it to the name of the group's hook"
    )]
    NoHook {
        /// The instance.
        instance: String,
        /// The key of the settings.
        key: &'static str,
    },
    /// The group does not wait at that hook.
    #[error(
        "failed to act on the lifecycle hook {hook} of {instance}: the group does not wait for it: it was completed, its \
         time is up, or the group has no hook of that name; see `aws autoscaling describe-lifecycle-hooks`"
    )]
    NotWaiting {
        /// The instance.
        instance: String,
        /// The hook's name.
        hook: String,
    },
    /// A call failed, or its answer is of no use.
    #[error("{}", .0.text)]
    Call(Failure),
}

impl Error {
    /// What kind of trouble it is.
    pub fn kind(&self) -> FailureKind {
        match self {
            Self::NotInGroup { .. } | Self::NotWaiting { .. } => FailureKind::Missing,
            Self::TooMany { .. } => FailureKind::Invalid,
            Self::DryRun { .. } | Self::DryAbandon { .. } | Self::NoHook { .. } => FailureKind::Disabled,
            Self::Call(failure) => failure.kind,
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::new(error.kind(), error.to_string())
    }
}

/// What is called: the permissions that it needs.
const MARK: &str = "autoscaling:SetInstanceHealth";
const READ: &str = "autoscaling:DescribeAutoScalingInstances";
const COMPLETE: &str = "autoscaling:CompleteLifecycleAction";

/// Auto Scaling, as far as this instance is concerned.
#[derive(Debug)]
pub struct AutoScaling {
    client: Client,
    instance: String,
    dry_run: bool,
    marking: Mutex<()>,
}

impl AutoScaling {
    /// For the instance with that id. The client's own retries and time-outs are replaced. In a dry run everything is
    /// read and nothing is marked.
    pub fn new(client: &Client, instance: impl Into<String>, dry_run: bool) -> Self {
        let client = Client::from_conf(bounded(client));
        Self { client, instance: instance.into(), dry_run, marking: Mutex::new(()) }
    }

    /// Sets the instance's health, and reads back whether the group shows it. One mark at a time: another call waits.
    ///
    /// An unhealthy mark respects the group's grace period: a young instance is not shown as marked.
    ///
    /// # Errors
    /// The instance is in no group, a call failed, or this is a dry run. After a failed call the mark may stand; marking
    /// again is harmless.
    pub async fn mark(&self, health: Health) -> Result<Marked, Error> {
        let _one_at_a_time = self.marking.lock().await;
        if self.dry_run {
            let (instance, health) = (self.instance.clone(), health.spelled());
            warn!(%instance, health, event = "dry_run_mark", "dry run: the instance would be marked now");
            return Err(Error::DryRun { instance, health });
        }
        self.set(health).await?;
        let mut membership = self.membership().await?;
        for _ in 1..TRIES {
            if membership.shows(health) {
                break;
            }
            // What was set may take a moment to be read back.
            tokio::time::sleep(PAUSE).await;
            membership = self.membership().await?;
        }
        Ok(Marked { shown: membership.shows(health), membership })
    }

    /// Reads the instance's group and lifecycle state.
    ///
    /// # Errors
    /// The instance is in no group, or the call failed.
    pub async fn membership(&self) -> Result<Membership, Error> {
        self.read_membership(&ServiceClock::default()).await
    }

    async fn read_membership(&self, clock: &ServiceClock) -> Result<Membership, Error> {
        let request = self.client.describe_auto_scaling_instances().instance_ids(&self.instance);
        let answer = request.customize().interceptor(clock.clone()).send().await;
        let answer = answer.map_err(|error| self.failed(READ, &error))?;
        let entry = answer.auto_scaling_instances().iter().find(|entry| entry.instance_id() == Some(&self.instance));
        let entry = entry.ok_or_else(|| self.not_in_group())?;
        Ok(Membership {
            group: entry.auto_scaling_group_name().unwrap_or_default().into(),
            lifecycle: entry.lifecycle_state().unwrap_or_default().into(),
            // This call says HEALTHY where others say Healthy
            // (https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_AutoScalingInstanceDetails.html).
            healthy: !entry.health_status().unwrap_or_default().eq_ignore_ascii_case("unhealthy"),
        })
    }

    async fn set(&self, health: Health) -> Result<(), Error> {
        let mut tries = 1;
        loop {
            let request = self.client.set_instance_health().instance_id(&self.instance);
            let request = request.health_status(health.spelled());
            let request = match health {
                Health::Unhealthy => request.should_respect_grace_period(true),
                Health::Healthy => request,
            };
            let Err(error) = request.send().await else { return Ok(()) };
            let contended = error.as_service_error().is_some_and(|error| error.is_resource_contention_fault());
            if !contended || tries == TRIES {
                return Err(self.failed(MARK, &error));
            }
            tries += 1;
            tokio::time::sleep(PAUSE).await;
        }
    }

    fn failed<E>(&self, action: &'static str, error: &SdkError<E, HttpResponse>) -> Error
    where
        E: std::error::Error + ProvideErrorMetadata + 'static,
    {
        // "Instance Id not found - No managed instance found for instance ID: i-…"
        let unmanaged = error.code() == Some("ValidationError")
            && error.message().is_some_and(|text| text.to_ascii_lowercase().contains("no managed instance"));
        if unmanaged {
            return self.not_in_group();
        }
        Error::Call(failure(error, Call { action, object: &self.instance }))
    }

    fn not_in_group(&self) -> Error {
        Error::NotInGroup { instance: self.instance.clone() }
    }
}

impl Health {
    /// As the API spells it.
    fn spelled(self) -> &'static str {
        match self {
            Self::Unhealthy => "Unhealthy",
            Self::Healthy => "Healthy",
        }
    }
}

impl Membership {
    fn shows(&self, health: Health) -> bool {
        self.healthy == (health == Health::Healthy)
    }
}

fn bounded(client: &Client) -> Config {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(CONNECT)
        .operation_attempt_timeout(ATTEMPT)
        .operation_timeout(CALL)
        .build();
    let retries = RetryConfig::standard().with_max_attempts(ATTEMPTS);
    client.config().to_builder().retry_config(retries).timeout_config(timeouts).build()
}

#[cfg(test)]
mod tests;
