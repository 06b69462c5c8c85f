//! Trouble with cloudflared itself.

use crate::support::{STARTED, lines_with, lives, nothing_left, registered_pid};
use anyhow::Context;
use cflared_tests::aws::time::now_ms;
use cflared_tests::edge::{Conduct, Order, Scope, What};
use cflared_tests::world::{Clock, Cloudflared, Payload, SECRET, TUNNEL, World, eventually, left_out, tunnel_secret};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;
use tokio::process::Command;

#[tokio::test]
async fn a_program_that_is_missing_or_no_program_is_named_and_taken_up_when_it_is_there() -> anyhow::Result<()> {
    let (_world, mut host) = World::with_host().await?;
    let path = host.directory().join("cloudflared");
    host.set("connector.binary", path.display().to_string());
    let mut agent = host.start()?;
    let says = |part: &'static str| move |status: &serde_json::Value| status["trouble"].to_string().contains(part);
    agent.wait_status("a missing program", says("no such file; install cloudflared there")).await?;
    fs::write(&path, "")?;
    fs::set_permissions(&path, Permissions::from_mode(0o644))?;
    agent.wait_status("a file that is no program", says("check its mode")).await?;
    assert_eq!(lines_with(&agent, STARTED), 0);
    fs::remove_file(&path)?;
    std::os::unix::fs::symlink(Cloudflared::chosen().path(), &path)?;
    agent.wait_health("registered").await?;
    agent.stop().await?;

    // The same with a bundle that is installed: it is the connector then, that cannot be started.
    fs::remove_file(&path)?;
    let mut agent = host.start()?;
    let missing =
        |status: &serde_json::Value| status["connectors"][0]["last_exit"].to_string().contains("no such file");
    agent.wait_status("a missing program", missing).await?;
    std::os::unix::fs::symlink(Cloudflared::chosen().path(), &path)?;
    agent.wait_health("registered").await?;
    assert_eq!(lines_with(&agent, STARTED), 1);
    Ok(())
}

#[tokio::test]
async fn a_child_that_exits_at_once_is_started_ever_more_slowly() -> anyhow::Result<()> {
    let (world, mut host) = World::with_host().await?;
    host.script("[ -e $DIR/mended ] && exec $CLOUDFLARED \"$@\"; echo no >&2; exit 3")?;
    let mut agent = host.start()?;
    agent.wait_status("exits", |status| status["connectors"][0]["restarts"] == 2).await?;
    let status = agent.status();
    assert_eq!(status["connectors"][0]["last_exit"], "exit status: 3");
    assert_eq!(status["counters"]["connector_restarts"], 2);
    assert_eq!(world.edge.registered_now(TUNNEL).connections, 0);
    fs::write(host.directory().join("mended"), "")?;
    agent.wait_health("registered").await?;
    let started: Vec<_> = agent.log().into_iter().filter(|line| line.json["message"] == STARTED).collect();
    let waits: Vec<_> = started.windows(2).map(|pair| (pair[1].at - pair[0].at).as_millis()).collect();
    // 1 s or up to twice that; the next wait is twice as long.
    assert!((900..2500).contains(&waits[0]) && (1900..4500).contains(&waits[1]), "{waits:?}");
    assert_eq!(started.len(), 3, "{}", agent.log_text());
    Ok(())
}

#[tokio::test]
async fn a_stable_child_that_is_killed_is_replaced_at_once_and_the_next_one_after_a_pause() -> anyhow::Result<()> {
    let (world, mut host) = World::with_host().await?;
    let clock = Clock::of(&mut host)?;
    // A look that a busy machine cuts short would be a restart more.
    host.set("observe.timeout", "10s");
    let mut agent = host.start()?;
    let first = registered_pid(&mut agent, None).await?;
    clock.set_ahead(Duration::from_secs(31))?;
    assert_eq!(world.edge.order(&Scope::default(), &Order::Crash), 1);
    let exited = agent.wait_log("connector exited").await?;
    assert_eq!(exited.json["fields"]["respawn_in"], "0ns");
    let second = registered_pid(&mut agent, Some(first)).await?;

    world.edge.order(&Scope::default(), &Order::Crash);
    registered_pid(&mut agent, Some(second)).await?;
    let times = |message| agent.log().into_iter().filter(move |line| line.json["message"] == message);
    let exited = times("connector exited").next_back().context("not exited")?;
    let started = times(STARTED).next_back().context("not started")?;
    assert!(started.at - exited.at > Duration::from_millis(900), "{:?}", started.at - exited.at);
    assert_eq!(lines_with(&agent, STARTED), 3);
    assert_eq!(agent.status()["counters"]["connector_restarts"], 2);
    Ok(())
}

