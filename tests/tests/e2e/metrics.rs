//! The agent's own metrics, through a real reader of their form, and under clients that mean no good.

use crate::support::{Moment, SILENCE, longest_silence, registered_pid, stopped_in, watched};
use anyhow::Context;
use cflared_tests::edge::{Conduct, Order, Scope};
use cflared_tests::world::{Host, World, eventually, venv};
use serde_json::Value;
use std::net::SocketAddr;
use std::process::Stdio;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;

/// Reads a page as a client library of Prometheus does, and gives the samples by name and labels.
const READER: &str = r#"
import json, sys
from prometheus_client.parser import text_string_to_metric_families
families = list(text_string_to_metric_families(sys.stdin.read()))
assert len({family.name for family in families}) == len(families), "a family comes twice"
samples = {}
for family in families:
    assert family.type in ("counter", "gauge", "histogram") and family.documentation, family
    for sample in family.samples:
        labels = "".join(f"{{{name}={value}}}" for name, value in sorted(sample.labels.items()))
        assert sample.name + labels not in samples, sample
        samples[sample.name + labels] = sample.value
json.dump(samples, sys.stdout)
"#;

fn listening(host: &mut Host, world: &World) -> SocketAddr {
    let address = world.block.address(20, 2010);
    host.set("metrics.listen", address.to_string());
    address
}

/// A page; none while nobody is served.
async fn page(address: SocketAddr) -> Option<String> {
    let mut stream = TcpStream::connect(address).await.ok()?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").await.ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    head.starts_with("HTTP/1.1 200 ").then(|| body.to_owned())
}

async fn samples(address: SocketAddr) -> anyhow::Result<Value> {
    let page = eventually("a page of metrics", async || page(address).await).await?;
    let mut reader = Command::new(venv("python"))
        .args(["-c", READER])
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    reader.stdin.take().context("no stdin")?.write_all(page.as_bytes()).await?;
    let output = reader.wait_with_output().await?;
    anyhow::ensure!(output.status.success(), "not taken by the parser:\n{page}");
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// Waits until a sample is as wanted.
async fn wait_sample(address: SocketAddr, name: &str, wanted: impl Fn(f64) -> bool) -> anyhow::Result<Value> {
    let look = async || samples(address).await.ok().filter(|all| all[name].as_f64().is_some_and(&wanted));
    eventually(&format!("{name} as wanted"), look).await
}

#[tokio::test]
async fn a_reader_of_prometheus_sees_the_life_of_a_tunnel() -> anyhow::Result<()> {
    let (world, mut host) = World::with_host().await?;
    let address = listening(&mut host, &world);
    let mut agent = host.start()?;
    let first = registered_pid(&mut agent, None).await?;
    wait_sample(address, "cflared_agent_push_duration_seconds_count", |pushes| pushes >= 1.0).await?;
    let all = wait_sample(address, "cflared_agent_scrape_duration_seconds_count", |looks| looks >= 3.0).await?;
    let version = agent.status()["agent"]["version"].as_str().unwrap_or_default().to_owned();
    for (name, expected) in [
        (format!("cflared_agent_build_info{{version={version}}}").as_str(), 1.0),
        ("cflared_agent_state{state=registered}", 1.0),
        ("cflared_agent_state{state=broken}", 0.0),
        ("cflared_agent_transitions_total{state=registered}", 1.0),
        ("cflared_agent_transitions_total{state=broken}", 0.0),
        ("cflared_agent_connectors", 1.0),
        ("cflared_agent_connections", 4.0),
        ("cflared_agent_connector_restarts_total", 0.0),
        ("cflared_agent_restarts_total", 0.0),
        ("cflared_agent_holds", 0.0),
        ("cflared_agent_push_failures_total", 0.0),
        ("cflared_agent_log_lines_lost_total", 0.0),
    ] {
        assert_eq!(all[name], expected, "{name}: {all:#}");
    }
    let looks = &all["cflared_agent_scrape_duration_seconds_count"];
    assert_eq!(&all["cflared_agent_scrape_duration_seconds_bucket{le=+Inf}"], looks, "{all:#}");
    assert!(!all.to_string().contains("cflared_agent_blame"), "nothing is wrong: {all:#}");

    world.edge.order(&Scope::default(), &Order::Crash);
    registered_pid(&mut agent, Some(first)).await?;
    wait_sample(address, "cflared_agent_connector_restarts_total", |restarts| restarts == 1.0).await?;
    world.edge.outage().await?;
    let all = wait_sample(address, "cflared_agent_state{state=broken}", |is| is == 1.0).await?;
    assert_eq!(all["cflared_agent_connections"], 0.0);
    world.edge.set(Conduct::Accept).await?;
    wait_sample(address, "cflared_agent_transitions_total{state=registered}", |times| times >= 2.0).await?;

    // An agent that was killed is a restart to the next one.
    agent.crash().await?;
    let _next = host.start()?;
    wait_sample(address, "cflared_agent_restarts_total", |restarts| restarts == 1.0).await?;
    Ok(())
}

#[tokio::test]
async fn clients_that_mean_no_good_do_not_reach_the_loop() -> anyhow::Result<()> {
    let (world, mut host) = World::with_host().await?;
    let address = listening(&mut host, &world);
    watched(&mut host);
    let mut agent = host.start()?;
    registered_pid(&mut agent, None).await?;
    eventually("a page of metrics", async || page(address).await).await?;
    let from = Moment::now(&agent);
    let mut clients = Vec::new();
    for number in 0..300 {
        let mut stream = TcpStream::connect(address).await?;
        // Nothing at all, half a request, more than a request; who is turned away cannot write.
        let said = match number % 3 {
            0 => String::new(),
            1 => "GET /metrics HTTP/1.1\r\nX-Half: ".into(),
            _ => "x".repeat(20_000),
        };
        let _ = stream.write_all(said.as_bytes()).await;
        clients.push(stream);
    }
    world.edge.outage().await?;
    agent.wait_status("the outage", |status| status["connectors"][0]["connections"] == 0).await?;
    world.edge.set(Conduct::Accept).await?;
    agent.wait_health("registered").await?;
    let silence = longest_silence(&agent, from);
    assert!(silence < SILENCE, "{silence:?}");
    // They are still connected, and hold no place any more.
    eventually("a page of metrics", async || page(address).await).await?;
    drop(clients);
    stopped_in(&mut agent, &host).await?;
    Ok(())
}

#[tokio::test]
async fn an_address_that_is_taken_costs_metrics_and_not_the_tunnel() -> anyhow::Result<()> {
    let (world, mut host) = World::with_host().await?;
    let address = listening(&mut host, &world);
    let other = tokio::net::TcpListener::bind(address).await?;
    let mut agent = host.start()?;
    agent.wait_log("metrics are not served").await?;
    agent.wait_health("registered").await?;
    drop(other);
    samples(address).await?;
    assert!(agent.stop().await?.success());
    Ok(())
}
