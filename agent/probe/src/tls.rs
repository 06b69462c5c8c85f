//! A TLS hello over TCP.

use super::CONNECTION;
use super::evidence::{Try, words};
use rustls::crypto::ring;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

/// The server name that cloudflared's own checks of its way to the edge ask for, without ALPN as over http2 (its
/// `connection/protocol.go`): the edge knows by it that no connector comes.
const SERVER_NAME: &str = "probe.cftunnel.com";
/// As much of the answer as is looked at: a record's header (RFC 8446 §5.1) and the first two bytes in it.
const ANSWER: usize = 7;
/// The longest record, in bytes (RFC 5246 §6.2.3; 1.3 allows less).
const LONGEST_RECORD: usize = (1 << 14) + 2048;

/// Says hello to the edge at that address, from `source` or whichever address the kernel takes, within [`CONNECTION`].
pub async fn hello(edge: SocketAddr, source: Option<IpAddr>) -> Try {
    let Ok(hello) = client_hello() else { return Try::failed("this host gave no random numbers") };
    let mut connected = false;
    let tried = async {
        let stream = match connect(edge, source).await {
            Ok(stream) => stream,
            Err(error) => return Try::error(&error),
        };
        connected = true;
        exchange(stream, &hello).await
    };
    match tokio::time::timeout(CONNECTION, tried).await {
        Ok(tried) => tried,
        Err(_) if connected => Try::mute("connected, but got no TLS answer"),
        Err(_) => Try::silent("no answer"),
    }
}

async fn connect(edge: SocketAddr, source: Option<IpAddr>) -> io::Result<TcpStream> {
    let socket = if edge.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if let Some(source) = source {
        socket.bind(SocketAddr::new(source, 0))?;
    }
    socket.connect(edge).await
}

async fn exchange(mut stream: TcpStream, hello: &[u8]) -> Try {
    let mut answer = [0; ANSWER];
    let (mut read, mut trouble) = (0, None);
    if let Err(error) = stream.write_all(hello).await {
        return Try::failed(format!("connected, then {}", words(&error)));
    }
    while read < ANSWER {
        match stream.read(&mut answer[read..]).await {
            Ok(0) => break,
            Ok(more) => read += more,
            Err(error) => {
                trouble = Some(words(&error));
                break;
            }
        }
    }
    judge(&answer[..read], trouble)
}

/// What the first bytes of an answer are, and what ended them.
fn judge(answer: &[u8], trouble: Option<String>) -> Try {
    let [kind, 3, _, high, low, first, second] = *answer else {
        return match (answer, trouble) {
            ([], None) => Try::failed("connected, then closed without an answer"),
            (_, Some(trouble)) => Try::failed(format!("connected, then {trouble}")),
            _ => Try::failed("connected, but the answer is not TLS"),
        };
    };
    match (kind, usize::from(u16::from_be_bytes([high, low]))) {
        (22, 4..=LONGEST_RECORD) if first == 2 => Try::answered("TLS answered"),
        (21, 2) => Try::answered(format!("TLS answered with alert {second}")),
        _ => Try::failed("connected, but the answer is not TLS"),
    }
}

/// A ClientHello as rustls sends it. Its keys are never used: the answer is looked at from outside.
fn client_hello() -> Result<Vec<u8>, rustls::Error> {
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    let name = ServerName::try_from(SERVER_NAME).expect("it is a name");
    let mut connection = ClientConnection::new(Arc::new(config), name)?;
    let mut hello = Vec::new();
    connection.write_tls(&mut hello).expect("memory takes what is written");
    Ok(hello)
}

#[cfg(test)]
mod tests;
