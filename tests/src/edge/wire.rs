//! What a connector and the edge say to each other: one JSON object a line, over TCP.
//!
//! It stands in for TLS and Cloudflare's registration RPC, and has the same steps so that each can fail by itself:
//! *hello* (the handshake), *register* (the RPC), then a connection that stays open for as long as it is registered.
//! A client's stream is not multiplexed: the edge asks for it with [`ToConnector::Open`], and the connector dials the
//! edge's data address and begins with [`Join`].

use super::orders::Order;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::io::{Error, ErrorKind, Result};
use std::net::SocketAddr;
use tokio::io::{AsyncBufReadExt, AsyncWrite, AsyncWriteExt, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

/// Who is at the other end of a connection.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Who {
    /// The tunnel's UUID, from the credentials.
    pub tunnel: String,
    /// The connector's UUID, new for each process.
    pub connector: String,
    /// Which of the connector's connections, from 0.
    pub index: usize,
    /// The connector's process id.
    pub pid: i32,
}

/// What a connector says. It has no `Debug`: it can hold a secret.
#[derive(Serialize, Deserialize)]
#[serde(tag = "say", rename_all = "kebab-case")]
pub enum ToEdge {
    /// The handshake.
    Hello(Who),
    /// The registration RPC.
    Register {
        /// `TunnelSecret` of the credentials, as written there.
        secret: String,
    },
    /// No new streams, please; those in flight go on.
    Unregister,
}

/// What the edge says.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "say", rename_all = "kebab-case")]
pub enum ToConnector {
    /// The handshake is done.
    Welcome,
    /// The registration was accepted.
    Registered {
        /// The connection's UUID.
        connection: String,
        /// The data centre, e.g. `iad01`.
        location: String,
    },
    /// The registration was rejected, and the edge closes the connection.
    Rejected {
        /// As cloudflared would log it.
        error: String,
    },
    /// The connection is no longer registered.
    Unregistered,
    /// A client's stream waits at `dial`.
    Open {
        /// Names the stream.
        stream: u64,
        /// The edge's data address.
        dial: SocketAddr,
        /// The hostname that the client asked for; none: whatever the connector serves.
        #[serde(default)]
        hostname: Option<String>,
    },
    /// Misbehave.
    Order {
        /// How.
        order: Order,
    },
}

/// The first line on a data connection.
#[derive(Serialize, Deserialize)]
pub struct Join {
    /// The stream that was asked for.
    pub stream: u64,
}

/// The reading half of a connection.
pub type Reader = Lines<BufReader<OwnedReadHalf>>;

/// Splits a stream into its reading half, by lines, and its writing half.
pub fn split(stream: TcpStream) -> (Reader, OwnedWriteHalf) {
    let (read, write) = stream.into_split();
    (BufReader::new(read).lines(), write)
}

/// Writes one message.
///
/// # Errors
/// The connection is gone.
pub async fn say<W: AsyncWrite + Unpin>(write: &mut W, message: &impl Serialize) -> Result<()> {
    let mut line = serde_json::to_vec(message).expect("the wire's own types serialize");
    line.push(b'\n');
    write.write_all(&line).await
}

/// Reads one message. It may be dropped while it waits: nothing is lost.
///
/// # Errors
/// `UnexpectedEof` when the other side closed, `InvalidData` when the line is not a message.
pub async fn hear<M: DeserializeOwned>(read: &mut Reader) -> Result<M> {
    let line = read.next_line().await?.ok_or_else(|| Error::from(ErrorKind::UnexpectedEof))?;
    serde_json::from_str(&line).map_err(|error| Error::new(ErrorKind::InvalidData, error))
}
