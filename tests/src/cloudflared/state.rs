//! What the connections, the pages and the supervisor share.

use super::ingress::Rules;
use super::log::{Level, Log};
use super::protocol::Protocol;
use super::quic_counts::QuicCounts;
use super::setup::Setup;
use super::tls::Roots;
use crate::edge::ids;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, watch};

/// How far the process has been told to stop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stop {
    /// Not at all.
    #[default]
    Run,
    /// Unregister, let streams finish.
    Graceful,
    /// The grace period is over.
    Now,
}

/// A registered connection.
#[derive(Clone, Debug)]
pub struct Registered {
    /// Where it goes.
    pub edge: SocketAddr,
    /// How.
    pub protocol: Protocol,
}

/// Counts of one RPC method.
#[derive(Clone, Debug, Default)]
pub struct Rpc {
    /// How long each call took, in seconds.
    pub calls: Vec<f64>,
    /// Calls that failed: refused, or not answered.
    pub failures: u64,
}

/// Everything that changes.
#[derive(Debug, Default)]
pub struct State {
    /// The id that pages show.
    pub shown_connector: String,
    /// `/ready` is never answered.
    pub ready_hangs: bool,
    /// Registered connections by index.
    pub registered: BTreeMap<usize, Registered>,
    /// How each index was registered last, whether it still is or not.
    pub registered_over: BTreeMap<usize, Protocol>,
    /// Attempts in progress, a registered one included: the gauge `ha_connections`.
    pub attempts: usize,
    /// Where each index was registered last. Never reset, as observed.
    pub locations: BTreeMap<usize, String>,
    /// RPCs by method.
    pub rpcs: BTreeMap<&'static str, Rpc>,
    /// Registrations that succeeded, by index.
    pub registrations: BTreeMap<usize, u64>,
    /// Registrations that failed, by why.
    pub refused: BTreeMap<&'static str, u64>,
    /// Configs pushed to the edge.
    pub pushes: u64,
    /// Of them, those that the edge did not take.
    pub push_errors: u64,
    /// What is proxied.
    pub proxied: Proxied,
    /// What QUIC counts by itself.
    pub quic: QuicCounts,
    /// Times that the metrics page was served.
    pub scrapes: u64,
    /// The rules, and the version that came from the edge; −1 for the file's.
    pub rules: Rules,
    /// The address that each index uses.
    addresses: BTreeMap<usize, SocketAddr>,
}

/// Clients' requests and streams.
#[derive(Clone, Copy, Debug, Default)]
pub struct Proxied {
    /// Requests so far: those for a rule, whatever their rule leads to.
    pub requests: u64,
    /// Of them, those in flight.
    pub requests_now: u64,
    /// Streams to an address so far.
    pub sessions: u64,
    /// Of them, those in flight.
    pub sessions_now: u64,
    /// Requests whose origin did not answer.
    pub origin_errors: u64,
    /// Streams whose origin did not answer.
    pub stream_errors: u64,
}

/// One run of the program.
pub struct Shared {
    /// What it was started with.
    pub setup: Setup,
    /// Its connector's id.
    pub connector: String,
    /// Who may sign for the edge.
    pub roots: Roots,
    /// The edge's addresses.
    pub edges: Vec<SocketAddr>,
    /// Its log.
    pub log: Log,
    /// Ends the process with this status.
    pub exit: mpsc::UnboundedSender<u8>,
    /// Whether to stop.
    pub stop: watch::Sender<Stop>,
    state: Mutex<State>,
}

impl Shared {
    /// A run that has not begun.
    pub fn new(
        setup: Setup,
        roots: Roots,
        edges: Vec<SocketAddr>,
        log: Log,
        connector: String,
        exit: mpsc::UnboundedSender<u8>,
    ) -> Arc<Self> {
        let rules = Rules::of_the_file(setup.config.ingress.clone());
        let state = State { shown_connector: connector.clone(), rules, ..State::default() };
        let stop = watch::Sender::new(Stop::Run);
        Arc::new(Shared { setup, connector, roots, edges, log, exit, stop, state: Mutex::new(state) })
    }

    /// The state. It is never held across an await.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An internal time, scaled.
    pub fn scaled(&self, time: Duration) -> Duration {
        time.mul_f64(self.setup.flags.standin_scale)
    }

    /// An internal time-out, scaled, but not below a second: a busy machine must not look like a silent edge.
    pub fn time_out(&self, time: Duration) -> Duration {
        self.scaled(time).max(time.min(Duration::from_secs(1)))
    }

    /// The level of a connection's trouble: a warning for as long as any connection is registered.
    pub fn trouble(&self) -> Level {
        if self.state().registered.is_empty() { Level::Error } else { Level::Warn }
    }

    /// Whether the process has been told to stop, at least this far.
    pub fn stopping(&self, at_least: Stop) -> bool {
        *self.stop.borrow() >= at_least
    }

    /// Waits until the process has been told to stop, at least this far.
    pub async fn stopped(&self, at_least: Stop) {
        let mut stop = self.stop.subscribe();
        // The sender is in `self`.
        let _ = stop.wait_for(|stop| *stop >= at_least).await;
    }

    /// The edge address of a connection: the one that it has, else a free one at random.
    pub fn address(&self, index: usize) -> Option<SocketAddr> {
        let mut state = self.state();
        match state.addresses.get(&index) {
            Some(address) => Some(*address),
            None => state.take_address(index, &self.edges, None),
        }
    }

    /// Gives a connection another address than it has; false if none is free.
    pub fn another_address(&self, index: usize) -> bool {
        let mut state = self.state();
        let old = state.addresses.remove(&index);
        state.take_address(index, &self.edges, old).is_some()
    }
}

impl State {
    fn take_address(&mut self, index: usize, edges: &[SocketAddr], but: Option<SocketAddr>) -> Option<SocketAddr> {
        let taken = |edge: &SocketAddr| Some(*edge) == but || self.addresses.values().any(|used| used == edge);
        let free: Vec<_> = edges.iter().filter(|edge| !taken(edge)).copied().collect();
        let address = free.get(ids::below(free.len())).copied()?;
        self.addresses.insert(index, address);
        Some(address)
    }

    /// Whether this run was ever registered.
    pub fn was_registered(&self) -> bool {
        !self.registrations.is_empty()
    }

    /// How often an index was registered.
    pub fn registrations_of(&self, index: usize) -> u64 {
        self.registrations.get(&index).copied().unwrap_or_default()
    }

    /// One more call of an RPC.
    pub fn rpc(&mut self, method: &'static str, took: Duration, answered: bool) {
        let rpc = self.rpcs.entry(method).or_default();
        rpc.calls.push(took.as_secs_f64());
        rpc.failures += u64::from(!answered);
    }
}
