//! One address of the edge: it listens, or does not, as its conduct says.

use super::state::{self, State};
use super::{Conduct, quic, registrar};
use socket2::SockRef;
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::sync::{Arc, Mutex};
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::{mpsc, oneshot, watch};

type Change = (What, oneshot::Sender<io::Result<()>>);

/// What is changed.
#[derive(Clone, Copy)]
enum What {
    Conduct(Conduct),
    Udp(Option<Conduct>),
}

/// The handle of an address' task.
pub(super) struct Gate {
    address: SocketAddr,
    conduct: watch::Receiver<Conduct>,
    change: mpsc::UnboundedSender<Change>,
}

impl Gate {
    pub(super) async fn open(listener: TcpListener, state: Arc<Mutex<State>>) -> io::Result<Gate> {
        let address = listener.local_addr()?;
        let socket = UdpSocket::bind(address).await?;
        let (set, conduct) = watch::channel(Conduct::Accept);
        let (change, changes) = mpsc::unbounded_channel();
        tokio::spawn(Task { address, state, set, udp: None, changes }.run(listener, socket));
        Ok(Gate { address, conduct, change })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn conduct(&self) -> Conduct {
        *self.conduct.borrow()
    }

    pub(super) async fn set(&self, conduct: Conduct) -> io::Result<()> {
        self.change(What::Conduct(conduct)).await
    }

    pub(super) async fn set_udp(&self, conduct: Option<Conduct>) -> io::Result<()> {
        self.change(What::Udp(conduct)).await
    }

    async fn change(&self, what: What) -> io::Result<()> {
        let (done, answer) = oneshot::channel();
        let gone = || io::Error::other(format!("nobody serves {}", self.address));
        self.change.send((what, done)).map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}

struct Task {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    set: watch::Sender<Conduct>,
    udp: Option<Conduct>,
    changes: mpsc::UnboundedReceiver<Change>,
}

impl Task {
    async fn run(mut self, listener: TcpListener, socket: UdpSocket) {
        let (mut listener, mut socket) = (Some(listener), Some(socket));
        let mut datagram = [0; quic::LONGEST];
        loop {
            let accept = async {
                match &listener {
                    Some(listener) => listener.accept().await,
                    None => std::future::pending().await,
                }
            };
            let hear = async {
                match &socket {
                    Some(socket) => socket.recv_from(&mut datagram).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                change = self.changes.recv() => {
                    let Some((what, done)) = change else { return };
                    let changed = self.apply(what, &mut listener, &mut socket).await;
                    // Who asked may have given up waiting.
                    let _ = done.send(changed);
                }
                // An error is of that one client, who hung up before it was accepted.
                Ok((stream, _)) = accept => {
                    tokio::spawn(registrar::serve(stream, self.address, self.set.subscribe(), self.state.clone()));
                }
                Ok((length, from)) = hear => {
                    if let (Some(answer), Some(socket)) = (self.answer(&datagram[..length]), &socket) {
                        // Who asked may be gone.
                        let _ = socket.send_to(&answer, from).await;
                    }
                }
            }
        }
    }

    /// What a datagram is answered with.
    fn answer(&self, datagram: &[u8]) -> Option<Vec<u8>> {
        let negotiation = quic::negotiate(datagram)?;
        state::lock(&self.state).knocks.quic += 1;
        match self.udp_conduct() {
            Conduct::Refuse | Conduct::Eof | Conduct::Reset | Conduct::BlackHole => None,
            Conduct::Garbage => Some(quic::GARBAGE.to_vec()),
            _ => Some(negotiation),
        }
    }

    fn udp_conduct(&self) -> Conduct {
        self.udp.unwrap_or(*self.set.borrow())
    }

    async fn apply(
        &mut self,
        what: What,
        listener: &mut Option<TcpListener>,
        socket: &mut Option<UdpSocket>,
    ) -> io::Result<()> {
        match what {
            What::Conduct(Conduct::Refuse) => {
                if let Some(listener) = listener.take() {
                    // Closing alone would not do: a process that another thread is spawning may hold a copy until its exec.
                    SockRef::from(&listener).shutdown(Shutdown::Both)?;
                }
            }
            What::Conduct(_) if listener.is_none() => *listener = Some(TcpListener::bind(self.address).await?),
            _ => {}
        }
        match what {
            What::Conduct(conduct) => drop(self.set.send_replace(conduct)),
            What::Udp(conduct) => self.udp = conduct,
        }
        if self.udp_conduct() == Conduct::Refuse {
            // The kernel answers for a closed port (ICMP port unreachable).
            *socket = None;
        } else if socket.is_none() {
            *socket = Some(UdpSocket::bind(self.address).await?);
        }
        Ok(())
    }
}
