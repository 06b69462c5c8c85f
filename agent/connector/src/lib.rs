//! Owns the child processes: spawn, log relay, signals, drain, respawn.
//!
//! One task owns one run: a child and the children that replace it after an exit. Everyone else holds a [`Handle`], and
//! hears of the child through [`RunFact`]s. When a living child is to be restarted is for others to decide; here only
//! exits are answered, by the policy of [`respawn`].

mod complaints;
mod owner;
pub mod ports;
mod relay;
pub mod respawn;
mod seen;
mod split;
pub mod transport;

pub use ports::Ports;
pub use seen::{Child, Edge, Seen};

use cflared_verdict::{Purpose, RunFact, RunId};
use cloudflared::Forbids;
use std::collections::BTreeMap;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, mpsc, oneshot};

/// How long a dial, and then a registration, take at most (15 s and 5 s, its public source).
const TRY: Duration = Duration::from_secs(20);

/// What one run is started from.
#[derive(Debug, Clone)]
pub struct Spec {
    /// Its name, on every fact and log line.
    pub run: RunId,
    /// What it is there for.
    pub purpose: Purpose,
    /// The program.
    pub binary: PathBuf,
    /// Its configuration.
    pub config: PathBuf,
    /// Its credentials.
    pub credentials: PathBuf,
    /// The metrics addresses of the settings, and who has which: where it serves `/ready` and `/metrics`.
    pub ports: Ports,
    /// Which of them it is meant to have.
    pub slot: usize,
    /// How long it may finish requests when it is told to stop.
    pub grace: Duration,
    /// Where its children must not connect, whatever their rules and the names in them come to.
    pub forbids: Forbids,
    /// More arguments, before `run`; where they contradict the ones above, those win.
    pub extra_args: Vec<String>,
    /// How fast exits are answered.
    pub respawn: respawn::Times,
    /// What the jitter is made from: different on every instance.
    pub seed: u64,
    /// Notified when a connection has come or gone: see [`Handle::take_stirred`].
    pub stir: Arc<Notify>,
}

/// How a living child is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// SIGTERM, time to finish, SIGKILL.
    Ask,
    /// SIGTERM, a second, SIGKILL: it held no connection at the last look, but may have got one since. If it were killed then,
    /// the edge would send requests to it for some seconds more, for nothing else closes a connection over QUIC. In a
    /// back-off the program ignores SIGTERM until its grace period ends (observed, 2026.8.2), which is not waited for.
    Hurry,
    /// SIGKILL: it has nothing to finish, and its successor is not to wait.
    Kill,
    /// Not at all, if it was to be restarted: it is registered. Who is drained is asked.
    Spare,
}

/// What comes to the manner, as a last look at the child; it is waited for when the order is carried out, and must not take long.
pub type Deciding = Pin<Box<dyn Future<Output = Manner> + Send>>;

/// What came of a restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restarted {
    /// A new child was executed.
    NewChild,
    /// The old one was left alone.
    Spared,
}

/// The longest that a connector with these arguments is silent between two tries: both of its back-offs, a dial and a registration.
pub fn longest_silence(extra_args: &[String]) -> Duration {
    let given = transport::argument(extra_args, &["retries"]).and_then(|retries| retries.parse().ok());
    // More doublings than these are longer than anything that is waited for.
    let doublings = given.unwrap_or(owner::RETRIES).min(10);
    Duration::from_secs(11 << doublings) + TRY
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
    let seen = Arc::new(seen::Shared::stirring(spec.stir.clone()));
    let complaints = Arc::new(complaints::Complaints::new(spec.run, facts.clone()));
    tokio::spawn(owner::Owner::new(spec, facts, receiver, Arc::clone(&seen), Arc::clone(&complaints)).run());
    Handle { orders, seen, complaints }
}

impl Handle {
    /// Replaces the child: it is stopped in that manner, within 5 s at most, and a new one is executed at once, also if the policy
    /// would still wait. The order is given by the call; the future resolves when the new child was executed, or the old one
    /// spared.
    ///
    /// # Errors
    /// No new child could be executed, or the run ended.
    pub fn restart(&self, manner: Deciding) -> impl Future<Output = Result<Restarted, RestartError>> + Send + use<> {
        let (done, told) = oneshot::channel();
        // A run that has ended drops the order, which the future then tells.
        let _ = self.orders.send(owner::Order::Restart(manner, done));
        async { told.await.unwrap_or(Err(RestartError::Drained)) }
    }

    /// Ends the run: the child is stopped in that manner, within the grace period at most. The order is given by the call; the future resolves when the
    /// child was reaped and nothing of its process group is left. It can be given again, to wait for the same end.
    pub fn drain(&self, manner: Deciding) -> impl Future<Output = ()> + Send + use<> {
        let orders = self.orders.clone();
        // If the run has ended, there is nothing to order, and nothing to wait for.
        let _ = orders.send(owner::Order::Drain(manner));
        async move { orders.closed().await }
    }

    /// Has a connector that was there for a second opinion serve: from now on its exits are answered by the policy.
    pub fn adopt(&self) {
        // A run that has ended is not adopted; its end is told by whoever ordered it.
        let _ = self.orders.send(owner::Order::Adopt);
    }

    /// Has the next child give up QUIC after one dial that is not answered (5 s instead of 10 s; observed, 2026.8.2): UDP is known to
    /// be shut.
    pub fn hasten_fallback(&self) {
        // A run that has ended has no next child.
        let _ = self.orders.send(owner::Order::HastenFallback);
    }

    /// Whether a connection has come or gone, as the child said, since this was asked last.
    pub fn take_stirred(&self) -> bool {
        self.seen.take_stirred()
    }

    /// The last child that was executed; none before there was one.
    pub fn child(&self) -> Option<Child> {
        self.seen.child()
    }

    /// The metrics addresses that the last child could not have.
    pub fn taken(&self) -> Vec<ports::Taken> {
        self.seen.get_taken()
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
