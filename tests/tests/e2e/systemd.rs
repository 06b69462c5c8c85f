//! The agent under systemd: readiness, watchdog, stop.

use crate::support::{Moment, each, longest_silence, nothing_left, registered_pid, state, stopped_in, watched};
use anyhow::Context;
use cflared_tests::edge::{Conduct, Order, Scope};
use cflared_tests::http::faults::Trouble;
use cflared_tests::world::{Agent, Payload, SECRET, TUNNEL, World, eventually};
use nix::sys::signal::Signal;
use std::fs;
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

/// When the first notice that begins like this came.
fn told(agent: &Agent, notice: &str) -> Option<Instant> {
    agent.timed_notices().into_iter().find(|told| told.text.starts_with(notice)).map(|told| told.at)
}

#[tokio::test]
async fn ready_comes_with_the_first_registration_and_once() -> anyhow::Result<()> {
    let (world, mut host) = World::with_host().await?;
    host.set("verdict.startup_grace", "60s");
    world.edge.set(Conduct::Refuse).await?;
    let mut agent = host.start()?;
    agent.wait_status("a look", |status| status["connectors"][0]["state"] == "unregistered").await?;
    agent.wait_notice("EXTEND_TIMEOUT_USEC=").await?;
    agent.wait_notice("STATUS=starting: unregistered for ").await?;
    assert_eq!(told(&agent, "READY=1"), None);
    let open = Instant::now();
    world.edge.set(Conduct::Accept).await?;
    agent.wait_notice("READY=1").await?;
    assert!(world.edge.registered_now(TUNNEL).connections > 0);
    assert!(told(&agent, "READY=1").is_some_and(|at| at > open));

    // A hand-over and another child later it is still one: cloudflared would send its own.
    let pid = registered_pid(&mut agent, None).await?;
    world.edge.accept_any_secret(TUNNEL);
    world.aws.put_secret(SECRET, &Payload::numbered(2).text());
    let second = registered_pid(&mut agent, Some(pid)).await?;
    world.edge.order(&Scope::default(), &Order::Crash);
    registered_pid(&mut agent, Some(second)).await?;
    assert!(agent.stop().await?.success());
    agent.wait_notice("STOPPING=1").await?;
    let notices = agent.notices();
    let count = |what: &str| notices.iter().filter(|notice| *notice == what).count();
    assert_eq!((count("READY=1"), count("STOPPING=1"), count("WATCHDOG=1")), (1, 1, 0));
    let ready = notices.iter().position(|notice| notice == "READY=1").context("not ready")?;
    assert!(notices[ready..].iter().all(|notice| !notice.starts_with("EXTEND_TIMEOUT_USEC")));
    assert!(notices.last().is_some_and(|last| last.starts_with("STATUS=draining")), "{notices:?}");
    Ok(())
}

#[tokio::test]
async fn at_the_end_of_the_startup_grace_it_is_ready_all_the_same_and_says_what_is_wrong() -> anyhow::Result<()> {
    let (world, mut host) = World::with_host().await?;
    host.set("verdict.startup_grace", "2s");
    world.edge.set(Conduct::Refuse).await?;
    let began = Instant::now();
    let agent = host.start()?;
    agent.wait_notice("READY=1").await?;
    let after = told(&agent, "READY=1").context("not ready")? - began;
    assert!(after >= Duration::from_secs(2), "{after:?}");
    let extended = told(&agent, "EXTEND_TIMEOUT_USEC=").context("not extended")?;
    assert!(Some(extended) < told(&agent, "READY=1"));
    agent.wait_notice("STATUS=broken: unregistered for ").await?;
    Ok(())
}

#[tokio::test]
async fn the_watchdog_is_fed_by_a_loop_that_runs() -> anyhow::Result<()> {
    let (_world, mut host) = World::with_host().await?;
    // A notice is due every second, and a turn of the loop at least four times as often.
    host.environment.push(("WATCHDOG_USEC".into(), "2000000".into()));
    let mut agent = host.start()?;
    registered_pid(&mut agent, None).await?;
    let fed = |agent: &Agent| agent.notices().iter().filter(|notice| *notice == "WATCHDOG=1").count();
    let (began, from, before) = (Instant::now(), Moment::now(&agent), fed(&agent));
    eventually("ten notices", async || (fed(&agent) >= before + 10).then_some(())).await?;
    // At every turn would be too many; some of those that were due earlier may have come late.
    let most = before + 4 + 2 * usize::try_from(began.elapsed().as_secs())?;
    assert!(fed(&agent) <= most, "{} of {most}", fed(&agent));
    assert!(longest_silence(&agent, from) < Duration::from_secs(2));

    agent.signal(Signal::SIGSTOP)?;
    eventually("the agent to stand still", async || (state(agent.pid()) == Some('T')).then_some(())).await?;
    // What it sent before that is heard before this.
    UnixDatagram::unbound()?.send_to(b"HEARD=1", host.directory().join("notify"))?;
    agent.wait_notice("HEARD=1").await?;
    let stopped = fed(&agent);
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(fed(&agent), stopped);
    agent.signal(Signal::SIGCONT)?;
    eventually("a notice", async || (fed(&agent) > stopped).then_some(())).await?;
    assert!(agent.stop().await?.success());
    Ok(())
}

