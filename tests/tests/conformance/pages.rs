//! The metrics server's pages against the recorded ones: status, keys, metric names and labels, and the values that say
//! something. Allowed to differ: values of Go's runtime and of the process, latencies, counts of scrapes.

use crate::world::{Running, TUNNEL, World, get, patience, recorded};
use crate::{FAST, recording};
use cflared_tests::edge::{Conduct, Scope};
use serde_json::Value;
use std::collections::BTreeMap;

/// Series by name, labels included.
pub fn series(page: &str) -> BTreeMap<String, f64> {
    let lines = page.lines().filter(|line| !line.starts_with('#'));
    lines
        .filter_map(|line| line.rsplit_once(' '))
        .map(|(name, value)| (name.to_owned(), value.parse().unwrap()))
        .collect()
}

/// Lines of `# HELP` and `# TYPE`, in order.
fn families(page: &str) -> Vec<&str> {
    page.lines().filter(|line| line.starts_with('#')).collect()
}

/// The recordings are of several builds, and so is what is under test. Locations are the edge's to make up.
fn without_builds(page: &str) -> String {
    let lines = page.lines().map(|line| match line.split_once('{') {
        Some(("build_info" | "go_info", _)) => "build_info 1".to_owned(),
        Some(("cloudflared_tunnel_server_locations", rest)) => {
            let index = rest.split(',').next().unwrap_or_default();
            format!("cloudflared_tunnel_server_locations{{{index}}} 1")
        }
        _ => line.to_owned(),
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Compares two metrics pages; values count where they do not measure time or memory.
pub fn assert_same_metrics(recorded: &str, ours: &str, but: &[&str]) {
    assert_eq!(families(recorded), families(ours));
    let measured = ["go_", "process_", "promhttp_", "cloudflared_rpc_client_latency_secs_sum", "build_info"];
    let (recorded, ours) = (series(&without_builds(recorded)), series(&without_builds(ours)));
    assert_eq!(recorded.keys().collect::<Vec<_>>(), ours.keys().collect::<Vec<_>>());
    // How long a call took, up to what tells a refusal from silence.
    let short = |name: &str| name.contains("_latency_secs_bucket") && !name.contains("+Inf") && !name.contains("4.05");
    for (name, value) in recorded.iter().filter(|(name, _)| !short(name)) {
        if !measured.iter().chain(but).any(|measured| name.starts_with(measured)) {
            assert_eq!(*value, ours[name], "{name}");
        }
    }
}

/// Compares two pages of JSON, ids and addresses apart; connections in any order.
pub fn assert_same_json(recorded: &str, ours: &str) {
    let comparable = |page: &str| {
        let mut page: Value = serde_json::from_str(page).unwrap();
        if let Some(Value::Array(connections)) = page.get_mut("connections") {
            connections.sort_by_key(|connection| connection["index"].as_u64());
            for connection in connections {
                let address: std::net::Ipv4Addr = connection["edgeAddress"].as_str().unwrap().parse().unwrap();
                assert!(address.is_loopback());
                connection["edgeAddress"] = "<address>".into();
            }
        }
        recording::parse(&page.to_string(), "/nowhere")
    };
    assert_eq!(comparable(recorded), comparable(ours));
}

pub async fn page(world: &World, path: &str, status: u16) -> String {
    let (got, body) = get(world.metrics(), path).await.unwrap();
    assert_eq!(got, status, "{path}");
    body
}

async fn connected(world: &World) -> Running {
    let mut standin = world.run(FAST);
    standin.registers().await;
    let all = async { while !page(world, "/metrics", 200).await.contains("ha_connections 4\n") {} };
    tokio::time::timeout(patience(), all).await.unwrap();
    standin
}

/// Polls the metrics until `ha_connections` is what the recording has.
async fn metrics_with_attempts(world: &World, attempts: usize) -> String {
    let wanted = format!("\ncloudflared_tunnel_ha_connections {attempts}\n");
    let poll = async {
        loop {
            let page = page(world, "/metrics", 200).await;
            if page.contains(&wanted) {
                return page;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(patience(), poll).await.unwrap_or_else(|_| panic!("{attempts} attempts were never seen"))
}

#[tokio::test]
async fn the_pages_when_connected() {
    let world = World::new().await;
    let _standin = connected(&world).await;
    assert_same_metrics(&recorded("connected/metrics.200.txt"), &page(&world, "/metrics", 200).await, &[]);
    let ready = page(&world, "/ready", 200).await;
    assert_eq!(ready.len(), recorded("connected/ready.200.txt").trim_end().len(), "no space, no newline");
    assert_same_json(&recorded("connected/ready.200.txt"), &ready);
    assert_same_json(&recorded("connected/diag_tunnel.200.txt"), &page(&world, "/diag/tunnel", 200).await);
    assert_eq!(recorded("connected/healthcheck.200.txt"), page(&world, "/healthcheck", 200).await);
    let origin = world.origin().to_string();
    let config = page(&world, "/config", 200).await.replace(&origin, "127.0.0.1:3306");
    let parsed = |page: &str| serde_json::from_str::<Value>(page).unwrap();
    assert_eq!(parsed(&recorded("connected/config.200.txt")), parsed(&config));
    assert_eq!(get(world.metrics(), "/nothing").await.unwrap().0, 404);
}

/// The gauge is 2 with nothing registered: two connections have begun to wait for the next round.
#[tokio::test]
async fn the_pages_when_they_contradict_each_other() {
    let world = World::new().await;
    // Slow enough that a poll sees each step of the back-off.
    let mut standin = world.run(0.3);
    standin.registers().await;
    world.edge.outage().await.unwrap();
    let metrics = metrics_with_attempts(&world, 2).await;
    assert_same_metrics(&recorded("contradiction/metrics.200.txt"), &metrics, &[]);
    assert_same_json(&recorded("contradiction/ready.503.txt"), &page(&world, "/ready", 503).await);
    assert_same_json(&recorded("contradiction/diag_tunnel.200.txt"), &page(&world, "/diag/tunnel", 200).await);
    drop(standin);
}

/// Nothing registered, no attempt in progress, and the locations and the successes still there.
#[tokio::test]
async fn the_pages_when_the_edge_dropped_everything() {
    let world = World::new().await;
    let mut standin = connected(&world).await;
    world.edge.outage().await.unwrap();
    let metrics = metrics_with_attempts(&world, 0).await;
    assert!(metrics.contains("\ncloudflared_tunnel_server_locations{connection_id=\"3\",edge_location="));
    assert_same_metrics(&recorded("edge_dropped/metrics.200.txt"), &metrics, &[]);
    assert_same_json(&recorded("edge_dropped/ready.503.txt"), &page(&world, "/ready", 503).await);
    assert_same_json(&recorded("edge_dropped/diag_tunnel.200.txt"), &page(&world, "/diag/tunnel", 200).await);
    // An attempt that is refused is over at once: four at the same time are seen when nobody answers them.
    world.edge.set(Conduct::BlackHole).await.unwrap();
    let seen = metrics_with_attempts(&world, 4).await;
    assert!(seen.contains("server_locations"), "it counts four attempts with nothing registered");
    assert!(page(&world, "/ready", 503).await.contains("\"readyConnections\":0"));
    world.edge.set(Conduct::Accept).await.unwrap();
    world.connections(4).await;
    assert!(standin.runs());
}

/// No page of this is recorded; the table of observations has the row.
#[tokio::test]
async fn the_metrics_when_it_never_was_registered() {
    let world = World::new().await;
    world.edge.set(Conduct::Unauthorized).await.unwrap();
    let _standin = world.run(1.0);
    for failures in 1..=2 {
        let name = "cloudflared_tunnel_tunnel_register_fail{error=\"server_error\",rpcName=\"registerConnection\"}";
        let wanted = format!("{name} {failures}\n");
        let rejected = async {
            loop {
                if let Ok((200, page)) = get(world.metrics(), "/metrics").await
                    && page.contains(&wanted)
                {
                    return page;
                }
            }
        };
        let page = tokio::time::timeout(patience(), rejected).await.expect("the counter counts");
        assert!(page.contains("\ncloudflared_tunnel_ha_connections 1\n"), "always 1");
        assert!(!page.contains("server_locations") && !page.contains("register_success"));
    }
    assert_eq!(get(world.metrics(), "/ready").await.unwrap().0, 503);
    assert_eq!(world.edge.drop_connections(&Scope::default()), 0);
    assert_eq!(world.edge.registered_now(TUNNEL).connections, 0);
}
