//! One address of the edge: it listens, or does not, as its conduct says.

use super::state::State;
use super::{Conduct, registrar};
use socket2::SockRef;
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};

type Change = (Conduct, oneshot::Sender<io::Result<()>>);

/// The handle of an address' task.
pub(super) struct Gate {
    address: SocketAddr,
    conduct: watch::Receiver<Conduct>,
    change: mpsc::UnboundedSender<Change>,
}

impl Gate {
    pub(super) fn open(listener: TcpListener, state: Arc<Mutex<State>>) -> io::Result<Gate> {
        let address = listener.local_addr()?;
        let (set, conduct) = watch::channel(Conduct::Accept);
        let (change, changes) = mpsc::unbounded_channel();
        tokio::spawn(Task { address, state, set, changes }.run(listener));
        Ok(Gate { address, conduct, change })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn conduct(&self) -> Conduct {
        *self.conduct.borrow()
    }

    pub(super) async fn set(&self, conduct: Conduct) -> io::Result<()> {
        let (done, answer) = oneshot::channel();
        let gone = || io::Error::other(format!("nobody serves {}", self.address));
        self.change.send((conduct, done)).map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}

struct Task {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    set: watch::Sender<Conduct>,
    changes: mpsc::UnboundedReceiver<Change>,
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
            tokio::select! {
                biased;
                change = self.changes.recv() => {
                    let Some((conduct, done)) = change else { return };
                    let changed = self.apply(conduct, &mut listener).await;
                    // Who asked may have given up waiting.
                    let _ = done.send(changed);
                }
                // An error is of that one client, who hung up before it was accepted.
                Ok((stream, _)) = accept => {
                    tokio::spawn(registrar::serve(stream, self.address, self.set.subscribe(), self.state.clone()));
                }
            }
        }
    }

    async fn apply(&self, conduct: Conduct, listener: &mut Option<TcpListener>) -> io::Result<()> {
        if conduct == Conduct::Refuse {
            if let Some(listener) = listener.take() {
                // Closing alone would not do: a process that another thread is spawning may hold a copy until its exec.
                SockRef::from(&listener).shutdown(Shutdown::Both)?;
            }
        } else if listener.is_none() {
            *listener = Some(TcpListener::bind(self.address).await?);
        }
        self.set.send_replace(conduct);
        Ok(())
    }
}
