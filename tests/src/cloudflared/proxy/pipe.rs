//! Bytes both ways. Whichever direction ends first ends the other, as in cloudflared.

use crate::tunnelrpc::websocket::{self, End, MOST, Opcode};
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;

/// Between a client whose bytes come as they are, and an origin.
pub(super) async fn bytes<R, W, O>(mut read: R, mut write: W, origin: O)
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
    O: AsyncRead + AsyncWrite,
{
    let (mut from_origin, mut to_origin) = tokio::io::split(origin);
    // Either side may hang up at any time.
    tokio::select! {
        _ = tokio::io::copy(&mut read, &mut to_origin) => {}
        _ = tokio::io::copy(&mut from_origin, &mut write) => {}
    }
    let _ = to_origin.shutdown().await;
    let _ = write.shutdown().await;
}

/// Between a client whose bytes come in frames of a WebSocket, and an origin.
pub(super) async fn frames<R, W, O>(read: R, mut write: W, origin: O)
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
    O: AsyncRead + AsyncWrite,
{
    let (from_origin, mut to_origin) = tokio::io::split(origin);
    let (pong, pongs) = mpsc::unbounded_channel();
    // As above.
    tokio::select! {
        _ = up(read, &mut to_origin, &pong) => {}
        _ = down(from_origin, &mut write, pongs) => {}
    }
    let _ = to_origin.shutdown().await;
    let _ = write.shutdown().await;
}

async fn up<R, O>(mut read: R, origin: &mut O, pong: &mpsc::UnboundedSender<Vec<u8>>) -> io::Result<()>
where
    R: AsyncRead + Unpin,
    O: AsyncWrite + Unpin,
{
    loop {
        let (opcode, payload) = websocket::read(&mut read).await?;
        match opcode {
            // Longer ones are cut: the buffer of cloudflared's copy is no longer.
            Opcode::Binary | Opcode::Text | Opcode::Continuation => {
                origin.write_all(&payload[..payload.len().min(MOST)]).await?;
                origin.flush().await?;
            }
            Opcode::Ping => drop(pong.send(payload)),
            Opcode::Pong => {}
            Opcode::Close => return Ok(()),
        }
    }
}

async fn down<O, W>(mut origin: O, write: &mut W, mut pongs: mpsc::UnboundedReceiver<Vec<u8>>) -> io::Result<()>
where
    O: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let mut buffer = vec![0; MOST];
    loop {
        tokio::select! {
            read = origin.read(&mut buffer) => match read? {
                0 => return Ok(()),
                read => websocket::write(write, End::Server, Opcode::Binary, &buffer[..read]).await?,
            },
            Some(payload) = pongs.recv() => websocket::write(write, End::Server, Opcode::Pong, &payload).await?,
        }
    }
}
