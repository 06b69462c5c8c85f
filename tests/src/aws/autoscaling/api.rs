//! The actions of the Auto Scaling API. Activities and refreshes come in pages, the rest in one.

use super::types::{Activity, Group, GroupInstance, Health, Hook, HookResult, Refresh, Transition};
use super::{Mark, Scaling};
use crate::aws::time::{iso, iso_exact, parse_iso};
use crate::aws::wire::ServiceError;
use serde_json::{Value, json};

impl Scaling {
    /// Does an action of the API; `input` is the flat form.
    ///
    /// # Errors
    /// Those of the API.
    pub fn call(&mut self, action: &str, input: &Value, now_ms: u64) -> Result<Value, ServiceError> {
        match action {
            "DescribeAutoScalingInstances" => Ok(self.describe_instances(input, now_ms)),
            "DescribeAutoScalingGroups" => Ok(self.describe_groups(input, now_ms)),
            "DescribeScalingActivities" => self.describe_activities(input, now_ms),
            "DescribeInstanceRefreshes" => self.describe_refreshes(input, now_ms),
            "DescribeLifecycleHooks" => self.describe_hooks(input, now_ms),
            "SetInstanceHealth" => self.set_instance_health(input, now_ms),
            "CompleteLifecycleAction" => self.complete_lifecycle_action(input, now_ms),
            "RecordLifecycleActionHeartbeat" => self.record_heartbeat(input, now_ms),
            _ => Err(ServiceError::sender("InvalidAction", format!("{action} is not stood in for"))),
        }
    }

    fn describe_instances(&mut self, input: &Value, now_ms: u64) -> Value {
        let wanted = members(input, "InstanceIds");
        let all =
            self.groups(now_ms).values().flat_map(|group| group.instances.iter().map(move |(id, i)| (group, id, i)));
        let instances = all.filter(|(_, id, _)| wanted.is_empty() || wanted.contains(&id.as_str()));
        let details = instances.map(|(group, id, instance)| {
            let mut details = instance_value(id, instance);
            details["AutoScalingGroupName"] = json!(group.name);
            // This action shouts it, while the description of a group does not; see botocore's examples-1.json.
            details["HealthStatus"] = json!(format!("{:?}", instance.health).to_uppercase());
            details
        });
        json!({"AutoScalingInstances": details.collect::<Vec<_>>()})
    }

    fn describe_groups(&mut self, input: &Value, now_ms: u64) -> Value {
        let wanted = members(input, "AutoScalingGroupNames");
        let groups = self.groups(now_ms).values();
        let groups = groups.filter(|group| wanted.is_empty() || wanted.contains(&group.name.as_str()));
        json!({"AutoScalingGroups": groups.map(group_value).collect::<Vec<_>>()})
    }

    fn describe_activities(&mut self, input: &Value, now_ms: u64) -> Result<Value, ServiceError> {
        let wanted = text(input, "AutoScalingGroupName");
        let since_ms = start_time_lower_bound(input)?;
        let groups = self.groups(now_ms);
        if let Some(name) = wanted {
            groups.get(name).ok_or_else(|| no_such_group(name))?;
        }
        let groups = groups.values().filter(|group| wanted.is_none_or(|name| group.name == name));
        let all = groups.flat_map(|group| group.activities.iter().rev().map(move |activity| (group, activity)));
        let recent = all.filter(|(_, activity)| activity.start_ms >= since_ms);
        // "Activities are sorted by start time. Activities still in progress are described first" (API reference).
        let (open, ended): (Vec<_>, Vec<_>) = recent.partition(|(_, activity)| activity.end_ms.is_none());
        let values = open.into_iter().chain(ended).map(|(group, activity)| activity_value(group, activity));
        page("Activities", values.collect(), input, 100)
    }

    fn describe_refreshes(&mut self, input: &Value, now_ms: u64) -> Result<Value, ServiceError> {
        let name = required(input, "AutoScalingGroupName")?;
        let group = self.group_mut(name, now_ms).ok_or_else(|| no_such_group(name))?;
        let values = group.refreshes.iter().rev().map(|refresh| refresh_value(&group.name, refresh));
        page("InstanceRefreshes", values.collect(), input, 50)
    }

