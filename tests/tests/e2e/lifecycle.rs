//! Arrival and departure: launch and terminate hooks, the warm pool, Standby, and a spot instance's notice.

use crate::support::{nothing_left, registered_pid};
use anyhow::Context;
use cflared_tests::aws::autoscaling::{Hook, HookResult, Move, Transition};
use cflared_tests::edge::Conduct;
use cflared_tests::http::faults::Trouble;
use cflared_tests::imds::SpotAction;
use cflared_tests::world::{Agent, GROUP, Host, Road, TUNNEL, Traffic, World, eventually};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const HELLO: &str = "hello";
const BYE: &str = "bye";
const REFRESH: &str = "an instance was taken out of service in response to an instance refresh.";
/// Longer than any of these tests.
const LONG: Duration = Duration::from_secs(600);
/// A heartbeat is due after 15 s of it.
pub const SOON: Duration = Duration::from_secs(20);

/// An instance whose group has both hooks, and whose settings name them.
pub async fn with_hooks(launch_timeout: Duration) -> anyhow::Result<(World, Host)> {
    let mut world = World::new().await?;
    let host = hooked(&mut world, launch_timeout).await?;
    Ok((world, host))
}

async fn hooked(world: &mut World, launch_timeout: Duration) -> anyhow::Result<Host> {
    let mut host = world.host().await?;
    let hook = |transition, timeout: Duration| {
        let heartbeat_timeout_ms = u64::try_from(timeout.as_millis()).unwrap();
        Hook { transition, heartbeat_timeout_ms, default_result: HookResult::Abandon }
    };
    world.aws.edit_group(GROUP, |group| {
        group.hooks.insert(HELLO.to_owned(), hook(Transition::Launching, launch_timeout));
        group.hooks.insert(BYE.to_owned(), hook(Transition::Terminating, LONG));
        group.launch_takes_ms = 0;
    });
    host.set("lifecycle.launch_hook", HELLO);
    host.set("lifecycle.terminate_hook", BYE);
    Ok(host)
}

/// Makes it go another way, and its metadata service say so.
pub fn moved(world: &World, host: &Host, way: Move) {
    let target = match way {
        Move::Launch | Move::Serve | Move::ExitStandby => "InService",
        Move::Warm => "Warmed:Stopped",
        Move::EnterStandby => "Standby",
    };
    host.imds.edit(|instance| instance.target_lifecycle_state = Some(target.to_owned()));
    assert!(world.aws.move_instance(&host.id, way), "{way:?}");
}

/// As an instance refresh does it.
fn terminated(world: &World, host: &Host) {
    host.imds.edit(|instance| instance.target_lifecycle_state = Some("Terminated".to_owned()));
    assert!(world.aws.terminate_instance(&host.id, REFRESH));
}

/// Every completion that was asked for: the hook, the result, and the status of the answer.
fn completions(world: &World) -> Vec<(String, String, Option<u16>)> {
    let told = |request: cflared_tests::http::requests::Request| {
        let input = request.input.unwrap_or_default();
        let word = |key: &str| input[key].as_str().unwrap_or_default().to_owned();
        (word("LifecycleHookName"), word("LifecycleActionResult"), request.status)
    };
    world.aws.requests().of("CompleteLifecycleAction").into_iter().map(told).collect()
}

fn one(hook: &str, result: &str) -> Vec<(String, String, Option<u16>)> {
    vec![(hook.to_owned(), result.to_owned(), Some(200))]
}

pub fn state(world: &World, host: &Host) -> String {
    world.aws.lifecycle_state(&host.id).unwrap_or_else(|| "gone".to_owned())
}

async fn wait_state(world: &World, host: &Host, agent: &Agent, wanted: &str) -> anyhow::Result<()> {
    let waited = eventually(wanted, async || (state(world, host) == wanted).then_some(())).await;
    waited.with_context(|| format!("{}\n{:#}\n{}", state(world, host), agent.status(), agent.log_text()))
}

/// Waits for so many more answers to requests of that kind.
async fn more(world: &World, agent: &Agent, action: &str, count: usize) -> anyhow::Result<()> {
    let answered = || world.aws.requests().of(action).iter().filter(|request| request.status.is_some()).count();
    let wanted = answered() + count;
    let waited = eventually(&format!("{count} more {action}"), async || (answered() >= wanted).then_some(())).await;
    waited.with_context(|| format!("{:#}\n{}", agent.status(), agent.log_text()))
}

