//! Reaching the edge: dial and handshake, with Go's words for what goes wrong.

use super::setup::go_error;
use super::state::Shared;
use crate::edge::Who;
use crate::edge::wire::{self, Reader, ToConnector, ToEdge};
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::time::timeout;

/// `start_blackhole`: 15 s from the attempt to the error.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(15);
/// A handshake takes its time: registered 0.08 s after exec, 0.03 s after the metrics server.
const HANDSHAKE: Duration = Duration::from_millis(25);

/// Connects to the edge and shakes hands.
///
/// # Errors
/// What cloudflared logs as the `error` of `Unable to establish connection with Cloudflare edge`.
pub async fn reach(shared: &Shared, edge: SocketAddr, who: Who) -> Result<(Reader, OwnedWriteHalf), String> {
    let limit = shared.time_out(HANDSHAKE_TIMEOUT);
    let stream = match timeout(limit, TcpStream::connect(edge)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return Err(format!("DialContext error: dial tcp {edge}: connect: {}", go_error(&error))),
        Err(_) => return Err(format!("DialContext error: dial tcp {edge}: i/o timeout")),
    };
    let local = stream.local_addr().map_err(|error| go_error(&error))?;
    tokio::time::sleep(shared.scaled(HANDSHAKE)).await;
    let (mut read, mut write) = wire::split(stream);
    let shaken = timeout(limit, shake(&mut read, &mut write, who)).await;
    let error = match shaken {
        Ok(Ok(())) => return Ok((read, write)),
        Ok(Err(error)) if error.kind() == ErrorKind::UnexpectedEof => "EOF".to_owned(),
        // Go's crypto/tls on what is no record of TLS.
        Ok(Err(error)) if error.kind() == ErrorKind::InvalidData => {
            "tls: first record does not look like a TLS handshake".to_owned()
        }
        Ok(Err(error)) => format!("read tcp {local}->{edge}: read: {}", go_error(&error)),
        Err(_) => format!("read tcp {local}->{edge}: i/o timeout"),
    };
    Err(format!("TLS handshake with edge error: {error}"))
}

async fn shake(read: &mut Reader, write: &mut OwnedWriteHalf, who: Who) -> io::Result<()> {
    // An edge that has hung up shows itself to the read, with the right error.
    let _ = wire::say(write, &ToEdge::Hello(who)).await;
    match wire::hear(read).await? {
        ToConnector::Welcome => Ok(()),
        other => Err(io::Error::new(ErrorKind::InvalidData, format!("instead of a welcome: {other:?}"))),
    }
}
