//! The UDP socket of an address, which lets through to QUIC what the conduct of the address lets through.

use super::negotiation;
use crate::anew;
use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, Runtime, TokioRuntime, UdpPoller};
use socket2::SockRef;
use std::collections::HashSet;
use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// What happens to packets of who is not connected yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Strangers {
    /// They are let in.
    #[default]
    Welcome,
    /// They are let in, and who asks which versions there are is not answered.
    Unanswered,
    /// They are dropped.
    Ignored,
    /// They are answered with what is no QUIC.
    Teased,
}

/// A socket that can be closed and opened under the endpoint that uses it.
pub(super) struct Door {
    address: SocketAddr,
    inner: Mutex<Inner>,
    knocked: Box<dyn Fn() + Send + Sync>,
    /// How many packets may come as one.
    together: usize,
}

#[derive(Default)]
struct Inner {
    socket: Option<Arc<dyn AsyncUdpSocket>>,
    waker: Option<Waker>,
    strangers: Strangers,
    silent: HashSet<SocketAddr>,
}

impl std::fmt::Debug for Door {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Door").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Door {
    /// An open one. `knocked` is called for each question which versions there are.
    pub(super) fn open(address: SocketAddr, knocked: impl Fn() + Send + Sync + 'static) -> io::Result<Arc<Self>> {
        let mut door = Door { address, inner: Mutex::default(), knocked: Box::new(knocked), together: 1 };
        let socket = UdpSocket::bind(address)?;
        SockRef::from(&socket).set_reuse_address(true)?;
        door.take(socket)?;
        let socket = door.lock().socket.clone();
        door.together = socket.map_or(1, |socket| socket.max_receive_segments());
        Ok(Arc::new(door))
    }

    /// Binds the address again.
    pub(super) fn reopen(&self) -> io::Result<()> {
        if self.is_open() { Ok(()) } else { self.take(anew::socket(self.address)?) }
    }

    fn take(&self, socket: UdpSocket) -> io::Result<()> {
        let mut inner = self.lock();
        inner.socket = Some(TokioRuntime.wrap_udp_socket(socket)?);
        if let Some(waker) = inner.waker.take() {
            waker.wake();
        }
        Ok(())
    }

    /// Closes the socket: the kernel answers for a closed port (ICMP port unreachable).
    pub(super) fn close(&self) {
        self.lock().socket = None;
    }

    pub(super) fn is_open(&self) -> bool {
        self.lock().socket.is_some()
    }

    pub(super) fn set_strangers(&self, strangers: Strangers) {
        self.lock().strangers = strangers;
    }

    /// From now on nothing passes from or to this address.
    pub(super) fn silence(&self, remote: SocketAddr) {
        self.lock().silent.insert(remote);
    }

    /// The next one at this address is heard again.
    pub(super) fn forget(&self, remote: SocketAddr) {
        self.lock().silent.remove(&remote);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a packet passes.
    fn passes(&self, inner: &Inner, packet: &[u8], from: SocketAddr) -> bool {
        if inner.silent.contains(&from) {
            return false;
        }
        let negotiation = negotiation::negotiate(packet);
        if negotiation.is_none() && !is_initial(packet) {
            return true;
        }
        if negotiation.is_some() {
            (self.knocked)();
        }
        match (inner.strangers, negotiation) {
            (Strangers::Welcome | Strangers::Unanswered, None) => return true,
            (Strangers::Welcome, Some(answer)) => send(inner, from, &answer),
            (Strangers::Teased, _) => send(inner, from, negotiation::GARBAGE),
            (Strangers::Unanswered | Strangers::Ignored, _) => {}
        }
        false
    }
}

fn send(inner: &Inner, destination: SocketAddr, contents: &[u8]) {
    if let Some(socket) = &inner.socket {
        let transmit = Transmit { destination, ecn: None, contents, segment_size: None, src_ip: None };
        // Who asked asks again.
        let _ = socket.try_send(&transmit);
    }
}

/// Whether a packet is the first of a connection, of version 1 (RFC 9000 §17.2.2).
fn is_initial(packet: &[u8]) -> bool {
    matches!(packet, [first, 0, 0, 0, 1, ..] if first & 0xf0 == 0xc0)
}

impl AsyncUdpSocket for Door {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(Poller { door: self, waiting: None })
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let inner = self.lock();
        match &inner.socket {
            Some(socket) if !inner.silent.contains(&transmit.destination) => socket.try_send(transmit),
            _ => Ok(()),
        }
    }

    fn poll_recv(
        &self,
        context: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let mut inner = self.lock();
        let Some(socket) = inner.socket.clone() else {
            inner.waker = Some(context.waker().clone());
            return Poll::Pending;
        };
        let count = match socket.poll_recv(context, buffers, meta) {
            Poll::Pending => {
                inner.waker = Some(context.waker().clone());
                return Poll::Pending;
            }
            Poll::Ready(Ok(count)) => count,
            // Of a packet that was sent: its receiver is gone.
            Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => 0,
            Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
        };
        for (buffer, meta) in buffers.iter().zip(meta.iter_mut()).take(count) {
            // Packets that came together are of one sender.
            let first = &buffer[..meta.len.min(meta.stride)];
            if !self.passes(&inner, first, meta.addr) {
                meta.len = 0;
            }
        }
        Poll::Ready(Ok(count))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }

    fn max_receive_segments(&self) -> usize {
        self.together
    }
}

/// Holds the socket only while it waits, so that a closed one is closed.
struct Poller {
    door: Arc<Door>,
    waiting: Option<Pin<Box<dyn UdpPoller>>>,
}

impl std::fmt::Debug for Poller {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Poller").field("door", &self.door).finish_non_exhaustive()
    }
}

impl UdpPoller for Poller {
    fn poll_writable(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.waiting.is_none() {
            let socket = self.door.lock().socket.clone();
            self.waiting = socket.map(AsyncUdpSocket::create_io_poller);
        }
        let Some(waiting) = &mut self.waiting else { return Poll::Ready(Ok(())) };
        let polled = waiting.as_mut().poll_writable(context);
        if polled.is_ready() {
            self.waiting = None;
        }
        polled
    }
}
