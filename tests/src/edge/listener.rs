//! One address of the edge: it listens, or does not, as its conduct says.

use super::certificates::Certificates;
use super::door::{Door, Strangers};
use super::state::{self, State};
use super::tcp::Port;
use super::{Conduct, Transport, quic};
use crate::anew;
use quinn::Endpoint;
use socket2::SockRef;
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};

type Change = (What, oneshot::Sender<io::Result<()>>);

/// What is changed.
#[derive(Clone, Copy)]
enum What {
    /// The conduct over both transports.
    Conduct(Conduct),
    /// The conduct over one of them, whatever it is over both.
    Over(Transport, Option<Conduct>),
}

/// How an address treats who comes.
#[derive(Clone, Copy, Default)]
struct Conducts {
    both: Conduct,
    http2: Option<Conduct>,
    quic: Option<Conduct>,
}

impl Conducts {
    fn over(&self, transport: Transport) -> Conduct {
        let own = match transport {
            Transport::Http2 => self.http2,
            Transport::Quic => self.quic,
        };
        own.unwrap_or(self.both)
    }
}

/// The handle of an address' task.
pub(super) struct Gate {
    address: SocketAddr,
    conduct: watch::Receiver<Conduct>,
    change: mpsc::UnboundedSender<Change>,
}

impl Gate {
    pub(super) fn open(
        listener: TcpListener,
        certificates: Arc<Certificates>,
        state: Arc<Mutex<State>>,
    ) -> io::Result<Gate> {
        let address = listener.local_addr()?;
        let knocked = state.clone();
        let door = Door::open(address, move || state::lock(&knocked).knocks.quic += 1)?;
        let endpoint = quic::endpoint(door.clone(), certificates.quic.clone())?;
        let (set, conduct) = watch::channel(Conduct::Accept);
        let (over_http2, http2) = watch::channel(Conduct::Accept);
        let (over_quic, quic) = watch::channel(Conduct::Accept);
        let port = |conduct| Port { edge: address, conduct, certificates: certificates.clone(), state: state.clone() };
        tokio::spawn(quic::serve(endpoint.clone(), door.clone(), port(quic)));
        let (change, changes) = mpsc::unbounded_channel();
        let conducts = Conducts::default();
        let task = Task { port: port(http2), set, over_http2, over_quic, conducts, changes, door, endpoint };
        tokio::spawn(task.run(listener));
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

    pub(super) async fn set_over(&self, transport: Transport, conduct: Option<Conduct>) -> io::Result<()> {
        self.change(What::Over(transport, conduct)).await
    }

    async fn change(&self, what: What) -> io::Result<()> {
        let (done, answer) = oneshot::channel();
        let gone = || io::Error::other(format!("nobody serves {}", self.address));
        self.change.send((what, done)).map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}

struct Task {
    /// Over TCP.
    port: Port,
    set: watch::Sender<Conduct>,
    over_http2: watch::Sender<Conduct>,
    over_quic: watch::Sender<Conduct>,
    conducts: Conducts,
    changes: mpsc::UnboundedReceiver<Change>,
    door: Arc<Door>,
    endpoint: Endpoint,
}

impl Task {
    async fn run(mut self, listener: TcpListener) {
        let mut listener = Some(listener);
        loop {
            let accept = async {
                match &listener {
                    Some(listener) => listener.accept().await,
                    None => std::future::pending().await,
                }
            };
            // The port of UDP is closed once nobody needs it any more.
            let refuses_quic = self.conducts.over(Transport::Quic) == Conduct::Refuse;
            let idle = async {
                if !refuses_quic || !self.door.is_open() {
                    std::future::pending::<()>().await;
                }
                self.endpoint.wait_idle().await;
            };
            tokio::select! {
                biased;
                change = self.changes.recv() => {
                    let Some((what, done)) = change else { return };
                    let changed = self.apply(what, &mut listener).await;
                    // Who asked may have given up waiting.
                    let _ = done.send(changed);
                }
                // An error is of that one client, who hung up before it was accepted.
                Ok((stream, _)) = accept => {
                    tokio::spawn(self.port.clone().serve(stream));
                }
                () = idle => self.door.close(),
            }
        }
    }

    async fn apply(&mut self, what: What, listener: &mut Option<TcpListener>) -> io::Result<()> {
        match what {
            What::Conduct(conduct) => self.conducts.both = conduct,
            What::Over(Transport::Http2, conduct) => self.conducts.http2 = conduct,
            What::Over(Transport::Quic, conduct) => self.conducts.quic = conduct,
        }
        let [http2, quic] = [Transport::Http2, Transport::Quic].map(|transport| self.conducts.over(transport));
        if http2 != Conduct::Refuse && listener.is_none() {
            *listener = Some(anew::listener(self.port.edge).await?);
        } else if http2 == Conduct::Refuse
            && let Some(listener) = listener.take()
        {
            // Closing alone would not do: a process that another thread is spawning may hold a copy until its exec.
            SockRef::from(&listener).shutdown(Shutdown::Both)?;
        }
        self.door.set_strangers(match quic {
            Conduct::Refuse => Strangers::Ignored,
            Conduct::Eof | Conduct::Reset | Conduct::BlackHole => Strangers::Unanswered,
            Conduct::Garbage => Strangers::Teased,
            _ => Strangers::Welcome,
        });
        if quic != Conduct::Refuse {
            self.door.reopen()?;
        } else if self.endpoint.open_connections() == 0 {
            self.door.close();
        }
        self.set.send_replace(self.conducts.both);
        self.over_http2.send_replace(http2);
        self.over_quic.send_replace(quic);
        Ok(())
    }
}
