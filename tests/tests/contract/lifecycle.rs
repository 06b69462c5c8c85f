//! Arrival and departure: by the agent's own code at the stand-in, by botocore at the stand-in, and the hooks at moto, which
//! has no completion.

use super::cloudwatch::python;
use super::moto::Moto;
use super::peer::{control, stand_in, until};
use super::scaling::{GROUP, make_group};
use aws::autoscaling::{AutoScaling, Error, Lifecycle};
use aws_config::SdkConfig;
use aws_sdk_autoscaling::Client;
use cflared_tests::aws::autoscaling::{Hook as StandInHook, HookResult as Default, Move, Transition};
use cflared_tests::aws::{Aws, Group};
use cflared_tests::http::faults::Trouble;
use cflared_verdict::{FailureKind, Hook, HookResult, Place};
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;

const ME: &str = "i-00000000000000002";
const OTHERS: [&str; 2] = ["i-00000000000000001", "i-00000000000000003"];

async fn world() -> (Aws, SdkConfig, Lifecycle) {
    let (aws, config) = stand_in().await;
    let mut group = Group { launch_takes_ms: 0, ..Group::new(GROUP, [OTHERS[0], ME, OTHERS[1]]) };
    let hook = |transition| StandInHook { transition, heartbeat_timeout_ms: 300_000, default_result: Default::Abandon };
    group.hooks.insert("hello".to_owned(), hook(Transition::Launching));
    group.hooks.insert("bye".to_owned(), hook(Transition::Terminating));
    aws.put_group(group);
    let lifecycle = agent(&config);
    (aws, config, lifecycle)
}

fn agent(config: &SdkConfig) -> Lifecycle {
    let hooks = settings::Lifecycle { launch_hook: Some("hello".into()), terminate_hook: Some("bye".into()) };
    Lifecycle::new(Arc::new(AutoScaling::new(&Client::new(config), ME, false)), hooks)
}

fn place(lifecycle: &str, rank: u32) -> Place {
    let timeout = Some(Duration::from_secs(300));
    Place { lifecycle: lifecycle.into(), rank, launch_timeout: timeout, terminate_timeout: timeout }
}

