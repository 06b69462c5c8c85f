//! The two bodies of an HTTP/2 request as a stream of bytes. They are the same at both ends.

use bytes::{Buf, Bytes};
use h2::{Reason, RecvStream, SendStream};
use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The body that comes.
#[derive(Debug)]
pub struct Incoming {
    stream: RecvStream,
    arrived: Bytes,
}

/// The body that goes.
#[derive(Debug)]
pub struct Outgoing {
    stream: SendStream<Bytes>,
    ended: bool,
}

impl Incoming {
    /// Of a request at a server, or an answer at a client.
    pub fn new(stream: RecvStream) -> Self {
        Incoming { stream, arrived: Bytes::new() }
    }
}

impl Outgoing {
    /// Of an answer at a server, or a request at a client.
    pub fn new(stream: SendStream<Bytes>) -> Self {
        Outgoing { stream, ended: false }
    }

    /// Cuts the stream.
    pub fn reset(&mut self) {
        self.stream.send_reset(Reason::INTERNAL_ERROR);
    }
}

impl AsyncRead for Incoming {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.arrived.is_empty() {
            match ready!(self.stream.poll_data(context)) {
                Some(Ok(bytes)) => {
                    // What is not given back is never sent: a stalled stream.
                    self.stream.flow_control().release_capacity(bytes.len()).map_err(failed)?;
                    self.arrived = bytes;
                }
                // A server that is done with a request's body does not want the rest.
                Some(Err(error)) if error.reason() == Some(Reason::NO_ERROR) => return Poll::Ready(Ok(())),
                Some(Err(error)) => return Poll::Ready(Err(failed(error))),
                None => return Poll::Ready(Ok(())),
            }
        }
        let length = self.arrived.len().min(buffer.remaining());
        buffer.put_slice(&self.arrived[..length]);
        self.arrived.advance(length);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Outgoing {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        self.stream.reserve_capacity(bytes.len());
        loop {
            let capacity = self.stream.capacity();
            if capacity > 0 {
                let length = capacity.min(bytes.len());
                self.stream.send_data(Bytes::copy_from_slice(&bytes[..length]), false).map_err(failed)?;
                return Poll::Ready(Ok(length));
            }
            match ready!(self.stream.poll_capacity(context)) {
                Some(Ok(_)) => {}
                Some(Err(error)) => return Poll::Ready(Err(failed(error))),
                None => return Poll::Ready(Err(ErrorKind::BrokenPipe.into())),
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.ended {
            self.ended = true;
            self.stream.send_data(Bytes::new(), true).map_err(failed)?;
        }
        Poll::Ready(Ok(()))
    }
}

fn failed(error: h2::Error) -> io::Error {
    if error.is_io() { error.into_io().unwrap_or_else(|| ErrorKind::Other.into()) } else { io::Error::other(error) }
}