/// Waits until the metadata service was asked a few times more what is to become of the instance.
async fn looked_again(host: &Host) -> anyhow::Result<()> {
    let asked = || host.imds.requests().count("autoscaling/target-lifecycle-state");
    let before = asked();
    eventually("more looks", async || (asked() >= before + 3).then_some(())).await
}

async fn nothing_registered(world: &World) -> anyhow::Result<()> {
    let gone = async || (world.edge.registered_now(TUNNEL).connections == 0).then_some(());
    eventually("nothing to be registered", gone).await
}

#[tokio::test]
async fn an_instance_is_let_in_once_when_it_is_registered_and_settled() -> anyhow::Result<()> {
    let (world, host) = with_hooks(SOON).await?;
    world.edge.set(Conduct::Refuse).await?;
    world.aws.edit_group(GROUP, |group| group.launch_takes_ms = 2000);
    moved(&world, &host, Move::Launch);
    let mut agent = host.start()?;
    wait_state(&world, &host, &agent, "Pending:Wait").await?;
    more(&world, &agent, "RecordLifecycleActionHeartbeat", 1).await?;
    assert_eq!(completions(&world), [], "it is not registered");
    world.edge.set(Conduct::Accept).await?;
    wait_state(&world, &host, &agent, "InService").await?;
    registered_pid(&mut agent, None).await?;
    let asked = world.aws.requests().of("CompleteLifecycleAction");
    let registered = world.edge.events().iter().map(|event| event.wall).min().context("no event at the edge")?;
    assert!(asked[0].began_us >= registered + 500_000, "it had settled for handover.settle");
    looked_again(&host).await?;
    assert_eq!(completions(&world), one(HELLO, "CONTINUE"));
    assert_eq!(agent.health(), "registered");
    assert!(agent.stop().await?.success());
    assert_eq!(completions(&world), one(HELLO, "CONTINUE"), "a stop is no departure");
    Ok(())
}

#[tokio::test]
async fn an_instance_that_does_not_wait_yet_is_not_let_in_yet() -> anyhow::Result<()> {
    let (world, host) = with_hooks(LONG).await?;
    world.aws.edit_group(GROUP, |group| group.launch_takes_ms = 6000);
    moved(&world, &host, Move::Launch);
    let mut agent = host.start()?;
    registered_pid(&mut agent, None).await?;
    assert_eq!(state(&world, &host), "Pending");
    wait_state(&world, &host, &agent, "InService").await?;
    assert_eq!(completions(&world), one(HELLO, "CONTINUE"), "nothing was asked for before the group waited");
    Ok(())
}

#[tokio::test]
async fn an_agent_that_is_killed_on_the_way_does_not_do_it_twice() -> anyhow::Result<()> {
    let (world, host) = with_hooks(LONG).await?;
    moved(&world, &host, Move::Launch);
    world.aws.plant(Trouble::Denied.on("CompleteLifecycleAction"));
    let mut agent = host.start()?;
    registered_pid(&mut agent, None).await?;
    more(&world, &agent, "CompleteLifecycleAction", 1).await?;
    agent.crash().await?;
    nothing_left(&host).await?;
    world.aws.clear_faults();
    assert_eq!(state(&world, &host), "Pending:Wait");
    let mut agent = host.start()?;
    wait_state(&world, &host, &agent, "InService").await?;
    agent.crash().await?;
    nothing_left(&host).await?;
    let mut agent = host.start()?;
    registered_pid(&mut agent, None).await?;
    looked_again(&host).await?;
    let done: Vec<_> = completions(&world).into_iter().filter(|(_, _, status)| *status == Some(200)).collect();
    assert_eq!(done, one(HELLO, "CONTINUE"));
    Ok(())
}

