//! What the connections, the pages and the supervisor share.

use super::log::{Level, Log};
use super::setup::Setup;
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
    /// Do not wait for streams.
    Now,
}

/// A registered connection.
#[derive(Clone, Debug)]
pub struct Registered {
    /// Where it goes.
    pub edge: SocketAddr,
}

/// Counts of one RPC method.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rpc {
    /// Calls.
    pub calls: u64,
    /// Calls that got no answer.
    pub failures: u64,
    /// Of the calls, seconds altogether.
    pub seconds: f64,
}

/// Everything that changes.
#[derive(Debug, Default)]
pub struct State {
    /// The id that pages show.
    pub shown_connector: String,
    /// Registered connections by index.
    pub registered: BTreeMap<usize, Registered>,
    /// Attempts in progress, a registered one included: the gauge `ha_connections`.
    pub attempts: usize,
    /// Where each index was registered last. Never reset, as observed.
    pub locations: BTreeMap<usize, String>,
    /// RPCs by method.
    pub rpcs: BTreeMap<&'static str, Rpc>,
    /// Registrations that succeeded.
    pub registrations: u64,
    /// Registrations that failed.
    pub rejections: u64,
    /// Configs pushed to the edge.
    pub pushes: u64,
    /// Streams so far.
    pub streams: u64,
    /// Streams in flight.
    pub in_flight: usize,
    /// Streams whose origin did not answer.
    pub origin_errors: u64,
    /// Times that the metrics page was served.
    pub scrapes: u64,
    /// The address that each index uses.
    addresses: BTreeMap<usize, SocketAddr>,
}

/// One run of the program.
pub struct Shared {
    /// What it was started with.
    pub setup: Setup,
    /// Its connector's id.
    pub connector: String,
    /// Its log.
    pub log: Log,
    /// Ends the process with this status.
    pub exit: mpsc::UnboundedSender<u8>,
    /// Whether to stop.
    pub stop: watch::Sender<Stop>,
    /// Sends after each stream that ended.
    pub stream_ended: watch::Sender<()>,
    state: Mutex<State>,
}

impl Shared {
    /// A run that has not begun.
    pub fn new(setup: Setup, log: Log, connector: String, exit: mpsc::UnboundedSender<u8>) -> Arc<Self> {
        Arc::new(Shared {
            setup,
            log,
            exit,
            stop: watch::Sender::new(Stop::Run),
            stream_ended: watch::Sender::new(()),
            state: Mutex::new(State { shown_connector: connector.clone(), ..State::default() }),
            connector,
        })
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

    /// Waits until the process has been told to stop, at least this far.
    pub async fn stopped(&self, at_least: Stop) {
        let mut stop = self.stop.subscribe();
        // The sender is in `self`.
        let _ = stop.wait_for(|stop| *stop >= at_least).await;
    }

    /// The edge address for a connection: the one that it had, else, or if that did not answer, a free one at random.
    pub fn address(&self, index: usize, another: bool) -> Option<SocketAddr> {
        let mut state = self.state();
        let current = state.addresses.get(&index).copied();
        if let (Some(address), false) = (current, another) {
            return Some(address);
        }
        let edges = self.setup.flags.edge.iter();
        let free: Vec<_> = edges.filter(|edge| !state.addresses.values().any(|used| used == *edge)).copied().collect();
        let address = free.get(ids::below(free.len())).copied().or(current)?;
        state.addresses.insert(index, address);
        Some(address)
    }
}

impl State {
    /// One more call of an RPC.
    pub fn rpc(&mut self, method: &'static str, seconds: f64, answered: bool) {
        let rpc = self.rpcs.entry(method).or_default();
        rpc.calls += 1;
        rpc.seconds += seconds;
        rpc.failures += u64::from(!answered);
    }
}
