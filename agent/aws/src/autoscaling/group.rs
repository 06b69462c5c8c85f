//! Reads the group for the guard: its members, suspended processes, a refresh, and recent replacements.

use super::cause::{is_health_replacement, is_launch_for_unhealthy, launches};
use super::{AutoScaling, Error, Membership};
use crate::service_clock::{MOST_SKEW, ServiceClock};
use aws_sdk_autoscaling::types::{Activity, AutoScalingGroup, Filter, Instance};
use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use cflared_verdict::{Failure, FailureKind, Group, Launch, Member};
use std::time::{Duration, SystemTime};

/// How long the whole read may take.
pub(super) const READ: Duration = Duration::from_secs(10);
/// How far back replacements count.
const DAY: Duration = Duration::from_secs(24 * 3600);
/// The most pages that one question is followed over, of a hundred items each. A group that does more in a day is not
/// judged by part of it.
const MOST_PAGES: usize = 10;
/// The most items of a page: the services' own limit.
const PAGE: i32 = 100;
/// What a refresh is in when it is over; in any other state, known or not, it is under way
/// (<https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_InstanceRefresh.html>).
const REFRESH_OVER: [&str; 5] = ["Successful", "Failed", "Cancelled", "RollbackFailed", "RollbackSuccessful"];

/// The permissions that the questions need.
const GROUPS: &str = "autoscaling:DescribeAutoScalingGroups";
const ACTIVITIES: &str = "autoscaling:DescribeScalingActivities";
const REFRESHES: &str = "autoscaling:DescribeInstanceRefreshes";

impl AutoScaling {
    /// Reads the instance's group, all of it or nothing, within 10 s. `wall` is the time of day on this host, by which
    /// nothing is aged unless AWS does not date its answers.
    ///
    /// # Errors
    /// The instance is in no group, a call failed, the whole took too long, there is more than can be judged, or this
    /// host's clock is off by more than five minutes.
    pub async fn group(&self, wall: SystemTime) -> Result<Group, Error> {
        let clock = ServiceClock::default();
        let read = tokio::time::timeout(READ, self.read_group(&clock, wall)).await;
        // A wrong clock makes calls fail, too: then it is the cause to name.
        clock.check(wall).map_err(Error::Call)?;
        read.unwrap_or_else(|_| Err(self.late()))
    }

    async fn read_group(&self, clock: &ServiceClock, wall: SystemTime) -> Result<Group, Error> {
        let Membership { group: name, .. } = self.read_membership(clock).await?;
        let (described, refresh, activities) = tokio::try_join!(
            self.describe(&name, clock),
            self.refresh(&name, clock),
            self.activities(&name, clock, wall)
        )?;
        let now = clock.now(wall);
        // Every activity has a start (it is required by the API); one without is taken to have begun just now.
        let age = |activity: &Activity| {
            let start = activity.start_time.and_then(|start| SystemTime::try_from(start).ok());
            start.map_or(Duration::ZERO, |start| now.duration_since(start).unwrap_or_default())
        };
        let replaced = activities.iter().filter(|one| is_health_replacement(one.cause().unwrap_or_default())).map(age);
        let launch = activities.iter().find(|one| launches(one.description().unwrap_or_default(), &self.instance));
        let launch = launch.map(|launch| Launch {
            age: age(launch),
            for_unhealthy: is_launch_for_unhealthy(launch.cause().unwrap_or_default()),
        });
        let suspended = described.suspended_processes().iter().filter_map(|process| process.process_name());
        let group = Group {
            me: self.instance.clone(),
            members: described.instances().iter().map(member).collect(),
            suspended: suspended.map(String::from).collect(),
            refresh,
            launch,
            replaced: replaced.filter(|age| *age <= DAY).collect(),
            name,
        };
        group.myself().is_some().then_some(group).ok_or_else(|| self.not_in_group())
    }

    pub(super) async fn describe(&self, name: &str, clock: &ServiceClock) -> Result<AutoScalingGroup, Error> {
        let request = self.client.describe_auto_scaling_groups().auto_scaling_group_names(name).max_records(PAGE);
        let answer = request.customize().interceptor(clock.clone()).send().await;
        let answer = answer.map_err(|error| self.failed(GROUPS, &error))?;
        let groups = answer.auto_scaling_groups.unwrap_or_default();
        groups
            .into_iter()
            .find(|group| group.auto_scaling_group_name() == Some(name))
            .ok_or_else(|| self.not_in_group())
    }