#[tokio::test]
async fn a_megabyte_without_an_end_and_outputs_that_are_closed_do_not_disturb() -> anyhow::Result<()> {
    if left_out(
        "a_megabyte_without_an_end_and_outputs_that_are_closed_do_not_disturb",
        "it prints what it is ordered to, and closes its output on order",
    ) {
        return Ok(());
    }
    let (world, host) = World::with_host().await?;
    let mut agent = host.start()?;
    let pid = registered_pid(&mut agent, None).await?;
    world.edge.order(&Scope::default(), &Order::Flood { bytes: 1 << 20 });
    world.edge.order(&Scope::default(), &Order::Print { line: "after the flood".into() });
    let line = agent.wait_log("discarded_bytes").await?;
    let discarded = line.json["fields"]["discarded_bytes"].as_u64().context("no count")?;
    assert!(discarded > 1_000_000 && line.json.to_string().len() < 20_000, "{discarded}");
    world.edge.order(&Scope::default(), &Order::CloseOutput);
    // It is looked at as before: a lost connection shows.
    world.edge.set(Conduct::Refuse).await?;
    world.edge.drop_connections(&Scope { index: Some(1), ..Scope::default() });
    agent.wait_health("degraded").await?;
    world.edge.set(Conduct::Accept).await?;
    agent.wait_health("registered").await?;
    assert_eq!((agent.connector_pid(), lines_with(&agent, STARTED)), (Some(pid), 1));
    assert!(agent.stop().await?.success());
    assert_eq!(world.edge.events().iter().filter(|event| event.what == What::Lost).count(), 0);
    Ok(())
}

#[tokio::test]
async fn a_frozen_child_is_replaced_after_restart_after() -> anyhow::Result<()> {
    let (world, mut host) = World::with_host().await?;
    // A look that a busy machine cuts short would be another freeze, and a child that it starts slowly another restart.
    host.set("observe.timeout", "10s");
    host.set("verdict.restart_after", "40s");
    host.set("verdict.condemn_after", "80s");
    let clock = Clock::of(&mut host)?;
    let mut agent = host.start()?;
    let frozen = registered_pid(&mut agent, None).await?;
    // The outage that every start is ends after 30 s of good looks; here after two of them.
    clock.set_ahead(Duration::from_secs(31))?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    world.edge.order(&Scope::default(), &Order::Freeze);
    let broken = agent.wait_health("broken").await?;
    assert!(broken["health"]["why"].to_string().contains("/ready does not answer"), "{}", broken["health"]);
    assert_eq!(lines_with(&agent, "restart the connector"), 0);
    clock.set_ahead(Duration::from_secs(31 + 40))?;
    registered_pid(&mut agent, Some(frozen)).await?;
    agent.wait_health("registered").await?;
    assert_eq!((lines_with(&agent, "restart the connector"), lines_with(&agent, STARTED)), (1, 2));
    assert!(!lives(frozen));
    assert_eq!(agent.status()["counters"]["connector_restarts"], 1);
    Ok(())
}

