//! Frames of a WebSocket (RFC 6455 §5), for both ends.
//!
//! A client's stream to a `tcp://` rule, or one of its kind, is carried so over both transports. cloudflared cuts frames
//! that are longer than [`MOST`].

use std::io::{self, ErrorKind};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// The most bytes that the edge puts into a frame: cloudflared's buffer.
pub const MOST: usize = 16 << 10;
/// The most bytes that are taken in a frame.
const MOST_TAKEN: u64 = 1 << 20;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opcode {
    /// More of the message before.
    Continuation,
    /// Text.
    Text,
    /// Bytes.
    Binary,
    /// The end.
    Close,
    /// A question whether the other side is there.
    Ping,
    /// Its answer.
    Pong,
}

/// Which end writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The client, which masks what it writes.
    Client,
    /// The server, which does not.
    Server,
}

/// Writes a frame that is a whole message.
///
/// # Errors
/// The stream failed.
pub async fn write(stream: &mut (impl AsyncWrite + Unpin), end: End, opcode: Opcode, payload: &[u8]) -> io::Result<()> {
    let code = match opcode {
        Opcode::Continuation => 0,
        Opcode::Text => 1,
        Opcode::Binary => 2,
        Opcode::Close => 8,
        Opcode::Ping => 9,
        Opcode::Pong => 10,
    };
    let masked = if end == End::Client { 0x80 } else { 0 };
    let mut frame = vec![0x80 | code];
    match payload.len() {
        length @ 0..126 => frame.push(masked | length as u8),
        length @ 126..0x1_0000 => {
            frame.push(masked | 126);
            frame.extend((length as u16).to_be_bytes());
        }
        length => {
            frame.push(masked | 127);
            frame.extend((length as u64).to_be_bytes());
        }
    }
    match end {
        Server => frame.extend(payload),
        Client => {
            // It need not be random between two programs that trust each other.
            let mask = [0x5a, 0xa5, 0x3c, 0xc3];
            frame.extend(mask);
            frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        }
    }
    stream.write_all(&frame).await?;
    stream.flush().await
}

use End::{Client, Server};

/// Reads a frame.
///
/// # Errors
/// The stream failed or ended, or what came is no frame, or one of more than 1 MiB.
pub async fn read(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<(Opcode, Vec<u8>)> {
    let mut head = [0; 2];
    stream.read_exact(&mut head).await?;
    let invalid = |why| io::Error::new(ErrorKind::InvalidData, why);
    let opcode = match head[0] & 0x7f {
        0 => Opcode::Continuation,
        1 => Opcode::Text,
        2 => Opcode::Binary,
        8 => Opcode::Close,
        9 => Opcode::Ping,
        10 => Opcode::Pong,
        _ => return Err(invalid("no frame of a WebSocket")),
    };
    let length = match head[1] & 0x7f {
        126 => u64::from(stream.read_u16().await?),
        127 => stream.read_u64().await?,
        length => u64::from(length),
    };
    if length > MOST_TAKEN {
        return Err(invalid("a frame of more than 1 MiB"));
    }
    let mut mask = [0; 4];
    if head[1] & 0x80 != 0 {
        stream.read_exact(&mut mask).await?;
    }
    let mut payload = vec![0; length as usize];
    stream.read_exact(&mut payload).await?;
    payload.iter_mut().zip(mask.iter().cycle()).for_each(|(byte, mask)| *byte ^= mask);
    Ok((opcode, payload))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_frame_is_that_of_the_rfc() {
        // RFC 6455 §5.7: an unmasked and a masked text of "Hello".
        let unmasked = [0x81, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f];
        let masked = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
        for bytes in [unmasked.as_slice(), &masked] {
            assert_eq!(read(&mut &*bytes).await.unwrap(), (Opcode::Text, b"Hello".to_vec()));
        }
        let mut written = vec![];
        write(&mut written, End::Server, Opcode::Text, b"Hello").await.unwrap();
        assert_eq!(written, unmasked);
    }

    #[tokio::test]
    async fn what_one_end_writes_the_other_reads() {
        for end in [End::Client, End::Server] {
            for length in [0, 125, 126, 65_535, 65_536] {
                let payload: Vec<u8> = (0..length).map(|at| at as u8).collect();
                let mut stream = vec![];
                write(&mut stream, end, Opcode::Binary, &payload).await.unwrap();
                assert_eq!(stream[1] & 0x80 != 0, end == End::Client);
                assert_eq!(read(&mut stream.as_slice()).await.unwrap(), (Opcode::Binary, payload));
            }
        }
    }

    #[tokio::test]
    async fn a_hostile_frame_is_refused() {
        let too_long = [0x82, 127, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
        for bytes in [&[0x83, 0][..], &[0xf2, 0], &[0x82, 5, 1], &[0x82, 126, 0], &too_long, &[0x82]] {
            assert!(read(&mut &*bytes).await.is_err(), "{bytes:?}");
        }
    }
}
