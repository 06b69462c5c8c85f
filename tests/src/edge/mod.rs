//! Stands in for Cloudflare's edge.
//!
//! [`Edge`] accepts registrations of `cloudflared-standin` on several loopback addresses, knows for each tunnel the
//! right secret (or takes any), keeps an exact record of who was registered when, forwards clients' streams through
//! registered connectors, and misbehaves on command. It answers a TLS hello with TLS, and on the same UDP port a QUIC
//! packet of an unknown version with the versions that it has, so that an edge can be told from a port. The program `edge-standin` is the same behind a command line and
//! an HTTP control (see [`control`]).
//!
//! A [`Conduct`] applies to new connections only: what is registered stays so until it is dropped, lost or
//! unregistered, as at the real edge.

mod block;
mod clients;
pub mod control;
pub(crate) mod ids;
mod journal;
mod listener;
pub mod orders;
mod quic;
mod registrar;
mod state;
mod tls;
pub mod wire;

pub use block::Block;
pub use clients::{BrokenOff, ClientCounts, Route};
pub use journal::{Event, Gap, Micros, Registered, What};
pub use orders::Order;
pub use state::{Connection, Knocks, Snapshot};
pub use wire::Who;

use listener::Gate;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};
use state::State;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::net::TcpListener;

/// How an address of the edge treats new connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Conduct {
    /// Registers who has the right secret.
    #[default]
    Accept,
    /// Does not listen: the connection is refused.
    Refuse,
    /// Closes in the handshake: the connector reads the end of the stream.
    Eof,
    /// Resets in the handshake.
    Reset,
    /// Accepts, and never says anything.
    BlackHole,
    /// Answers everything with what is no answer to it.
    Garbage,
    /// Rejects with `Unauthorized: Invalid tunnel secret`.
    Unauthorized,
    /// Rejects with `Internal: tunnel was deleted`.
    Permanent,
    /// Rejects with `edge is overloaded`.
    Retry,
    /// Never answers the registration.
    Hang,
}

/// Which connections are meant. What is not given matches all, so the default is everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Scope {
    /// The tunnel's UUID.
    pub tunnel: Option<String>,
    /// The connector's UUID.
    pub connector: Option<String>,
    /// The index of the connection.
    pub index: Option<usize>,
    /// The edge address that was dialled.
    pub edge: Option<SocketAddr>,
}

impl Scope {
    fn holds(&self, who: &Who, edge: SocketAddr) -> bool {
        self.tunnel.as_ref().is_none_or(|tunnel| *tunnel == who.tunnel)
            && self.connector.as_ref().is_none_or(|connector| *connector == who.connector)
            && self.index.is_none_or(|index| index == who.index)
            && self.edge.is_none_or(|address| address == edge)
    }
}

/// A running edge. A clone is the same edge; its tasks end with the runtime they were started on.
#[derive(Clone)]
pub struct Edge {
    state: Arc<Mutex<State>>,
    gates: Arc<Vec<Gate>>,
    data: SocketAddr,
}

impl Edge {
    /// Starts an edge that accepts registrations on each of `listen`. Port 0 is a free port.
    ///
    /// # Errors
    /// `listen` is empty, or an address cannot be bound.
    pub async fn start(listen: &[SocketAddr]) -> io::Result<Edge> {
        let first = listen.first().ok_or_else(|| io::Error::other("an edge needs an address to listen on"))?;
        let data = TcpListener::bind((first.ip(), 0)).await?;
        let state = Arc::new(Mutex::new(State::new()));
        let mut edge = Edge { state, gates: Arc::default(), data: data.local_addr()? };
        tokio::spawn(clients::accept_data(data, edge.state.clone()));
        let mut gates = Vec::new();
        for address in listen {
            let listener = TcpListener::bind(address).await?;
            gates.push(Gate::open(listener, edge.state.clone()).await?);
        }
        edge.gates = Arc::new(gates);
        Ok(edge)
    }

