//! The agent's life with exactly the permissions of `packaging/aws/iam/agent.json`, and with one less.

use crate::lifecycle::{SOON, moved, state, with_hooks};
use crate::support::{each, short_outage};
use cflared_tests::aws::autoscaling::Move;
use cflared_tests::aws::{Group, Health, Policy};
use cflared_tests::documents::Documents;
use cflared_tests::edge::Conduct;
use cflared_tests::http::requests::Request;
use cflared_tests::world::{Agent, GROUP, Host, World, eventually};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// What a life comes to, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd)]
enum Stage {
    /// The secret is read, and the tunnel registered.
    Registered,
    /// A datapoint is taken.
    Reporting,
    /// The tunnel is lost for good: the guard has read the group and the peers, and the mark shows.
    Condemned,
    /// The tunnel is back, and the mark is taken back.
    Recovered,
    /// The group waits at the launch hook, and is kept waiting by a hold.
    KeptWaiting,
    /// The group goes on.
    LetIn,
}
use Stage::{Condemned, KeptWaiting, LetIn, Recovered, Registered, Reporting};

/// Where a life ends without a permission.
const NEEDED: [(&str, Stage); 8] = [
    ("secretsmanager:GetSecretValue", Registered),
    ("cloudwatch:PutMetricData", Reporting),
    ("cloudwatch:GetMetricData", Condemned),
    ("autoscaling:DescribeAutoScalingGroups", Condemned),
    ("autoscaling:DescribeAutoScalingInstances", Condemned),
    ("autoscaling:DescribeInstanceRefreshes", Condemned),
    ("autoscaling:DescribeScalingActivities", Condemned),
    ("autoscaling:SetInstanceHealth", Condemned),
];
/// Where a life with hooks ends without a permission that only they need.
const NEEDED_FOR_HOOKS: [(&str, Stage); 3] = [
    ("autoscaling:DescribeLifecycleHooks", KeptWaiting),
    ("autoscaling:RecordLifecycleActionHeartbeat", KeptWaiting),
    ("autoscaling:CompleteLifecycleAction", LetIn),
];
/// The statements for them.
const OF_HOOKS: [&str; 2] = ["LifecycleHooks", "LifecycleHooksRead"];

fn document() -> anyhow::Result<Value> {
    Documents::render()?.json("iam/agent")
}

/// The actions of a statement.
fn actions(statement: &Value) -> Vec<String> {
    let action = &statement["Action"];
    let many = action.as_array().cloned().unwrap_or_else(|| vec![action.clone()]);
    many.iter().filter_map(Value::as_str).map(String::from).collect()
}

/// The policy without that action.
fn without(mut document: Value, action: &str) -> anyhow::Result<Policy> {
    let mut taken = 0;
    for statement in document["Statement"].as_array_mut().into_iter().flatten() {
        let all = actions(statement);
        let left: Vec<_> = all.iter().filter(|each| *each != action).cloned().collect();
        taken += all.len() - left.len();
        statement["Action"] = json!(left);
    }
    anyhow::ensure!(taken == 1, "{action} is in the policy {taken} times");
    Ok(serde_json::from_value(document)?)
}

/// The first permission that the agent says it lacks.
fn lacked(agent: &Agent) -> Option<String> {
    let log = agent.log_text();
    let (_, after) = log.split_once("the role needs ")?;
    Some(after.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == ':').collect())
}

/// Waits until a stage is reached, or the agent says what it lacks for it.
async fn reach(agent: &Agent, stage: Stage, reached: impl Fn() -> bool) -> anyhow::Result<Result<(), Ended>> {
    // What it lacks for a later stage it may find out before this one is reached.
    let is_for_later = |lacks: &String| NEEDED.iter().any(|(action, needed)| action == lacks && *needed > stage);
    let ended = || lacked(agent).filter(|lacks| !is_for_later(lacks)).map(|lacks| Err(Ended { stage, lacks }));
    let wait = async || if reached() { Some(Ok(())) } else { ended() };
    eventually(&format!("{stage:?}"), wait).await
}

/// Whether a stage is reached.
type Reached<'a> = &'a dyn Fn(&Agent) -> bool;

/// How a life ended before its end.
#[derive(Debug, PartialEq, Eq)]
struct Ended {
    stage: Stage,
    lacks: String,
}

