use super::autoscaling::{Group, Health, Hook, HookResult, Scaling, Transition};
use super::time::{basic, iso, iso_exact, parse_basic};
use crate::http::requests::{Request, depth, most_at_once};
use serde_json::json;

const START: u64 = 1_767_225_600_000;

#[test]
fn times_are_written_as_aws_does() {
    assert_eq!(iso(START), "2026-01-01T00:00:00Z");
    assert_eq!(iso_exact(START + 25), "2026-01-01T00:00:00.025Z");
    assert_eq!(basic(START), "20260101T000000Z");
    assert_eq!(parse_basic("20260101T000000Z"), Some(START));
    for wrong in ["", "20260101", "2026-01-01T00:00:00Z", "20260101T000000", "20261301T000000Z", "20260101T000000Z+"] {
        assert_eq!(parse_basic(wrong), None, "{wrong}");
    }
}

#[test]
fn depth_is_the_longest_chain() {
    let request = |began_us: u64, ended_us: u64| Request {
        number: 0,
        what: String::new(),
        by: None,
        input: None,
        began_us,
        ended_us: Some(ended_us),
        status: Some(200),
    };
    let open = Request { ended_us: None, ..request(0, 0) };
    assert_eq!((depth(&[]), most_at_once(&[])), (0, 0));
    let beside = [request(0, 10), request(1, 9), request(2, 8)];
    assert_eq!((depth(&beside), most_at_once(&beside)), (1, 3));
    let after = [request(0, 10), request(10, 20), request(5, 15), request(21, 30)];
    assert_eq!((depth(&after), most_at_once(&after)), (3, 2));
    assert_eq!((depth(&[open.clone(), request(5, 6)]), most_at_once(&[open, request(5, 6)])), (1, 2));
}

fn scaling(change: impl FnOnce(&mut Group)) -> Scaling {
    let mut group = Group::new("g", ["i-1", "i-2"]);
    change(&mut group);
    let mut scaling = Scaling::default();
    scaling.put(group);
    scaling
}

fn mark(scaling: &mut Scaling, id: &str, health: &str, respect: &str, now_ms: u64) {
    let input = json!({"InstanceId": id, "HealthStatus": health, "ShouldRespectGracePeriod": respect});
    scaling.call("SetInstanceHealth", &input, now_ms).unwrap();
}

fn hook(transition: Transition, default_result: HookResult) -> Hook {
    Hook { transition, heartbeat_timeout_ms: 1000, default_result }
}

/// The states of all instances, in order of their ids.
fn states(scaling: &mut Scaling, now_ms: u64) -> Vec<String> {
    scaling.groups(now_ms)["g"].instances.values().map(|instance| instance.lifecycle_state.clone()).collect()
}

fn state_of(scaling: &mut Scaling, id: &str, now_ms: u64) -> Option<String> {
    scaling.groups(now_ms)["g"].instances.get(id).map(|instance| instance.lifecycle_state.clone())
}

#[test]
fn a_mark_has_its_effect_after_the_grace_or_when_told_to_disregard_it() {
    let in_grace = START + 179_999;
    let after = START + 180_000;
    for (respect, at, effect) in [("true", in_grace, false), ("false", in_grace, true), ("true", after, true)] {
        let mut scaling = scaling(|group| group.instances.get_mut("i-1").unwrap().in_service_at_ms = START);
        mark(&mut scaling, "i-1", "Unhealthy", respect, at);
        assert_eq!(scaling.marks()[0].took_effect, effect);
        let health = scaling.groups(at)["g"].instances["i-1"].health;
        assert_eq!(health == Health::Unhealthy, effect);
    }
}

#[test]
fn a_marked_instance_is_replaced_step_by_step() {
    let mut scaling = scaling(|_| {});
    mark(&mut scaling, "i-1", "Unhealthy", "true", START);
    assert_eq!(states(&mut scaling, START + 999), ["InService", "InService"]);
    let mut at = |now_ms| {
        let mut states = states(&mut scaling, now_ms);
        states.sort();
        states
    };
    assert_eq!(at(START + 1000), ["InService", "Pending", "Terminating"]);
    assert_eq!(at(START + 2000), ["InService", "InService"]);
    let group = &scaling.groups(START + 2000)["g"];
    assert!(!group.instances.contains_key("i-1"));
    assert!(group.activities.iter().all(|activity| activity.status == "Successful"));
    assert_eq!(
        group.activities[0].cause,
        "At 2026-01-01T00:00:01Z an instance was taken out of service in response to a user health-check."
    );
}

#[test]
fn a_mark_taken_back_in_time_replaces_nothing() {
    let mut scaling = scaling(|_| {});
    mark(&mut scaling, "i-1", "Unhealthy", "true", START);
    mark(&mut scaling, "i-1", "Healthy", "true", START + 500);
    assert_eq!(states(&mut scaling, START + 60_000), ["InService", "InService"]);
    assert!(scaling.groups(START + 60_000)["g"].activities.is_empty());
}

#[test]
fn suspended_processes_do_not_run() {
    for process in ["ReplaceUnhealthy", "Terminate"] {
        let mut scaling = scaling(|group| group.suspended = [process.to_owned()].into());
        mark(&mut scaling, "i-1", "Unhealthy", "true", START);
        assert_eq!(states(&mut scaling, START + 60_000), ["InService", "InService"], "{process}");
    }
    let mut scaling = scaling(|group| group.suspended = ["Launch".to_owned()].into());
    mark(&mut scaling, "i-1", "Unhealthy", "true", START);
    states(&mut scaling, START + 1000);
    assert_eq!(states(&mut scaling, START + 60_000), ["InService"], "nobody is launched in its place");
}

