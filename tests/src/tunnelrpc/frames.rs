//! Messages on a stream, each behind the number and the length of its segments.

use super::value::{LONGEST, Malformed, Value};
use std::io;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// The head of a message of one segment: one less than their number, and the length in words.
const HEAD: usize = 8;
/// How much is read at once.
const PIECE: usize = 4096;

/// Why no message could be read or written.
#[derive(Debug, Error)]
pub enum Error {
    /// The stream failed.
    #[error("the stream failed: {0}")]
    Stream(#[from] io::Error),
    /// The other side sent what is no message.
    #[error("the other side sent what is no message: {0}")]
    Malformed(#[from] Malformed),
}

/// A message with its head.
pub fn frame(message: &Value) -> Vec<u8> {
    let body = message.encode();
    // No message that is spoken comes near 4 GiB words.
    let words = (body.len() / 8) as u32;
    [&0u32.to_le_bytes(), words.to_le_bytes().as_slice(), &body].concat()
}

/// The length of the message behind a head, in bytes.
fn length(head: [u8; HEAD]) -> Result<usize, Malformed> {
    let head = u64::from_le_bytes(head);
    let (more_segments, words) = (head as u32, (head >> 32) as usize);
    match words.saturating_mul(8) {
        _ if more_segments != 0 => Err(Malformed::Segments),
        length if length > LONGEST => Err(Malformed::TooLong),
        length => Ok(length),
    }
}

/// Reads one message, and nothing behind it.
///
/// # Errors
/// The stream failed or ended, or what came is no message.
pub async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Result<Value, Error> {
    let mut head = [0; HEAD];
    stream.read_exact(&mut head).await?;
    let mut message = vec![0; length(head)?];
    stream.read_exact(&mut message).await?;
    Ok(Value::decode(&message)?)
}

/// Messages in both directions. What is waited for may be dropped at any time: nothing is lost.
#[derive(Debug)]
pub struct Frames<R, W> {
    read: R,
    write: W,
    arrived: Vec<u8>,
    leaving: Vec<u8>,
}

impl<R: AsyncRead + Unpin, W: AsyncWrite + Unpin> Frames<R, W> {
    /// Of the two directions of a stream.
    pub fn new(read: R, write: W) -> Self {
        Frames { read, write, arrived: vec![], leaving: vec![] }
    }

    /// Queues a message, which leaves with the next [`Frames::flush`] or [`Frames::next`].
    pub fn push(&mut self, message: &Value) {
        self.leaving.extend(frame(message));
    }

    /// Writes what is queued.
    ///
    /// # Errors
    /// The stream failed.
    pub async fn flush(&mut self) -> io::Result<()> {
        while !self.leaving.is_empty() {
            let written = self.write.write(&self.leaving).await?;
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            self.leaving.drain(..written);
        }
        self.write.flush().await
    }

    /// Writes what is queued, and reads the next message; `None` when the stream ended behind the last one. What has come is
    /// read, too, from one who does not read any more.
    ///
    /// # Errors
    /// The stream failed, or ended within a message, or what came is no message.
    pub async fn next(&mut self) -> Result<Option<Value>, Error> {
        let sent = self.flush().await;
        loop {
            if let Some(message) = self.whole()? {
                return Ok(Some(message));
            }
            self.arrived.reserve(PIECE);
            if self.read.read_buf(&mut self.arrived).await? == 0 {
                sent?;
                let whole = self.arrived.is_empty();
                return if whole { Ok(None) } else { Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()) };
            }
        }
    }

    fn whole(&mut self) -> Result<Option<Value>, Malformed> {
        let Some((head, rest)) = self.arrived.split_first_chunk::<HEAD>() else { return Ok(None) };
        let Some(message) = rest.get(..length(*head)?) else { return Ok(None) };
        let (value, end) = (Value::decode(message)?, HEAD + message.len());
        self.arrived.drain(..end);
        Ok(Some(value))
    }

    /// Ends the direction to the other side.
    ///
    /// # Errors
    /// The stream failed.
    pub async fn finish(&mut self) -> io::Result<()> {
        self.flush().await?;
        self.write.shutdown().await
    }

    /// The two directions. What arrived and was not asked for, or is queued, is lost.
    pub fn into_inner(self) -> (R, W) {
        (self.read, self.write)
    }
}
