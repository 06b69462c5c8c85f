//! What the edge knows, behind one lock, and the one place that writes the journal.

use super::clients::{BrokenOff, Carrier, ClientCounts, InFlight};
use super::conduct::{Conduct, Rule};
use super::journal::{Event, Journal, Micros, What};
use super::link::Link;
use super::orders::Order;
use super::who::Who;
use super::{Scope, Transport};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::{mpsc, watch};

/// A registered connection, for people and tests.
#[derive(Clone, Debug, Serialize)]
pub struct Connection {
    /// Whose it is.
    pub who: Who,
    /// Its UUID.
    pub connection: String,
    /// The edge address that was dialled.
    pub edge: SocketAddr,
    /// Over what.
    pub transport: Transport,
    /// When it was registered, since the edge started.
    pub since: Micros,
}

/// How often somebody asked whether an edge is there, whatever the answer was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Knocks {
    /// By a TLS hello, of those who did not go on to open a tunnel's connection.
    pub tls: u64,
    /// By a QUIC packet that calls for a Version Negotiation.
    pub quic: u64,
}

/// Everything at a glance.
#[derive(Clone, Debug, Serialize)]
pub struct Snapshot {
    /// The present, since the edge started.
    pub now: Micros,
    /// Conduct by address.
    pub conduct: BTreeMap<SocketAddr, Conduct>,
    /// Tunnels that register only with their right secret.
    pub guarded_tunnels: BTreeSet<String>,
    /// What is registered, oldest first.
    pub connections: Vec<Connection>,
    /// Clients' streams.
    pub clients: ClientCounts,
    /// Questions whether an edge is there.
    pub knocks: Knocks,
}

/// How late a registration is answered by [`Conduct::Slow`], if nothing else is said. cloudflared waits 5 s.
const LATE: Duration = Duration::from_secs(3);

/// A registered connection and the way to its task.
pub(super) struct Live {
    pub(super) connection: Connection,
    pub(super) link: Link,
    /// The connector's own address.
    pub(super) peer: SocketAddr,
    /// If it takes orders.
    pub(super) orders: Option<mpsc::UnboundedSender<Order>>,
    /// The task ends, and closes the connection, when this is dropped.
    pub(super) _end: mpsc::UnboundedSender<()>,
    /// Ends with the task: streams through the connection end then.
    pub(super) task: watch::Receiver<()>,
    /// How many there are.
    pub(super) streams: watch::Sender<usize>,
}

pub(super) struct State {
    started: Instant,
    /// By tunnel, in bytes.
    secrets: HashMap<String, Vec<u8>>,
    remotely_managed: BTreeSet<String>,
    pub(super) rules: Vec<Rule>,
    pub(super) late: Duration,
    live: Vec<Live>,
    /// The processes that were frozen, by connector.
    pub(super) frozen: BTreeMap<String, (Who, i32)>,
    /// What connectors have told of their configuration, by connector.
    configurations: HashMap<String, Value>,
    pub(super) journal: Journal,
    pub(super) changed: watch::Sender<()>,
    pub(super) clients: ClientCounts,
    pub(super) broken_off: Vec<BrokenOff>,
    pub(super) knocks: Knocks,
    /// How many streams were asked for.
    asked: usize,
    /// How many control streams were answered with garbage.
    garbled: usize,
}

