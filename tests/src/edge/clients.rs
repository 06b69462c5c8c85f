//! Clients' streams: from a client, through a registered connector, to its origin.

mod carry;
mod http;

use super::link::{self, Answered, Answering, Link, Opening, Wanted};
use super::who::Who;
use super::{Edge, Micros};
use crate::tunnelrpc::streams::Connect;
use ::http::{Method, Uri};
use carry::EndedBy;
use serde::Serialize;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// A connector answers from the same host: longer means that it is frozen.
const JOIN_TIMEOUT: Duration = Duration::from_secs(5);
/// The hostname of clients who want none, where the connector has told of no rule.
const ANY_HOST: &str = "any.example.test";

/// Where clients want to go. What is not given is any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Route {
    /// The tunnel's UUID.
    pub tunnel: Option<String>,
    /// The hostname, for the connector to find its rule by; none: that of the first rule that it told of.
    pub hostname: Option<String>,
    /// How clients are carried.
    pub carry: Carry,
}

/// How a client's stream is carried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Carry {
    /// Its bytes, in a WebSocket: how a client reaches a rule for `tcp://`, `ssh://` and their like.
    #[default]
    Tcp,
    /// Its requests (HTTP/1.1), each by itself; one that asks for a WebSocket gets one.
    Http,
    /// Its bytes, to a private address.
    Address(SocketAddr),
}

/// A client's stream that was not ended by its client: the origin or the connector hung up first, or it was cut.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BrokenOff {
    /// When.
    pub at: Micros,
    /// The connector that carried it.
    pub who: Who,
    /// The UUID of the connection that it was asked for on.
    pub connection: String,
}

/// How many clients' streams there were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ClientCounts {
    /// Clients that connected.
    pub accepted: u64,
    /// Of those: turned away, as nothing was registered or the connector did not answer.
    pub refused: u64,
    /// Of those: joined to a connector.
    pub forwarded: u64,
    /// Of the forwarded: ended by the client or the origin.
    pub finished: u64,
    /// Of the forwarded: cut, as the connection or the connector went away.
    pub cut: u64,
}

/// The connection that carries a stream.
pub(super) struct Carrier {
    pub(super) who: Who,
    pub(super) connection: String,
    /// Ends with the connection.
    pub(super) task: watch::Receiver<()>,
    pub(super) link: Link,
    pub(super) _in_flight: InFlight,
}

/// Counts a stream for as long as it lives.
pub(super) struct InFlight(watch::Sender<usize>);

impl InFlight {
    pub(super) fn new(streams: &watch::Sender<usize>) -> Self {
        streams.send_modify(|streams| *streams += 1);
        InFlight(streams.clone())
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.send_modify(|streams| *streams -= 1);
    }
}

/// Accepts clients, and forwards the stream of each.
pub(super) async fn accept_clients(listener: TcpListener, edge: Edge, route: Route) {
    while let Ok((client, _)) = listener.accept().await {
        // What is carried is small; a client that is gone already shows when it is served.
        let _ = client.set_nodelay(true);
        let (edge, route) = (edge.clone(), route.clone());
        match route.carry {
            Carry::Http => drop(tokio::spawn(http::serve(client, edge, route))),
            Carry::Tcp | Carry::Address(_) => drop(tokio::spawn(forward(client, edge, route))),
        }
    }
}

async fn forward(client: TcpStream, edge: Edge, route: Route) {
    let Some(mut carrier) = accepted(&edge, &route) else { return };
    let wanted = match route.carry {
        Carry::Address(address) => {
            Wanted { kind: Connect::Tcp, method: Method::GET, uri: link::target(address), headers: vec![] }
        }
        Carry::Tcp | Carry::Http => {
            let host = host(&edge, &route, &carrier).await;
            websocket(&host)
        }
    };
    let Some(opening) = opened(&edge, &mut carrier, &wanted).await else { return };
    let Opening { body, answer } = opening;
    let Some(answered) = answered(&edge, &mut carrier, answer).await else { return };
    let (read, write) = client.into_split();
    let carried = async {
        match route.carry {
            // Its origin cannot be reached: the client is hung up on.
            _ if !taken(&answered) => Ok(EndedBy::FarSide),
            Carry::Address(_) => carry::bytes(read, write, body, answered.body).await,
            Carry::Tcp | Carry::Http => carry::frames(read, write, body, answered.body).await,
        }
    };
    let ended = tokio::select! {
        // What the connector sent before its connection ended is carried to its end.
        biased;
        ended = carried => ended.ok(),
        _ = carrier.task.changed() => None,
    };
    edge.lock().stream_ended(&carrier, ended.is_some(), ended == Some(EndedBy::Client));
}

fn taken(answered: &Answered) -> bool {
    answered.status.is_success() || answered.status.as_u16() == 101
}

/// A client came: the connection that is to carry its stream.
fn accepted(edge: &Edge, route: &Route) -> Option<Carrier> {
    let mut state = edge.lock();
    state.clients.accepted += 1;
    let carrier = state.carrier(route.tunnel.as_deref());
    state.clients.refused += u64::from(carrier.is_none());
    carrier
}

/// The hostname that is asked for. Who wants none may come before the connector has told of its rules.
async fn host(edge: &Edge, route: &Route, carrier: &Carrier) -> String {
    if let Some(hostname) = &route.hostname {
        return hostname.clone();
    }
    let told = edge.wait_for(JOIN_TIMEOUT, || edge.lock().configuration(&carrier.who.connector)).await;
    told.as_ref().and_then(first_hostname).unwrap_or_else(|| ANY_HOST.to_owned())
}

/// The hostname of the first rule with an origin.
fn first_hostname(configuration: &serde_json::Value) -> Option<String> {
    let rules = configuration.pointer("/ingress")?.as_array()?;
    let rule = rules.iter().find(|rule| rule["service"].as_str().is_some_and(|service| service.contains("://")))?;
    rule["hostname"].as_str().filter(|hostname| !hostname.is_empty()).map(|hostname| hostname.replacen('*', "any", 1))
}

/// What opens a WebSocket.
fn websocket(host: &str) -> Wanted {
    let headers = [
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("Sec-WebSocket-Version", "13"),
        ("User-Agent", "edge-standin"),
    ];
    Wanted {
        kind: Connect::WebSocket,
        method: Method::GET,
        uri: Uri::builder().scheme("https").authority(host).path_and_query("/").build().unwrap_or_default(),
        headers: headers.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
    }
}

/// Begins a stream, or counts it as refused.
async fn opened(edge: &Edge, carrier: &mut Carrier, wanted: &Wanted) -> Option<Opening> {
    let opening = tokio::select! {
        biased;
        opening = tokio::time::timeout(JOIN_TIMEOUT, carrier.link.open(wanted)) => opening.ok().and_then(Result::ok),
        _ = carrier.task.changed() => None,
    };
    edge.lock().clients.refused += u64::from(opening.is_none());
    opening
}

/// Waits for the answer, and counts the stream as forwarded or refused. A connector that dies before it answers has lost
/// the client: it is not handed to another one.
async fn answered(edge: &Edge, carrier: &mut Carrier, answer: Answering) -> Option<Answered> {
    let answered = tokio::select! {
        biased;
        answered = tokio::time::timeout(JOIN_TIMEOUT, answer) => answered.ok().and_then(Result::ok),
        _ = carrier.task.changed() => None,
    };
    let mut state = edge.lock();
    state.clients.forwarded += u64::from(answered.is_some());
    state.clients.refused += u64::from(answered.is_none());
    answered
}
