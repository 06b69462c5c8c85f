//! Stands in for Cloudflare's edge.
//!
//! [`Edge`] registers cloudflared, the real one or its stand-in, on several loopback addresses, over TCP (HTTP/2) and UDP
//! (QUIC) on the same port. It knows for each tunnel the right secret (or takes any), keeps an exact record of who was
//! registered when, forwards clients' streams through registered connectors, takes and pushes configurations, and
//! misbehaves on command. What it speaks is [`crate::tunnelrpc`]. The program `edge-standin` is the same behind a command
//! line and an HTTP control (see [`control`]).
//!
//! A [`Conduct`] applies to new connections only: what is registered stays so until it is dropped, lost or
//! unregistered, as at the real edge.

mod block;
mod certificates;
mod clients;
mod conduct;
pub mod control;
mod door;
mod garbage;
mod hush;
pub(crate) mod ids;
mod journal;
mod link;
mod listener;
mod negotiation;
pub mod orders;
mod processes;
mod quic;
mod registrar;
mod state;
mod tcp;
mod who;

pub use block::Block;
pub use clients::{BrokenOff, Carry, ClientCounts, Route};
pub use conduct::{Conduct, Rule};
pub use journal::{Event, Gap, Micros, Registered, What};
pub use orders::Order;
pub use state::{Connection, Knocks, Snapshot};
pub use who::Who;

use crate::aws::tls::Authority;
use crate::tunnelrpc::configuration::{Applied, Push};
use certificates::Certificates;
use listener::Gate;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};
use state::{Live, State};
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

/// What a tunnel's connection is carried over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Transport {
    /// HTTP/2, over TCP.
    Http2,
    /// QUIC, over UDP.
    Quic,
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
    /// Over what.
    pub transport: Option<Transport>,
}

impl Scope {
    fn holds(&self, who: &Who, edge: SocketAddr, transport: Transport) -> bool {
        self.is_of(who)
            && self.index.is_none_or(|index| index == who.index)
            && self.edge.is_none_or(|address| address == edge)
            && self.transport.is_none_or(|meant| meant == transport)
    }

    /// Whether the connector is meant, by whichever of its connections.
    fn is_of(&self, who: &Who) -> bool {
        self.tunnel.as_ref().is_none_or(|tunnel| *tunnel == who.tunnel)
            && self.connector.as_ref().is_none_or(|connector| *connector == who.connector)
    }
}

/// How long a connector may take to apply a configuration.
const PUSH_TIMEOUT: Duration = Duration::from_secs(5);

/// A connector that is to be given an order.
struct Ordered {
    who: Who,
    pid: Option<i32>,
    /// To a connector that takes orders.
    orders: Option<mpsc::UnboundedSender<Order>>,
}

impl Ordered {
    fn of(live: &Live) -> Self {
        let Connection { who, edge, transport, .. } = live.connection.clone();
        let pid = processes::holder(transport, live.peer, edge);
        Ordered { who, pid, orders: live.orders.clone() }
    }

    /// Whether it is given. A signal works on every program, where its process can be seen.
    fn give(&self, order: &Order) -> bool {
        let signal = match order {
            Order::Crash => Some(Signal::SIGKILL),
            Order::Freeze => Some(Signal::SIGSTOP),
            _ => None,
        };
        if let (Some(signal), Some(pid)) = (signal, self.pid) {
            return kill(Pid::from_raw(pid), signal).is_ok();
        }
        self.orders.as_ref().is_some_and(|orders| orders.send(order.clone()).is_ok())
    }
}

/// A running edge. A clone is the same edge; its tasks end with the runtime they were started on.
#[derive(Clone)]
pub struct Edge {
    state: Arc<Mutex<State>>,
    gates: Arc<Vec<Gate>>,
    certificates: Arc<Certificates>,
}

impl Edge {
    /// Starts an edge that accepts registrations on each of `listen`, TCP and UDP. Port 0 is a free port.
    ///
    /// # Errors
    /// `listen` is empty, or an address cannot be bound, or no certificate can be made or its authority written.
    pub async fn start(listen: &[SocketAddr]) -> io::Result<Edge> {
        Self::start_with(listen, certificates::authority()?).await
    }

    /// The same, with a certificate from a certain authority.
    ///
    /// # Errors
    /// As [`Edge::start`].
    pub async fn start_with(listen: &[SocketAddr], authority: &Authority) -> io::Result<Edge> {
        if listen.is_empty() {
            return Err(io::Error::other("an edge needs an address to listen on"));
        }
        let state = Arc::new(Mutex::new(State::new()));
        let certificates = Arc::new(Certificates::new(authority, listen.iter().map(SocketAddr::ip))?);
        let mut edge = Edge { state, gates: Arc::default(), certificates };
        let mut gates = Vec::new();
        for address in listen {
            gates.push(edge.open(*address).await?);
        }
        edge.gates = Arc::new(gates);
        Ok(edge)
    }

    /// Listens at an address, and at both ports of it. Port 0 is one that is free for both.
    async fn open(&self, address: SocketAddr) -> io::Result<Gate> {
        loop {
            let listener = TcpListener::bind(address).await?;
            match Gate::open(listener, self.certificates.clone(), self.state.clone()) {
                Err(error) if error.kind() == io::ErrorKind::AddrInUse && address.port() == 0 => {}
                opened => return opened,
            }
        }
    }

