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
    let up = one_way(&mut client, &mut body);
    let down = one_way(&mut answer, &mut to_client);
    until_either_ended(up, down).await
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
            let length = client.read(&mut buffer).await?;
            let mut body = body.lock().await;
            if length == 0 {
                // Status 1000: the purpose is fulfilled (RFC 6455 §7.4.1).
                websocket::write(&mut *body, End::Client, Opcode::Close, &1000u16.to_be_bytes()).await?;
                return body.shutdown().await;
            }
            websocket::write(&mut *body, End::Client, Opcode::Binary, &buffer[..length]).await?;
        }
    };
    let down = async {
        loop {
            match websocket::read(&mut answer).await {
                Ok((Opcode::Ping, payload)) => {
                    websocket::write(&mut *body.lock().await, End::Client, Opcode::Pong, &payload).await?;
                }
                Ok((Opcode::Pong, _)) => {}
                Ok((Opcode::Binary | Opcode::Text | Opcode::Continuation, payload)) => {
                    to_client.write_all(&payload).await?
                }
                Ok((Opcode::Close, _)) => break,
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => break,
                Err(error) => return Err(error),
            }
        }
        to_client.shutdown().await
    };
    until_either_ended(up, down).await
}

/// cloudflared ends both directions as soon as one has ended, so nothing more comes behind the end of the far side, and
/// how it takes the end of the client does not matter.
pub(super) async fn until_either_ended(
    up: impl Future<Output = io::Result<()>>,
    down: impl Future<Output = io::Result<()>>,
) -> io::Result<EndedBy> {
    let mut down = pin!(down);
    tokio::select! {
        biased;
        ended = &mut down => ended.map(|()| EndedBy::FarSide),
        ended = up => {
            // A client that was reset has ended too. The far side that cannot be written to ends by itself.
            let _ = (ended, down.await);
            Ok(EndedBy::Client)
        }
    }
}

async fn one_way(from: &mut (impl AsyncRead + Unpin), to: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
    tokio::io::copy(from, to).await?;
    to.shutdown().await
}