    /// The registration addresses, for `--edge`.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.gates.iter().map(Gate::address).collect()
    }

    /// `--edge ADDR` for each address: what goes into the agent's `connector.extra_args`.
    pub fn arguments(&self) -> Vec<String> {
        self.addresses().iter().flat_map(|address| ["--edge".to_owned(), address.to_string()]).collect()
    }

    /// Sets the conduct of every address. It holds when this returns: a refusing address has stopped listening.
    ///
    /// # Errors
    /// An address that is to listen again cannot be bound.
    pub async fn set(&self, conduct: Conduct) -> io::Result<()> {
        for gate in self.gates.iter() {
            gate.set(conduct).await?;
        }
        Ok(())
    }

    /// Sets how every address treats UDP, if not as its conduct says: refused, not answered, garbage, or (for every
    /// conduct in which the edge speaks at all) answered. `None`: as its conduct says, which is how an edge starts.
    ///
    /// # Errors
    /// An address cannot be bound again.
    pub async fn set_udp(&self, conduct: Option<Conduct>) -> io::Result<()> {
        for gate in self.gates.iter() {
            gate.set_udp(conduct).await?;
        }
        Ok(())
    }

    /// How often somebody asked whether an edge is there.
    pub fn knocks(&self) -> Knocks {
        self.lock().knocks
    }

    /// Sets the conduct of one address.
    ///
    /// # Errors
    /// `address` is not one of the edge's, or cannot be bound again.
    pub async fn set_at(&self, address: SocketAddr, conduct: Conduct) -> io::Result<()> {
        let gate = self.gates.iter().find(|gate| gate.address() == address);
        gate.ok_or_else(|| io::Error::other(format!("{address} is not an address of this edge")))?.set(conduct).await
    }

    /// Refuses every new connection and drops every one there is. Ends with [`Edge::set`] to [`Conduct::Accept`].
    ///
    /// # Errors
    /// Never in practice: nothing is bound.
    pub async fn outage(&self) -> io::Result<usize> {
        self.set(Conduct::Refuse).await?;
        Ok(self.drop_connections(&Scope::default()))
    }

    /// From now on only `secret` (as in `TunnelSecret`) registers for `tunnel`. Connections that are up stay up, as
    /// after a rotation at Cloudflare.
    pub fn require_secret(&self, tunnel: &str, secret: &str) {
        self.lock().require_secret(tunnel, Some(secret));
    }

    /// From now on any secret registers for `tunnel`, which is how an edge starts.
    pub fn accept_any_secret(&self, tunnel: &str) {
        self.lock().require_secret(tunnel, None);
    }

    /// Drops the connections in `scope`, with the streams through them, and says how many. They are on record as
    /// [`What::Dropped`] when this returns.
    pub fn drop_connections(&self, scope: &Scope) -> usize {
        self.lock().drop_connections(scope)
    }

    /// Sends `order` to each connector in `scope`, through one of its connections, and says to how many.
    pub fn order(&self, scope: &Scope, order: &Order) -> usize {
        self.lock().order(scope, order)
    }

    /// Wakes the frozen connectors in `scope` (SIGCONT), and says how many.
    pub fn thaw(&self, scope: &Scope) -> usize {
        let pids = self.lock().pids(scope);
        pids.into_iter().filter(|pid| kill(Pid::from_raw(*pid), Signal::SIGCONT).is_ok()).count()
    }

    /// The present, on the clock of [`Event::at`].
    pub fn now(&self) -> Micros {
        self.lock().now()
    }

    /// Everything that happened, in order.
    pub fn events(&self) -> Vec<Event> {
        self.lock().journal.events()
    }

    /// What of `tunnel` was registered at `at`.
    pub fn registered(&self, tunnel: &str, at: Micros) -> Registered {
        self.lock().journal.registered(tunnel, at)
    }

    /// What of `tunnel` is registered now.
    pub fn registered_now(&self, tunnel: &str) -> Registered {
        self.registered(tunnel, Micros::MAX)
    }

    /// Checks that at every moment of `from..=until` something of `tunnel` was registered.
    ///
    /// # Errors
    /// The first time in which nothing was.
    pub fn never_zero_between(&self, tunnel: &str, from: Micros, until: Micros) -> Result<(), Gap> {
        self.lock().journal.first_gap(tunnel, from, until).map_or(Ok(()), Err)
    }

    /// Waits until `holds` for what of `tunnel` is registered.
    ///
    /// # Errors
    /// It did not hold within `deadline`; what was registered then.
    pub async fn wait_registered(
        &self,
        tunnel: &str,
        deadline: Duration,
        holds: impl Fn(Registered) -> bool,
    ) -> Result<Registered, Registered> {
        self.wait_for(deadline, || Some(self.registered_now(tunnel)).filter(|now| holds(*now)))
            .await
            .ok_or_else(|| self.registered_now(tunnel))
    }

    /// Waits until `check` gives something; asks at once and again after each event. `None` after `deadline`.
    pub async fn wait_for<T>(&self, deadline: Duration, mut check: impl FnMut() -> Option<T>) -> Option<T> {
        let mut changed = self.lock().changed.subscribe();
        tokio::time::timeout(deadline, async {
            loop {
                if let Some(found) = check() {
                    return found;
                }
                if changed.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        })
        .await
        .ok()
    }

    /// Starts a listener for clients, and gives its address. Each client's stream is forwarded through one of the registered
    /// connections, each in turn, to the origin of the connector's rule for the route's hostname, or of its first rule that
    /// has an origin. A client is closed at once when nothing is registered.
    ///
    /// # Errors
    /// `listen` cannot be bound.
    pub async fn listen_clients(&self, listen: SocketAddr, route: Route) -> io::Result<SocketAddr> {
        let listener = TcpListener::bind(listen).await?;
        let address = listener.local_addr()?;
        tokio::spawn(clients::accept_clients(listener, self.clone(), route));
        Ok(address)
    }

    /// How many clients' streams there were.
    pub fn clients(&self) -> ClientCounts {
        self.lock().clients
    }

    /// Every client's stream so far that its client did not end.
    pub fn broken_off(&self) -> Vec<BrokenOff> {
        self.lock().broken_off.clone()
    }

    /// Everything at a glance. It holds no secret.
    pub fn snapshot(&self) -> Snapshot {
        let conduct = self.gates.iter().map(|gate| (gate.address(), gate.conduct())).collect();
        self.lock().snapshot(conduct)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        state::lock(&self.state)
    }
}
