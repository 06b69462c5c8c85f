//! The language of lines, which the stand-in for cloudflared spoke until it learnt the real protocol.

use super::journal::What;
use super::link::Link;
use super::registrar::LOCATION;
use super::state::{self, Connection, Live, State};
use super::wire::{self, Reader, ToConnector, ToEdge, Who};
use super::{Conduct, Transport, ids};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::sync::{mpsc, watch};

/// Serves a connection until either side ends it.
pub(super) async fn serve(
    stream: TcpStream,
    edge: SocketAddr,
    conduct: watch::Receiver<Conduct>,
    state: Arc<Mutex<State>>,
) {
    // Whatever goes wrong on the wire is the connector's to report; the journal has what it means here.
    let _ = Visit { edge, conduct, state }.serve(stream).await;
}

struct Visit {
    edge: SocketAddr,
    conduct: watch::Receiver<Conduct>,
    state: Arc<Mutex<State>>,
}

impl Visit {
    async fn serve(self, stream: TcpStream) -> io::Result<()> {
        let (mut read, mut write) = wire::split(stream);
        let ToEdge::Hello(who) = wire::hear(&mut read).await? else { return Ok(()) };
        if let Some(how) = turned_away(self.conduct()) {
            self.note(&who, What::TurnedAway(how));
            return turn_away(how, read, write).await;
        }
        wire::say(&mut write, &ToConnector::Welcome).await?;
        let ToEdge::Register { secret } = wire::hear(&mut read).await? else { return Ok(()) };
        if self.conduct() == Conduct::Hang {
            self.note(&who, What::Hung);
            return until_closed(&mut read).await;
        }
        if let Some(error) = self.rejection(&who, &secret) {
            self.note(&who, What::Rejected(error.to_owned()));
            return wire::say(&mut write, &ToConnector::Rejected { error: error.to_owned() }).await;
        }
        self.keep(who, read, write).await
    }

    fn rejection(&self, who: &Who, secret: &str) -> Option<&'static str> {
        const UNAUTHORIZED: &str = "Unauthorized: Invalid tunnel secret";
        match self.conduct() {
            Conduct::Unauthorized => Some(UNAUTHORIZED),
            Conduct::Permanent => Some("Internal: tunnel was deleted"),
            Conduct::Retry => Some("edge is overloaded"),
            _ => {
                let secret = STANDARD.decode(secret).unwrap_or_else(|_| secret.as_bytes().to_vec());
                (!state::lock(&self.state).secret_fits(&who.tunnel, &secret)).then_some(UNAUTHORIZED)
            }
        }
    }

    /// Registers the connection and holds it until it is lost, dropped, or unregistered and closed.
    async fn keep(&self, who: Who, mut read: Reader, mut write: OwnedWriteHalf) -> io::Result<()> {
        let id = ids::uuid();
        let (tell, mut told) = mpsc::unbounded_channel();
        let (end, mut ended) = mpsc::unbounded_channel();
        let (_task, task) = watch::channel(());
        let peer = read.get_ref().get_ref().peer_addr()?;
        {
            let mut state = state::lock(&self.state);
            // It came before the address refused. Registered now, it would be left out by the drop that an outage is.
            if self.conduct() == Conduct::Refuse {
                return Ok(());
            }
            let (edge, transport) = (self.edge, Transport::Http2);
            let connection = Connection { who, connection: id.clone(), edge, transport, since: state.now() };
            let (link, streams) = (Link::Lines(tell), watch::Sender::new(0));
            let orders = Some(super::registrar::carry_orders(link.clone()));
            state.register(Live { connection, link, peer, orders, _end: end, task, streams });
        }
        let lost = |_: &io::Error| state::lock(&self.state).remove(&id, What::Lost);
        let registered = ToConnector::Registered { connection: id.clone(), location: LOCATION.into() };
        wire::say(&mut write, &registered).await.inspect_err(lost)?;
        loop {
            tokio::select! {
                _ = ended.recv() => return Ok(()), // dropped
                Some(message) = told.recv() => wire::say(&mut write, &message).await.inspect_err(lost)?,
                heard = wire::hear(&mut read) => if matches!(heard.inspect_err(lost)?, ToEdge::Unregister) {
                    state::lock(&self.state).remove(&id, What::Unregistered);
                    // A client may have been given this connection just before.
                    while let Ok(message) = told.try_recv() {
                        wire::say(&mut write, &message).await?;
                    }
                    wire::say(&mut write, &ToConnector::Unregistered).await?;
                    // Streams in flight live as long as the connector keeps the connection.
                    return until_closed(&mut read).await;
                },
            }
        }
    }

    fn conduct(&self) -> Conduct {
        *self.conduct.borrow()
    }

    fn note(&self, who: &Who, what: What) {
        state::lock(&self.state).note(who, self.edge, "", what);
    }
}

fn turned_away(conduct: Conduct) -> Option<&'static str> {
    match conduct {
        Conduct::Eof => Some("eof"),
        Conduct::Reset => Some("reset"),
        Conduct::BlackHole => Some("black-hole"),
        Conduct::Garbage => Some("garbage"),
        _ => None,
    }
}

async fn turn_away(how: &str, mut read: Reader, mut write: OwnedWriteHalf) -> io::Result<()> {
    match how {
        "black-hole" => until_closed(&mut read).await,
        "garbage" => write.write_all(super::tcp::GARBAGE).await,
        // With no time to linger, closing resets.
        "reset" => write.as_ref().set_zero_linger(),
        _ => Ok(()),
    }
}

async fn until_closed(read: &mut Reader) -> io::Result<()> {
    while read.next_line().await?.is_some() {}
    Ok(())
}
