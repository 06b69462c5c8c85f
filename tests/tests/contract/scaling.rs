//! Auto Scaling: the agent's calls at the stand-in and at moto. What moto does not model (grace, replacement, activities,
//! hooks) is tested with the stand-in alone.

use super::moto::Moto;
use super::peer::{outcome, present, stand_in, until};
use aws_config::SdkConfig;
use aws_sdk_autoscaling::Client;
use cflared_tests::aws::autoscaling::{Hook, HookResult, Transition};
use cflared_tests::aws::{Aws, Group};

pub const GROUP: &str = "cflared-prd";
const STRANGER: &str = "i-00000000000000bad";

#[tokio::test]
async fn scaling_comes_to_the_same_as_at_moto() {
    let moto = Moto::start();
    let config = moto.sdk();
    make_group(&config).await;
    let at_moto = story(&config).await;
    let (aws, config) = stand_in().await;
    aws.put_group(Group::new(GROUP, ["i-0123456789abcdef0"]));
    let at_stand_in = story(&config).await;
    assert_eq!(at_stand_in, at_moto);
    assert_eq!(at_stand_in, expected());
}

#[tokio::test]
async fn a_stranger_is_refused_as_by_the_service_and_not_as_by_moto() {
    let moto = Moto::start();
    let mark = async |config: &SdkConfig| {
        let call = Client::new(config).set_instance_health().instance_id(STRANGER).health_status("Unhealthy");
        outcome(call.send().await, |_| "done".to_owned())
    };
    // moto passes the error of its EC2 on.
    assert_eq!(mark(&moto.sdk()).await, "error InvalidInstanceID.NotFound");
    let (aws, config) = stand_in().await;
    aws.put_group(Group::new(GROUP, ["i-0123456789abcdef0"]));
    assert_eq!(mark(&config).await, "error ValidationError");
    assert_eq!(aws.marks(), []);
}

#[tokio::test]
async fn a_mark_in_the_grace_period_succeeds_and_does_nothing() {
    let (aws, config) = stand_in().await;
    let mut group = Group::new(GROUP, ["i-1"]);
    group.instances.get_mut("i-1").unwrap().in_service_at_ms = aws.now_ms();
    aws.put_group(group);
    let client = Client::new(&config);
    client.set_instance_health().instance_id("i-1").health_status("Unhealthy").send().await.unwrap();
    assert_eq!(describe(&client, "i-1").await, "1: instance_id group zone, InService healthy");
    assert_eq!(aws.marks().iter().map(|mark| mark.took_effect).collect::<Vec<_>>(), [false]);
}

#[tokio::test]
async fn a_marked_instance_goes_through_its_hook_and_another_comes() {
    let (aws, config) = stand_in().await;
    let hook = Hook {
        transition: Transition::Terminating,
        heartbeat_timeout_ms: 60_000,
        default_result: HookResult::Continue,
    };
    let mut group =
        Group { replace_after_ms: 0, terminate_takes_ms: 0, launch_takes_ms: 0, ..Group::new(GROUP, ["i-1"]) };
    group.hooks.insert("drain".to_owned(), hook);
    aws.put_group(group);
    let client = Client::new(&config);
    client.set_instance_health().instance_id("i-1").health_status("Unhealthy").send().await.unwrap();
    let waits = "1: instance_id group zone, Terminating:Wait unhealthy";
    assert_eq!(describe(&client, "i-1").await, waits);

    let heartbeat = || client.record_lifecycle_action_heartbeat().auto_scaling_group_name(GROUP);
    let beaten = heartbeat().lifecycle_hook_name("drain").instance_id("i-1").send().await;
    assert_eq!(outcome(beaten, |_| "done".to_owned()), "done");
    let beaten = heartbeat().lifecycle_hook_name("other").instance_id("i-1").send().await;
    assert_eq!(outcome(beaten, |_| "done".to_owned()), "error ValidationError");
    let complete = client.complete_lifecycle_action().auto_scaling_group_name(GROUP).lifecycle_hook_name("drain");
    complete.instance_id("i-1").lifecycle_action_result("CONTINUE").send().await.unwrap();

    let gone = || aws.group(GROUP).is_some_and(|group| !group.instances.contains_key("i-1"));
    until("i-1 is gone and its successor in service", || gone() && in_service(&aws) == 1).await;
    let activities = client.describe_scaling_activities().auto_scaling_group_name(GROUP).send().await.unwrap();
    let told: Vec<_> = activities.activities().iter().map(|a| (a.cause().unwrap(), a.progress().unwrap())).collect();
    let [launched, ended] = told.as_slice() else { panic!("two activities, not {told:?}") };
    assert!(launched.0.ends_with("launched in response to an unhealthy instance needing to be replaced."), "{told:?}");
    assert!(ended.0.ends_with("taken out of service in response to a user health-check."), "{told:?}");
    assert_eq!((launched.1, ended.1), (100, 100));
    assert!(activities.activities()[1].start_time() <= activities.activities()[0].start_time());
}

