//! `reload`: a hand-over on request, and its result.

use crate::bad_input::{assert_ended, is_root, said};
use crate::support::{nothing_left, registered_pid};
use anyhow::Context;
use cflared_tests::edge::Conduct;
use cflared_tests::http::faults::Trouble;
use cflared_tests::world::{Agent, Host, Payload, SECRET, TUNNEL, World, eventually};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::Stdio;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

fn socket(host: &Host) -> PathBuf {
    host.runtime_dir().join("control.sock")
}

/// A world whose agent is registered, with the process id of its connector.
async fn registered() -> anyhow::Result<(World, Host, Agent, u32)> {
    let (world, host) = World::with_host().await?;
    let mut agent = host.start()?;
    let pid = registered_pid(&mut agent, None).await?;
    Ok((world, host, agent, pid))
}

/// The connector that serves alone.
async fn alone(agent: &mut Agent) -> anyhow::Result<Value> {
    let one = |status: &Value| status["connectors"].as_array().is_some_and(|all| all.len() == 1);
    Ok(agent.wait_status("one connector", one).await?["connectors"][0].clone())
}

#[tokio::test]
async fn without_an_agent_it_says_so_and_whatever_was_left_gives_way_to_the_next() -> anyhow::Result<()> {
    let (_world, host) = World::with_host().await?;
    let none = ["no process listens on", "control.sock", "no agent runs", "systemctl status cflared-agent"];
    assert_ended(&host.run(["reload"]).await?, 2, &none);
    drop(UnixListener::bind(socket(&host))?);
    assert_ended(&host.run(["reload"]).await?, 2, &none);

    for end in ["kill", "stop"] {
        let mut agent = host.start()?;
        registered_pid(&mut agent, None).await?;
        assert_eq!(fs::metadata(socket(&host))?.permissions().mode() & 0o777, 0o600);
        UnixStream::connect(socket(&host)).await.context("the agent's own is there")?;
        if end == "kill" {
            agent.crash().await?;
            assert!(socket(&host).exists());
        } else {
            assert!(agent.stop().await?.success());
            assert!(!socket(&host).exists(), "it is removed at the end");
        }
        nothing_left(&host).await?;
        assert_ended(&host.run(["reload"]).await?, 2, &none);
    }
    Ok(())
}

#[tokio::test]
async fn an_agent_that_cannot_listen_runs_on_and_is_told_of() -> anyhow::Result<()> {
    let (_world, host) = World::with_host().await?;
    // What an older agent looks like: none of these.
    let other = UnixListener::bind(socket(&host))?;
    let mut agent = host.start()?;
    registered_pid(&mut agent, None).await?;
    agent.wait_log("another process does").await?;
    fs::remove_file(socket(&host))?;
    drop(other);
    assert_ended(
        &host.run(["reload"]).await?,
        2,
        &["no process listens", "an agent runs (pid", "restart cflared-agent"],
    );
    assert!(agent.stop().await?.success());
    Ok(())
}

#[tokio::test]
async fn only_root_and_the_agents_user_may_ask() -> anyhow::Result<()> {
    if !is_root() {
        return Ok(());
    }
    let (_world, mut host, mut agent, pid) = registered().await?;
    fs::set_permissions(host.directory(), fs::Permissions::from_mode(0o755))?;
    host.launcher = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"].map(String::from).into();
    assert_ended(&host.run(["reload"]).await?, 75, &["only root and the agent's user may", "sudo"]);
    // Who he is counts, not only the file's mode.
    fs::set_permissions(socket(&host), fs::Permissions::from_mode(0o666))?;
    assert_ended(
        &host.run(["reload"]).await?,
        1,
        &["refused: only root and the agent's user may send commands", "sudo"],
    );
    agent.wait_log("rejected a client of another user").await?;
    assert_eq!(alone(&mut agent).await?["pid"], pid);
    Ok(())
}

#[tokio::test]
async fn no_client_holds_up_the_agent_or_another_client() -> anyhow::Result<()> {
    let (_world, host, mut agent, pid) = registered().await?;
    let mut clients = Vec::new();
    for says in [&b"{\"schema\":1,"[..], b"", &[b'x'; 200_000]].iter().cycle().take(12) {
        let mut client = UnixStream::connect(socket(&host)).await?;
        let says = *says;
        clients.push(tokio::spawn(async move {
            // What is too long is not listened to.
            let _ = client.write_all(says).await;
            let mut heard = String::new();
            let _ = client.read_to_string(&mut heard).await;
            heard
        }));
    }
    let output = host.run(["reload"]).await?;
    assert_ended(&output, 0, &["serves"]);
    let serves = alone(&mut agent).await?;
    assert_ne!(serves["pid"], pid);
    for client in clients {
        let heard = client.await?;
        assert!(heard.is_empty() || heard.contains("\"refused\""), "{heard}");
    }
    assert!(agent.stop().await?.success());
    Ok(())
}

