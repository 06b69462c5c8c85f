//! A TCP connection that can fall silent, or end in a reset, under the protocols above it.

use socket2::SockRef;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// What can be done to a connection from outside.
#[derive(Clone, Debug, Default)]
pub(super) struct Hush(Arc<Marks>);

#[derive(Debug, Default)]
struct Marks {
    silent: AtomicBool,
    reset: AtomicBool,
}

impl Hush {
    /// Nothing is heard or said any more.
    pub(super) fn silence(&self) {
        self.0.silent.store(true, Ordering::Relaxed);
    }

    /// Its end, whenever it comes, is a reset.
    pub(super) fn reset(&self) {
        self.0.reset.store(true, Ordering::Relaxed);
    }

    fn is_silent(&self) -> bool {
        self.0.silent.load(Ordering::Relaxed)
    }
}

#[derive(Debug)]
pub(super) struct Hushable {
    stream: TcpStream,
    hush: Hush,
}

impl Hushable {
    pub(super) fn new(stream: TcpStream, hush: Hush) -> Self {
        Hushable { stream, hush }
    }
}

impl AsyncRead for Hushable {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            let before = buffer.filled().len();
            ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
            // The end is noticed in silence too.
            if !self.hush.is_silent() || buffer.filled().len() == before {
                return Poll::Ready(Ok(()));
            }
            buffer.set_filled(before);
        }
    }
}

impl AsyncWrite for Hushable {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.hush.is_silent() {
            return Poll::Ready(Ok(bytes.len()));
        }
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

impl Drop for Hushable {
    fn drop(&mut self) {
        if self.hush.0.reset.load(Ordering::Relaxed) {
            // With no time to linger, closing resets. What cannot be set is closed in the usual way.
            let _ = SockRef::from(&self.stream).set_linger(Some(std::time::Duration::ZERO));
        }
    }
}