#[tokio::test]
async fn the_child_gets_nothing_of_the_agents_environment() -> anyhow::Result<()> {
    let (_world, mut host) = World::with_host().await?;
    for (name, value) in [("AWS_PROFILE", "x"), ("TUNNEL_TOKEN", "x"), ("HTTP_PROXY", "x"), ("GOMEMLIMIT", "200MiB")] {
        host.environment.push((name.into(), value.into()));
    }
    watched(&mut host);
    let mut agent = host.start()?;
    let pid = registered_pid(&mut agent, None).await?;
    let environ = fs::read_to_string(format!("/proc/{pid}/environ"))?;
    let mut variables: Vec<_> = environ.split_terminator('\0').collect();
    variables.sort_unstable();
    assert_eq!(variables, ["GOMEMLIMIT=200MiB", "PATH=/usr/bin:/bin"]);
    Ok(())
}

/// What is going on when the stop comes.
#[derive(Debug, Clone, Copy)]
enum Phase {
    CheckingTheRules,
    Registering,
    HandingOver,
    InAnOutage,
    ChildFrozen,
    Marking,
    ToldTwice,
}

#[tokio::test]
async fn a_stop_works_at_once_whatever_goes_on() -> anyhow::Result<()> {
    use Phase::*;
    each([CheckingTheRules, Registering, HandingOver, InAnOutage, ChildFrozen, Marking, ToldTwice], async |phase| {
        let (world, mut host) = World::with_host().await?;
        for (key, time) in [("startup_grace", "100ms"), ("recheck_secret_after", "500ms"), ("condemn_after", "3s")] {
            host.set(&format!("verdict.{key}"), time);
        }
        host.set("verdict.restart_after", "1s");
        host.set("handover.settle", "1m");
        // None of what a stop must not wait for ends by itself within a minute.
        host.set("connector.grace_period", "1m");
        match phase {
            CheckingTheRules => {
                let path = host.script("exit 1")?;
                // It is asked first, whatever it is asked.
                let slow = "sed -i 's/exit 0;;/touch $DIR\\/asked; sleep 60; exit 0;;/' \"$0\"";
                anyhow::ensure!(std::process::Command::new("sh").args(["-c", slow]).arg(path).status()?.success());
            }
            Registering => world.edge.set(Conduct::Hang).await?,
            Marking => world.aws.plant(Trouble::BlackHole.on("SetInstanceHealth")),
            _ => {}
        }
        let mut agent = host.start()?;
        match phase {
            CheckingTheRules => {
                let asked = host.directory().join("asked");
                eventually("the check", async || asked.exists().then_some(())).await?;
            }
            Registering => {
                drop(agent.wait_status("a child", |status| !status["connectors"][0]["pid"].is_null()).await?)
            }
            HandingOver => {
                registered_pid(&mut agent, None).await?;
                world.edge.accept_any_secret(TUNNEL);
                world.aws.put_secret(SECRET, &Payload::numbered(2).text());
                agent.wait_status("two", |status| status["connectors"][1]["connections"] == 4).await?;
            }
            InAnOutage | Marking | ChildFrozen => {
                registered_pid(&mut agent, None).await?;
                match phase {
                    ChildFrozen => drop(world.edge.order(&Scope::default(), &Order::Freeze)),
                    _ => drop(world.edge.outage().await?),
                }
                agent.wait_log("restart the connector").await?;
                if matches!(phase, Marking) {
                    let asked = async || (world.aws.requests().count("SetInstanceHealth") > 0).then_some(());
                    eventually("a mark", asked).await?;
                }
            }
            ToldTwice => {
                registered_pid(&mut agent, None).await?;
                agent.signal(Signal::SIGTERM)?;
            }
        }
        let took = stopped_in(&mut agent, &host).await?;
        assert!(took < Duration::from_secs(15), "{phase:?}: {took:?}");
        assert_eq!(agent.state()["running"], false);
        let status = agent.status();
        assert!(status["health"]["why"].to_string().contains("has stopped"), "{}", status["health"]);
        nothing_left(&host).await
    })
    .await
}