#[tokio::test]
async fn without_a_new_version_a_new_connector_takes_over() -> anyhow::Result<()> {
    let (world, host, mut agent, pid) = registered().await?;
    let before = agent.status();
    let began = world.edge.now();
    assert_ended(&host.run(["reload"]).await?, 0, &["serves"]);
    let serves = alone(&mut agent).await?;
    assert_ne!(serves["pid"], pid);
    assert_ne!(serves["connector_id"], before["connectors"][0]["connector_id"]);
    assert_eq!(serves["secret_version"], before["connectors"][0]["secret_version"]);
    world.edge.never_zero_between(TUNNEL, began, world.edge.now()).map_err(|gap| anyhow::anyhow!("{gap:?}"))?;
    Ok(())
}

#[tokio::test]
async fn a_new_version_is_fetched_and_taken_over() -> anyhow::Result<()> {
    let (world, mut host) = World::with_host().await?;
    // Only the command has it read.
    host.set("secret.poll_interval", "10m");
    let mut agent = host.start()?;
    registered_pid(&mut agent, None).await?;
    world.edge.accept_any_secret(TUNNEL);
    let began = world.edge.now();
    let version = world.aws.put_secret(SECRET, &Payload::numbered(2).text());
    assert_ended(&host.run(["reload"]).await?, 0, &[&version, "serves"]);
    // The status follows the answer by a moment.
    agent.wait_status("the new version", |status| status["installed"]["version"] == version.as_str()).await?;
    assert_eq!(alone(&mut agent).await?["secret_version"], version.as_str());
    world.edge.never_zero_between(TUNNEL, began, world.edge.now()).map_err(|gap| anyhow::anyhow!("{gap:?}"))?;
    Ok(())
}

#[tokio::test]
async fn what_is_refused_or_fails_is_told_and_the_connector_stays() -> anyhow::Result<()> {
    let (world, mut host) = World::with_host().await?;
    host.set("secret.poll_interval", "10m");
    let mut agent = host.start()?;
    let pid = registered_pid(&mut agent, None).await?;
    world.aws.plant(Trouble::Denied.on("GetSecretValue"));
    assert_ended(&host.run(["reload"]).await?, 75, &["failed: ", "access denied"]);
    world.aws.clear_faults();
    let bad = world.aws.put_secret(SECRET, "{}");
    assert_ended(&host.run(["reload"]).await?, 1, &["refused: ", &bad, "config_yaml"]);
    assert_ended(&host.run(["hold", "1h"]).await?, 0, &["on hold"]);
    assert_ended(&host.run(["reload"]).await?, 1, &["refused: ", "hold"]);
    assert_eq!(alone(&mut agent).await?["pid"], pid);
    Ok(())
}

#[tokio::test]
async fn several_at_once_are_all_told() -> anyhow::Result<()> {
    let (world, host, mut agent, pid) = registered().await?;
    let (one, two, three) = tokio::join!(host.run(["reload"]), host.run(["reload"]), host.run(["reload"]));
    let outputs = [one?, two?, three?];
    assert!(outputs.iter().any(|output| output.status.code() == Some(0)), "{outputs:?}");
    for output in &outputs {
        assert!(matches!(output.status.code(), Some(0 | 75)) && !said(output).is_empty(), "{output:?}");
    }
    assert_ne!(alone(&mut agent).await?["pid"], pid);
    assert!(world.edge.registered_now(TUNNEL).connections > 0);
    Ok(())
}

#[tokio::test]
async fn who_stops_waiting_stops_nothing() -> anyhow::Result<()> {
    let (world, mut host) = World::with_host().await?;
    // No hand-over ends before both clients have gone, however long they take for that.
    host.set("handover.register_timeout", "2m");
    let mut agent = host.start()?;
    let pid = registered_pid(&mut agent, None).await?;
    world.edge.set(Conduct::BlackHole).await?;
    let under_way = |status: &Value| status["connectors"][1]["pid"].is_u64();

    let mut waiting = host.command()?;
    waiting.args(["reload", "--timeout", "10s"]);
    let waiting = waiting.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    agent.wait_status("a second connector", under_way).await?;
    assert_ended(&waiting.wait_with_output().await?, 75, &["no result within 10s", "cflared-agent status"]);
    world.edge.set(Conduct::Accept).await?;
    let second = registered_pid(&mut agent, Some(pid)).await?;
    alone(&mut agent).await?;

    world.edge.set(Conduct::BlackHole).await?;
    let mut waiting = host.command()?.arg("reload").stdin(Stdio::null()).spawn()?;
    agent.wait_status("a second connector", under_way).await?;
    let client = Pid::from_raw(i32::try_from(waiting.id().context("it ended")?)?);
    kill(client, Signal::SIGINT)?;
    assert!(!waiting.wait().await?.success());
    world.edge.set(Conduct::Accept).await?;
    let serves = async || {
        let status = agent.status();
        let all = status["connectors"].as_array()?;
        (all.len() == 1 && all[0]["pid"] != second && all[0]["state"] == "registered").then_some(())
    };
    eventually("the hand-over to end", serves).await?;
    Ok(())
}

#[tokio::test]
async fn an_agent_that_stops_tells_who_waits() -> anyhow::Result<()> {
    let (world, host, mut agent, _) = registered().await?;
    world.edge.set(Conduct::BlackHole).await?;
    let waiting = host.command()?.arg("reload").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    agent.wait_log("command received").await?;
    assert!(agent.stop().await?.success());
    let output = waiting.wait_with_output().await?;
    assert_ended(&output, 75, &["failed: ", "stop"]);
    Ok(())
}
