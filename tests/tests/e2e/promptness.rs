//! How soon a changed secret is in use.

use crate::bad_input::assert_ended;
use crate::support::registered_pid;
use anyhow::{Context, ensure};
use cflared_tests::edge::{Edge, Micros, What};
use cflared_tests::world::{PATIENCE, Payload, SECRET, TUNNEL, World, eventually};
use serde_json::Value;
use std::time::Duration;

/// Must show 4: what it may take beyond the poll interval, or on `reload` at all.
const PROMPT: Duration = Duration::from_secs(5);

#[tokio::test]
async fn a_changed_secret_is_registered_within_the_poll_interval_and_five_seconds() -> anyhow::Result<()> {
    const POLL: Duration = Duration::from_secs(3);
    let (world, mut host) = World::with_host().await?;
    host.set("secret.poll_interval", format!("{}s", POLL.as_secs()));
    let mut agent = host.start()?;
    registered_pid(&mut agent, None).await?;
    world.edge.accept_any_secret(TUNNEL);
    for number in 2..5 {
        // Right after a read, so that the whole interval is waited for.
        let reads = world.aws.requests().count("GetSecretValue");
        let read = async || (world.aws.requests().count("GetSecretValue") > reads).then_some(());
        eventually("a read", read).await?;
        let changed = world.edge.now();
        let version = world.aws.put_secret(SECRET, &Payload::numbered(number).text());
        let took = registered_after(&world.edge, changed).await?;
        println!("version {number} is registered {took:?} after it was stored");
        ensure!(took <= POLL + PROMPT, "it took {took:?}");
        let serves = |status: &Value| status["installed"]["version"] == version.as_str();
        agent.wait_status("the version to serve alone", |status| serves(status) && one(status)).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_reload_has_the_new_secret_registered_within_five_seconds() -> anyhow::Result<()> {
    let (world, mut host) = World::with_host().await?;
    host.set("secret.poll_interval", "1h");
    let mut agent = host.start()?;
    registered_pid(&mut agent, None).await?;
    world.edge.accept_any_secret(TUNNEL);
    for number in 2..5 {
        let version = world.aws.put_secret(SECRET, &Payload::numbered(number).text());
        let asked = world.edge.now();
        let (reload, took) = tokio::join!(host.run(["reload"]), registered_after(&world.edge, asked));
        let took = took?;
        println!("version {number} is registered {took:?} after the reload was asked for");
        ensure!(took <= PROMPT, "it took {took:?}");
        assert_ended(&reload?, 0, &[&version]);
        agent.wait_status("the old one to be gone", one).await?;
    }
    Ok(())
}

/// How long after `changed` another connector was registered.
async fn registered_after(edge: &Edge, changed: Micros) -> anyhow::Result<Duration> {
    let newer = || edge.events().into_iter().find(|event| event.what == What::Registered && event.at > changed);
    let event = edge.wait_for(PATIENCE, newer).await.context("no new connector was registered")?;
    Ok(Duration::from_micros(event.at - changed))
}

fn one(status: &Value) -> bool {
    status["connectors"].as_array().is_some_and(|all| all.len() == 1) && status["connectors"][0]["connections"] == 4
}
