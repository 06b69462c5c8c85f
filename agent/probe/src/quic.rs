//! A question over UDP that every QUIC server understands, whatever version it speaks.
//!
//! RFC 9000 §6.1: a server that does not know the version of a first packet, and gets at least 1200 bytes of it, answers
//! with a Version Negotiation packet (§17.2.1). So one round trip tells whether QUIC passes, without a QUIC stack.

use super::CONNECTION;
use super::evidence::Try;
use rustls::crypto::{GetRandomFailed, ring};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;
use tokio::net::UdpSocket;

/// The size of a first packet of cloudflared's, over IPv4 and IPv6 (its `supervisor/tunnel.go`): one that is smaller may
/// pass where its own do not. A server answers from 1200 bytes on (RFC 9000 §14.1).
const DATAGRAM: usize = 1232;
const DATAGRAM_V6: usize = 1252;
/// A version of the form 0x?a?a?a?a, reserved so that no server knows it (RFC 9000 §15).
const RESERVED: u32 = 0x1a2a_3a4a;
/// The length of a connection id here.
const ID: usize = 8;
/// A datagram may be lost; it is sent this often.
const AGAIN: Duration = Duration::from_millis(900);
/// How many datagrams that are no answer are looked at: whoever sends more is no server.
const STRANGERS: usize = 16;

/// The ids of one question.
#[derive(Debug, Clone, Copy)]
struct Ids {
    /// Who is asked.
    destination: [u8; ID],
    /// Who asks.
    source: [u8; ID],
}

/// Asks the edge at that address, from `source` or whichever address the kernel takes, within [`CONNECTION`].
pub async fn ask(edge: SocketAddr, source: Option<IpAddr>) -> Try {
    let Ok(ids) = Ids::random() else { return Try::failed("this host gave no random numbers") };
    let mut strangers = 0;
    match tokio::time::timeout(CONNECTION, exchange(edge, source, ids, &mut strangers)).await {
        Ok(Ok(tried)) => tried,
        Ok(Err(error)) => Try::error(&error),
        Err(_) if strangers > 0 => not_quic(),
        Err(_) => Try::silent("no answer"),
    }
}

fn not_quic() -> Try {
    Try::failed("the answer is not QUIC")
}

/// Sends the question until it is answered or refused.
async fn exchange(edge: SocketAddr, source: Option<IpAddr>, ids: Ids, strangers: &mut usize) -> io::Result<Try> {
    let (any, size) = match edge {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED.into(), DATAGRAM),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED.into(), DATAGRAM_V6),
    };
    let socket = UdpSocket::bind(SocketAddr::new(source.unwrap_or(any), 0)).await?;
    // From now on the kernel takes datagrams of that address only, and tells when the port is refused.
    socket.connect(edge).await?;
    let question = question(ids, size);
    loop {
        socket.send(&question).await?;
        if let Ok(heard) = tokio::time::timeout(AGAIN, listen(&socket, ids, strangers)).await {
            return heard;
        }
    }
}

async fn listen(socket: &UdpSocket, ids: Ids, strangers: &mut usize) -> io::Result<Try> {
    let mut datagram = [0; DATAGRAM_V6];
    while *strangers < STRANGERS {
        let length = socket.recv(&mut datagram).await?;
        if let Some(versions) = versions(&datagram[..length], ids) {
            return Ok(Try::answered(format!("QUIC answered, with {versions} versions")));
        }
        *strangers += 1;
    }
    Ok(not_quic())
}

/// A long header (RFC 9000 §17.2) of the reserved version, padded with zeros.
fn question(Ids { destination, source }: Ids, size: usize) -> Vec<u8> {
    // Long form, fixed bit, the longest packet number: what an Initial packet of version 1 would begin with.
    let mut packet = vec![0xc3];
    packet.extend(RESERVED.to_be_bytes());
    for id in [destination, source] {
        packet.push(ID as u8);
        packet.extend(id);
    }
    packet.resize(size, 0);
    packet
}

/// How many versions a Version Negotiation packet offers, if this is one and the answer to ours: version 0, our source
/// id as its destination and our destination id as its source (RFC 9000 §17.2.1).
fn versions(packet: &[u8], ids: Ids) -> Option<usize> {
    let (form, rest) = packet.split_first()?;
    let rest = rest.strip_prefix(&0u32.to_be_bytes())?;
    let rest = rest.strip_prefix(&[ID as u8])?.strip_prefix(&ids.source)?;
    let offered = rest.strip_prefix(&[ID as u8])?.strip_prefix(&ids.destination)?;
    let whole = !offered.is_empty() && offered.len() % size_of::<u32>() == 0;
    (form & 0x80 != 0 && whole).then_some(offered.len() / size_of::<u32>())
}

impl Ids {
    /// Unpredictable ones, so that nobody who does not see the question can answer it.
    fn random() -> Result<Self, GetRandomFailed> {
        let mut ids = Self { destination: [0; ID], source: [0; ID] };
        let random = ring::default_provider().secure_random;
        random.fill(&mut ids.destination)?;
        random.fill(&mut ids.source)?;
        Ok(ids)
    }
}

#[cfg(test)]
mod tests;
