use crate::aws::autoscaling::{Group, Hook, HookResult, Move, Scaling, Transition};
use serde_json::{Value, json};

const START: u64 = 1_767_225_600_000;

/// One instance in service, and a hook of 1 s for each transition.
fn scaling(default_result: HookResult) -> Scaling {
    let hook = |transition| Hook { transition, heartbeat_timeout_ms: 1000, default_result };
    let mut group = Group { proceed_takes_ms: 10, ..Group::new("g", ["i-1"]) };
    group.hooks.insert("hello".to_owned(), hook(Transition::Launching));
    group.hooks.insert("bye".to_owned(), hook(Transition::Terminating));
    let mut scaling = Scaling::default();
    scaling.put(group);
    scaling
}

fn state(scaling: &mut Scaling, after_ms: u64) -> String {
    let group = &scaling.groups(START + after_ms)["g"];
    group.instances.get("i-1").map_or("gone".to_owned(), |instance| instance.lifecycle_state.clone())
}

fn call(scaling: &mut Scaling, action: &str, hook: &str, result: &str, after_ms: u64) -> Result<Value, String> {
    let input = json!({
        "AutoScalingGroupName": "g", "LifecycleHookName": hook, "InstanceId": "i-1", "LifecycleActionResult": result,
    });
    scaling.call(action, &input, START + after_ms).map_err(|error| error.message)
}

fn complete(scaling: &mut Scaling, hook: &str, after_ms: u64) -> Result<Value, String> {
    call(scaling, "CompleteLifecycleAction", hook, "CONTINUE", after_ms)
}

#[test]
fn from_the_pool_into_service_through_the_same_hook_twice() {
    let mut scaling = scaling(HookResult::Abandon);
    assert!(scaling.go("i-1", Move::Warm, START));
    for (after_ms, expected) in [(0, "Warmed:Pending"), (1000, "Warmed:Pending:Wait"), (1999, "Warmed:Pending:Wait")] {
        assert_eq!(state(&mut scaling, after_ms), expected);
    }
    complete(&mut scaling, "hello", 1999).unwrap();
    assert_eq!(state(&mut scaling, 2000), "Warmed:Pending:Proceed");
    assert_eq!(state(&mut scaling, 2009), "Warmed:Stopped");
    let groups = scaling.call("DescribeAutoScalingGroups", &json!({}), START + 2009).unwrap();
    assert_eq!(groups["AutoScalingGroups"][0]["Instances"], json!([]), "the group does not list it");
    let input = json!({"InstanceIds.member.1": "i-1"});
    let instances = scaling.call("DescribeAutoScalingInstances", &input, START + 2009).unwrap();
    assert_eq!(instances["AutoScalingInstances"][0]["LifecycleState"], "Warmed:Stopped");

    assert!(scaling.go("i-1", Move::Serve, START + 3000));
    assert!(!scaling.go("i-1", Move::Serve, START + 3000), "only from the pool");
    assert_eq!(state(&mut scaling, 4000), "Pending:Wait");
    complete(&mut scaling, "hello", 4001).unwrap();
    assert_eq!(state(&mut scaling, 4002), "Pending:Proceed");
    assert_eq!(state(&mut scaling, 4011), "InService");
    assert_eq!(scaling.groups(START)["g"].instances["i-1"].in_service_at_ms, START + 4011, "its grace begins here");
}

#[test]
fn who_leaves_the_pool_for_good_stays_below_it() {
    let mut scaling = scaling(HookResult::Continue);
    assert!(scaling.go("i-1", Move::Warm, START));
    assert_eq!(state(&mut scaling, 1000), "Warmed:Pending:Wait");
    assert_eq!(state(&mut scaling, 2000), "Warmed:Pending:Proceed", "the default is to go on");
    assert_eq!(state(&mut scaling, 2010), "Warmed:Stopped");
    assert!(scaling.terminate("i-1", "it is not needed.", START + 3000));
    assert_eq!(state(&mut scaling, 3000), "Warmed:Terminating:Wait");
    complete(&mut scaling, "bye", 3001).unwrap();
    assert_eq!(state(&mut scaling, 3001), "Warmed:Terminating:Proceed");
    assert_eq!(state(&mut scaling, 4001), "gone");
}

#[test]
fn standby_and_back() {
    let mut scaling = scaling(HookResult::Abandon);
    assert!(!scaling.go("i-1", Move::ExitStandby, START));
    assert!(scaling.go("i-1", Move::EnterStandby, START));
    assert_eq!(state(&mut scaling, 0), "Standby");
    assert!(complete(&mut scaling, "hello", 1).unwrap_err().contains("No active Lifecycle Action found"));
    assert!(scaling.go("i-1", Move::ExitStandby, START + 10));
    assert_eq!(state(&mut scaling, 1010), "Pending:Wait");
    call(&mut scaling, "CompleteLifecycleAction", "hello", "ABANDON", 1011).unwrap();
    assert_eq!(state(&mut scaling, 1011), "Terminating:Wait", "hooks of the other transition apply");
    assert!(!scaling.go("i-1", Move::EnterStandby, START + 1011));
}

#[test]
fn heartbeats_do_not_go_on_for_ever() {
    let mut scaling = scaling(HookResult::Continue);
    assert!(scaling.terminate("i-1", "it is not needed.", START));
    for beat in 1..200 {
        let beaten = call(&mut scaling, "RecordLifecycleActionHeartbeat", "bye", "", beat * 900);
        assert_eq!(beaten.is_ok(), beat * 900 < 100_000, "a hundred times the time of one: {beat}");
    }
}

#[test]
fn an_abandoned_departure_waits_for_no_other_hook() {
    for (result, expected) in [("ABANDON", "Terminating:Proceed"), ("CONTINUE", "Terminating:Wait")] {
        let mut scaling = scaling(HookResult::Continue);
        let group = scaling.group_mut("g", START).unwrap();
        let other = group.hooks["bye"].clone();
        group.hooks.insert("other".to_owned(), other);
        assert!(scaling.terminate("i-1", "it is not needed.", START));
        call(&mut scaling, "CompleteLifecycleAction", "bye", result, 1).unwrap();
        assert_eq!(state(&mut scaling, 2), expected);
    }
}

#[test]
fn hooks_are_described_by_name() {
    let mut scaling = scaling(HookResult::Abandon);
    let mut describe = |input: Value| {
        let answer = scaling.call("DescribeLifecycleHooks", &input, START).map_err(|error| error.code)?;
        let hooks = answer["LifecycleHooks"].as_array().unwrap();
        Ok(hooks.iter().map(|hook| hook["LifecycleHookName"].as_str().unwrap().to_owned()).collect::<Vec<_>>())
    };
    assert_eq!(describe(json!({"AutoScalingGroupName": "g"})), Ok(vec!["bye".to_owned(), "hello".to_owned()]));
    let named = json!({"AutoScalingGroupName": "g", "LifecycleHookNames.member.1": "hello"});
    assert_eq!(describe(named), Ok(vec!["hello".to_owned()]));
    let unknown = json!({"AutoScalingGroupName": "g", "LifecycleHookNames.member.1": "none"});
    assert_eq!(describe(unknown), Ok(vec![]));
    assert_eq!(describe(json!({"AutoScalingGroupName": "none"})), Err("ValidationError".to_owned()));
}