/// Locks a state. A test that panicked elsewhere must not hide behind a poisoned lock.
pub(super) fn lock(state: &Arc<Mutex<State>>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl State {
    pub(super) fn new() -> Self {
        State {
            started: Instant::now(),
            secrets: HashMap::new(),
            remotely_managed: BTreeSet::new(),
            rules: Vec::new(),
            late: LATE,
            live: Vec::new(),
            frozen: BTreeMap::new(),
            configurations: HashMap::new(),
            journal: Journal::default(),
            changed: watch::Sender::new(()),
            clients: ClientCounts::default(),
            broken_off: Vec::new(),
            knocks: Knocks::default(),
            asked: 0,
            garbled: 0,
        }
    }

    pub(super) fn now(&self) -> Micros {
        self.started.elapsed().as_micros().try_into().unwrap_or(Micros::MAX)
    }

    pub(super) fn require_secret(&mut self, tunnel: &str, secret: Option<&str>) {
        match secret {
            Some(secret) => self.secrets.insert(tunnel.to_owned(), secret_bytes(secret)),
            None => self.secrets.remove(tunnel),
        };
    }

    pub(super) fn secret_fits(&self, tunnel: &str, secret: &[u8]) -> bool {
        self.secrets.get(tunnel).is_none_or(|right| right == secret)
    }

    pub(super) fn manage_remotely(&mut self, tunnel: &str, remotely: bool) {
        if remotely {
            self.remotely_managed.insert(tunnel.to_owned());
        } else {
            self.remotely_managed.remove(tunnel);
        }
    }

    pub(super) fn is_remotely_managed(&self, tunnel: &str) -> bool {
        self.remotely_managed.contains(tunnel)
    }

    /// The conduct of the last rule that is for this registration.
    pub(super) fn rule_for(&self, who: &Who, edge: SocketAddr, transport: Transport, secret: &str) -> Option<Conduct> {
        self.rules.iter().rev().find(|rule| rule.fits(who, edge, transport, secret)).map(|rule| rule.conduct)
    }

    /// A connector has told its configuration.
    pub(super) fn configured(&mut self, who: &Who, json: &[u8]) {
        // What is no JSON is none: a connector is not told either way.
        let configuration = serde_json::from_slice(json).unwrap_or_default();
        self.configurations.insert(who.connector.clone(), configuration);
        self.changed.send_replace(());
    }

    pub(super) fn configuration(&self, connector: &str) -> Option<Value> {
        self.configurations.get(connector).cloned()
    }

    pub(super) fn note(&mut self, who: &Who, edge: SocketAddr, connection: &str, what: What) {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
        let event = Event {
            at: self.now(),
            wall: wall.try_into().unwrap_or(u64::MAX),
            who: who.clone(),
            connection: connection.to_owned(),
            edge,
            what,
        };
        self.journal.push(event);
        self.changed.send_replace(());
    }

    /// Which garbage comes next.
    pub(super) fn next_garbage(&mut self) -> usize {
        self.garbled += 1;
        self.garbled - 1
    }

    /// Somebody was turned away before the edge knew who it is.
    pub(super) fn turned_away(&mut self, edge: SocketAddr, how: &'static str) {
        self.note(&Who::default(), edge, "", What::TurnedAway(how));
    }

    pub(super) fn register(&mut self, live: Live) {
        let Connection { who, connection, edge, .. } = &live.connection;
        self.note(&who.clone(), *edge, &connection.clone(), What::Registered);
        self.live.push(live);
    }

    /// Takes a connection off, if it is still there, for the reason `what`.
    pub(super) fn remove(&mut self, connection: &str, what: What) {
        if let Some(at) = self.live.iter().position(|live| live.connection.connection == connection) {
            let Connection { who, connection, edge, .. } = self.live.remove(at).connection;
            self.note(&who, edge, &connection, what);
        }
    }

    pub(super) fn drop_connections(&mut self, scope: &Scope) -> usize {
        let doomed: Vec<String> = self.in_scope(scope).map(|live| live.connection.connection.clone()).collect();
        for connection in &doomed {
            self.remove(connection, What::Dropped);
        }
        doomed.len()
    }

    /// One connection of each connector in `scope`.
    pub(super) fn connectors<'a>(&'a self, scope: &'a Scope) -> impl Iterator<Item = &'a Live> {
        let by_connector: BTreeMap<_, _> =
            self.in_scope(scope).map(|live| (&live.connection.who.connector, live)).collect();
        by_connector.into_values()
    }

    /// The links of the connections in `scope`.
    pub(super) fn links(&self, scope: &Scope) -> Vec<Link> {
        self.in_scope(scope).map(|live| live.link.clone()).collect()
    }

    /// A registered connection for a stream: each in turn, for an edge promises nothing about which of the replicas a client
    /// gets. One that unregisters is not registered any more. `None` when nothing is.
    pub(super) fn carrier(&mut self, tunnel: Option<&str>) -> Option<Carrier> {
        let scope = Scope { tunnel: tunnel.map(str::to_owned), ..Scope::default() };
        let registered = self.in_scope(&scope).count();
        let live = self.in_scope(&scope).nth(self.asked.checked_rem(registered)?)?;
        let Connection { who, connection, .. } = live.connection.clone();
        let in_flight = InFlight::new(&live.streams);
        let carrier =
            Carrier { who, connection, task: live.task.clone(), link: live.link.clone(), _in_flight: in_flight };
        self.asked += 1;
        Some(carrier)
    }

    /// A client's stream is over.
    pub(super) fn stream_ended(&mut self, carrier: &Carrier, finished: bool, by_client: bool) {
        if finished {
            self.clients.finished += 1;
        } else {
            self.clients.cut += 1;
        }
        if !by_client {
            let (who, connection) = (carrier.who.clone(), carrier.connection.clone());
            self.broken_off.push(BrokenOff { at: self.now(), who, connection });
        }
    }

    pub(super) fn snapshot(&self, conduct: BTreeMap<SocketAddr, Conduct>) -> Snapshot {
        Snapshot {
            now: self.now(),
            conduct,
            guarded_tunnels: self.secrets.keys().cloned().collect(),
            connections: self.live.iter().map(|live| live.connection.clone()).collect(),
            clients: self.clients,
            knocks: self.knocks,
        }
    }

    fn in_scope<'a>(&'a self, scope: &'a Scope) -> impl Iterator<Item = &'a Live> {
        self.live.iter().filter(move |live| {
            let Connection { who, edge, transport, .. } = &live.connection;
            scope.holds(who, *edge, *transport)
        })
    }
}

/// A secret as the credentials have it is base64; anything else is meant as it is.
fn secret_bytes(secret: &str) -> Vec<u8> {
    STANDARD.decode(secret).unwrap_or_else(|_| secret.as_bytes().to_vec())
}
