//! What the edge answers to a TLS hello: TLS, with a certificate that nobody trusts.

use super::Conduct;
use crate::aws::tls::Authority;
use std::io;
use std::sync::OnceLock;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

/// The first byte of a handshake's record (RFC 8446 §5.1). A connector's own words begin with a brace.
const HANDSHAKE: u8 = 22;
/// What is no TLS.
pub(super) const GARBAGE: &[u8] = b"HTTP/1.1 400 Bad Request\r\n\r\n";

/// Whether what comes first is a TLS hello. Nothing is taken from the stream.
pub(super) async fn is_hello(stream: &TcpStream) -> io::Result<bool> {
    let mut first = [0];
    Ok(stream.peek(&mut first).await? == 1 && first[0] == HANDSHAKE)
}

/// Answers a hello as `conduct` says, and holds the connection until the other side closes it.
pub(super) async fn answer(mut stream: TcpStream, conduct: Conduct) -> io::Result<()> {
    match conduct {
        // What is closed with something unread is reset.
        Conduct::Eof => stream.read(&mut [0; 4096]).await.map(|_| ()),
        Conduct::Refuse => Ok(()),
        // With no time to linger, closing resets.
        Conduct::Reset => stream.set_zero_linger(),
        Conduct::BlackHole => until_closed(stream).await,
        Conduct::Garbage => {
            stream.write_all(GARBAGE).await?;
            until_closed(stream).await
        }
        _ => until_closed(acceptor()?.accept(stream).await?).await,
    }
}

async fn until_closed(mut stream: impl tokio::io::AsyncRead + Unpin) -> io::Result<()> {
    let mut ignored = [0; 512];
    while stream.read(&mut ignored).await? > 0 {}
    Ok(())
}

/// Made once for all edges of the process.
fn acceptor() -> io::Result<TlsAcceptor> {
    static ACCEPTOR: OnceLock<TlsAcceptor> = OnceLock::new();
    if let Some(acceptor) = ACCEPTOR.get() {
        return Ok(acceptor.clone());
    }
    let made = Authority::new().and_then(|authority| authority.identity(&[])?.acceptor()).map_err(io::Error::other)?;
    Ok(ACCEPTOR.get_or_init(|| made).clone())
}
