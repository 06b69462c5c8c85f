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
pub fn spawn(shared: &Arc<Shared>, stream: u64, dial: SocketAddr) {
    let shared = shared.clone();
    {
        let mut state = shared.state();
        state.streams += 1;
        state.in_flight += 1;
    }
    tokio::spawn(async move {
        carry(&shared, stream, dial).await;
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

async fn carry(shared: &Shared, stream: u64, dial: SocketAddr) {
    // Joined before the origin is tried, so that an origin that is down closes the client's stream at once.
    let Ok(mut client) = join(stream, dial).await else { return };
    let origin = ingress::first_origin(&shared.setup.config.ingress);
    let origin = origin.ok_or_else(|| io::Error::other("no rule has an origin"));
    let connected = match &origin {
        Ok(origin) => TcpStream::connect(origin)
            .await
            .map_err(|error| format!("dial tcp {origin}: connect: {}", go_error(&error))),
        Err(error) => Err(error.to_string()),
    };
    match connected {
        // Either side may hang up at any time.
        Ok(mut origin) => drop(copy_bidirectional(&mut client, &mut origin).await),
        Err(error) => {
            shared.state().origin_errors += 1;
            let error = format!(
                "Unable to reach the origin service. The service may be down or it may not be responding to traffic \
                 from cloudflared: {error}"
            );
            shared.log.line(Level::Error, "Request failed", json!({"error": error, "event": 1, "ingressRule": 0}));
        }
    }
}

async fn join(stream: u64, dial: SocketAddr) -> io::Result<TcpStream> {
    let mut client = TcpStream::connect(dial).await?;
    wire::say(&mut client, &Join { stream }).await?;
    Ok(client)
}
