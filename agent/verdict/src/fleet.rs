//! What is known of the other instances: the Auto Scaling group, and who else serves the tunnel.

use serde::{Deserialize, Serialize};
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
}
