//! What the verdict asks for.

use crate::{Generation, RequestId, RunId, Transport, VersionId};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The number of one order; never used twice in an agent's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct OrderId(pub u64);

/// Something to be done by the agent, which reports it as exactly one [`Event::Done`](crate::Event::Done).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Order {
    /// Read the secret.
    ReadSecret {
        /// The version that needs no payload: it is installed, or was refused. `None`: all is wanted; if the version in use is
        /// read, it is compared with what is installed, byte by byte.
        known: Option<VersionId>,
    },
    /// Check and install the payload that was read last.
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
        /// Which of the two metrics addresses it gets: 0 or 1. If a stranger has that port, the agent gives it another.
        slot: usize,
        /// What it is started for.
        purpose: Purpose,
    },
    /// A connector that was started for a second opinion serves from now on: its exits are answered like those of any other.
    Adopt {
        /// Which.
        run: RunId,
    },
    /// Stop the connector's living child, and start another.
    Restart {
        /// Which.
        run: RunId,
        /// Why, for the log.
        reason: Reason,
        /// How the child is stopped.
        stop: Stop,
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
    /// Tell the Auto Scaling group that this instance is unhealthy, and read it back. During the group's grace period the call succeeds and does
    /// nothing.
    MarkUnhealthy,
    /// Take our own mark back, and read it back.
    MarkHealthy,
    /// Try DNS, the edge and the origins from this host, in parallel, within 10 s.
    Probe {
        /// The bundle whose origins are tried.
        generation: Generation,
    },
    /// Try the edge by one transport alone, within 1 s: a TLS greeting over TCP, or a QUIC version negotiation with datagrams of the
    /// size that cloudflared sends.
    ProbeEdge {
        /// The connector whose edge is tried.
        run: RunId,
        /// How.
        transport: Transport,
    },
    /// Read this instance's Auto Scaling group: its members, suspended processes, refresh and replacements.
    ReadGroup,
    /// Read what the other connectors of the tunnel reported lately.
    ReadPeers {
        /// How far back; never more than [`Config::flapping_window`](crate::Config).
        since: Duration,
        /// The version of the secret that is asked for beside the others; `None`: none.
        version: Option<VersionId>,
        /// The availability zones whose reports are wanted by themselves.
        zones: Vec<String>,
    },
    /// Read the instance's hold tag.
    ReadHoldTag,
    /// Try, in parallel and within 10 s, the origins of the hostnames whose service differs between two bundles.
    CompareOrigins {
        /// The one that serves.
        old: Generation,
        /// The one that is to.
        new: Generation,
    },
    /// See whether a second connector finds room.
    MeasureMemory {
        /// The connector that the second one will be as large as.
        like: RunId,
    },
    /// Ask the metadata service whether this instance is told to go.
    ReadNotices,
    /// Read where the group has this instance.
    ReadPlace,
    /// Read whether others refuse a version of the secret.
    ReadRefusals,
    /// Let the group go on with this instance, or not. What is to be flushed is flushed before a departure is let go on.
    CompleteHook {
        /// Which of the two.
        hook: Hook,
        /// How.
        result: HookResult,
    },
    /// Have the group wait on.
    Heartbeat {
        /// At which hook.
        hook: Hook,
    },
    /// Tell who asked what came of it. Needs no report beyond its [`Event::Done`](crate::Event::Done).
    Answer {
        /// Who asked.
        request: RequestId,
        /// What came of it.
        answer: Answer,
    },
    /// Flush what is to be flushed and end the process.
    Exit,
}

/// The lifecycle hooks that the settings may name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Hook {
    /// `autoscaling:EC2_INSTANCE_LAUNCHING`.
    Launch,
    /// `autoscaling:EC2_INSTANCE_TERMINATING`.
    Terminate,
}

/// How the group is to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Hash)]
#[serde(rename_all = "snake_case")]
pub enum HookResult {
    /// As it meant to.
    Continue,
    /// At a launch: terminate this instance, and launch another.
    Abandon,
}

/// What came of a request.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Answer {
    /// Whether it was done.
    pub ended: Ended,
    /// What came of it, in a line.
    pub text: String,
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Hash)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// It was done.
    Done,
    /// It was refused: asking again does not help before something is mended.
    Refused,
    /// It failed; asking again may help.
    Failed,
}

/// Why a living connector is restarted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Hash)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// It has been unregistered for `restart_after`.
    Unregistered,
    /// The edge can be reached again, and it still sleeps out its back-off.
    EdgeBack,
    /// It lost all its connections a moment ago, and the edge answers: a new child registers sooner than this one wakes.
    Blip,
    /// It was connected over QUIC, UDP is shut, TCP is not: only a new child falls back.
    Transport,
}

/// How a living child is stopped for another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Hash)]
#[serde(rename_all = "snake_case")]
pub enum Stop {
    /// SIGTERM, up to 5 s, SIGKILL.
    Graceful,
    /// SIGKILL, after a last look at `/ready`: if that finds it registered, nothing is done.
    AtOnce,
}

/// What a connector is started for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Hash)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// To serve, now or after a trial.
    Serve,
    /// To say why the one that serves is refused: with `--protocol http2`, and never respawned. It is drained by an order.
    Opinion,
}
