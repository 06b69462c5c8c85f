//! The answer of `/diag/tunnel`.

use cflared_verdict::Transport;
use serde::Deserialize;
use std::net::IpAddr;

/// The connections of a connector, as `/diag/tunnel` lists them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diag {
    /// The connector's id.
    pub connector: String,
    /// Its connections, by index.
    pub connections: Vec<EdgeConnection>,
}

/// One connection to the edge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EdgeConnection {
    /// Its number, from 0.
    pub index: u8,
    /// Whether it is up.
    pub connected: bool,
    /// The address at the edge, kept after it went down; none before it was ever up.
    pub edge: Option<IpAddr>,
    /// How it reaches the edge, or did last; meaningless before it was ever up.
    pub transport: Transport,
}

impl Diag {
    /// How the connector reaches the edge, or did last: over HTTP/2 if one connection that is up does, for then its clients are
    /// served so. `None`: it was never connected.
    pub fn transport(&self) -> Option<Transport> {
        let known = self.connections.iter().filter(|connection| connection.edge.is_some());
        let of = |up: bool| known.clone().filter(|one| one.connected == up).map(|one| one.transport).max();
        of(true).or_else(|| of(false))
    }
}

/// The body (observed, 2026.8.2): `connections` is absent when there are none, `index` is absent for index 0.
#[derive(Deserialize)]
struct Body {
    #[serde(rename = "connectorID")]
    connector: String,
    #[serde(default)]
    connections: Vec<Connection>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Connection {
    #[serde(default)]
    is_connected: bool,
    #[serde(default)]
    edge_address: String,
    #[serde(default)]
    index: u8,
    /// 1 is QUIC; absent over HTTP/2, which is 0.
    #[serde(default)]
    protocol: u8,
}

impl Diag {
    /// Reads a body of `/diag/tunnel`; the error says what is wrong with it.
    pub(super) fn parse(body: &[u8]) -> Result<Self, String> {
        let body: Body = serde_json::from_slice(body).map_err(|error| error.to_string())?;
        let mut connections: Vec<_> = body.connections.into_iter().map(EdgeConnection::from).collect();
        connections.sort_by_key(|connection| connection.index);
        Ok(Self { connector: super::printable(&body.connector, 64), connections })
    }
}

impl From<Connection> for EdgeConnection {
    fn from(connection: Connection) -> Self {
        Self {
            index: connection.index,
            connected: connection.is_connected,
            edge: connection.edge_address.parse().ok(),
            transport: if connection.protocol == 1 { Transport::Quic } else { Transport::Http2 },
        }
    }
}