    fn describe_hooks(&mut self, input: &Value, now_ms: u64) -> Result<Value, ServiceError> {
        let name = required(input, "AutoScalingGroupName")?;
        let wanted = members(input, "LifecycleHookNames");
        let group = self.group_mut(name, now_ms).ok_or_else(|| no_such_group(name))?;
        let hooks = group.hooks.iter().filter(|(hook, _)| wanted.is_empty() || wanted.contains(&hook.as_str()));
        let values: Vec<_> = hooks.map(|(hook, what)| hook_value(&group.name, hook, what)).collect();
        Ok(json!({"LifecycleHooks": values}))
    }

    fn set_instance_health(&mut self, input: &Value, now_ms: u64) -> Result<Value, ServiceError> {
        let id = required(input, "InstanceId")?;
        let health = match required(input, "HealthStatus")? {
            "Healthy" => Health::Healthy,
            "Unhealthy" => Health::Unhealthy,
            other => {
                return Err(validation(format!("Valid instance health states are: [Healthy, Unhealthy], not {other}")));
            }
        };
        let respects_grace = text(input, "ShouldRespectGracePeriod") != Some("false");
        let group = self.group_of(id, now_ms).ok_or_else(|| {
            validation(format!("Instance Id not found - No managed instance found for instance ID: {id}"))
        })?;
        let took_effect = group.set_health(id, health, respects_grace, now_ms);
        self.marks.push(Mark { instance: id.to_owned(), health, respects_grace, took_effect, at_ms: now_ms });
        Ok(Value::Null)
    }

    fn complete_lifecycle_action(&mut self, input: &Value, now_ms: u64) -> Result<Value, ServiceError> {
        let result = match required(input, "LifecycleActionResult")? {
            "CONTINUE" => HookResult::Continue,
            "ABANDON" => HookResult::Abandon,
            other => return Err(validation(format!("Invalid Lifecycle Action Result: {other}"))),
        };
        self.on_hook(input, now_ms, |group, id, hook| group.complete(id, hook, result, now_ms))
    }

    fn record_heartbeat(&mut self, input: &Value, now_ms: u64) -> Result<Value, ServiceError> {
        self.on_hook(input, now_ms, |group, id, hook| group.heartbeat(id, hook, now_ms))
    }

    /// Does something with the hook that `input` names, which an instance must be waiting for.
    fn on_hook(
        &mut self,
        input: &Value,
        now_ms: u64,
        act: impl FnOnce(&mut Group, &str, &str) -> bool,
    ) -> Result<Value, ServiceError> {
        let name = required(input, "AutoScalingGroupName")?;
        let (hook, id) = (required(input, "LifecycleHookName")?, required(input, "InstanceId")?);
        let group = self.group_mut(name, now_ms).ok_or_else(|| no_such_group(name))?;
        if act(group, id, hook) {
            Ok(json!({}))
        } else {
            Err(validation(format!("No active Lifecycle Action found with instance ID {id}")))
        }
    }
}

fn group_value(group: &Group) -> Value {
    // Those of a warm pool are described by DescribeWarmPool.
    let instances = group.instances.iter().filter(|(_, instance)| !instance.is_warmed()).map(|(id, instance)| {
        let mut value = instance_value(id, instance);
        value["HealthStatus"] = json!(instance.health);
        value
    });
    let suspended =
        group.suspended.iter().map(|process| json!({"ProcessName": process, "SuspensionReason": "User suspended"}));
    json!({
        "AutoScalingGroupName": group.name,
        "MinSize": 0,
        "MaxSize": group.desired.unwrap_or(0) + 1,
        "DesiredCapacity": group.desired,
        "DefaultCooldown": 300,
        "AvailabilityZones": group.availability_zones,
        "HealthCheckType": "EC2",
        "HealthCheckGracePeriod": group.grace_period_ms.div_ceil(1000),
        "CreatedTime": iso(0),
        "Instances": instances.collect::<Vec<_>>(),
        "SuspendedProcesses": suspended.collect::<Vec<_>>(),
        "NewInstancesProtectedFromScaleIn": false,
    })
}