#[test]
fn a_terminate_hook_holds_an_instance_until_its_time_is_up() {
    let mut scaling = scaling(|group| {
        group.hooks.insert("drain".to_owned(), hook(Transition::Terminating, HookResult::Continue));
    });
    assert!(scaling.terminate("i-1", "an instance refresh replaced it.", START));
    assert!(!scaling.terminate("i-9", "", START), "nobody has it");
    let drain = json!({"AutoScalingGroupName": "g", "LifecycleHookName": "drain", "InstanceId": "i-1"});
    scaling.call("RecordLifecycleActionHeartbeat", &drain, START + 900).unwrap();
    assert_eq!(state_of(&mut scaling, "i-1", START + 1899).unwrap(), "Terminating:Wait", "the heartbeat gave it time");
    assert_eq!(state_of(&mut scaling, "i-1", START + 1900).unwrap(), "Terminating:Proceed");
    assert_eq!(state_of(&mut scaling, "i-1", START + 2900), None);
    let cause = &scaling.groups(START + 2900)["g"].activities[0].cause;
    assert_eq!(cause, "At 2026-01-01T00:00:00Z an instance refresh replaced it.");
}

#[test]
fn a_launch_hook_lets_an_instance_in_or_not() {
    for (result, then) in [("CONTINUE", "InService"), ("ABANDON", "Terminating"), ("", "Terminating")] {
        let mut scaling = scaling(|group| {
            group.hooks.insert("arrive".to_owned(), hook(Transition::Launching, HookResult::Abandon));
            group.desired = Some(3);
        });
        states(&mut scaling, START);
        states(&mut scaling, START + 1000);
        let ids: Vec<String> = scaling.groups(START + 1000)["g"].instances.keys().cloned().collect();
        let newcomer = ids.iter().find(|id| !["i-1", "i-2"].contains(&id.as_str())).unwrap();
        assert_eq!(state_of(&mut scaling, newcomer, START + 1999).unwrap(), "Pending:Wait");
        let arrive = json!({
            "AutoScalingGroupName": "g", "LifecycleHookName": "arrive", "InstanceId": newcomer,
            "LifecycleActionResult": result,
        });
        let now_ms = if result.is_empty() { START + 2000 } else { START + 1999 };
        let completed = scaling.call("CompleteLifecycleAction", &arrive, now_ms);
        assert_eq!(completed.is_ok(), !result.is_empty());
        assert_eq!(state_of(&mut scaling, newcomer, now_ms).unwrap(), then, "{result}");
        let again = scaling.call("CompleteLifecycleAction", &arrive, now_ms).unwrap_err();
        assert_eq!(again.code, "ValidationError");
    }
}

#[test]
fn activities_come_in_pages_those_in_progress_first() {
    let mut scaling = scaling(|group| group.suspended = ["Launch".to_owned()].into());
    for age_ms in [1000, 3000, 2000, 90_000_000] {
        assert!(scaling.plant_activity("g", &format!("i-{age_ms}"), "it was ended.", age_ms, START));
    }
    assert!(!scaling.plant_activity("none", "i-1", "it was ended.", 0, START));
    assert!(scaling.terminate("i-1", "it is being ended.", START - 2500));
    let mut ask = |input: serde_json::Value| {
        let mut form = json!({"AutoScalingGroupName": "g"});
        form.as_object_mut().unwrap().extend(input.as_object().unwrap().clone());
        let answer = scaling.call("DescribeScalingActivities", &form, START - 2000)?;
        let of = |activity: &serde_json::Value| {
            activity["Description"].as_str().unwrap().rsplit(' ').next().unwrap().to_owned()
        };
        let ids: Vec<String> = answer["Activities"].as_array().unwrap().iter().map(of).collect();
        Ok((ids, answer["NextToken"].clone()))
    };
    let all = ["i-1", "i-1000", "i-2000", "i-3000", "i-90000000"].map(String::from).to_vec();
    assert_eq!(ask(json!({})), Ok((all.clone(), json!(null))));
    assert_eq!(ask(json!({"MaxRecords": "2"})), Ok((all[..2].to_vec(), json!("2"))));
    assert_eq!(ask(json!({"MaxRecords": "3", "NextToken": "2"})), Ok((all[2..].to_vec(), json!(null))));
    let recent = json!({
        "Filters.member.1.Name": "StartTimeLowerBound",
        "Filters.member.1.Values.member.1": "2025-12-31T23:00:00Z",
    });
    assert_eq!(ask(recent), Ok((all[..4].to_vec(), json!(null))));
    let code = |result: Result<_, super::wire::ServiceError>| result.unwrap_err().code;
    assert_eq!(code(ask(json!({"MaxRecords": "101"}))), "ValidationError");
    assert_eq!(code(ask(json!({"NextToken": "x"}))), "InvalidNextToken");
    assert_eq!(code(ask(json!({"Filters.member.1.Name": "Status"}))), "ValidationError");
}

#[test]
fn a_refresh_goes_on_until_it_is_over() {
    let mut scaling = scaling(|_| {});
    for status in ["Pending", "InProgress", "Successful", "Pending"] {
        assert!(scaling.set_refresh("g", status, START));
    }
    assert!(!scaling.set_refresh("none", "Pending", START));
    let answer = scaling.call("DescribeInstanceRefreshes", &json!({"AutoScalingGroupName": "g"}), START).unwrap();
    let statuses = answer["InstanceRefreshes"].as_array().unwrap().iter().map(|refresh| refresh["Status"].clone());
    assert_eq!(statuses.collect::<Vec<_>>(), ["Pending", "Successful"]);
    let none = scaling.call("DescribeInstanceRefreshes", &json!({"AutoScalingGroupName": "none"}), START);
    assert_eq!(none.unwrap_err().code, "ValidationError");
}