#[tokio::test]
async fn a_hook_that_is_denied_or_throttled_is_tried_again_and_said() -> anyhow::Result<()> {
    for (trouble, says) in [(Trouble::Denied, "CompleteLifecycleAction"), (Trouble::Throttled, "try again")] {
        let (world, host) = with_hooks(LONG).await?;
        moved(&world, &host, Move::Launch);
        world.aws.plant(trouble.on("CompleteLifecycleAction"));
        let mut agent = host.start()?;
        registered_pid(&mut agent, None).await?;
        more(&world, &agent, "CompleteLifecycleAction", 1).await?;
        agent.wait_log(says).await?;
        assert_eq!((agent.health().as_str(), state(&world, &host).as_str()), ("registered", "Pending:Wait"));
        world.aws.clear_faults();
        wait_state(&world, &host, &agent, "InService").await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_hold_keeps_the_group_waiting() -> anyhow::Result<()> {
    let (world, host) = with_hooks(SOON).await?;
    moved(&world, &host, Move::Launch);
    assert!(host.run(["hold", "1h"]).await?.status.success());
    let mut agent = host.start()?;
    registered_pid(&mut agent, None).await?;
    more(&world, &agent, "RecordLifecycleActionHeartbeat", 1).await?;
    assert_eq!((completions(&world).len(), state(&world, &host).as_str()), (0, "Pending:Wait"));
    assert!(host.run(["hold", "off"]).await?.status.success());
    wait_state(&world, &host, &agent, "InService").await?;
    assert_eq!(completions(&world), one(HELLO, "CONTINUE"));
    Ok(())
}

#[tokio::test]
async fn a_host_whose_network_is_broken_is_given_up_near_the_deadline() -> anyhow::Result<()> {
    // Three quarters of it, and 5 s for a log shipper, leave some seconds before the group gives it up by itself.
    const TIME: Duration = Duration::from_secs(48);
    let (mut world, _) = with_hooks(TIME).await?;
    // Somebody else serves the tunnel.
    let other = world.host().await?;
    let mut serving = other.start()?;
    registered_pid(&mut serving, None).await?;
    let mut host = hooked(&mut world, TIME).await?;
    let road = Road::build(world.block.address(252, 7844), world.edge.addresses()[0]).await?;
    road.set(Traffic::Refused).await?;
    let arguments = ["--edge", &road.address().to_string(), "--protocol", "http2", "--no-prechecks"].map(String::from);
    let trust = world.edge.arguments().into_iter().skip_while(|argument| argument != "--cacert");
    host.set("connector.extra_args", arguments.into_iter().chain(trust).collect::<Vec<_>>());
    moved(&world, &host, Move::Launch);
    let agent = host.start()?;
    let began = SystemTime::now().duration_since(UNIX_EPOCH)?;
    let gone = async || (!state(&world, &host).starts_with("Pending")).then_some(());
    let waited = eventually("it to be given up", gone).await;
    waited.with_context(|| format!("{:#}\n{}", agent.status(), agent.log_text()))?;
    assert_eq!(completions(&world), one(HELLO, "ABANDON"), "{:#}\n{}", agent.status(), agent.log_text());
    let asked = Duration::from_micros(world.aws.requests().of("CompleteLifecycleAction")[0].began_us) - began;
    assert!(asked > Duration::from_secs(30), "not before the deadline is near: {asked:?}");
    agent.wait_log("about to be abandoned: the evidence").await?;
    Ok(())
}

#[tokio::test]
async fn an_edge_that_is_out_is_waited_for() -> anyhow::Result<()> {
    let (world, host) = with_hooks(SOON).await?;
    world.edge.set(Conduct::Refuse).await?;
    moved(&world, &host, Move::Launch);
    let agent = host.start()?;
    // Without them the group would have given it up after the first.
    more(&world, &agent, "RecordLifecycleActionHeartbeat", 2).await?;
    assert_eq!((completions(&world), state(&world, &host).as_str()), (vec![], "Pending:Wait"), "{}", agent.log_text());
    world.edge.set(Conduct::Accept).await?;
    wait_state(&world, &host, &agent, "InService").await?;
    assert_eq!(completions(&world), one(HELLO, "CONTINUE"));
    Ok(())
}

#[tokio::test]
async fn an_instance_warms_up_without_registering_and_serves_later() -> anyhow::Result<()> {
    let (world, host) = with_hooks(LONG).await?;
    moved(&world, &host, Move::Warm);
    let mut agent = host.start()?;
    wait_state(&world, &host, &agent, "Warmed:Stopped").await?;
    assert_eq!(completions(&world), one(HELLO, "CONTINUE"));
    assert_eq!(world.edge.events().len(), 0, "it never registered");
    moved(&world, &host, Move::Serve);
    wait_state(&world, &host, &agent, "InService").await?;
    registered_pid(&mut agent, None).await?;
    assert_eq!(completions(&world), [one(HELLO, "CONTINUE"), one(HELLO, "CONTINUE")].concat());
    Ok(())
}

#[tokio::test]
async fn an_instance_leaves_through_its_hook_and_stays_until_it_is_ended() -> anyhow::Result<()> {
    let (world, mut host) = with_hooks(LONG).await?;
    // No grain ends in time: what is pushed is pushed for the departure.
    host.set("cloudwatch.interval", "60s");
    let mut agent = host.start()?;
    registered_pid(&mut agent, None).await?;
    looked_again(&host).await?;
    assert_eq!(completions(&world), []);
    world.aws.edit_group(GROUP, |group| group.terminate_takes_ms = 600_000);
    terminated(&world, &host);
    wait_state(&world, &host, &agent, "Terminating:Proceed").await?;
    let asked = world.aws.requests().of("CompleteLifecycleAction");
    assert_eq!(world.edge.registered_now(TUNNEL).connections, 0, "it is drained first");
    // The last datapoint that was taken by then says so.
    let datapoints = world.aws.datapoints();
    let mut before = datapoints.iter().filter(|point| {
        point.metric == "cflared_replica_count_per_tunnel" && point.received_at_ms * 1000 <= asked[0].began_us
    });
    assert_eq!(before.next_back().map(|point| point.value), Some(0.0), "{:?}", world.aws.minute_sums());
    agent.wait_health("draining").await?;
    looked_again(&host).await?;
    assert_eq!((agent.health().as_str(), agent.ended()), ("draining", None));
    assert_eq!(completions(&world), one(BYE, "CONTINUE"));
    assert_eq!(world.edge.registered_now(TUNNEL).connections, 0);
    assert!(agent.stop().await?.success());
    nothing_left(&host).await
}

#[tokio::test]
async fn an_agent_that_is_killed_while_it_leaves_goes_on_leaving() -> anyhow::Result<()> {
    let (world, host) = with_hooks(LONG).await?;
    world.aws.edit_group(GROUP, |group| group.terminate_takes_ms = 600_000);
    let mut agent = host.start()?;
    registered_pid(&mut agent, None).await?;
    world.aws.plant(Trouble::Denied.on("CompleteLifecycleAction"));
    terminated(&world, &host);
    more(&world, &agent, "CompleteLifecycleAction", 1).await?;
    agent.crash().await?;
    nothing_left(&host).await?;
    world.aws.clear_faults();
    let events = world.edge.events().len();
    let mut agent = host.start()?;
    wait_state(&world, &host, &agent, "Terminating:Proceed").await?;
    agent.wait_health("draining").await?;
    assert_eq!(world.edge.events().len(), events, "it does not register again");
    Ok(())
}

#[tokio::test]
async fn without_a_hook_an_instance_is_drained_when_it_is_told_to_go() -> anyhow::Result<()> {
    let (world, mut host) = World::with_host().await?;
    host.set("cloudwatch.interval", "60s");
    world.aws.edit_group(GROUP, |group| group.terminate_takes_ms = 600_000);
    let mut agent = host.start()?;
    registered_pid(&mut agent, None).await?;
    terminated(&world, &host);
    agent.wait_health("draining").await?;
    nothing_registered(&world).await?;
    assert!(agent.stop().await?.success());
    let datapoints = world.aws.datapoints();
    let last = datapoints.iter().rfind(|point| point.metric == "cflared_replica_count_per_tunnel");
    assert_eq!(last.map(|point| point.value), Some(0.0));
    assert_eq!(completions(&world), []);
    Ok(())
}

#[tokio::test]
async fn standby_and_back() -> anyhow::Result<()> {
    let (world, host) = with_hooks(LONG).await?;
    let mut agent = host.start()?;
    registered_pid(&mut agent, None).await?;
    moved(&world, &host, Move::EnterStandby);
    agent.wait_health("draining").await?;
    nothing_registered(&world).await?;
    assert!(agent.ended().is_none());
    assert_eq!(completions(&world), []);
    moved(&world, &host, Move::ExitStandby);
    wait_state(&world, &host, &agent, "InService").await?;
    registered_pid(&mut agent, None).await?;
    assert_eq!(completions(&world), one(HELLO, "CONTINUE"), "as the guide's picture has it, launch hooks apply");
    Ok(())
}

#[tokio::test]
async fn a_spot_instance_drains_on_its_notice_and_not_on_a_recommendation() -> anyhow::Result<()> {
    let (world, host) = World::with_host().await?;
    host.imds.edit(|instance| instance.life_cycle = Some("spot".to_owned()));
    let mut agent = host.start()?;
    let pid = registered_pid(&mut agent, None).await?;
    let time = "2026-01-01T00:00:00Z".to_owned();
    host.imds.edit(|instance| instance.rebalance_notice_time = Some(time.clone()));
    agent.wait_log("rebalance").await?;
    looked_again(&host).await?;
    assert_eq!((agent.health().as_str(), agent.connector_pid()), ("registered", Some(pid)));
    host.imds.edit(|instance| instance.spot_action = Some(SpotAction { action: "terminate".to_owned(), time }));
    agent.wait_health("draining").await?;
    nothing_registered(&world).await?;
    assert!(agent.ended().is_none());
    assert!(agent.stop().await?.success());
    Ok(())
}
