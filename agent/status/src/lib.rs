//! `status.json`: what the agent saw, chose and refused. Readable when the agent hangs; holds no secret.
//!
//! The schema is a contract with whoever reads the file. Within a schema version fields are only added; a reader passes
//! over what it does not know. Names of states are text, so that an older reader can show a newer state.

mod boot;
pub mod hold;
mod publisher;
mod read;
mod timestamp;

pub use boot::boot_id;
pub use publisher::Publisher;
pub use read::ReadError;
pub use timestamp::Timestamp;

use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

/// The name of the status file in the runtime directory.
pub const STATUS_FILE: &str = "status.json";
/// The schema this agent writes.
pub const SCHEMA: u32 = 1;
/// The status is rewritten at least this often, changed or not.
pub const HEARTBEAT: Duration = Duration::from_secs(30);
/// A status older than this was not rewritten when it should have been, twice over: the agent hangs or is gone.
pub const STALE_AFTER: Duration = Duration::from_secs(75);
/// How many entries of the journal are kept.
pub const JOURNAL: usize = 50;
/// Who holds when it is somebody on the host, by `cflared-agent hold`.
pub const OPERATOR: &str = "operator";
/// Who holds when it is the instance's tag.
pub const TAG: &str = "tag";
/// Who holds when it is the agent, for a configuration that Cloudflare pushed.
pub const REMOTE: &str = "configuration from Cloudflare";

/// The whole status.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// [`SCHEMA`].
    pub schema: u32,
    /// When this was written: see [`Status::is_stale`].
    pub written_at: Timestamp,
    /// The process that wrote it.
    pub agent: Agent,
    /// The instance; none until the metadata service has told.
    #[serde(default)]
    pub instance: Option<Instance>,
    /// The tunnel's UUID; none until a bundle is installed.
    #[serde(default)]
    pub tunnel: Option<String>,
    /// The holds in force: while there is one, nothing is condemned or handed over.
    #[serde(default)]
    pub holds: Vec<Hold>,
    /// Whether marks are only talked of, and not made.
    #[serde(default)]
    pub dry_run: bool,
    /// Whether the settings say `mode: observe`: nothing is done but starting, draining and reporting.
    #[serde(default)]
    pub observing: bool,
    /// The verdict.
    pub health: Health,
    /// Whose fault it is, if something is wrong.
    #[serde(default)]
    pub blame: Option<Blame>,
    /// What was answered when this instance was last to be condemned: whether it may be, or why not.
    #[serde(default)]
    pub guard: Option<String>,
    /// The latest failure that stands in the way, with the next step; none if nothing does.
    #[serde(default)]
    pub trouble: Option<String>,
    /// What is under way or to come: a hand-over, a change whose turn comes, a probation; none if nothing is.
    #[serde(default)]
    pub changing: Option<Changing>,
    /// The version of the secret that is refused, or was tried and is put off; `trouble` says why.
    #[serde(default)]
    pub refusing: Option<String>,
    /// The connectors that run or are being respawned: one, or two during a hand-over.
    #[serde(default)]
    pub connectors: Vec<Connector>,
    /// The bundle that `current` names.
    #[serde(default)]
    pub installed: Option<Installed>,
    /// The secret, as last read.
    #[serde(default)]
    pub secret: Secret,
    /// The pushes to CloudWatch; none if they are switched off.
    #[serde(default)]
    pub cloudwatch: Option<CloudWatch>,
    /// What Auto Scaling was asked and told; none if that is switched off.
    #[serde(default)]
    pub autoscaling: Option<AutoScaling>,
    /// What was counted since the agent started.
    #[serde(default)]
    pub counters: Counters,
    /// The last decisions, oldest first; at most [`JOURNAL`].
    #[serde(default)]
    pub journal: Vec<Entry>,
}

/// The agent's process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Agent {
    /// Its version.
    pub version: String,
    /// Its process id.
    pub pid: u32,
    /// When it started.
    pub started_at: Timestamp,
}

/// Where the agent runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instance {
    /// `i-…`.
    pub id: String,
    /// The region.
    pub region: String,
    /// The availability zone.
    pub zone: String,
    /// The AMI, `ami-…`.
    pub image: String,
    /// The environment its tag names; none until it could be read.
    #[serde(default)]
    pub environment: Option<String>,
}

/// The verdict on this instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// `starting`, `registered`, `degraded`, `broken`, `remediating`, `condemned`, `held`, `draining`.
    pub state: String,
    /// Since when.
    pub since: Timestamp,
    /// The evidence, in words.
    pub why: String,
}

/// A hold in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// Who holds: [`OPERATOR`], [`TAG`] or [`REMOTE`].
    pub by: String,
    /// When it ends by itself; none: when it is lifted.
    #[serde(default)]
    pub until: Option<Timestamp>,
    /// What was said of it.
    pub note: String,
}

/// Whose fault it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blame {
    /// `process`, `host_network`, `edge`, `credentials`, `config`, `origin`, `unknown`.
    pub blame: String,
    /// How sure that is: `certain`, `likely`, `guess`.
    pub confidence: String,
    /// On which evidence.
    pub evidence: String,
}