    /// The registration addresses, for `--edge`.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.gates.iter().map(Gate::address).collect()
    }

    /// `--edge ADDR` for each address, and `--cacert FILE`: what goes into the agent's `connector.extra_args`. The file is
    /// gone with the edge.
    pub fn arguments(&self) -> Vec<String> {
        let edges = self.addresses().into_iter().flat_map(|address| ["--edge".to_owned(), address.to_string()]);
        edges.chain(["--cacert".to_owned(), self.certificates.file().display().to_string()]).collect()
    }

    /// Writes the certificate of the authority that the edge's own is from, for `--cacert`.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write_authority(&self, path: &Path) -> io::Result<()> {
        self.certificates.write(path)
    }

    /// Sets the conduct of every address over both transports. It holds when this returns: a refusing address has stopped
    /// listening.
    ///
    /// # Errors
    /// An address that is to listen again cannot be bound.
    pub async fn set(&self, conduct: Conduct) -> io::Result<()> {
        self.set_where(None, None, Some(conduct)).await
    }

    /// Sets the conduct of one address over both transports.
    ///
    /// # Errors
    /// `address` is not one of the edge's, or cannot be bound again.
    pub async fn set_at(&self, address: SocketAddr, conduct: Conduct) -> io::Result<()> {
        self.set_where(Some(address), None, Some(conduct)).await
    }

    /// Sets the conduct of every address over one transport, whatever it is over both. `None`: the same as over both, which
    /// is how an edge starts.
    ///
    /// # Errors
    /// An address cannot be bound again.
    pub async fn set_over(&self, transport: Transport, conduct: Option<Conduct>) -> io::Result<()> {
        self.set_where(None, Some(transport), conduct).await
    }

    /// [`Edge::set_over`] QUIC.
    ///
    /// # Errors
    /// An address cannot be bound again.
    pub async fn set_udp(&self, conduct: Option<Conduct>) -> io::Result<()> {
        self.set_over(Transport::Quic, conduct).await
    }

    async fn set_where(
        &self,
        address: Option<SocketAddr>,
        transport: Option<Transport>,
        conduct: Option<Conduct>,
    ) -> io::Result<()> {
        let is_meant = |gate: &&Gate| address.is_none_or(|address| gate.address() == address);
        let meant: Vec<&Gate> = self.gates.iter().filter(is_meant).collect();
        if let (Some(address), true) = (address, meant.is_empty()) {
            return Err(io::Error::other(format!("{address} is not an address of this edge")));
        }
        for gate in meant {
            match transport {
                Some(transport) => gate.set_over(transport, conduct).await?,
                None => gate.set(conduct.unwrap_or_default()).await?,
            }
        }
        Ok(())
    }

    /// Treats certain registrations in a way of their own, from now on. Of several rules the last one that fits decides.
    pub fn add_rule(&self, rule: Rule) {
        self.lock().rules.push(rule);
    }

    /// Takes all rules back.
    pub fn clear_rules(&self) {
        self.lock().rules.clear();
    }

    /// How late [`Conduct::Slow`] answers.
    pub fn set_late(&self, late: Duration) {
        self.lock().late = late;
    }

    /// How often somebody asked whether an edge is there.
    pub fn knocks(&self) -> Knocks {
        self.lock().knocks
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

    /// Has the connections in `scope` fall silent: nothing is heard or said on them any more, and nobody is told. Says how
    /// many they are. They are on record as registered until their connector, or QUIC, gives them up.
    pub fn silence(&self, scope: &Scope) -> usize {
        let links = self.lock().links(scope);
        links.iter().for_each(link::Link::silence);
        links.len()
    }

    /// Gives `order` to each connector in `scope`, and says to how many. The orders that only the stand-in knows are on their
    /// way to it when this returns.
    pub fn order(&self, scope: &Scope, order: &Order) -> usize {
        let mut state = self.lock();
        let orders: Vec<_> = state.connectors(scope).map(Ordered::of).collect();
        let given = orders.iter().filter(|ordered| ordered.give(order));
        let given: Vec<_> = given.map(|ordered| (ordered.who.clone(), ordered.pid)).collect();
        let count = given.len();
        if *order == Order::Freeze {
            // It may be dropped before it is to wake.
            state.frozen.extend(given.into_iter().filter_map(|(who, pid)| Some((who.connector.clone(), (who, pid?)))));
        }
        count
    }

    /// Wakes the frozen connectors in `scope` (SIGCONT), and says how many.
    pub fn thaw(&self, scope: &Scope) -> usize {
        let mut woken = 0;
        self.lock().frozen.retain(|_, (who, pid)| {
            let is_meant = scope.is_of(who);
            woken += usize::from(is_meant && kill(Pid::from_raw(*pid), Signal::SIGCONT).is_ok());
            !is_meant
        });
        woken
    }

    /// The process ids of the connectors in `scope` whose processes can be seen from here.
    pub fn processes(&self, scope: &Scope) -> Vec<i32> {
        self.lock().connectors(scope).filter_map(|live| Ordered::of(live).pid).collect()
    }

    /// Says whether a tunnel's configuration is Cloudflare's, for connectors that register from now on.
    pub fn manage_remotely(&self, tunnel: &str, remotely: bool) {
        self.lock().manage_remotely(tunnel, remotely);
    }

    /// Pushes a configuration through each connection in `scope`, and gives what each made of it.
    pub async fn push(&self, scope: &Scope, push: &Push) -> Vec<io::Result<Applied>> {
        let links = self.lock().links(scope);
        let mut answers = Vec::new();
        for link in links {
            let limit = tokio::time::timeout(PUSH_TIMEOUT, link.push(push));
            answers.push(limit.await.unwrap_or_else(|late| Err(late.into())));
        }
        answers
    }

    /// The configuration that a connector has told of, as JSON.
    pub fn configuration(&self, connector: &str) -> Option<serde_json::Value> {
        self.lock().configuration(connector)
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
    /// connections, each in turn, as the route says. A client is closed at once when nothing is registered.
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

#[cfg(test)]
mod tests;