fn instance_value(id: &str, instance: &GroupInstance) -> Value {
    json!({
        "InstanceId": id,
        "InstanceType": "t3.small",
        "AvailabilityZone": instance.availability_zone,
        "LifecycleState": instance.lifecycle_state,
        "ProtectedFromScaleIn": false,
    })
}

fn hook_value(group: &str, name: &str, hook: &Hook) -> Value {
    let seconds = hook.heartbeat_timeout_ms.div_ceil(1000);
    json!({
        "LifecycleHookName": name,
        "AutoScalingGroupName": group,
        "LifecycleTransition": match hook.transition {
            Transition::Launching => "autoscaling:EC2_INSTANCE_LAUNCHING",
            Transition::Terminating => "autoscaling:EC2_INSTANCE_TERMINATING",
        },
        "HeartbeatTimeout": seconds,
        "GlobalTimeout": (seconds * 100).min(48 * 3600),
        "DefaultResult": hook.default_result,
    })
}

fn activity_value(group: &Group, activity: &Activity) -> Value {
    json!({
        "ActivityId": activity.id,
        "AutoScalingGroupName": group.name,
        "Description": activity.description,
        "Cause": activity.cause,
        "StartTime": iso_exact(activity.start_ms),
        "EndTime": activity.end_ms.map(iso),
        "StatusCode": activity.status,
        "Progress": if activity.end_ms.is_some() { 100 } else { 50 },
    })
}

fn refresh_value(group: &str, refresh: &Refresh) -> Value {
    json!({
        "InstanceRefreshId": refresh.id,
        "AutoScalingGroupName": group,
        "Status": refresh.status,
        "StartTime": iso_exact(refresh.start_ms),
        "PercentageComplete": 0,
        "InstancesToUpdate": 1,
    })
}

/// One page of an answer. A token is the number of items before its page.
fn page(list: &str, items: Vec<Value>, input: &Value, most: usize) -> Result<Value, ServiceError> {
    let most = match text(input, "MaxRecords").map(str::parse::<usize>) {
        None => most,
        Some(Ok(wanted)) if (1..=100).contains(&wanted) => wanted,
        Some(_) => return Err(validation("MaxRecords must be between 1 and 100".to_owned())),
    };
    let from = text(input, "NextToken").map_or(Ok(0), str::parse::<usize>);
    let from = from.map_err(|_| ServiceError::sender("InvalidNextToken", "The NextToken value is not valid."))?;
    let next = (from + most < items.len()).then(|| (from + most).to_string());
    let items: Vec<Value> = items.into_iter().skip(from).take(most).collect();
    Ok(json!({list: items, "NextToken": next}))
}

/// The filter on the start of activities, in milliseconds since 1970; 0 without one. Others are refused.
fn start_time_lower_bound(input: &Value) -> Result<u64, ServiceError> {
    let mut since_ms = 0;
    for n in 1.. {
        let Some(name) = text(input, &format!("Filters.member.{n}.Name")) else { break };
        let value = text(input, &format!("Filters.member.{n}.Values.member.1")).unwrap_or_default();
        since_ms = match (name, parse_iso(value)) {
            ("StartTimeLowerBound", Some(ms)) => ms,
            _ => return Err(validation(format!("the filter {name} with {value} is not stood in for"))),
        };
    }
    Ok(since_ms)
}

fn no_such_group(name: &str) -> ServiceError {
    validation(format!("AutoScalingGroup name not found - AutoScalingGroup '{name}' not found"))
}

/// The values of a list in a form: `InstanceIds.member.1` and so on.
fn members<'a>(input: &'a Value, list: &str) -> Vec<&'a str> {
    let prefix = format!("{list}.member.");
    let fields = input.as_object().into_iter().flatten();
    fields.filter(|(name, _)| name.starts_with(&prefix)).filter_map(|(_, value)| value.as_str()).collect()
}

fn text<'a>(input: &'a Value, member: &str) -> Option<&'a str> {
    input.get(member)?.as_str()
}

fn required<'a>(input: &'a Value, member: &str) -> Result<&'a str, ServiceError> {
    text(input, member).ok_or_else(|| validation(format!("{member} is missing")))
}

fn validation(message: String) -> ServiceError {
    ServiceError::sender("ValidationError", message)
}
