//! What comes over TCP: a tunnel's connection over HTTP/2, a question whether TLS is spoken, or anything else.

use super::Conduct;
use super::certificates::Certificates;
use super::garbage;
use super::hush::{Hush, Hushable};
use super::link::Link;
use super::registrar::{Ending, Visit};
use super::state::{self, State};
use crate::tunnelrpc::duplex::{Incoming, Outgoing};
use crate::tunnelrpc::{Callee, headers};
use http::Request;
use socket2::Socket;
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;

/// The first byte of a handshake's record (RFC 8446 §5.1).
const HANDSHAKE: u8 = 22;
/// What is no TLS.
pub(super) const GARBAGE: &[u8] = b"HTTP/1.1 400 Bad Request\r\n\r\n";
/// How long a handshake may take.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long the other side may take to close a connection that has ended.
const LINGER: Duration = Duration::from_secs(5);
/// How much may be sent to the edge on one stream, and on all of one connection, before it has read it.
const WINDOWS: [u32; 2] = [1 << 20, 1 << 24];

/// What comes at one address.
#[derive(Clone)]
pub(super) struct Port {
    pub(super) edge: SocketAddr,
    pub(super) conduct: watch::Receiver<Conduct>,
    pub(super) certificates: Arc<Certificates>,
    pub(super) state: Arc<Mutex<State>>,
}

impl Port {
    /// Serves a connection until either side ends it.
    pub(super) async fn serve(self, stream: TcpStream) {
        // Whatever goes wrong on the wire is the connector's to report; the journal has what it means here.
        let _ = self.answer(stream).await;
    }

    async fn answer(self, mut stream: TcpStream) -> io::Result<()> {
        let mut first = [0];
        let length = stream.peek(&mut first).await?;
        let peer = stream.peer_addr()?;
        let is_hello = length == 1 && first == [HANDSHAKE];
        state::lock(&self.state).knocks.tls += u64::from(is_hello);
        let conduct = *self.conduct.borrow();
        let turned_away = |how| {
            if is_hello {
                state::lock(&self.state).turned_away(self.edge, how);
            }
        };
        match conduct {
            Conduct::Eof => {
                turned_away("eof");
                // What is closed with something unread is reset.
                stream.read(&mut [0; 4096]).await.map(drop)
            }
            Conduct::Refuse => Ok(()),
            Conduct::Reset => {
                turned_away("reset");
                // With no time to linger, closing resets.
                stream.set_zero_linger()
            }
            Conduct::BlackHole => {
                turned_away("black-hole");
                until_closed(stream).await
            }
            Conduct::Garbage => {
                turned_away("garbage");
                stream.write_all(GARBAGE).await?;
                until_closed(stream).await
            }
            _ if !is_hello => Ok(()),
            _ => self.tunnel(stream, peer).await,
        }
    }

    /// TLS, and HTTP/2 if the other side wants it.
    async fn tunnel(self, stream: TcpStream, peer: SocketAddr) -> io::Result<()> {
        let hush = Hush::default();
        let _ = stream.set_nodelay(true);
        let socket = Socket::from(stream.as_fd().try_clone_to_owned()?);
        let stream = Hushable::new(stream, hush.clone());
        let accepted = tokio::time::timeout(PATIENCE, self.certificates.tls.accept(stream)).await;
        let stream = accepted.map_err(io::Error::from)??;
        if *self.conduct.borrow() == Conduct::Drop {
            state::lock(&self.state).turned_away(self.edge, "drop");
            socket.shutdown(Shutdown::Write)?;
            return until_closed(stream).await;
        }
        let mut http2 = h2::client::Builder::new();
        http2.initial_window_size(WINDOWS[0]).initial_connection_window_size(WINDOWS[1]);
        let (requests, connection) = http2.handshake(stream).await.map_err(io::Error::other)?;
        let (closing, mut closed) = watch::channel(());
        let mut driver = tokio::spawn(async move {
            // Its end is noticed by those who use it.
            let _ = connection.await;
            drop(closing);
        });
        let ending = tokio::select! {
            ending = self.control(requests, hush.clone(), peer, closed.clone()) => ending,
            _ = closed.changed() => Ok(Ending::Theirs),
        };
        if matches!(ending, Ok(Ending::Reset)) {
            hush.reset();
        } else if socket.shutdown(Shutdown::Write).is_ok() {
            // What is closed with something unread is reset: the other side is to read the end, and close.
            let _ = tokio::time::timeout(LINGER, &mut driver).await;
        }
        // With it goes the socket.
        driver.abort();
        ending.map(drop)
    }

    /// Asks for the control stream, and answers what is asked on it.
    async fn control(
        self,
        requests: h2::client::SendRequest<bytes::Bytes>,
        hush: Hush,
        peer: SocketAddr,
        mut closed: watch::Receiver<()>,
    ) -> io::Result<Ending> {
        let request = Request::get("https://connector.invalid/")
            .header(headers::UPGRADE, headers::CONTROL_STREAM)
            .body(())
            .map_err(io::Error::other)?;
        let mut asking = requests.clone().ready().await.map_err(io::Error::other)?;
        let (answer, send) = asking.send_request(request, false).map_err(io::Error::other)?;
        let answer = answer.await.map_err(io::Error::other)?;
        // It is more than a knock.
        state::lock(&self.state).knocks.tls -= 1;
        let mut send = Outgoing::new(send);
        let mut receive = Incoming::new(answer.into_body());
        let visit = Visit {
            edge: self.edge,
            peer,
            link: Link::Http2 { requests, hush },
            conduct: self.conduct,
            state: self.state,
        };
        let ending =
            visit.serve(Callee::new(&mut receive, &mut send), async move { drop(closed.changed().await) }).await;
        if let Ending::Garbage(number) = ending {
            send.write_all(&garbage::to_connector(number)).await?;
            // The other side ends the control stream, and leaves the connection to the edge.
            until_closed(&mut receive).await?;
        }
        Ok(ending)
    }
}

async fn until_closed(mut stream: impl tokio::io::AsyncRead + Unpin) -> io::Result<()> {
    let mut ignored = [0; 4096];
    while stream.read(&mut ignored).await? > 0 {}
    Ok(())
}