#[tokio::test]
async fn a_stranger_on_our_port_is_named_and_another_port_is_used() -> anyhow::Result<()> {
    let (world, mut host) = World::with_host().await?;
    host.set("verdict.condemn_after", "60s");
    let (config, credentials) = (host.directory().join("squatter.yml"), host.directory().join("squatter.json"));
    fs::write(&config, Payload::default().config)?;
    fs::write(&credentials, Payload::default().credentials)?;
    let program = Cloudflared::chosen();
    let mut squatter = Command::new(program.path());
    squatter.args(["tunnel", "--protocol", "http2", "--no-prechecks", "--output", "json"]).args(world.edge.arguments());
    squatter.args(program.scaled(0.05));
    squatter.arg("--config").arg(config).arg("--cred-file").arg(credentials);
    squatter.arg("--metrics").arg(host.metrics[0].to_string()).arg("run");
    let mut squatter = squatter.stderr(std::process::Stdio::null()).kill_on_drop(true).spawn()?;
    let registered = world.edge.wait_registered(TUNNEL, Duration::from_secs(20), |now| now.connections == 4).await;
    registered.map_err(|now| anyhow::anyhow!("{now:?}"))?;
    let mut agent = host.start()?;
    registered_pid(&mut agent, None).await?;
    let status = agent.wait_health("registered").await?;
    let connector = &status["connectors"][0];
    assert_eq!(connector["metrics"], host.metrics[1].to_string(), "{connector:#}");
    let taken = &connector["metrics_taken"][0];
    assert_eq!(taken["address"], host.metrics[0].to_string());
    let pid = squatter.id().context("it runs")?;
    assert!(taken["by"].to_string().contains(&format!("(pid {pid}, uid ")), "{taken:#}");
    let line = agent.wait_log("metrics port taken").await?;
    assert!(line.json.to_string().contains(&pid.to_string()), "{}", line.json);

    // A successor has neither address, and takes over all the same.
    world.edge.accept_any_secret(TUNNEL);
    let version = world.aws.put_secret(SECRET, &Payload::numbered(2).text());
    let serves = |status: &serde_json::Value| {
        let connectors = status["connectors"].as_array();
        status["installed"]["version"] == version.as_str() && connectors.is_some_and(|all| all.len() == 1)
    };
    let status = agent.wait_status("the new version to serve alone", serves).await?;
    let metrics = status["connectors"][0]["metrics"].to_string();
    assert!(host.metrics.iter().all(|address| !metrics.contains(&address.to_string())), "{metrics}");

    // The stranger goes, and the next connector is where it was meant to be.
    squatter.kill().await?;
    let version = world.aws.put_secret(SECRET, &Payload::numbered(3).text());
    let serves = |status: &serde_json::Value| {
        let connectors = status["connectors"].as_array();
        status["installed"]["version"] == version.as_str() && connectors.is_some_and(|all| all.len() == 1)
    };
    let status = agent.wait_status("the third version to serve alone", serves).await?;
    let metrics = status["connectors"][0]["metrics"].to_string();
    assert!(host.metrics.iter().any(|address| metrics.contains(&address.to_string())), "{metrics}");
    assert_eq!(status["connectors"][0]["metrics_taken"], serde_json::json!([]));
    Ok(())
}

#[tokio::test]
async fn a_child_is_ours_by_its_socket_whatever_it_calls_itself() -> anyhow::Result<()> {
    if left_out("a_child_is_ours_by_its_socket_whatever_it_calls_itself", "it shows another connector's id on order") {
        return Ok(());
    }
    let (world, host) = World::with_host().await?;
    let mut agent = host.start()?;
    let ours = registered_pid(&mut agent, None).await?;
    let other = "00000000-1111-4222-8333-444444444444";
    world.edge.order(&Scope::default(), &Order::ForeignId { connector: other.into() });
    // Each look counts: it is a look after the order that must find it registered.
    let looks = agent.status()["written_at"].clone();
    let later = |status: &serde_json::Value| status["written_at"] != looks;
    let status = agent.wait_status("a later look", later).await?;
    assert_eq!((status["health"]["state"].as_str(), agent.connector_pid()), (Some("registered"), Some(ours)));
    assert_eq!(lines_with(&agent, "→ broken"), 0);
    Ok(())
}

