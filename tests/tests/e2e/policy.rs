//! The agent's life with exactly the permissions of `packaging/aws/iam/agent.json`, and with one less.

use crate::support::{each, short_outage};
use cflared_tests::aws::{Group, Health, Policy};
use cflared_tests::documents::Documents;
use cflared_tests::edge::Conduct;
use cflared_tests::world::{Agent, GROUP, Host, World, eventually};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// What a life comes to, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The secret is read, and the tunnel registered.
    Registered,
    /// A datapoint is taken.
    Reporting,
    /// The tunnel is lost for good: the guard has read the group and the peers, and the mark shows.
    Condemned,
    /// The tunnel is back, and the mark is taken back.
    Recovered,
}
use Stage::{Condemned, Recovered, Registered, Reporting};

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
/// The statements for the hooks, which an agent needs when the settings name some.
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
    let wait = async || if reached() { Some(Ok(())) } else { lacked(agent).map(|lacks| Err(Ended { stage, lacks })) };
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
            Registered | Reporting => {}
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
                group.name = "cflared-prd".into();
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
