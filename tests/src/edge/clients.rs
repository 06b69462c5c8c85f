//! Clients' streams: from a client, through a registered connector, to its origin.

use super::Edge;
use super::state::{self, State};
use super::wire::{Join, ToConnector};
use serde::Serialize;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

/// A connector answers from the same host: longer means that it is frozen.
const JOIN_TIMEOUT: Duration = Duration::from_secs(5);

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

/// Accepts clients, and forwards the stream of each.
pub(super) async fn accept_clients(listener: TcpListener, edge: Edge, tunnel: Option<String>) {
    while let Ok((client, _)) = listener.accept().await {
        tokio::spawn(forward(client, edge.clone(), tunnel.clone()));
    }
}

async fn forward(mut client: TcpStream, edge: Edge, tunnel: Option<String>) {
    let (stream, data, asked) = {
        let mut state = edge.lock();
        state.clients.accepted += 1;
        let (stream, data) = state.waiting.expect();
        let message = ToConnector::Open { stream, dial: edge.data };
        (stream, data, state.ask_for_stream(tunnel.as_deref(), message))
    };
    let joined = match asked {
        Some(connection) => {
            tokio::time::timeout(JOIN_TIMEOUT, data).await.ok().and_then(Result::ok).zip(Some(connection))
        }
        None => None,
    };
    let Some((mut data, mut connection)) = joined else {
        let mut state = edge.lock();
        state.waiting.streams.remove(&stream);
        state.clients.refused += 1;
        return;
    };
    edge.lock().clients.forwarded += 1;
    let finished = tokio::select! {
        copied = copy_bidirectional(&mut client, &mut data) => copied.is_ok(),
        _ = connection.changed() => false,
    };
    let clients = &mut edge.lock().clients;
    if finished { clients.finished += 1 } else { clients.cut += 1 }
}
