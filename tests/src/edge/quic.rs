//! What comes over UDP: a tunnel's connection over QUIC.

use super::Conduct;
use super::door::Door;
use super::garbage;
use super::link::Link;
use super::registrar::{Ending, Visit};
use super::state;
use super::tcp::Port;
use crate::tunnelrpc::Callee;
use quinn::{Connection, Endpoint, EndpointConfig, TokioRuntime, VarInt};
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// How long the control stream may take to be opened.
const PATIENCE: Duration = Duration::from_secs(15);
/// How much of a control stream is read that is not listened to.
const MOST_UNREAD: usize = 1 << 16;
/// How a connection is closed of which nothing more is needed.
const NO_ERROR: VarInt = VarInt::from_u32(0);
/// How a connection is closed that is dropped.
const DROPPED: VarInt = VarInt::from_u32(1);

/// An endpoint behind a door.
pub(super) fn endpoint(door: Arc<Door>, config: quinn::ServerConfig) -> io::Result<Endpoint> {
    Endpoint::new_with_abstract_socket(EndpointConfig::default(), Some(config), door, Arc::new(TokioRuntime))
}

/// Serves every connection, for ever.
pub(super) async fn serve(endpoint: Endpoint, door: Arc<Door>, port: Port) {
    // A first packet that is not answered comes again.
    let mut last_ignored = None;
    while let Some(incoming) = endpoint.accept().await {
        let turned_away = |how| state::lock(&port.state).turned_away(port.edge, how);
        let conduct = *port.conduct.borrow();
        match conduct {
            Conduct::Reset => {
                turned_away("reset");
                incoming.refuse();
            }
            Conduct::BlackHole | Conduct::Refuse => {
                let id = incoming.orig_dst_cid();
                if last_ignored.replace(id) != Some(id) {
                    turned_away("black-hole");
                }
                incoming.ignore();
            }
            _ => {
                let (port, door) = (port.clone(), door.clone());
                tokio::spawn(async move {
                    if let Ok(connecting) = incoming.accept()
                        && let Ok(connection) = connecting.await
                    {
                        visit(connection, door, port).await;
                    }
                });
            }
        }
    }
}

async fn visit(connection: Connection, door: Arc<Door>, port: Port) {
    let remote = connection.remote_address();
    let turned_away = |how| state::lock(&port.state).turned_away(port.edge, how);
    let conduct = *port.conduct.borrow();
    let ending = match conduct {
        Conduct::Eof => {
            turned_away("eof");
            Ending::Closed
        }
        Conduct::Drop => {
            turned_away("drop");
            Ending::Dropped
        }
        _ => control(&connection, &door, port.clone()).await,
    };
    match ending {
        Ending::Done | Ending::Closed => connection.close(NO_ERROR, b""),
        Ending::Dropped | Ending::Reset => connection.close(DROPPED, b"dropped"),
        Ending::Garbage(_) | Ending::Theirs => connection.close(NO_ERROR, b""),
    }
    door.forget(remote);
}

/// Answers what is asked on the control stream.
async fn control(connection: &Connection, door: &Arc<Door>, port: Port) -> Ending {
    // A check before a start opens none.
    let Ok(Ok((mut send, mut receive))) = tokio::time::timeout(PATIENCE, connection.accept_bi()).await else {
        return Ending::Theirs;
    };
    let visit = Visit {
        edge: port.edge,
        peer: connection.remote_address(),
        link: Link::Quic { connection: connection.clone(), door: door.clone() },
        conduct: port.conduct,
        state: port.state,
    };
    let closed = async { drop(connection.closed().await) };
    let ending = visit.serve(Callee::new(&mut receive, &mut send), closed).await;
    if let Ending::Garbage(number) = ending
        && send.write_all(&garbage::to_connector(number)).await.is_ok()
    {
        // The other side ends the control stream. How does not matter.
        let _ = receive.read_to_end(MOST_UNREAD).await;
    }
    ending
}
