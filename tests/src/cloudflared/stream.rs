//! Clients' streams, from the edge to the origin.

use super::ingress;
use super::log::Level;
use super::setup::go_error;
use super::state::Shared;
use crate::edge::wire::{self, Join};
use serde_json::json;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::copy_bidirectional;
use tokio::net::TcpStream;

/// Carries one stream, which waits at `dial`, to the origin.
pub fn spawn(shared: &Arc<Shared>, stream: u64, dial: SocketAddr, hostname: Option<String>) {
    let shared = shared.clone();
    {
        let mut state = shared.state();
        state.streams += 1;
        state.in_flight += 1;
    }
    tokio::spawn(async move {
        carry(&shared, stream, dial, hostname.as_deref()).await;
        shared.state().in_flight -= 1;
        shared.stream_ended.send_replace(());
    });
}

/// Waits until no stream is in flight.
pub async fn none_in_flight(shared: &Shared) {
    let mut ended = shared.stream_ended.subscribe();
    while shared.state().in_flight > 0 {
        // The sender is in `shared`.
        let _ = ended.changed().await;
    }
}

async fn carry(shared: &Shared, stream: u64, dial: SocketAddr, hostname: Option<&str>) {
    // Joined before the origin is tried, so that an origin that is down closes the client's stream at once.
    let Ok(mut client) = join(stream, dial).await else { return };
    let Some(origin) = ingress::origin(&shared.setup.config.ingress, hostname) else { return };
    match TcpStream::connect(&origin.dial).await {
        // Either side may hang up at any time.
        Ok(mut stream) => drop(copy_bidirectional(&mut client, &mut stream).await),
        Err(error) => unreachable_origin(shared, &origin, &go_error(&error)),
    }
}

/// The two lines of each client: the rule's, which has no message, and the request's. Their words for a stream's origin
/// are the dial's alone, as `brettscott/cloudflare-worker-tunnel-mysql-example` shows (README); those for HTTP are in
/// cloudflare/cloudflared#976 and homeassistant-apps/app-cloudflared#671.
fn unreachable_origin(shared: &Shared, origin: &ingress::Origin, error: &str) {
    shared.state().origin_errors += 1;
    let dial = format!("dial tcp {}: connect: {error}", origin.dial);
    let (error, kind) = if origin.is_http() {
        let why = "The service may be down or it may not be responding to traffic from cloudflared";
        (format!("Unable to reach the origin service. {why}: {dial}"), "http")
    } else {
        (dial, "ws")
    };
    let rule = json!({"error": error, "connIndex": 0, "event": 1, "ingressRule": origin.rule, "originService": origin.service});
    shared.log.line(Level::Error, "", rule);
    let request = json!({"error": error, "connIndex": 0, "dest": "https://standin.example/", "event": 0, "type": kind});
    shared.log.line(Level::Error, "Request failed", request);
}

async fn join(stream: u64, dial: SocketAddr) -> io::Result<TcpStream> {
    let mut client = TcpStream::connect(dial).await?;
    wire::say(&mut client, &Join { stream }).await?;
    Ok(client)
}
