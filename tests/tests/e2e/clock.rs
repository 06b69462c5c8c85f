//! The time of day steps an hour either way: no decision changes, and no moment gets two values.

use crate::support::{lines_with, registered_pid};
use cflared_tests::world::{Agent, Clock, Host, PATIENCE, World, eventually};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

const HOUR: i64 = 3600;

/// Loses the tunnel, sets the clock as told (seconds after the loss, seconds ahead), and says how long after the loss
/// condemning was called for, and the instance condemned.
async fn outage(world: &World, host: &mut Host, steps: &[(u64, i64)]) -> anyhow::Result<[Duration; 2]> {
    let clock = Clock::of(host)?;
    host.set("verdict.restart_after", "3s");
    host.set("verdict.condemn_after", "4s");
    // What a busy machine takes to start is no outage, and a look that it cuts short is none.
    host.set("verdict.startup_grace", "30s");
    host.set("observe.timeout", "10s");
    let mut agent = host.start()?;
    registered_pid(&mut agent, None).await?;
    // As the start was one, too: it is over after 30 s of good looks.
    clock.set_ahead(Duration::from_secs(31))?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    world.edge.outage().await?;
    let lost = Instant::now();
    for (after, ahead) in steps {
        tokio::time::sleep_until((lost + Duration::from_secs(*after)).into()).await;
        clock.set_wall(*ahead)?;
    }
    agent.wait_health("condemned").await?;
    let called_for = agent.wait_log("condemn this instance, if the guard agrees").await?;
    let condemned = agent.wait_log("this instance is condemned").await?;
    assert_eq!(world.aws.marks().len(), 1);
    // A value from the hour ahead whose push was refused there waits for its hour; all others go.
    agent.wait_status("pushes", |status| status["cloudwatch"]["last_error"].is_null()).await?;
    assert!(agent.stop().await?.success());
    assert_eq!(agent.state()["cloudwatch"]["counts"]["lost"], 0);
    assert!(once_each(world) > 40);
    Ok([called_for.at - lost, condemned.at - lost])
}

/// That every moment of every metric has one value at most; how many there are.
fn once_each(world: &World) -> usize {
    let mut values: BTreeMap<_, usize> = BTreeMap::new();
    for point in world.aws.datapoints() {
        *values.entry((point.metric, point.dimensions, point.timestamp_ms)).or_default() += 1;
    }
    assert!(values.values().all(|count| *count == 1), "{values:?}");
    values.len()
}

#[tokio::test]
async fn a_clock_that_steps_an_hour_either_way_changes_no_decision_and_doubles_no_value() -> anyhow::Result<()> {
    let (steady, mut host) = World::with_host().await?;
    let (stepping, mut other) = World::with_host().await?;
    // Ahead, back, behind, and right in time for the guard, at 4 s and 9 s: to AWS a clock of another hour is no clock.
    let steps = [(1, HOUR), (2, 0), (5, -HOUR), (6, 0), (7, 1), (8, 0)];
    let (steady, stepped) = tokio::join!(outage(&steady, &mut host, &[]), outage(&stepping, &mut other, &steps));
    let (steady, stepped) = (steady?, stepped?);
    // A step that counted would show as an hour, or as no time at all. A busy machine is late by seconds, and never early.
    let expected = [Duration::from_secs(4), Duration::from_secs(9)];
    for (was, expected) in [steady, stepped].iter().flat_map(|times| times.iter().zip(expected)) {
        let early = expected - Duration::from_millis(1200);
        assert!((early..expected + PATIENCE).contains(was), "{steady:?} {stepped:?}");
    }
    Ok(())
}

#[tokio::test]
async fn values_that_are_refused_for_their_hour_go_with_the_next_push() -> anyhow::Result<()> {
    let (world, mut host) = World::with_host().await?;
    let clock = Clock::of(&mut host)?;
    // As above.
    host.set("observe.timeout", "10s");
    let mut agent = host.start()?;
    registered_pid(&mut agent, None).await?;
    eventually("datapoints", async || (!world.aws.datapoints().is_empty()).then_some(())).await?;
    for ahead in [HOUR, 0] {
        let pushed = |agent: &Agent| lines_with(agent, "datapoints reach CloudWatch again");
        let before = pushed(&agent);
        clock.set_wall(ahead)?;
        // The answer told the time of CloudWatch, by which the next request is signed.
        eventually("pushes", async || (pushed(&agent) > before).then_some(())).await?;
    }
    let refused = agent.wait_log("datapoints do not reach CloudWatch").await?;
    assert!(
        refused.json["fields"]["error"].to_string().contains("the datapoints go with the next push"),
        "{}",
        refused.json
    );
    assert_eq!(agent.health(), "registered");
    assert!(agent.stop().await?.success());
    let counts = &agent.state()["cloudwatch"]["counts"];
    assert_eq!((&counts["lost"], &counts["dropped"]), (&0.into(), &0.into()), "{counts}");
    once_each(&world);
    Ok(())
}