#[tokio::test]
async fn never_registered_is_broken_whatever_ha_connections_says() -> anyhow::Result<()> {
    let (world, mut host) = World::with_host().await?;
    host.set("verdict.condemn_after", "60s");
    world.edge.set(Conduct::Refuse).await?;
    let mut agent = host.start()?;
    let status = agent.wait_health("broken").await?;
    assert_eq!(status["connectors"][0]["ha_connections"], 1, "{status:#}");
    assert_eq!(status["connectors"][0]["state"], "unregistered");
    let why = status["health"]["why"].to_string();
    assert!(why.contains("ha_connections shows 1; it counts attempts"), "{why}");
    let shown = host.run(["status"]).await?;
    assert_eq!(shown.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&shown.stdout).starts_with("broken for "));
    assert_eq!(lines_with(&agent, "→ registered"), 0);
    Ok(())
}

#[tokio::test]
async fn a_killed_agent_takes_its_child_along_and_the_next_one_takes_over() -> anyhow::Result<()> {
    let (world, host) = World::with_host().await?;
    let mut agent = host.start()?;
    let orphan = registered_pid(&mut agent, None).await?;
    agent.crash().await?;
    nothing_left(&host).await?;
    eventually("the child to be gone", async || (!lives(orphan)).then_some(())).await?;
    let nobody = world.edge.wait_registered(TUNNEL, Duration::from_secs(5), |now| now.connections == 0).await;
    nobody.map_err(|now| anyhow::anyhow!("{now:?}"))?;
    let began_ms = now_ms();
    let mut agent = host.start()?;
    registered_pid(&mut agent, None).await?;
    assert_eq!(agent.state()["restarts"]["agent"], 1);
    eventually("the restart to be counted", async || {
        let points = world.aws.datapoints();
        let restarts = points.iter().filter(|point| point.metric == "cflared_systemd_restart_count");
        let sum: f64 = restarts.filter(|point| point.received_at_ms >= began_ms).map(|point| point.value).sum();
        (sum == 1.0).then_some(())
    })
    .await?;
    assert!(agent.stop().await?.success());
    nothing_left(&host).await?;
    // A stop is no crash.
    let mut agent = host.start()?;
    registered_pid(&mut agent, None).await?;
    assert_eq!(agent.state()["restarts"]["agent"], 1);
    Ok(())
}

#[tokio::test]
async fn a_new_version_takes_over_without_a_moment_of_nobody() -> anyhow::Result<()> {
    let (world, host) = World::with_host().await?;
    let mut agent = host.start()?;
    let old = registered_pid(&mut agent, None).await?;
    let from = world.edge.now();
    world.edge.accept_any_secret(TUNNEL);
    let version = world.aws.put_secret(SECRET, &Payload::numbered(2).text());
    let serves = |status: &serde_json::Value| {
        let connectors = status["connectors"].as_array();
        status["installed"]["version"] == version.as_str() && connectors.is_some_and(|all| all.len() == 1)
    };
    let status = agent.wait_status("the new version to serve alone", serves).await?;
    assert_eq!(status["connectors"][0]["secret_version"], version.as_str());
    world.edge.never_zero_between(TUNNEL, from, world.edge.now()).map_err(|gap| anyhow::anyhow!("{gap:?}"))?;
    assert!(!lives(old), "it was drained");
    assert_eq!(world.edge.events().iter().filter(|event| event.what == What::Lost).count(), 0);
    assert_eq!(status["counters"]["connector_restarts"], 0, "a hand-over is none");
    let config = fs::read_to_string(host.config_dir().join("config.yml"))?;
    assert!(config.contains("db-2.example.dev"));
    Ok(())
}

#[tokio::test]
async fn a_successor_whose_secret_the_edge_does_not_know_leaves_the_old_one_in_place_until_somebody_asks()
-> anyhow::Result<()> {
    let (world, mut host) = World::with_host().await?;
    host.set("handover.register_timeout", "2s");
    let mut agent = host.start()?;
    let old = registered_pid(&mut agent, None).await?;
    let before = agent.status()["installed"].clone();
    let from = world.edge.now();
    let version = world.aws.put_secret(SECRET, &Payload::numbered(2).text());
    let refused = |status: &Value| status["refusing"] == version.as_str() && status["connectors"][1].is_null();
    let status = agent.wait_status("a refusal, and the old one alone", refused).await?;
    assert_eq!((&status["installed"], agent.connector_pid()), (&before, Some(old)));
    assert!(status["trouble"].as_str().is_some_and(|text| text.contains("Unauthorized")), "{status:#}");
    let config = fs::read_to_string(host.config_dir().join("config.yml"))?;
    assert!(config.contains("db-1.example.dev"));
    // Now the edge has the new secret too, and the old connector cannot come back if it is lost: it must not be.
    world.edge.require_secret(TUNNEL, &tunnel_secret(2));
    let reload = host.run(["reload"]).await?;
    assert!(reload.status.success(), "{reload:?}");
    agent.wait_status("the new version", |status| status["installed"]["version"] == version.as_str()).await?;
    world.edge.never_zero_between(TUNNEL, from, world.edge.now()).map_err(|gap| anyhow::anyhow!("{gap:?}"))?;
    Ok(())
}

