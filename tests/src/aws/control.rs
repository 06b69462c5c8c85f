//! The control endpoint; its commands are listed in CONTROL.md.

use super::autoscaling::Move;
use super::{Aws, Credentials, Group, Policy, SecretValue, State, Visibility};
use crate::http::requests::summary;
use crate::http::{Answer, Asked, control as common};
use serde::Deserialize;
use serde_json::{Value, json};
use std::convert::Infallible;
use std::time::Duration;

#[derive(Deserialize)]
struct NewVersion {
    name: String,
    #[serde(flatten)]
    value: SecretValue,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    name: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Clock {
    ahead_s: i64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Termination {
    instance: String,
    why: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Moved {
    instance: String,
    way: Move,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PastActivity {
    group: String,
    instance: String,
    why: String,
    age_s: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RefreshState {
    group: String,
    status: String,
}

/// Does a command and answers it.
pub fn answer(aws: &Aws, command: &str, request: &Asked) -> Answer {
    if let Some(answer) = common::on_faults(command, request, &mut aws.lock().faults) {
        return answer;
    }
    match command {
        "state" => state(aws),
        "secret" => common::with_body(request, |new: NewVersion| {
            aws.lock().secrets.put(&new.name, new.value);
            Ok::<_, Infallible>(())
        }),
        "delete-secret" => common::with_body(request, |Named { name }| found(aws.delete_secret(&name), "secret")),
        "restore-secret" => common::with_body(request, |Named { name }| found(aws.restore_secret(&name), "secret")),
        "group" => common::with_body(request, |patch: Value| put_group(&mut aws.lock(), patch)),
        "terminate-instance" => common::with_body(request, |end: Termination| {
            found(aws.terminate_instance(&end.instance, &end.why), "instance in a group")
        }),
        "move-instance" => common::with_body(request, |Moved { instance, way }| {
            found(aws.move_instance(&instance, way), "instance that can go that way")
        }),
        "activity" => common::with_body(request, |past: PastActivity| {
            let age = Duration::from_secs(past.age_s);
            found(aws.plant_activity(&past.group, &past.instance, &past.why, age), "group")
        }),
        "refresh" => common::with_body(request, |RefreshState { group, status }| {
            found(aws.set_refresh(&group, &status), "group")
        }),
        "visibility" => common::with_body(request, |visibility: Visibility| {
            aws.set_visibility(visibility);
            Ok::<_, Infallible>(())
        }),
        "clock" => common::with_body(request, |Clock { ahead_s }| {
            aws.set_clock_ahead(ahead_s);
            Ok::<_, Infallible>(())
        }),
        "caller" => common::with_body(request, |caller: Credentials| {
            aws.trust(caller);
            Ok::<_, Infallible>(())
        }),
        "policy" => common::with_body(request, |policy: Option<Policy>| {
            aws.enforce(policy);
            Ok::<_, Infallible>(())
        }),
        "forget" => {
            aws.forget();
            common::done()
        }
        _ => common::unknown(command),
    }
}

fn found(found: bool, what: &str) -> Result<(), String> {
    if found { Ok(()) } else { Err(format!("there is no such {what}")) }
}

fn put_group(state: &mut State, patch: Value) -> Result<(), String> {
    let name = patch["name"].as_str().ok_or("the group has no name")?;
    let now_ms = state.now_ms();
    let there = state.scaling.groups(now_ms).get(name).cloned().unwrap_or_default();
    let group: Group = common::merge(&there, patch).map_err(|error| error.to_string())?;
    state.scaling.put(group);
    Ok(())
}

fn state(aws: &Aws) -> Answer {
    let requests = aws.requests.all();
    let mut state = aws.lock();
    let now_ms = state.now_ms();
    let groups = state.scaling.groups(now_ms).clone();
    common::state(&json!({
        "region": state.region,
        "clock_ahead_s": state.clock_ahead_s,
        "callers": state.callers.keys().collect::<Vec<_>>(),
        "policy": state.policy,
        "faults": state.faults,
        "secrets": state.secrets.all(),
        "datapoints": state.metrics.all(),
        "visibility": state.metrics.visibility(),
        "minute_sums": state.metrics.minute_sums(),
        "groups": groups,
        "marks": state.scaling.marks(),
        "summary": summary(&requests),
        "requests": requests,
    }))
}
