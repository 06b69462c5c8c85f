//! The pages of the metrics server.

use super::metrics;
use super::protocol::Protocol;
use super::state::Shared;
use crate::http::{Answer, Asked, answer, text};
use hyper::StatusCode;
use serde::Serialize;
use serde_json::json;
use std::sync::Arc;

/// What Go's runtime says of two goroutines, in its form (observed, 2026.8.2).
const GOROUTINES: &str = "\
goroutine 1 [select, 3 minutes]:
github.com/cloudflare/cloudflared/cmd/cloudflared/tunnel.waitToShutdown(0xc0003e8000, 0xc0005a4000)
\t/src/cmd/cloudflared/tunnel/cmd.go:600 +0x11c

goroutine 52 [IO wait]:
internal/poll.runtime_pollWait(0x7f2f1c0d5e28, 0x72)
\t/usr/local/go/src/runtime/netpoll.go:351 +0x85
";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Ready {
    status: u16,
    ready_connections: usize,
    connector_id: String,
}

/// Answers one request.
pub async fn respond(shared: Arc<Shared>, asked: Asked) -> Answer {
    match asked.uri().path() {
        "/ready" if shared.state().ready_hangs => std::future::pending().await,
        "/ready" => ready(&shared),
        "/debug/pprof/goroutine" => text(StatusCode::OK, GOROUTINES),
        "/metrics" => {
            let page = metrics::page(&mut shared.state());
            answer(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8; escaping=underscores", page)
        }
        "/healthcheck" => text(StatusCode::OK, "OK\n"),
        "/diag/tunnel" => diag_tunnel(&shared),
        "/config" => {
            let page = shared.state().rules.page();
            answer(StatusCode::OK, "application/json", page.to_string())
        }
        _ => text(StatusCode::NOT_FOUND, "404 page not found\n"),
    }
}

fn ready(shared: &Shared) -> Answer {
    let state = shared.state();
    let ready_connections = state.registered.len();
    let status = if ready_connections > 0 { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let page = Ready { status: status.as_u16(), ready_connections, connector_id: state.shown_connector.clone() };
    crate::http::json(status, &page)
}

/// `connections` is absent when there are none, and `index` is absent for index 0.
fn diag_tunnel(shared: &Shared) -> Answer {
    let collector = json!({"collector": "tunnelState"});
    shared.log.line(super::log::Level::Info, "Collection started", collector.clone());
    let state = shared.state();
    let connections = state.registered.iter().map(|(index, registered)| {
        let mut connection = json!({"isConnected": true, "edgeAddress": registered.edge.ip().to_string()});
        // The number of HTTP/2 is 0, which is left out.
        if registered.protocol == Protocol::Quic {
            connection["protocol"] = 1.into();
        }
        if *index > 0 {
            connection["index"] = (*index).into();
        }
        connection
    });
    let connections: Vec<_> = connections.collect();
    let mut page = json!({
        "tunnelID": shared.setup.credentials.tunnel_id,
        "connectorID": state.shown_connector,
        "icmp_sources": ["0.0.0.0", "::1"],
    });
    if !connections.is_empty() {
        page["connections"] = connections.into();
    }
    drop(state);
    shared.log.line(super::log::Level::Info, "Collection finished", collector);
    answer(StatusCode::OK, "application/json", format!("{page}\n"))
}
