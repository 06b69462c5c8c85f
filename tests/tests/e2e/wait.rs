//! `wait`: for units, pipelines and rolling updates.

use crate::bad_input::{assert_ended, said};
use cflared_tests::edge::Conduct;
use cflared_tests::world::{Payload, SECRET, TUNNEL, World, eventually};
use std::process::Stdio;
use std::time::{Duration, Instant};

#[tokio::test]
async fn it_ends_when_the_tunnel_is_up_and_has_settled() -> anyhow::Result<()> {
    let (world, host) = World::with_host().await?;
    world.edge.set(Conduct::Refuse).await?;
    // It may come before the agent: a unit that is started beside it.
    let waiting =
        host.command()?.args(["wait", "--timeout", "60s"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let mut agent = host.start()?;
    agent.wait_status("a look", |status| status["connectors"][0]["state"] == "unregistered").await?;
    assert_ended(&host.run(["wait", "--timeout", "0s"]).await?, 1, &["gave up after 0s: ", "the tunnel is"]);
    let began = Instant::now();
    let short = host.run(["wait", "--timeout", "600ms"]).await?;
    assert!(began.elapsed() >= Duration::from_millis(600));
    assert_ended(&short, 1, &["gave up after 600ms: ", "next: cflared-agent status; journalctl -u cflared-agent"]);

    let open = Instant::now();
    world.edge.set(Conduct::Accept).await?;
    let output = waiting.wait_with_output().await?;
    // handover.settle
    assert!(open.elapsed() >= Duration::from_millis(500));
    assert_ended(&output, 0, &["registered for", ": the tunnel is up"]);
    assert!(world.edge.registered_now(TUNNEL).connections > 0);

    // Up for long, it is not waited for.
    assert_ended(&host.run(["wait", "--timeout", "0s"]).await?, 0, &["the tunnel is up"]);
    assert!(agent.stop().await?.success());
    assert_ended(&host.run(["wait", "--timeout", "0s"]).await?, 1, &["draining", "the agent has stopped"]);
    Ok(())
}

#[tokio::test]
async fn it_waits_until_that_version_of_the_secret_serves() -> anyhow::Result<()> {
    let (world, host) = World::with_host().await?;
    let mut agent = host.start()?;
    let status = agent.wait_health("registered").await?;
    let first = status["installed"]["version"].as_str().unwrap().to_owned();
    assert_ended(&host.run(["wait", "--timeout", "20s", "--secret-version", &first]).await?, 0, &["the tunnel is up"]);
    let other = host.run(["wait", "--timeout", "0s", "--secret-version", "no-such"]).await?;
    assert_ended(&other, 1, &[&format!("secret version no-such does not serve, {first} does; registered for")]);

    world.edge.accept_any_secret(TUNNEL);
    let second = world.aws.put_secret(SECRET, &Payload::numbered(2).text());
    assert_ended(&host.run(["wait", "--secret-version", &second]).await?, 0, &["the tunnel is up"]);
    assert_eq!(agent.status()["installed"]["version"], second.as_str());

    // One that the agent refuses never serves, and the reason is told.
    let bad = world.aws.put_secret(SECRET, "{}");
    let refused = async || agent.status()["trouble"].is_string().then_some(());
    eventually("the refusal", refused).await?;
    let told = ["trouble: ", "config_yaml", &second, &bad];
    assert_ended(&host.run(["wait", "--timeout", "0s", "--secret-version", &bad]).await?, 1, &told);
    assert!(agent.stop().await?.success());
    Ok(())
}

#[tokio::test]
async fn without_an_agent_it_cannot_tell() -> anyhow::Result<()> {
    let (_world, host) = World::with_host().await?;
    let none = host.run(["wait", "--timeout", "300ms"]).await?;
    assert_ended(&none, 2, &["gave up after 300ms: failed to read the status", "systemctl status cflared-agent"]);
    let mut agent = host.start()?;
    agent.wait_health("registered").await?;
    agent.crash().await?;
    // The status is minutes from being stale, and says that all is well.
    let gone = host.run(["wait", "--timeout", "300ms"]).await?;
    assert_ended(&gone, 2, &["is gone", "systemctl status cflared-agent"]);
    assert!(!said(&gone).contains("the tunnel is up"));
    Ok(())
}
