//! Owns the child processes: spawn, log relay, signals, drain, respawn.
//!
//! One task owns one run: a child and the children that replace it after an exit. Everyone else holds a [`Handle`], and
//! hears of the child through [`RunFact`]s. When a living child is to be restarted is for others to decide; here only
//! exits are answered, by the policy of [`respawn`].

mod complaints;
mod owner;
mod relay;
pub mod respawn;
mod seen;
mod split;

pub use seen::{Edge, Seen};

use cflared_verdict::{RunFact, RunId};
use std::collections::BTreeMap;
use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

/// What one run is started from.
#[derive(Debug, Clone)]
pub struct Spec {
    /// Its name, on every fact and log line.
    pub run: RunId,
    /// The program.
    pub binary: PathBuf,
    /// Its configuration.
    pub config: PathBuf,
    /// Its credentials.
    pub credentials: PathBuf,
    /// Where it serves `/ready` and `/metrics`.
    pub metrics: SocketAddr,
    /// How long it may finish requests when it is told to stop.
    pub grace: Duration,
    /// More arguments, before `run`; where they contradict the ones above, those win.
    pub extra_args: Vec<String>,
    /// How fast exits are answered.
    pub respawn: respawn::Times,
    /// What the jitter is made from: different on every instance.
    pub seed: u64,
}

/// The way to one run. Dropping it kills the run's child.
#[derive(Debug)]
pub struct Handle {
    orders: mpsc::UnboundedSender<owner::Order>,
    seen: Arc<seen::Shared>,
    complaints: Arc<complaints::Complaints>,
}

/// Why a restart did not bring a new child.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RestartError {
    /// The old one is gone; a new one is tried again by the policy.
    #[error("{why}")]
    NotSpawned {
        /// The cause and the next step.
        why: String,
    },
    /// The run has ended, or is told to.
    #[error("failed to restart the connector: it is drained")]
    Drained,
}

/// Starts a run, within a tokio runtime that has its drivers enabled. Its facts are few (they follow spawns, which the
/// policy spaces, or are complaints: see [`Handle::complain_again`]), so that the channel needs no bound.
///
/// The child dies with the thread that polls the runtime, which must therefore be the agent's main thread.
pub fn start(spec: Spec, facts: mpsc::UnboundedSender<(RunId, RunFact)>) -> Handle {
    let (orders, receiver) = mpsc::unbounded_channel();
    let seen = Arc::default();
    let complaints = Arc::new(complaints::Complaints::new(spec.run, facts.clone()));
    tokio::spawn(owner::Owner::new(spec, facts, receiver, Arc::clone(&seen), Arc::clone(&complaints)).run());
    Handle { orders, seen, complaints }
}

impl Handle {
    /// Replaces the child: SIGTERM, up to 5 s, SIGKILL, and a new one at once, also if the policy would still wait. The
    /// order is given by the call; the future resolves when the new child was executed.
    ///
    /// # Errors
    /// No new child could be executed, or the run ended.
    pub fn restart(&self) -> impl Future<Output = Result<(), RestartError>> + Send + use<> {
        let (done, told) = oneshot::channel();
        // A run that has ended drops the order, which the future then tells.
        let _ = self.orders.send(owner::Order::Restart(done));
        async { told.await.unwrap_or(Err(RestartError::Drained)) }
    }

    /// Ends the run: SIGTERM, the grace period, SIGKILL. The order is given by the call; the future resolves when the
    /// child was reaped and nothing of its process group is left. It can be given again, to wait for the same end.
    pub fn drain(&self) -> impl Future<Output = ()> + Send + use<> {
        let orders = self.orders.clone();
        // If the run has ended, there is nothing to order, and nothing to wait for.
        let _ = orders.send(owner::Order::Drain);
        async move { orders.closed().await }
    }

    /// The id that the living child gave itself; none before it did.
    pub fn connector_id(&self) -> Option<Uuid> {
        self.seen.connector_id()
    }

    /// Where the living child's connections end, by index, as it said itself.
    pub fn edges(&self) -> BTreeMap<u64, Edge> {
        self.seen.edges()
    }

    /// Lets every kind of complaint be told once more: at once if it was made again since it was told last.
    pub fn complain_again(&self) {
        self.complaints.tell_again();
    }

    /// What the run's children have said so far.
    pub fn seen(&self) -> Seen {
        self.seen.get()
    }
}

#[cfg(test)]
mod tests;