/// One connector.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connector {
    /// Its number in this agent's life.
    pub run: u32,
    /// The installed generation it was started from.
    pub generation: u64,
    /// The version of the secret that its bundle was made from.
    pub secret_version: String,
    /// The version of cloudflared; none until its metrics told.
    #[serde(default)]
    pub version: Option<String>,
    /// The child's process id; none between an exit and the respawn.
    #[serde(default)]
    pub pid: Option<u32>,
    /// The id that the child logged; the dashboard shows the same one.
    #[serde(default)]
    pub connector_id: Option<String>,
    /// Its metrics server.
    pub metrics: SocketAddr,
    /// The metrics addresses that it could not have, and who has them.
    #[serde(default)]
    pub metrics_taken: Vec<Taken>,
    /// `starting`, `registered`, `unregistered`, `unanswered`, `foreign`, `respawning`, `draining`.
    pub state: String,
    /// How many connections `/ready` counts.
    #[serde(default)]
    pub connections: u32,
    /// The gauge of that name, which counts attempts and proves nothing; shown because others look at it.
    #[serde(default)]
    pub ha_connections: Option<u32>,
    /// How often its child was replaced after an exit, or restarted on order.
    #[serde(default)]
    pub restarts: u64,
    /// How the last child ended, in words.
    #[serde(default)]
    pub last_exit: Option<String>,
    /// The configuration that Cloudflare pushed, by which it serves in place of its bundle; none: it serves its bundle.
    #[serde(default)]
    pub remote: Option<Remote>,
    /// Its registered connections, by index, as the child itself told of them.
    #[serde(default)]
    pub edges: Vec<Edge>,
}

/// A configuration that Cloudflare pushed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remote {
    /// Its number there.
    pub version: i64,
    /// The rule of bundles that it breaks; none: none that could be checked.
    #[serde(default)]
    pub broken: Option<String>,
}

/// A metrics address that a connector could not have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    /// The address.
    pub address: SocketAddr,
    /// Who has it, or what else is in the way.
    pub by: String,
}

/// The far end of one connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Edge {
    /// Which of the connector's connections, from 0.
    pub index: u64,
    /// The data centre, as in `iad01`: the metro and a number.
    pub location: String,
    /// The address.
    pub address: String,
    /// `quic` or `http2`.
    pub protocol: String,
}

/// A change of what runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changing {
    /// What it is, and how far it has come, in words.
    pub what: String,
    /// Until when that lasts, or waits; none if that is not known.
    #[serde(default)]
    pub until: Option<Timestamp>,
}

/// The installed bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Installed {
    /// Its number under `generations/`.
    pub generation: u64,
    /// The `VersionId` of the secret it was made from.
    pub version: String,
}

/// The reads of the secret.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Secret {
    /// The `VersionId` that was read last.
    pub version: Option<String>,
    /// When it was.
    pub read_at: Option<Timestamp>,
    /// Why the last read failed; none if it did not.
    pub last_error: Option<String>,
}

/// The pushes to CloudWatch.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CloudWatch {
    /// When datapoints were last accepted.
    pub last_push_at: Option<Timestamp>,
    /// Why the last push failed; none if it did not.
    pub last_error: Option<String>,
    /// Moments whose datapoints are still to be pushed.
    pub waiting: u64,
    /// Moments pushed with an unknown outcome: never pushed again.
    pub lost: u64,
    /// Moments given up unpushed: the buffer was full, or CloudWatch called them invalid.
    pub dropped: u64,
}

/// What is between this instance and Auto Scaling.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AutoScaling {
    /// The group, as last read.
    pub group: Option<String>,
    /// The instance's lifecycle state in it, as last read.
    pub lifecycle: Option<String>,
    /// Whether our own mark as unhealthy stands, and shows in the group.
    pub marked: bool,
    /// Why the last call failed; none if it did not.
    pub last_error: Option<String>,
}

/// Counts since the agent started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Counters {
    /// Unplanned restarts of connectors.
    pub connector_restarts: u64,
    /// Lines of the agent's log that nobody took in time.
    pub log_lines_lost: u64,
    /// Status and state writes and systemd notices that failed.
    pub host_writes_failed: u64,
}

/// One decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// When.
    pub at: Timestamp,
    /// `finding` of a blame, `transition` of the health, `action`, `delay`, or `refusal`.
    pub kind: String,
    /// What was decided, or refused.
    pub what: String,
    /// On which evidence.
    pub evidence: String,
    /// Whose fault the trouble was, where that was decided by.
    #[serde(default)]
    pub blame: Option<String>,
}

/// Without what changes by itself, such as the time that is left.
impl fmt::Display for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { by, until, note } = self;
        write!(f, "on hold by the {by}")?;
        if let Some(until) = until {
            write!(f, " until {}", humantime::format_rfc3339_seconds((*until).into()))?;
        }
        write!(f, ": {note}")
    }
}

#[cfg(test)]
mod tests;