    /// The state of the refresh that is under way.
    async fn refresh(&self, name: &str, clock: &ServiceClock) -> Result<Option<String>, Error> {
        let mut pages = Pages::new("instance refreshes of six weeks");
        while pages.more() {
            let request = self.client.describe_instance_refreshes().auto_scaling_group_name(name).max_records(PAGE);
            let request = request.set_next_token(pages.token.take());
            let answer = request.customize().interceptor(clock.clone()).send().await;
            let answer = answer.map_err(|error| self.failed(REFRESHES, &error))?;
            pages.add(answer.instance_refreshes, answer.next_token);
        }
        let mut states = pages.all(&self.instance)?.into_iter().map(|refresh| match refresh.status {
            Some(status) => status.as_str().to_owned(),
            None => "unknown".into(),
        });
        Ok(states.find(|state| !REFRESH_OVER.contains(&state.as_str())))
    }

    /// What was done in the last day or a little more, newest first.
    async fn activities(&self, name: &str, clock: &ServiceClock, wall: SystemTime) -> Result<Vec<Activity>, Error> {
        // This host's clock says where to begin, and may be a little off.
        let since = DateTime::from(wall - DAY - 2 * MOST_SKEW);
        let since = since.fmt(Format::DateTime).map_err(|error| {
            let text = format!("failed to ask for a day's activities: {error}; check this host's clock");
            Error::Call(Failure::new(FailureKind::Host, text))
        })?;
        let recent = Filter::builder().name("StartTimeLowerBound").values(since).build();
        let mut pages = Pages::new("scaling activities of a day");
        while pages.more() {
            let request = self.client.describe_scaling_activities().auto_scaling_group_name(name).max_records(PAGE);
            let request = request.include_deleted_groups(false).filters(recent.clone());
            let request = request.set_next_token(pages.token.take());
            let answer = request.customize().interceptor(clock.clone()).send().await;
            let answer = answer.map_err(|error| self.failed(ACTIVITIES, &error))?;
            pages.add(answer.activities, answer.next_token);
        }
        pages.all(&self.instance)
    }

    pub(super) fn late(&self) -> Error {
        let text = format!(
            "failed to read the Auto Scaling group of {}: no answer in time; check the route, the security group and the \
             proxy to AWS on port 443",
            self.instance
        );
        Error::Call(Failure::new(FailureKind::Unreachable, text))
    }
}

/// An answer that comes in pages: all of them, or nothing.
struct Pages<T> {
    what: &'static str,
    items: Vec<T>,
    read: usize,
    /// Names the next page.
    token: Option<String>,
}

impl<T> Pages<T> {
    fn new(what: &'static str) -> Self {
        Self { what, items: Vec::new(), read: 0, token: None }
    }

    /// Whether there is a page to be read.
    fn more(&self) -> bool {
        self.read == 0 || (self.token.is_some() && self.read < MOST_PAGES)
    }

    fn add(&mut self, items: Option<Vec<T>>, next: Option<String>) {
        self.items.extend(items.unwrap_or_default());
        self.token = next.filter(|next| !next.is_empty());
        self.read += 1;
    }

    fn all(self, instance: &str) -> Result<Vec<T>, Error> {
        let most = MOST_PAGES * PAGE.unsigned_abs() as usize;
        let too_many = || Error::TooMany { instance: instance.into(), what: self.what, most };
        self.token.is_none().then_some(self.items).ok_or_else(too_many)
    }
}

pub(super) fn member(instance: &Instance) -> Member {
    Member {
        id: instance.instance_id().unwrap_or_default().into(),
        lifecycle: instance.lifecycle_state().map(|state| state.as_str()).unwrap_or_default().into(),
        // What the group does not call healthy is not.
        healthy: instance.health_status().is_some_and(|health| health.eq_ignore_ascii_case("healthy")),
        zone: instance.availability_zone().map(Into::into),
    }
}

#[cfg(test)]
mod tests;
