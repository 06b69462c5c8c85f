//! What the edge knows, behind one lock, and the one place that writes the journal.

use super::clients::{BrokenOff, Carrier, ClientCounts, Waiting};
use super::journal::{Event, Journal, Micros, What};
use super::orders::Order;
use super::wire::{ToConnector, Who};
use super::{Conduct, Scope};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};
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
    /// When it was registered, since the edge started.
    pub since: Micros,
}

/// How often somebody asked whether an edge is there, whatever the answer was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Knocks {
    /// By a TLS hello.
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

/// A registered connection and the way to its task.
struct Live {
    connection: Connection,
    /// The task ends, and closes the connection, when this is dropped.
    tell: mpsc::UnboundedSender<ToConnector>,
    /// Ends with the task: streams through the connection end then.
    task: watch::Receiver<()>,
}

pub(super) struct State {
    started: Instant,
    secrets: HashMap<String, String>,
    live: Vec<Live>,
    pids: BTreeMap<String, Who>,
    pub(super) journal: Journal,
    pub(super) changed: watch::Sender<()>,
    pub(super) clients: ClientCounts,
    pub(super) broken_off: Vec<BrokenOff>,
    pub(super) knocks: Knocks,
    pub(super) waiting: Waiting,
    /// How many streams were asked for.
    asked: usize,
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
            live: Vec::new(),
            pids: BTreeMap::new(),
            journal: Journal::default(),
            changed: watch::Sender::new(()),
            clients: ClientCounts::default(),
            broken_off: Vec::new(),
            knocks: Knocks::default(),
            waiting: Waiting::default(),
            asked: 0,
        }
    }

    pub(super) fn now(&self) -> Micros {
        self.started.elapsed().as_micros().try_into().unwrap_or(Micros::MAX)
    }

    pub(super) fn require_secret(&mut self, tunnel: &str, secret: Option<&str>) {
        match secret {
            Some(secret) => self.secrets.insert(tunnel.to_owned(), secret.to_owned()),
            None => self.secrets.remove(tunnel),
        };
    }

    pub(super) fn secret_fits(&self, tunnel: &str, secret: &str) -> bool {
        self.secrets.get(tunnel).is_none_or(|right| right == secret)
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

    pub(super) fn register(
        &mut self,
        connection: Connection,
        tell: mpsc::UnboundedSender<ToConnector>,
        task: watch::Receiver<()>,
    ) {
        self.pids.insert(connection.who.connector.clone(), connection.who.clone());
        self.note(&connection.who, connection.edge, &connection.connection, What::Registered);
        self.live.push(Live { connection, tell, task });
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

    pub(super) fn order(&self, scope: &Scope, order: &Order) -> usize {
        let by_connector: BTreeMap<_, _> =
            self.in_scope(scope).map(|live| (&live.connection.who.connector, live)).collect();
        let message = ToConnector::Order { order: order.clone() };
        by_connector.values().filter(|live| live.tell.send(message.clone()).is_ok()).count()
    }

    /// Process ids of the connectors in `scope`, registered or not: a frozen one may have been dropped.
    pub(super) fn pids(&self, scope: &Scope) -> Vec<i32> {
        let scope = Scope { index: None, edge: None, ..scope.clone() };
        let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
        self.pids.values().filter(|who| scope.holds(who, nowhere)).map(|who| who.pid).collect()
    }

    /// Asks a registered connection for a stream: each in turn, for an edge promises nothing about which of the replicas a
    /// client gets. One that unregisters is not registered any more. `None` when nothing is.
    pub(super) fn ask_for_stream(&mut self, tunnel: Option<&str>, message: ToConnector) -> Option<Carrier> {
        let scope = Scope { tunnel: tunnel.map(str::to_owned), ..Scope::default() };
        let registered = self.in_scope(&scope).count();
        let live = self.in_scope(&scope).nth(self.asked.checked_rem(registered)?)?;
        live.tell.send(message).ok()?;
        let Connection { who, connection, .. } = live.connection.clone();
        let carrier = Carrier { who, connection, task: live.task.clone() };
        self.asked += 1;
        Some(carrier)
    }

    /// A client's stream is over.
    pub(super) fn stream_ended(&mut self, carrier: Carrier, finished: bool, by_client: bool) {
        if finished {
            self.clients.finished += 1;
        } else {
            self.clients.cut += 1;
        }
        if !by_client {
            let Carrier { who, connection, .. } = carrier;
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
        self.live.iter().filter(move |live| scope.holds(&live.connection.who, live.connection.edge))
    }
}