/// A whole life.
async fn live(world: &World, host: &mut Host) -> anyhow::Result<Result<(), Ended>> {
    short_outage(host);
    // Another is asked for, and does not report; the mark stands until it is taken back.
    world.aws.edit_group(GROUP, |group| {
        group.instances.extend(Group::new(GROUP, ["i-0ffffffffffffffff"]).instances);
        group.replace_after_ms = u64::MAX;
    });
    let mut agent = host.start()?;
    let health = |agent: &Agent, wanted: &str| agent.health() == wanted;
    let marked =
        |wanted: Health| world.aws.marks().last().is_some_and(|mark| mark.took_effect && mark.health == wanted);
    let stages: [(Stage, Reached<'_>); 4] = [
        (Registered, &|agent| health(agent, "registered")),
        (Reporting, &|_| !world.aws.datapoints().is_empty()),
        (Condemned, &|agent| health(agent, "condemned") && marked(Health::Unhealthy)),
        (Recovered, &|agent| health(agent, "registered") && marked(Health::Healthy)),
    ];
    for (stage, reached) in stages {
        match stage {
            Condemned => {
                world.edge.outage().await?;
            }
            Recovered => world.edge.set(Conduct::Accept).await?,
            Registered | Reporting | KeptWaiting | LetIn => {}
        }
        if let Err(ended) = reach(&agent, stage, || reached(&agent)).await? {
            return Ok(Err(ended));
        }
    }
    anyhow::ensure!(agent.stop().await?.success());
    Ok(Ok(()))
}

#[tokio::test]
async fn the_policy_is_enough_for_a_whole_life_and_each_action_of_it_is_used() -> anyhow::Result<()> {
    let (world, mut host) = World::with_host().await?;
    let document = document()?;
    world.aws.enforce(Some(serde_json::from_value(document.clone())?));
    assert_eq!(live(&world, &mut host).await?, Ok(()));

    let statements = document["Statement"].as_array().unwrap().iter();
    let (hooks, rest): (Vec<_>, Vec<_>) = statements.partition(|each| OF_HOOKS.iter().any(|sid| each["Sid"] == *sid));
    assert_eq!(hooks.len(), OF_HOOKS.len());
    let granted: BTreeSet<String> = rest.into_iter().flat_map(actions).collect();
    let requests = world.aws.requests().all();
    let used = requests.iter().map(|request| request.what.replace("monitoring.", "cloudwatch.").replace('.', ":"));
    assert_eq!(used.collect::<BTreeSet<_>>(), granted);
    assert_eq!(NEEDED.map(|(action, _)| action.to_owned()).into_iter().collect::<BTreeSet<_>>(), granted);
    Ok(())
}

#[tokio::test]
async fn without_any_one_action_a_life_ends_and_the_agent_names_it() -> anyhow::Result<()> {
    each(NEEDED, async |(action, stage)| {
        let (world, mut host) = World::with_host().await?;
        world.aws.enforce(Some(without(document()?, action)?));
        let ended = live(&world, &mut host).await?;
        assert_eq!(ended, Err(Ended { stage, lacks: action.into() }));
        assert!(world.aws.marks().is_empty(), "{:?}", world.aws.marks());
        Ok(())
    })
    .await
}

/// An arrival at a launch hook.
async fn arrive(world: &World, host: &Host) -> anyhow::Result<Result<(), Ended>> {
    moved(world, host, Move::Launch);
    anyhow::ensure!(host.run(["hold", "1h"]).await?.status.success());
    let agent = host.start()?;
    let beaten = |request: &Request| request.status == Some(200);
    let kept = || world.aws.requests().of("RecordLifecycleActionHeartbeat").iter().any(beaten);
    if let Err(ended) = reach(&agent, KeptWaiting, kept).await? {
        return Ok(Err(ended));
    }
    anyhow::ensure!(state(world, host) == "Pending:Wait" && host.run(["hold", "off"]).await?.status.success());
    reach(&agent, LetIn, || state(world, host) == "InService").await
}

#[tokio::test]
async fn the_policy_is_enough_for_an_arrival_and_without_any_one_action_for_hooks_it_ends() -> anyhow::Result<()> {
    let granted = document()?["Statement"].as_array().unwrap().clone().into_iter();
    let for_hooks = granted.filter(|each| OF_HOOKS.iter().any(|sid| each["Sid"] == *sid));
    let granted: BTreeSet<String> = for_hooks.flat_map(|each| actions(&each)).collect();
    assert_eq!(NEEDED_FOR_HOOKS.map(|(action, _)| action.to_owned()).into_iter().collect::<BTreeSet<_>>(), granted);
    let lives = NEEDED_FOR_HOOKS.map(Some).into_iter().chain([None]);
    each(lives.collect::<Vec<_>>(), async |missing| {
        let (world, host) = with_hooks(SOON).await?;
        let (policy, end) = match missing {
            None => (serde_json::from_value(document()?)?, Ok(())),
            Some((action, stage)) => (without(document()?, action)?, Err(Ended { stage, lacks: action.into() })),
        };
        world.aws.enforce(Some(policy));
        assert_eq!(arrive(&world, &host).await?, end);
        Ok(())
    })
    .await
}

/// What another environment's instance may not do with this one's role, and another program not with its namespace.
#[derive(Debug, Clone, Copy)]
enum Elsewhere {
    Secret,
    Namespace,
    Group,
}

#[tokio::test]
async fn the_policy_reaches_nothing_of_another_environment() -> anyhow::Result<()> {
    each([Elsewhere::Secret, Elsewhere::Namespace, Elsewhere::Group], async |elsewhere| {
        let (world, mut host) = World::with_host().await?;
        world.aws.enforce(Some(serde_json::from_value(document()?)?));
        let (stage, lacks) = match elsewhere {
            Elsewhere::Secret => {
                world.aws.put_secret("/adventive/cloudflared/dev-blue", "{}");
                host.imds.edit(|instance| instance.set_tag("adv:env", "dev-blue"));
                (Registered, "secretsmanager:GetSecretValue")
            }
            Elsewhere::Namespace => {
                host.set("cloudwatch.namespace", "CflaredHost");
                (Reporting, "cloudwatch:PutMetricData")
            }
            Elsewhere::Group => {
                let mut group = world.aws.group(GROUP).unwrap();
                world.aws.edit_group(GROUP, |group| group.instances.clear());
                group.name = "adv-cflared-prd".into();
                group.replace_after_ms = u64::MAX;
                world.aws.put_group(group);
                (Condemned, "autoscaling:SetInstanceHealth")
            }
        };
        assert_eq!(live(&world, &mut host).await?, Err(Ended { stage, lacks: lacks.into() }));
        Ok(())
    })
    .await
}
