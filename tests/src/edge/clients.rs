//! Clients' streams: from a client, through a registered connector, to its origin.

use super::state::{self, State};
use super::wire::{Join, ToConnector, Who};
use super::{Edge, Micros};
use serde::Serialize;
use std::collections::HashMap;
use std::io;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};

/// A connector answers from the same host: longer means that it is frozen.
const JOIN_TIMEOUT: Duration = Duration::from_secs(5);

/// Where clients want to go. What is not given is any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Route {
    /// The tunnel's UUID.
    pub tunnel: Option<String>,
    /// The hostname, for the connector to find its rule by.
    pub hostname: Option<String>,
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

/// A data connection, with what was read ahead of it.
type Data = BufReader<TcpStream>;

/// Streams that were asked for and not joined yet.
#[derive(Default)]
pub(super) struct Waiting {
    last: u64,
    streams: HashMap<u64, oneshot::Sender<Data>>,
}

impl Waiting {
    fn expect(&mut self) -> (u64, oneshot::Receiver<Data>) {
        let (joined, data) = oneshot::channel();
        self.last += 1;
        self.streams.insert(self.last, joined);
        (self.last, data)
    }
}

/// Accepts the connectors' data connections.
pub(super) async fn accept_data(listener: TcpListener, state: Arc<Mutex<State>>) {
    while let Ok((stream, _)) = listener.accept().await {
        let state = state.clone();
        tokio::spawn(async move {
            let mut data = BufReader::new(stream);
            let mut line = String::new();
            if data.read_line(&mut line).await.is_ok()
                && let Ok(join) = serde_json::from_str::<Join>(&line)
                && let Some(joined) = state::lock(&state).waiting.streams.remove(&join.stream)
            {
                // A client that gave up has dropped its end.
                let _ = joined.send(data);
            }
        });
    }
}

/// The connection that was asked to carry a stream.
pub(super) struct Carrier {
    pub who: Who,
    pub connection: String,
    /// Ends with the connection.
    pub task: watch::Receiver<()>,
}

/// Who ended a stream.
#[derive(Clone, Copy, PartialEq, Eq)]
enum EndedBy {
    Client,
    FarSide,
}

/// Accepts clients, and forwards the stream of each.
pub(super) async fn accept_clients(listener: TcpListener, edge: Edge, route: Route) {
    while let Ok((client, _)) = listener.accept().await {
        tokio::spawn(forward(client, edge.clone(), route.clone()));
    }
}

async fn forward(mut client: TcpStream, edge: Edge, route: Route) {
    let (stream, data, carrier) = {
        let mut state = edge.lock();
        state.clients.accepted += 1;
        let (stream, data) = state.waiting.expect();
        let message = ToConnector::Open { stream, dial: edge.data, hostname: route.hostname.clone() };
        (stream, data, state.ask_for_stream(route.tunnel.as_deref(), message))
    };
    let joined = match carrier {
        Some(mut carrier) => joined(data, &mut carrier).await.zip(Some(carrier)),
        None => None,
    };
    let Some((mut data, mut carrier)) = joined else {
        let mut state = edge.lock();
        state.waiting.streams.remove(&stream);
        state.clients.refused += 1;
        return;
    };
    edge.lock().clients.forwarded += 1;
    let ended = tokio::select! {
        // What the connector sent before its connection ended is carried to its end.
        biased;
        ended = carry(&mut client, &mut data) => ended.ok(),
        _ = carrier.task.changed() => None,
    };
    edge.lock().stream_ended(carrier, ended.is_some(), ended == Some(EndedBy::Client));
}

/// A connector that dies before it joins has lost the client: it is not handed to another one.
async fn joined(data: oneshot::Receiver<Data>, carrier: &mut Carrier) -> Option<Data> {
    tokio::select! {
        biased;
        data = tokio::time::timeout(JOIN_TIMEOUT, data) => data.ok()?.ok(),
        _ = carrier.task.changed() => None,
    }
}

/// Carries bytes both ways until both sides have ended, and says which was the first to do so.
async fn carry(client: &mut TcpStream, data: &mut Data) -> io::Result<EndedBy> {
    let (mut from_client, mut to_client) = client.split();
    let (mut from_data, mut to_data) = tokio::io::split(data);
    let mut up = pin!(one_way(&mut from_client, &mut to_data));
    let mut down = pin!(one_way(&mut from_data, &mut to_client));
    tokio::select! {
        ended = &mut up => {
            ended?;
            down.await?;
            Ok(EndedBy::Client)
        }
        ended = &mut down => {
            ended?;
            up.await?;
            Ok(EndedBy::FarSide)
        }
    }
}

async fn one_way(from: &mut (impl AsyncRead + Unpin), to: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
    tokio::io::copy(from, to).await?;
    to.shutdown().await
}
