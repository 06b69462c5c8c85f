//! Bytes both ways between a client and a connector.

use super::super::link::{Reading, Writing};
use crate::tunnelrpc::websocket::{self, End, MOST, Opcode};
use std::io::{self, ErrorKind};
use std::pin::pin;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::Mutex;

/// Who ended a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EndedBy {
    Client,
    FarSide,
}

/// Carries bytes as they are.
pub(super) async fn bytes(
    mut client: OwnedReadHalf,
    mut to_client: OwnedWriteHalf,
    mut body: Writing,
    mut answer: Reading,
) -> io::Result<EndedBy> {
    until_either_ended(one_way(&mut client, &mut body), one_way(&mut answer, &mut to_client)).await
}

/// Carries bytes in the frames of a WebSocket, whose client the edge is.
pub(super) async fn frames(
    mut client: OwnedReadHalf,
    mut to_client: OwnedWriteHalf,
    body: Writing,
    mut answer: Reading,
) -> io::Result<EndedBy> {
    // Answers to a ping go the way of the client's bytes.
    let body = Mutex::new(body);
    let up = async {
        let mut buffer = vec![0; MOST];
        loop {
            let read = client.read(&mut buffer).await;
            let mut body = body.lock().await;
            match read {
                Ok(length @ 1..) => {
                    let written = websocket::write(&mut *body, End::Client, Opcode::Binary, &buffer[..length]);
                    if written.await.is_err() {
                        return Stop::Sink;
                    }
                }
                ended => {
                    // Status 1000: the purpose is fulfilled (RFC 6455 §7.4.1). It may be gone already.
                    let _ = websocket::write(&mut *body, End::Client, Opcode::Close, &1000u16.to_be_bytes()).await;
                    let _ = body.shutdown().await;
                    return Stop::Source(ended.map(drop));
                }
            }
        }
    };
    let down = async {
        let ended = loop {
            match websocket::read(&mut answer).await {
                Ok((Opcode::Ping, payload)) => {
                    let pong = websocket::write(&mut *body.lock().await, End::Client, Opcode::Pong, &payload).await;
                    if pong.is_err() {
                        break pong;
                    }
                }
                Ok((Opcode::Pong, _)) => {}
                Ok((Opcode::Binary | Opcode::Text | Opcode::Continuation, payload)) => {
                    if to_client.write_all(&payload).await.is_err() {
                        return Stop::Sink;
                    }
                }
                Ok((Opcode::Close, _)) => break Ok(()),
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        if ended.is_ok() {
            // It may be gone already.
            let _ = to_client.shutdown().await;
        }
        Stop::Source(ended)
    };
    until_either_ended(up, down).await
}

/// Why a direction stopped.
pub(super) enum Stop {
    /// The side that it is read from ended: in good order, or not.
    Source(io::Result<()>),
    /// The side that it is written to does not take any more.
    Sink,
}

/// cloudflared ends both directions as soon as one has ended, so nothing more comes behind the end of the far side, and
/// how it takes the end of the client does not matter.
pub(super) async fn until_either_ended(
    up: impl Future<Output = Stop>,
    down: impl Future<Output = Stop>,
) -> io::Result<EndedBy> {
    let by_far_side = |down| match down {
        Stop::Source(ended) => ended.map(|()| EndedBy::FarSide),
        Stop::Sink => Ok(EndedBy::Client),
    };
    let mut down = pin!(down);
    tokio::select! {
        biased;
        stop = &mut down => by_far_side(stop),
        stop = up => {
            let down = down.await;
            match stop {
                Stop::Source(_) => Ok(EndedBy::Client),
                // What does not take any more has ended, or is gone: how, is read in the other direction.
                Stop::Sink => by_far_side(down),
            }
        }
    }
}

/// Carries bytes in one direction.
pub(super) async fn one_way(from: &mut (impl AsyncRead + Unpin), to: &mut (impl AsyncWrite + Unpin)) -> Stop {
    let mut buffer = vec![0; MOST];
    loop {
        match from.read(&mut buffer).await {
            Ok(length @ 1..) => {
                if to.write_all(&buffer[..length]).await.is_err() || to.flush().await.is_err() {
                    return Stop::Sink;
                }
            }
            ended => {
                if ended.is_ok() {
                    // It may be gone already.
                    let _ = to.shutdown().await;
                }
                return Stop::Source(ended.map(drop));
            }
        }
    }
}
