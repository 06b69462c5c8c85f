//! The results of orders: each order has its own type of answer.

use crate::{
    Failure, Generation, Group, Hook, Memory, Notices, Order, OrderId, Peers, Place, Probes, Reach, RunId, SecretRead,
    Taken, Transport, VersionId,
};
use std::collections::{BTreeMap, VecDeque};
use std::hash::{Hash, Hasher};

/// Writes [`Report`], and how it belongs to [`Order`], from one table: an order, the field of it that its report repeats, and
/// its answer. Orders that are only done or not come first.
macro_rules! reports {
    (
        $($(#[$done_doc:meta])* $done:ident $(($done_key:ident: $done_of:ty))?,)+;
        $($(#[$doc:meta])* $asked:ident $(($key:ident: $of:ty))? -> $answer:ty,)+
    ) => {
        /// What came of the order of the same name, with what it was about where the answer alone does not show it.
        #[derive(Debug, Clone, PartialEq)]
        pub enum Report {
            $($(#[$done_doc])* $done($($done_of,)? Result<(), Failure>),)+
            $($(#[$doc])* $asked($($of,)? Result<$answer, Failure>),)+
        }

        impl Order {
            /// The report that it was done; `None` for an order that asks for an answer.
            pub fn done(&self) -> Option<Report> {
                match self {
                    $(Self::$done { $($done_key,)? .. } => Some(Report::$done($($done_key.clone(),)? Ok(()))),)+
                    $(Self::$asked { .. })|+ => None,
                }
            }

            /// The report that it was not carried out.
            pub fn failed(&self, failure: Failure) -> Report {
                match self {
                    $(Self::$done { $($done_key,)? .. } => Report::$done($($done_key.clone(),)? Err(failure)),)+
                    $(Self::$asked { $($key,)? .. } => Report::$asked($($key.clone(),)? Err(failure)),)+
                }
            }

            fn is_reported_by(&self, report: &Report) -> bool {
                match (self, report) {
                    $((Self::$done { .. }, Report::$done(..)) => true,)+
                    $((Self::$asked { .. }, Report::$asked(..)) => true,)+
                    _ => false,
                }
            }
        }
    };
}

reports! {
    /// It was started.
    Start(run: RunId),
    /// Its exits are answered from now on.
    Adopt,
    /// Another child lives, or a last look found the old one registered.
    Restart,
    /// Nothing of it is left.
    Drain(run: RunId),
    /// `current` names it.
    Commit(generation: Generation),
    /// It is removed.
    Discard,
    /// The group goes on.
    CompleteHook(hook: Hook),
    /// The group waits on.
    Heartbeat(hook: Hook),
    /// The one who asked has the answer, or is gone.
    Answer,
    /// The process ends.
    Exit,
    ;
    /// What the secret holds.
    ReadSecret -> SecretRead,
    /// The bundle.
    Install(version: VersionId) -> Taken,
    /// The hostnames that the old bundle serves and whose origin the new one would lose, each with what was tried.
    CompareOrigins(new: Generation) -> Vec<String>,
    /// How much memory there is.
    MeasureMemory -> Memory,
    /// Whether the group shows the mark.
    MarkUnhealthy -> bool,
    /// Whether the group shows the instance healthy.
    MarkHealthy -> bool,
    /// What was tried from this host.
    Probe -> Probes,
    /// How the edge was reached by that transport.
    ProbeEdge(transport: Transport) -> Reach,
    /// The Auto Scaling group.
    ReadGroup -> Group,
    /// What the other connectors of the tunnel reported.
    ReadPeers -> Peers,
    /// The value of the hold tag; `None`: the instance has no such tag.
    ReadHoldTag -> Option<String>,
    /// What the metadata service says of this instance's future.
    ReadNotices -> Notices,
    /// Where the group has this instance.
    ReadPlace -> Place,
    /// How many other instances reported lately that they refuse a version of the secret.
    ReadRefusals -> u32,
}

/// The orders that were given and not reported yet.
#[derive(Debug, Clone, Default)]
pub(crate) struct PendingOrders {
    last: u64,
    queue: VecDeque<(OrderId, Order)>,
    open: BTreeMap<OrderId, Order>,
}

/// The numbers of orders only grow; what is out counts.
impl Hash for PendingOrders {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.open.values().for_each(|order| order.hash(state));
    }
}

impl PendingOrders {
    pub fn give(&mut self, order: Order) {
        self.last += 1;
        self.open.insert(OrderId(self.last), order.clone());
        self.queue.push_back((OrderId(self.last), order));
    }

    pub fn poll(&mut self) -> Option<(OrderId, Order)> {
        self.queue.pop_front()
    }

    /// Takes a report; false if it is none of that order, or that order was reported before or never given.
    pub fn close(&mut self, id: OrderId, report: &Report) -> bool {
        let is_open = self.open.get(&id).is_some_and(|order| order.is_reported_by(report));
        is_open && self.open.remove(&id).is_some()
    }

    pub fn is_open(&self, of_kind: impl Fn(&Order) -> bool) -> bool {
        self.open.values().any(of_kind)
    }
}