#[tokio::test]
async fn a_loss_after_a_rotation_brings_the_new_secret_at_the_recheck() -> anyhow::Result<()> {
    let (world, mut host) = World::with_host().await?;
    host.set("secret.poll_interval", "1h");
    let mut agent = host.start()?;
    let old = registered_pid(&mut agent, None).await?;
    // The time bomb: nothing shows until the connections are lost.
    world.edge.require_secret(TUNNEL, &tunnel_secret(2));
    let version = world.aws.put_secret(SECRET, &Payload::numbered(2).text());
    assert_eq!(world.aws.requests().count("GetSecretValue"), 1);
    // The real one may sleep longer than the recheck waits, and then is never told that it is refused.
    world.edge.drop_connections(&Scope::default());
    registered_pid(&mut agent, Some(old)).await?;
    let status = agent.wait_status("the old one to be gone", |status| status["connectors"][1].is_null()).await?;
    assert_eq!(status["installed"]["version"], version.as_str());
    assert_eq!(world.aws.requests().count("GetSecretValue"), 2);
    assert!(!lives(old));
    assert!(world.aws.marks().is_empty());
    Ok(())
}

#[tokio::test]
async fn signals_that_a_child_does_not_obey_end_in_a_kill() -> anyhow::Result<()> {
    let (_world, mut host) = World::with_host().await?;
    // The group is asked too: what it forked must not stay either.
    host.script("trap '' TERM; $CLOUDFLARED \"$@\" & while :; do sleep 0.2; done")?;
    let mut agent = host.start()?;
    agent.wait_health("registered").await?;
    let began = std::time::Instant::now();
    assert!(agent.signal(Signal::SIGTERM).is_ok());
    assert!(agent.wait().await?.success());
    // The grace period, and 1 s more for a child that uses all of it.
    let took = began.elapsed().as_millis();
    assert!(took >= 2900, "{took} ms");
    nothing_left(&host).await
}

/// A program that leaves its group and its session, and what that forks, go with the connector.
#[tokio::test]
async fn what_cloudflared_leaves_behind_is_ended_with_it() -> anyhow::Result<()> {
    let (_world, mut host) = World::with_host().await?;
    let stray =
        "setsid sh -c 'echo $$ >>$DIR/strays; sleep 1000 & echo $! >>$DIR/strays; wait' </dev/null >/dev/null 2>&1 &";
    host.script(&format!("export DIR\ncase \"$*\" in *' run') {stray} esac\nexec $CLOUDFLARED \"$@\""))?;
    let file = host.directory().join("strays");
    let strays = || -> Vec<u32> {
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        text.lines().filter_map(|line| line.parse().ok()).collect()
    };
    let mut agent = host.start()?;
    let first = registered_pid(&mut agent, None).await?;
    eventually("two strays", async || (strays().len() == 2 && strays().into_iter().all(lives)).then_some(())).await?;
    let before = strays();
    kill(Pid::from_raw(i32::try_from(first)?), Signal::SIGKILL)?;
    registered_pid(&mut agent, Some(first)).await?;
    eventually("those of the new connector alone", async || {
        let all = strays();
        let new = all.len() >= 4 && all[all.len() - 2..].iter().all(|pid| lives(*pid));
        (new && !before.iter().any(|pid| lives(*pid))).then_some(())
    })
    .await?;
    anyhow::ensure!(agent.stop().await?.success());
    assert!(!strays().into_iter().any(lives));
    Ok(())
}
