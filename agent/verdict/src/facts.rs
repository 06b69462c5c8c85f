//! The facts for the verdict.

use crate::{Complaint, Hold, Holder, Notices, OrderId, Report};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// One connector of this agent's life: a child process and the children that replace it after an exit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RunId(pub u32);

/// The number of one installed bundle: the `<n>` of `generations/<n>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Generation(pub u64);

/// The `VersionId` of a secret in Secrets Manager.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct VersionId(pub String);

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for VersionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A whole bundle on disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Hash)]
pub struct Installed {
    /// Where it lies.
    pub generation: Generation,
    /// The version of the secret that it was made from.
    pub version: VersionId,
    /// The tunnel's UUID.
    pub tunnel: String,
}

/// Something happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The instance knows who it is, and `installed` is the bundle that `current` names, if it is whole and was
    /// installed by this very instance for this environment.
    Identified {
        /// The bundle that may be started at once.
        installed: Option<Installed>,
    },
    /// Something about one connector.
    Run(RunId, RunFact),
    /// Somebody wants something.
    Operator(Request),
    /// Somebody holds, or does so no longer.
    Hold {
        /// Who.
        by: Holder,
        /// The hold; `None`: it is lifted.
        hold: Option<Hold>,
    },
    /// What the metadata service says of this instance's future. Told before [`Event::Identified`], so that an instance that
    /// only warms up never registers; later it is asked for.
    Noticed(Notices),
    /// The file of cloudflared is another one than the serving connector runs.
    NewBinary {
        /// Its version, or what else tells it from others.
        version: String,
    },
    /// An order was carried out, or was not. Every order gets exactly one.
    Done(OrderId, Report),
    /// The moment that [`Verdict::wake_at`](crate::Verdict::wake_at) named has come.
    Wake,
}

/// What is known of one connector.
#[derive(Debug, Clone, PartialEq)]
pub enum RunFact {
    /// A child process was executed: the first one, or one that replaces an exited one.
    Spawned {
        /// Its process id.
        pid: u32,
        /// The transport that its configuration or its arguments fix; `None`: it may choose, and fall back.
        pinned: Option<Transport>,
    },
    /// A child process ended without being told to.
    Exited {
        /// How, in words: `exit status: 1`, `signal: 9 (SIGKILL)`.
        how: String,
        /// What that says of the program. Words of its own come as [`RunFact::Complained`], before this or shortly after.
        ending: Ending,
        /// How long it ran.
        after: Duration,
        /// When its successor will be executed; `None`: never, for it was there for a second opinion.
        respawn_in: Option<Duration>,
    },
    /// No child process could be executed.
    NotSpawned {
        /// Why: `ENOEXEC`, no such file, no memory.
        why: String,
        /// When it will be tried again; `None`: never, for it was to be there for a second opinion.
        respawn_in: Option<Duration>,
    },
    /// What its metrics server answered.
    Observed(Observation),
    /// Its living or last child complained. The same complaint may be told again as often as it is made; a reader that
    /// is behind is told once.
    Complained {
        /// Of what.
        complaint: Complaint,
        /// In which words; never a secret.
        text: String,
    },
}

/// What an exit says of the program, whatever it said before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Hash)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// It ended itself, with a status.
    Status,
    /// It was ended by a signal that the agent did not send, or its last lines begin with `panic:` or `fatal error:`. That is
    /// the process, whatever else it said.
    Crash,
}

/// How a connector reaches the edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Transport {
    /// Over UDP.
    Quic,
    /// Over TCP and TLS.
    Http2,
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Quic => "QUIC",
            Self::Http2 => "HTTP/2",
        })
    }
}

