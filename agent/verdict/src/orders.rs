//! What the verdict asks for.

use crate::{Generation, RunId, VersionId};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// The number of one order; never used twice in an agent's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct OrderId(pub u64);

/// Something to be done by the agent, which reports it as exactly one [`Event::Done`](crate::Event::Done).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// Read the secret. Answer: [`Outcome::Secret`](crate::Outcome::Secret).
    ReadSecret {
        /// The version that needs no payload: it is installed, or was refused.
        known: Option<VersionId>,
    },
    /// Check and install the payload that was read last. Answer: [`Outcome::Installed`](crate::Outcome::Installed).
    Install {
        /// Its version.
        version: VersionId,
    },
    /// Start a connector from an installed bundle.
    Start {
        /// Its name from now on.
        run: RunId,
        /// The bundle.
        generation: Generation,
        /// Which of the two metrics addresses it gets: 0 or 1.
        slot: usize,
    },
    /// Stop the connector's living child, and start another.
    Restart {
        /// Which.
        run: RunId,
        /// Why, for the log.
        reason: Reason,
    },
    /// Stop the connector for good: SIGTERM, the grace period, SIGKILL. Done when nothing of it is left.
    Drain {
        /// Which.
        run: RunId,
    },
    /// Let `current` name that bundle.
    Commit {
        /// The bundle.
        generation: Generation,
    },
    /// Remove a bundle that nothing runs from.
    Discard {
        /// The bundle.
        generation: Generation,
    },
    /// Tell the Auto Scaling group that this instance is unhealthy, and read it back. Answer:
    /// [`Outcome::Marked`](crate::Outcome::Marked).
    MarkUnhealthy,
    /// Take our own mark back. Answer: [`Outcome::Marked`](crate::Outcome::Marked), where `shown` means healthy again.
    MarkHealthy,
    /// Try DNS, the edge and the origins from this host, in parallel, within 10 s. Answer:
    /// [`Outcome::Probed`](crate::Outcome::Probed).
    Probe {
        /// The bundle whose origins are tried.
        generation: Generation,
    },
    /// Read this instance's Auto Scaling group: its members, suspended processes, refresh and replacements. Answer:
    /// [`Outcome::Group`](crate::Outcome::Group).
    ReadGroup,
    /// Read what the other connectors of the tunnel reported lately. Answer:
    /// [`Outcome::Peers`](crate::Outcome::Peers).
    ReadPeers {
        /// How far back; never more than [`Config::flapping_window`](crate::Config).
        since: Duration,
    },
    /// Read the instance's hold tag. Answer: [`Outcome::HoldTag`](crate::Outcome::HoldTag).
    ReadHoldTag,
    /// Flush what is to be flushed and end the process.
    Exit,
}

/// Why a living connector is restarted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// It has been unregistered for `restart_after`.
    Unregistered,
    /// The edge can be reached again, and it still sleeps out its back-off.
    EdgeBack,
}

/// The orders that were given and not reported yet.
#[derive(Debug, Default)]
pub(crate) struct Book {
    last: u64,
    queue: VecDeque<(OrderId, Order)>,
    open: BTreeMap<OrderId, Order>,
}

impl Book {
    pub fn give(&mut self, order: Order) {
        self.last += 1;
        self.open.insert(OrderId(self.last), order.clone());
        self.queue.push_back((OrderId(self.last), order));
    }

    pub fn poll(&mut self) -> Option<(OrderId, Order)> {
        self.queue.pop_front()
    }

    /// The order that was reported; `None` if it was reported before or never given.
    pub fn close(&mut self, id: OrderId) -> Option<Order> {
        self.open.remove(&id)
    }

    pub fn is_open(&self, of_kind: impl Fn(&Order) -> bool) -> bool {
        self.open.values().any(of_kind)
    }
}
