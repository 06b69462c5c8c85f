//! The replica count of two instances against what the edge saw: never above the truth, and below it only for values
//! that are counted as lost.

use crate::support::registered_pid;
use cflared_tests::aws::Credentials;
use cflared_tests::edge::{Edge, Event, Order, Scope, What};
use cflared_tests::http::faults::Trouble;
use cflared_tests::world::{Agent, Cloudflared, Host, Road, Traffic, World, eventually};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

const REPLICAS: &str = "cflared_replica_count_per_tunnel";
/// One grain, in milliseconds.
const GRAIN: u64 = 1000;
/// How old the look may be that a value rests on, in milliseconds: the interval between looks (`observe.interval`), the
/// time that an answer may take (`observe.timeout`), and what a busy machine adds. A loss shows so much later.
const LOOK: u64 = 250 + 1000 + 250;

/// One of two instances: it has its own keys, by which CloudWatch tells who sent a value, and its own half of the edge.
struct Side {
    host: Host,
    road: Road,
    key: String,
    edges: [SocketAddr; 2],
}

impl Side {
    async fn new(world: &mut World, name: &str, half: usize) -> anyhow::Result<Self> {
        let mut host = world.host().await?;
        let keys = Credentials::made_up(name);
        world.aws.trust(keys.clone());
        let key = keys.access_key_id.clone();
        host.imds.edit(|instance| instance.credentials = keys);
        let all = world.edge.addresses();
        let edges = [all[2 * half], all[2 * half + 1]];
        let mut args = vec!["--protocol".to_owned(), "http2".into()];
        args.extend(Cloudflared::chosen().scaled(0.05));
        args.extend(edges.iter().flat_map(|edge| ["--edge".to_owned(), edge.to_string()]));
        args.extend(world.edge.arguments().into_iter().skip_while(|argument| argument != "--cacert"));
        host.set("connector.extra_args", args);
        host.set("verdict.condemn_after", "5m");
        host.set("verdict.restart_after", "5m");
        let road = world.road_at(251 + u8::try_from(half)?).await?;
        host.takes(&road);
        Ok(Self { host, road, key, edges })
    }

    async fn start(&self) -> anyhow::Result<Agent> {
        let mut agent = self.host.start()?;
        agent.wait_status("both connections", |status| status["connectors"][0]["connections"] == 2).await?;
        Ok(agent)
    }

    /// When it was registered, as milliseconds since 1970: from, and up to.
    fn registered(&self, events: &[Event]) -> Vec<(u64, u64)> {
        let (mut spans, mut live, mut since) = (vec![], BTreeSet::new(), 0);
        for event in events.iter().filter(|event| self.edges.contains(&event.edge)) {
            let at = event.wall / 1000;
            match event.what {
                What::Registered => {
                    if live.is_empty() {
                        since = at;
                    }
                    live.insert(event.connection.clone());
                }
                What::Unregistered | What::Lost | What::Dropped => {
                    live.remove(&event.connection);
                    if live.is_empty() {
                        spans.push((since, at));
                    }
                }
                _ => {}
            }
        }
        if !live.is_empty() {
            spans.push((since, u64::MAX));
        }
        spans
    }
}

/// A wait that is the subject: values come by the second.
async fn grains(count: u32) {
    tokio::time::sleep(Duration::from_millis(GRAIN) * count).await;
}

async fn pushed_again(agent: &mut Agent) -> anyhow::Result<()> {
    let fine = |status: &serde_json::Value| {
        status["cloudwatch"]["last_error"].is_null() && status["cloudwatch"]["waiting"].as_u64() < Some(3)
    };
    agent.wait_status("pushes", fine).await.map(drop)
}

/// What one side's values come to.
#[derive(Debug, Default)]
struct Judged {
    values: usize,
    /// Values that say registered when it was not, for as long as a look may be old.
    above: Vec<u64>,
    /// Grains at whose end it was registered for long, and that have no value, or a value of 0.
    below: Vec<u64>,
}

fn judge(side: &Side, world: &World, from: u64, until: u64) -> Judged {
    let spans = side.registered(&world.edge.events());
    let at_all = |from: u64, to: u64| spans.iter().any(|span| span.0 <= to && from < span.1);
    let throughout = |from: u64, to: u64| spans.iter().any(|span| span.0 <= from && to < span.1);
    let mut values = BTreeMap::new();
    for point in world.aws.datapoints().into_iter().filter(|point| point.metric == REPLICAS && point.by == side.key) {
        let before = values.insert(point.timestamp_ms, point.value);
        assert_eq!(before, None, "two values for {}", point.timestamp_ms);
    }
    let mut judged = Judged { values: values.len(), ..Judged::default() };
    for start in (from / GRAIN * GRAIN..until / GRAIN * GRAIN).step_by(GRAIN as usize) {
        let end = start + GRAIN;
        match values.get(&start) {
            Some(1.0) if !at_all(end - LOOK, end + LOOK) => judged.above.push(start),
            None | Some(0.0) if throughout(end - LOOK, end + LOOK) => judged.below.push(start),
            _ => {}
        }
    }
    judged
}