#[tokio::test]
async fn an_instance_arrives_and_leaves_through_its_hooks() {
    let (aws, config, lifecycle) = world().await;
    assert_eq!(lifecycle.place().await.unwrap().0, place("InService", 1));
    let not_waiting = lifecycle.complete(Hook::Launch, HookResult::Continue).await.unwrap_err();
    assert!(matches!(not_waiting, Error::NotWaiting { .. }), "{not_waiting}");

    assert!(aws.move_instance(ME, Move::Warm));
    assert_eq!(lifecycle.place().await.unwrap().0, place("Warmed:Pending:Wait", 1));
    lifecycle.complete(Hook::Launch, HookResult::Continue).await.unwrap();
    assert_eq!(lifecycle.place().await.unwrap().0, place("Warmed:Stopped", 1));
    let moved = control(&config, "move-instance", &format!(r#"{{"instance": "{ME}", "way": "serve"}}"#)).await;
    assert!(moved.starts_with("HTTP/1.1 200"), "{moved}");
    assert_eq!(lifecycle.place().await.unwrap().0, place("Pending:Wait", 1));
    lifecycle.heartbeat(Hook::Launch).await.unwrap();
    let terminate = lifecycle.heartbeat(Hook::Terminate).await.unwrap_err();
    assert!(matches!(terminate, Error::NotWaiting { .. }), "{terminate}");
    lifecycle.complete(Hook::Launch, HookResult::Continue).await.unwrap();
    assert_eq!(lifecycle.place().await.unwrap().0, place("InService", 1));

    assert!(aws.terminate_instance(ME, "an instance was taken out of service in response to an instance refresh."));
    assert_eq!(lifecycle.place().await.unwrap().0, place("Terminating:Wait", 1));
    lifecycle.complete(Hook::Terminate, HookResult::Continue).await.unwrap();
    assert_eq!(aws.lifecycle_state(ME).as_deref(), Some("Terminating:Proceed"));
    let again = lifecycle.complete(Hook::Terminate, HookResult::Continue).await.unwrap_err();
    assert_eq!(again.kind(), FailureKind::Missing, "{again}");
    until("it is gone", || aws.lifecycle_state(ME).is_none()).await;
    assert!(matches!(lifecycle.place().await.unwrap_err(), Error::NotInGroup { .. }));
    assert_eq!(aws.requests().count("DescribeLifecycleHooks"), 1, "their times are remembered");
}

#[tokio::test]
async fn an_answer_that_is_lost_was_done_once() {
    let (aws, _, lifecycle) = world().await;
    assert!(aws.move_instance(ME, Move::Launch));
    aws.plant(Trouble::SwallowAnswer.on("CompleteLifecycleAction").times(1));
    let error = lifecycle.complete(Hook::Launch, HookResult::Continue).await.unwrap_err();
    assert!(matches!(error, Error::NotWaiting { .. }), "the second try finds it done: {error}");
    assert_eq!(aws.lifecycle_state(ME).as_deref(), Some("InService"));
}

#[tokio::test]
async fn each_fault_of_each_call_is_a_failure() {
    let (aws, config, _) = world().await;
    for action in
        ["DescribeAutoScalingInstances", "DescribeAutoScalingGroups", "CompleteLifecycleAction", "RecordLifecycle"]
    {
        for (trouble, kind) in [
            (Trouble::Denied, FailureKind::Denied),
            (Trouble::Throttled, FailureKind::Throttled),
            (Trouble::Status(502), FailureKind::Throttled),
        ] {
            aws.plant(trouble.clone().on(action));
            let lifecycle = agent(&config);
            let error = match action {
                "CompleteLifecycleAction" => lifecycle.complete(Hook::Launch, HookResult::Abandon).await.unwrap_err(),
                "RecordLifecycle" => lifecycle.heartbeat(Hook::Launch).await.unwrap_err(),
                _ => lifecycle.place().await.unwrap_err(),
            };
            assert_eq!(error.kind(), kind, "{action} {trouble:?}: {error}");
            aws.clear_faults();
        }
    }
    aws.plant(Trouble::Denied.on("DescribeLifecycleHooks"));
    let without_times = Place { launch_timeout: None, terminate_timeout: None, ..place("InService", 1) };
    assert_eq!(agent(&config).place().await.unwrap().0, without_times);
}

#[tokio::test]
async fn botocore_finds_every_answer_as_its_model_says() {
    let (aws, config, _) = world().await;
    assert!(aws.move_instance(ME, Move::Launch));
    let output = python("lifecycle.py", &[config.endpoint_url().unwrap(), GROUP, ME, "hello"]).await;
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    for what in ["hooks", "instances", "heartbeat", "complete"] {
        assert_eq!(told[what]["wrong"], serde_json::json!([]), "{what}");
    }
    let hook = &told["hooks"]["answer"]["LifecycleHooks"][0];
    assert_eq!((&hook["HeartbeatTimeout"], &hook["GlobalTimeout"]), (&Value::from(300), &Value::from(30_000)));
    assert_eq!(hook["LifecycleTransition"], "autoscaling:EC2_INSTANCE_LAUNCHING");
    assert_eq!(told["instances"]["answer"]["AutoScalingInstances"][0]["LifecycleState"], "Pending:Wait");
    assert_eq!(aws.lifecycle_state(ME).as_deref(), Some("InService"));
}

#[tokio::test]
async fn hooks_are_described_as_at_moto() {
    let told = async |config: &SdkConfig| {
        let client = Client::new(config);
        let mut told = Vec::new();
        for names in [&[][..], &["hello"], &["none"]] {
            let names = names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
            let names = Some(names).filter(|names| !names.is_empty());
            let request = client.describe_lifecycle_hooks().auto_scaling_group_name(GROUP);
            let answer = request.set_lifecycle_hook_names(names).send().await.unwrap();
            let hooks = answer.lifecycle_hooks().iter().map(|hook| {
                let name = hook.lifecycle_hook_name().unwrap();
                let (transition, timeout) = (hook.lifecycle_transition().unwrap(), hook.heartbeat_timeout().unwrap());
                let (result, group) = (hook.default_result().unwrap(), hook.auto_scaling_group_name().unwrap());
                format!("{group} {name} {transition} {timeout} {result}")
            });
            let mut hooks: Vec<_> = hooks.collect();
            hooks.sort();
            told.push(hooks);
        }
        told
    };
    let moto = Moto::start();
    let config = moto.sdk();
    make_group(&config).await;
    for (name, transition) in [("hello", "LAUNCHING"), ("bye", "TERMINATING")] {
        let request =
            Client::new(&config).put_lifecycle_hook().auto_scaling_group_name(GROUP).lifecycle_hook_name(name);
        let request = request.lifecycle_transition(format!("autoscaling:EC2_INSTANCE_{transition}"));
        request.heartbeat_timeout(300).default_result("ABANDON").send().await.unwrap();
    }
    let at_moto = told(&config).await;
    let (_aws, config, _) = world().await;
    assert_eq!(told(&config).await, at_moto);
    assert_eq!(at_moto.iter().map(Vec::len).collect::<Vec<_>>(), [2, 1, 0]);
}