fn in_service(aws: &Aws) -> usize {
    let group = aws.group(GROUP).unwrap();
    group.instances.values().filter(|instance| instance.lifecycle_state == "InService").count()
}

fn expected() -> Vec<(&'static str, String)> {
    [
        ("in a group", "1: instance_id group zone, InService healthy"),
        ("in no group", "0"),
        ("the group", "1: name grace zones, 1 instance: instance_id zone, InService Healthy, 0 suspended"),
        ("no such group", "0"),
        ("mark", "done"),
        ("read back", "1: instance_id group zone, InService unhealthy"),
        ("take the mark back", "done"),
        ("read back again", "1: instance_id group zone, InService healthy"),
    ]
    .map(|(call, outcome)| (call, outcome.to_owned()))
    .into()
}

pub async fn make_group(config: &SdkConfig) {
    let client = Client::new(config);
    let launch = client.create_launch_configuration().launch_configuration_name("lc");
    launch.image_id("ami-12c6146b").instance_type("t3.small").send().await.unwrap();
    let group = client.create_auto_scaling_group().auto_scaling_group_name(GROUP).launch_configuration_name("lc");
    let group = group.availability_zones("us-east-1a").health_check_grace_period(180);
    group.min_size(1).max_size(1).desired_capacity(1).send().await.unwrap();
}

async fn story(config: &SdkConfig) -> Vec<(&'static str, String)> {
    let client = Client::new(config);
    let groups = client.describe_auto_scaling_groups().send().await.unwrap();
    let id = groups.auto_scaling_groups()[0].instances()[0].instance_id().unwrap().to_owned();
    let mark = |id: &str, health: &str| client.set_instance_health().instance_id(id).health_status(health);
    let without_grace = |id: &str, health: &str| mark(id, health).should_respect_grace_period(false);
    vec![
        ("in a group", describe(&client, &id).await),
        ("in no group", describe(&client, STRANGER).await),
        ("the group", describe_group(&client, GROUP).await),
        ("no such group", describe_group(&client, "none").await),
        ("mark", outcome(without_grace(&id, "Unhealthy").send().await, |_| "done".to_owned())),
        ("read back", describe(&client, &id).await),
        ("take the mark back", outcome(mark(&id, "Healthy").send().await, |_| "done".to_owned())),
        ("read back again", describe(&client, &id).await),
    ]
}

async fn describe(client: &Client, id: &str) -> String {
    let described = client.describe_auto_scaling_instances().instance_ids(id).send().await;
    outcome(described, |output| match output.auto_scaling_instances() {
        [] => "0".to_owned(),
        all => {
            let one = &all[0];
            let names = present(&[
                ("instance_id", one.instance_id() == Some(id)),
                ("group", one.auto_scaling_group_name() == Some(GROUP)),
                ("zone", one.availability_zone().is_some()),
            ]);
            // moto writes "Healthy" here; the service writes "HEALTHY" (botocore's examples-1.json shows it).
            let (state, health) = (one.lifecycle_state().unwrap_or("-"), one.health_status().unwrap_or("-"));
            let health = health.to_lowercase();
            format!("{}: {names}, {state} {health}", all.len())
        }
    })
}

async fn describe_group(client: &Client, name: &str) -> String {
    let described = client.describe_auto_scaling_groups().auto_scaling_group_names(name).send().await;
    outcome(described, |output| match output.auto_scaling_groups() {
        [] => "0".to_owned(),
        all => {
            let (one, instance) = (&all[0], &all[0].instances()[0]);
            let names = present(&[
                ("name", one.auto_scaling_group_name() == Some(name)),
                ("grace", one.health_check_grace_period() == Some(180)),
                ("zones", !one.availability_zones().is_empty()),
            ]);
            let of_instance = present(&[
                ("instance_id", instance.instance_id().is_some()),
                ("zone", instance.availability_zone().is_some()),
            ]);
            let state = instance.lifecycle_state().map_or("-", |state| state.as_str());
            let health = instance.health_status().unwrap_or("-");
            let (instances, suspended) = (one.instances().len(), one.suspended_processes().len());
            let instance = format!("{instances} instance: {of_instance}, {state} {health}");
            format!("{}: {names}, {instance}, {suspended} suspended", all.len())
        }
    })
}