fn counts(agent: &Agent) -> [u64; 4] {
    let state = agent.state();
    ["offered", "delivered", "lost", "dropped"]
        .map(|name| state["cloudwatch"]["counts"][name].as_u64().unwrap_or_default())
}

/// A connector whose child cannot come back for a while.
async fn lose(edge: &Edge, side: &Side) -> anyhow::Result<()> {
    for address in side.edges {
        edge.set_at(address, cflared_tests::edge::Conduct::Refuse).await?;
    }
    for address in side.edges {
        edge.drop_connections(&Scope { edge: Some(address), ..Scope::default() });
    }
    Ok(())
}

async fn find(edge: &Edge, side: &Side) -> anyhow::Result<()> {
    for address in side.edges {
        edge.set_at(address, cflared_tests::edge::Conduct::Accept).await?;
    }
    Ok(())
}

#[tokio::test]
async fn the_sum_is_never_above_the_truth_and_below_it_only_for_what_is_counted() -> anyhow::Result<()> {
    let mut world = World::new().await?;
    let (one, two) = (Side::new(&mut world, "one", 0).await?, Side::new(&mut world, "two", 1).await?);
    let (mut first, mut second) = (one.start().await?, two.start().await?);
    let from = world.aws.now_ms();
    grains(3).await;

    // Slow, and refused now and then.
    world.aws.plant(Trouble::DelayMs(700).on("monitoring").times(4));
    world.aws.plant(Trouble::Throttled.on("monitoring").times(2));
    one.road.set(Traffic::Refused).await?;
    grains(2).await;
    one.road.set(Traffic::Flows).await?;
    pushed_again(&mut first).await?;

    // Killed within a grain, and stopped within a grain.
    first.crash().await?;
    let mut first = one.start().await?;
    assert!(second.stop().await?.success());
    let mut second = two.start().await?;
    grains(1).await;

    // Taken, and never answered: nobody can know.
    world.aws.plant(Trouble::SwallowAnswer.on("monitoring").times(2));
    // One connector is lost for a while.
    lose(&world.edge, &one).await?;
    first.wait_health("broken").await?;
    grains(3).await;
    find(&world.edge, &one).await?;
    registered(&mut first).await?;
    // The other one's process dies, and comes back by itself.
    world.edge.order(&Scope { edge: Some(two.edges[0]), ..Scope::default() }, &Order::Crash);
    registered(&mut second).await?;
    let lost = |agent: &Agent| agent.status()["cloudwatch"]["lost"].as_u64().unwrap_or(0);
    eventually("what was swallowed to be counted", async || (lost(&first) + lost(&second) > 1).then_some(())).await?;
    pushed_again(&mut first).await?;
    pushed_again(&mut second).await?;
    let until = world.aws.now_ms() - GRAIN;
    grains(2).await;
    assert!(first.stop().await?.success());
    assert!(second.stop().await?.success());

    let (mut all_lost, mut all_below) = (0, 0);
    for (side, agent) in [(&one, &first), (&two, &second)] {
        let judged = judge(side, &world, from, until);
        let [offered, delivered, lost, dropped] = counts(agent);
        println!("{judged:?} offered {offered} delivered {delivered} lost {lost} dropped {dropped}");
        assert_eq!(judged.above, Vec::<u64>::new());
        assert!(judged.below.len() as u64 <= lost + dropped, "{judged:?} {lost} {dropped}");
        assert_eq!(offered, delivered + lost + dropped);
        // What was swallowed is there, and counts as lost all the same.
        assert!((delivered..=delivered + lost).contains(&(judged.values as u64)), "{judged:?} {delivered} {lost}");
        assert!(judged.values > 12, "{judged:?}");
        (all_lost, all_below) = (all_lost + lost, all_below + judged.below.len());
    }
    assert!(all_lost >= 2, "{all_lost} lost, {all_below} below");
    Ok(())
}

async fn registered(agent: &mut Agent) -> anyhow::Result<()> {
    agent.wait_status("both connections", |status| status["connectors"][0]["connections"] == 2).await.map(drop)
}

#[tokio::test]
async fn a_restart_within_a_grain_gives_it_no_second_value() -> anyhow::Result<()> {
    let (world, host) = World::with_host().await?;
    for _ in 0..4 {
        let mut agent = host.start()?;
        registered_pid(&mut agent, None).await?;
        agent.crash().await?;
    }
    let mut agent = host.start()?;
    registered_pid(&mut agent, None).await?;
    pushed_again(&mut agent).await?;
    assert!(agent.stop().await?.success());
    let mut stamps: Vec<_> = world
        .aws
        .datapoints()
        .iter()
        .filter(|point| point.metric == REPLICAS)
        .map(|point| point.timestamp_ms)
        .collect();
    let all = stamps.len();
    stamps.sort_unstable();
    stamps.dedup();
    assert_eq!(stamps.len(), all);
    assert_eq!(agent.state()["restarts"]["agent"], 4);
    Ok(())
}
