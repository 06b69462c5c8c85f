//! Mistakes that are planted around the verdict, to show that the invariants see them.

use super::rng::Rng;
use super::{Ms, S};
use cflared_verdict::{Failure, Group, Member, PeerGrain, Peers, Place, Tries};
use std::time::Duration;

/// What is done to the facts before the verdict gets them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Plant {
    #[default]
    Nothing,
    /// The guard hears "all clear", whatever there is.
    GuardOff,
    /// The child's words and counts are withheld, and others are said to serve with the same version, so that nothing is ever
    /// anybody's fault.
    BlameOff,
    /// What cannot be read is taken for "all clear".
    UnreadableIsGo,
    /// Everybody is told to be the lowest, after a random wait.
    Jitter,
    /// Replacements by a refresh count as if health had been their cause.
    RefreshesCount,
    /// Everybody is told to go first, and that nobody refuses anything.
    NoTurns,
    /// The group waits for nobody.
    NoHook,
    /// Nobody finds that an origin would be lost.
    NoOrigins,
    /// Everybody is told that there is no room for a second connector.
    NoRoom,
}

impl Plant {
    pub fn drops_complaints(self) -> bool {
        self == Self::BlameOff
    }

    /// What the child is said to have counted.
    pub fn tries(self, tries: Tries) -> Tries {
        if self == Self::BlameOff { Tries { accepted: tries.accepted, ..Tries::default() } } else { tries }
    }

    pub fn counts_refreshes(self) -> bool {
        self == Self::RefreshesCount
    }

    /// How much later the group's answer comes.
    pub fn delay(self, rng: &mut Rng) -> Ms {
        if self == Self::Jitter { rng.between(0, 5 * S) } else { 0 }
    }

    pub fn group(self, me: &str, result: Result<Group, Failure>) -> Result<Group, Failure> {
        match (self, result) {
            (Self::GuardOff, _) | (Self::UnreadableIsGo, Err(_)) => Ok(all_clear(me)),
            (Self::Jitter, Ok(group)) => Ok(lowest(group)),
            (_, result) => result,
        }
    }

    pub fn peers(self, result: Result<Peers, Failure>) -> Result<Peers, Failure> {
        match (self, result) {
            (Self::GuardOff, _) | (Self::UnreadableIsGo, Err(_)) => Ok(alive()),
            (Self::BlameOff, Ok(mut peers)) => {
                peers.grains.iter_mut().for_each(|grain| grain.same_version = Some(1));
                Ok(peers)
            }
            (_, result) => result,
        }
    }
}

impl Plant {
    pub fn place(self, result: Result<Place, Failure>) -> Result<Place, Failure> {
        if self == Self::NoTurns { result.map(|place| Place { rank: 0, ..place }) } else { result }
    }

    pub fn refusals(self, result: Result<u32, Failure>) -> Result<u32, Failure> {
        if self == Self::NoTurns { Ok(0) } else { result }
    }
}

fn all_clear(me: &str) -> Group {
    let member = |id: &str| Member { id: id.into(), lifecycle: "InService".into(), healthy: true, zone: None };
    let members = vec![member(me), member("i-fffffffffffffffff")];
    Group { name: "tunnel".into(), me: me.into(), members, ..Group::default() }
}

fn alive() -> Peers {
    let grain =
        |minute: u64| PeerGrain { age: Duration::from_secs(minute * 60), live: 1, reporting: 1, same_version: Some(1) };
    Peers { grains: (0..10).map(grain).collect(), ..Peers::default() }
}

fn lowest(mut group: Group) -> Group {
    let lowest = "i-00000000000000000";
    for member in group.members.iter_mut().filter(|member| member.id == group.me) {
        member.id = lowest.into();
    }
    Group { me: lowest.into(), ..group }
}
