//! Facts about the other instances: the Auto Scaling group, and the other connectors of the tunnel.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// The Auto Scaling group of this instance, as one read found it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// The id of this instance.
    pub me: String,
    /// All its instances, this one among them.
    pub members: Vec<Member>,
    /// The names of the suspended processes: `Launch`, `HealthCheck`, …
    pub suspended: Vec<String>,
    /// The state of the instance refresh that is under way, if one is: `InProgress`, `Baking`, …
    pub refresh: Option<String>,
    /// The ages of the replacements of the last day whose cause was health; refreshes and scaling do not count.
    pub replaced: Vec<Duration>,
    /// How this instance was launched; `None`: no activity of the last day says so.
    pub launch: Option<Launch>,
}

/// The scaling activity that launched this instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Launch {
    /// How long ago.
    pub age: Duration,
    /// Its cause says that it came for an unhealthy instance.
    pub for_unhealthy: bool,
}

/// One instance of the group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Its id, `i-…`.
    pub id: String,
    /// Its lifecycle state as the group names it: `InService`, `Pending:Wait`, `Standby`, …
    pub lifecycle: String,
    /// Whether the group takes it for healthy.
    pub healthy: bool,
    /// Its availability zone, if the group names it.
    pub zone: Option<String>,
}

impl Member {
    /// Whether it serves, as far as the group knows.
    pub fn in_service(&self) -> bool {
        self.lifecycle == "InService"
    }

    /// Whether it stays as it is: serving and healthy, or put aside by a person. Everything else comes or goes.
    pub fn settled(&self) -> bool {
        self.healthy && matches!(self.lifecycle.as_str(), "InService" | "Standby")
    }
}

impl Group {
    /// This instance, if the group has it.
    pub fn myself(&self) -> Option<&Member> {
        self.members.iter().find(|member| member.id == self.me)
    }

    /// The other instances.
    pub fn others(&self) -> impl Iterator<Item = &Member> {
        self.members.iter().filter(|member| member.id != self.me)
    }

    /// How many serving instances have a lower id than this one.
    pub fn rank(&self) -> u32 {
        let below = self.others().filter(|member| member.in_service() && member.id < self.me).count();
        u32::try_from(below).unwrap_or(u32::MAX)
    }
}

/// What the other connectors of the tunnel reported, grain by grain (a grain is the period of the datapoints, a minute
/// unless set otherwise), as far as CloudWatch shows it. What this instance reported itself is taken out.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Peers {
    /// The grains of the asked time, in any order. A grain without any report, ours included, is left out: nothing is
    /// known of it.
    pub grains: Vec<PeerGrain>,
    /// The same of each zone that was asked for, without what this instance reported itself.
    pub zones: BTreeMap<String, Vec<PeerGrain>>,
}

/// What the others reported in one grain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerGrain {
    /// How long ago it ended.
    pub age: Duration,
    /// How many of them were registered at its end.
    pub live: u32,
    /// How many of them reported.
    pub reporting: u32,
    /// How many of them were registered with the version of the secret that was asked for; `None`: nobody else reported for that
    /// version, as agents that do not know this series never do. Always `None` in a zone's.
    pub same_version: Option<u32>,
}

/// Where the group has this instance, as one read found it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Place {
    /// Its lifecycle state as the group names it: `Pending:Wait`, `InService`, `Terminating:Wait`, `Warmed:Pending:Wait`, …
    pub lifecycle: String,
    /// How many serving instances have a lower id.
    pub rank: u32,
    /// After how long without a heartbeat the launch hook of the settings ends by itself; `None`: it is not named, or that could
    /// not be read.
    pub launch_timeout: Option<Duration>,
    /// The same of the terminate hook.
    pub terminate_timeout: Option<Duration>,
}

/// What the metadata service says of this instance's future.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Notices {
    /// Where the group is taking it (`autoscaling/target-lifecycle-state`); `None`: it says nothing that is known.
    pub target: Option<Target>,
    /// A spot instance is about to be taken away: `terminate`, `stop` or `hibernate`.
    pub spot: Option<String>,
    /// A rebalance is recommended. It is reported and not obeyed: draining on it thrashes fleets.
    pub rebalance: bool,
}

/// Where a group is taking an instance
/// (<https://docs.aws.amazon.com/autoscaling/ec2/userguide/retrieving-target-lifecycle-state-through-imds.html>).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// Into service.
    InService,
    /// Out of service for a while, by a person.
    Standby,
    /// Out of the group, running on.
    Detached,
    /// Away.
    Terminated,
    /// Into the warm pool: `Warmed:Stopped`, `Warmed:Running`, `Warmed:Hibernated`, `Warmed:Terminated`.
    Warmed,
}

/// How much memory there is, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// What can be had without another process or the connector that serves being killed.
    pub available: u64,
    /// What the connector that serves takes now.
    pub connector: u64,
}