/// The registrations that the living child has tried since it was executed, as its `/metrics` counts them (2024.6 to 2026.8.2).
/// Another child counts anew; a count that fell without a new child is a new start as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, Hash)]
pub struct Tries {
    /// Those that the edge accepted: `tunnel_register_success`.
    pub accepted: u64,
    /// Those that the edge answered with a no, whatever its cause: in the bucket `le` ≈ 4.05 of
    /// `cloudflared_rpc_client_latency_secs_bucket{method="register_connection"}`, without the accepted ones and
    /// `tunnel_register_fail{error="dup_edge_conn"}`.
    pub refused: u64,
    /// Those that nobody answered: what `tunnel_register_fail` has beyond the refused ones and `dup_edge_conn`.
    pub unanswered: u64,
    /// The connections that it tried to make, whether or not they got as far as a registration:
    /// `quic_client_total_connections`; `None`: not counted, as over HTTP/2.
    pub dialled: Option<u64>,
}

/// One look at a connector.
#[derive(Debug, Clone, PartialEq)]
pub struct Observation {
    /// What `/ready` said: the only truthful signal.
    pub ready: Ready,
    /// The gauge `cloudflared_tunnel_ha_connections`, if `/metrics` was read. It counts attempts in progress and reads
    /// 1 on a connector that never reached the edge (observed, 2026.8.2), so nothing is decided by it.
    pub ha_connections: Option<u32>,
    /// What it has tried; `None`: `/metrics` was not read at this look, or could not be. It is wanted at every look at a
    /// connector that is not registered.
    pub tries: Option<Tries>,
    /// How its connections reach the edge, or are tried to; `None`: not known at this look.
    pub transport: Option<Transport>,
}

/// What `/ready` said.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Ready {
    /// 200. It is ours unless another process is shown to own the port.
    Yes {
        /// `readyConnections`, at least 1.
        connections: u32,
    },
    /// 503: it lives and is not registered.
    No,
    /// Another process is shown to own the port: not our child, nor a descendant of it.
    Foreign {
        /// Which, for a person: `python3 (pid 4711)`, or what else is known of it.
        owner: String,
    },
    /// Nobody answered, or not in time, or not with something that can be read.
    Unanswered {
        /// Why, in words.
        why: String,
    },
}

/// What a person or systemd wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    /// Drain every connector and exit.
    Stop,
    /// Hand over now: to the newest version of the secret, or else to a new connector of the same one. Answered by exactly one
    /// [`Order::Answer`](crate::Order::Answer).
    Reload(RequestId),
}

/// The number of one request that wants an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// What a read of the secret found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretRead {
    /// The version that was asked to be left alone; or the one in use, byte by byte as it is installed.
    Unchanged,
    /// Another version; the agent keeps its payload until the order to install it.
    New(VersionId),
    /// The version in use, but the installed bundle differs from the secret. Found only by a read without a known version; the
    /// agent keeps its payload until the order to install it.
    Altered(VersionId),
}

/// A bundle that was checked and installed; `current` does not name it yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Taken {
    /// It is new to a connector.
    New(Installed),
    /// To a connector it means the same as the one that `current` names: only comments, the order of keys or the form of values
    /// differ.
    Equivalent(Installed),
}

/// Why an order was not carried out.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Failure {
    /// What kind of trouble: all that is decided by.
    pub kind: FailureKind,
    /// The cause and the next step, for a person; never a secret.
    pub text: String,
}

impl Failure {
    /// A failure of that kind, told in those words.
    pub fn new(kind: FailureKind, text: impl Into<String>) -> Self {
        Self { kind, text: text.into() }
    }
}

/// What kind of trouble stood in an order's way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Hash)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// No answer: refused, cut, timed out.
    Unreachable,
    /// The answer says "later": throttled, or a fault on the other side.
    Throttled,
    /// The answer says that we may not.
    Denied,
    /// What was asked for is not there: the secret, the tag, the group.
    Missing,
    /// What was found breaks a rule: a malformed tag, payload or bundle.
    Invalid,
    /// This host is in the way: disk full, wrong owner, somebody holds the lock.
    Host,
    /// It was switched off in the settings.
    Disabled,
}
