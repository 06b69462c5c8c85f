//! The invariants. Each is a function of its own, and judges by what is true in the model, not by what the verdict believes.
//!
//! Here is what they remember and ask of the world; `orders` are those at each order, `changes` those of
//! hand-overs, requests and hooks, `marks` those at a mark and at what the
//! group does about it, `due` what must have happened by a time.

mod changes;
mod due;
mod marks;
mod orders;

use super::fault::{Fault, Kind};
use super::trace::Entry;
use super::{DAY, Fleet, HOUR, MIN, Ms, S};
use cflared_verdict::{Health, Order, OrderId, Purpose, Reason};
use std::collections::{BTreeMap, BTreeSet};

/// A cause that is over decides for so long at most: evidence lasts that long.
const LINGERS: Ms = 180 * S;
/// What a read may not have seen yet, with the time from the read to the mark.
const UNSEEN: Ms = 45 * S;

/// A mark needs so long to be answered, seen by a read that may be seconds old, and taken back.
const RACE: Ms = 12 * S;

/// An invariant that does not hold.
#[derive(Debug, Clone)]
pub struct Violation {
    pub invariant: &'static str,
    pub at: Ms,
    pub who: usize,
    pub what: String,
}

/// What is remembered for the invariants, and what was counted.
#[derive(Debug, Default)]
pub struct Watch {
    pub violations: Vec<Violation>,
    pub acts: BTreeMap<&'static str, u64>,
    /// Lasting local faults: how many were condemned in time, and why others were not expected to be.
    pub in_time: u64,
    pub excluded: BTreeMap<&'static str, u64>,
    /// Two that were replaced in one moment, by a group that was faster than a read.
    pub raced: u64,
    /// The same by fault: condemned in time, and not expected to be.
    pub by_fault: BTreeMap<String, (u64, BTreeMap<&'static str, u64>)>,
    /// From the break to the mark, in ms.
    pub slowest: [Ms; 2],
    /// Marks that were ordered, by whose fault it was held to be.
    pub blamed: BTreeMap<String, u64>,
    /// Starts of a connector, and dials of the edge, by minute, if they are counted.
    pub load: Option<BTreeMap<u64, Load>>,
    /// Since when an instance is neither registered, nor held, nor on its way out.
    limbo: BTreeMap<usize, Ms>,
    /// Members that came or went, or were unhealthy: from when until when.
    unsettled: Vec<(usize, Ms, Option<Ms>)>,
    /// Our marks that were taken, oldest first.
    marks: Vec<OurMark>,
    /// Replacements by our marks, oldest first.
    replaced: Vec<OurMark>,
    of: BTreeMap<usize, Seen>,
    /// The hand-overs that somebody asked for.
    asked: Vec<Asked>,
    /// How many connectors must be registered, if that is looked at, and how few were.
    pub required: Option<usize>,
    pub lowest: usize,
    /// Which instances installed which version in turn.
    pub installed: BTreeSet<(u32, usize)>,
}

/// What the edge gets to do in a minute.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Load {
    pub starts: u64,
    pub dials: u64,
}

/// A hand-over that somebody asked for.
#[derive(Debug)]
struct Asked {
    i: usize,
    agent: u32,
    answered: bool,
}

#[derive(Debug, Clone, Copy)]
struct OurMark {
    at: Ms,
    i: usize,
    edge: bool,
}

/// What is remembered of one instance.
#[derive(Debug, Default)]
struct Seen {
    last_order: Option<OrderId>,
    group_read: Option<(Ms, bool)>,
    peers_read: Option<(Ms, bool)>,
    restarted: Option<Ms>,
    /// Restarts at once, oldest first.
    at_once: Vec<Ms>,
    /// The last restart, unless a good stretch came after it.
    restarted_in_this_outage: Option<Ms>,
    good_since: Option<Ms>,
}

/// What is looked at later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Later {
    /// Whether a lasting local fault was condemned in time.
    Due { fault: usize, i: usize },
    /// Whether two of our marks stood beside each other for long.
    Both { i: usize },
}

impl Watch {
    pub fn fail(&mut self, invariant: &'static str, at: Ms, who: usize, what: impl Into<String>) {
        self.violations.push(Violation { invariant, at, who, what: what.into() });
    }

    /// A wake-up lies after the moment at which it was asked for.
    pub fn no_wake_up_in_the_past(&mut self, i: usize, now: Ms, wake: Option<Ms>) {
        if wake.is_some_and(|wake| wake <= now) {
            self.fail("no wake-up in the past", now, i, format!("{wake:?}"));
        }
    }

    pub fn agent_down(&mut self, i: usize) {
        self.of.entry(i).or_default().last_order = None;
        self.limbo.remove(&i);
    }

    /// The health of an instance is this from now on.
    pub fn is(&mut self, i: usize, now: Ms, health: Health) {
        let decided = matches!(health, Health::Held | Health::Condemned | Health::Draining) || health.is_registered();
        if decided {
            self.limbo.remove(&i);
        } else {
            self.limbo.entry(i).or_insert(now);
        }
    }

    /// How long an instance has been neither registered, nor held, nor on its way out.
    pub fn in_limbo(&self, i: usize, now: Ms) -> Ms {
        self.limbo.get(&i).map_or(0, |since| now - since)
    }

    pub fn counts_load(&mut self, now: Ms, what: impl Fn(&mut Load)) {
        if let Some(load) = &mut self.load {
            what(load.entry(now / MIN).or_default());
        }
    }

    pub fn looked(&mut self, i: usize, now: Ms, good: bool) {
        let seen = self.of.entry(i).or_default();
        seen.good_since = if good { seen.good_since.or(Some(now)) } else { None };
        if seen.good_since.is_some_and(|since| now - since >= 24 * S) {
            seen.restarted_in_this_outage = None;
        }
    }

    pub fn group_read(&mut self, i: usize, now: Ms, readable: bool) {
        self.of.entry(i).or_default().group_read = Some((now, readable));
    }

    pub fn peers_read(&mut self, i: usize, now: Ms, readable: bool) {
        self.of.entry(i).or_default().peers_read = Some((now, readable));
    }

    pub fn unsettled(&mut self, now: Ms, who: &[usize]) {
        for (i, _, until) in self.unsettled.iter_mut().filter(|(_, _, until)| until.is_none()) {
            if !who.contains(i) {
                *until = Some(now);
            }
        }
        for i in who {
            if !self.unsettled.iter().any(|(known, _, until)| known == i && until.is_none()) {
                self.unsettled.push((*i, now, None));
            }
        }
    }

    fn other_unsettled(&self, i: usize, from: Ms, to: Ms) -> bool {
        self.unsettled
            .iter()
            .any(|(who, since, until)| *who != i && *since < to && until.is_none_or(|until| until > from))
    }

    /// What lies longer ago than a day decides nothing.
    pub fn forget(&mut self, now: Ms) {
        self.unsettled.retain(|(_, _, until)| until.is_none_or(|until| now - until < HOUR));
        self.marks.retain(|mark| now - mark.at < DAY);
        self.replaced.retain(|mark| now - mark.at < DAY);
    }
}

fn is_process(kind: &Kind) -> bool {
    matches!(kind, Kind::Frozen | Kind::FrozenOnce | Kind::CrashLoop | Kind::NoBinary)
}

fn is_local(kind: &Kind) -> bool {
    is_process(kind)
        || matches!(kind, Kind::StuckOnce | Kind::Network(_) | Kind::AnswersLost | Kind::UdpShut | Kind::MtuHole(_))
}

fn is_edge(kind: &Kind) -> bool {
    matches!(kind, Kind::Edge(_))
}

fn is_shared(kind: &Kind) -> bool {
    matches!(kind, Kind::Rotated | Kind::TunnelDeleted | Kind::Published(Some(_)) | Kind::Origin)
}

impl Fleet {
    pub fn count(&mut self, entry: &Entry) {
        let what = match entry {
            Entry::Ordered(Order::Restart { reason: Reason::Unregistered, .. }) => "restart",
            Entry::Ordered(Order::Restart { reason: Reason::EdgeBack, .. }) => "restart, edge back",
            Entry::Ordered(Order::Restart { reason: Reason::Blip, .. }) => "restart at once, blip",
            Entry::Ordered(Order::Restart { reason: Reason::Transport, .. }) => "restart at once, transport",
            Entry::Ordered(Order::Start { purpose: Purpose::Opinion, .. }) => "second opinion",
            Entry::Ordered(Order::Adopt { .. }) => "second opinion that serves",
            Entry::Ordered(Order::MarkUnhealthy) => "mark asked",
            Entry::Ordered(Order::MarkHealthy) => "un-mark asked",
            Entry::Ordered(Order::Probe { .. }) => "probe",
            Entry::Ordered(Order::ReadGroup) => "read group",
            Entry::Ordered(Order::ReadPeers { .. }) => "read peers",
            Entry::Marked(true) => "marked",
            Entry::Marked(false) => "un-marked",
            Entry::AgentStarted => "agent started",
            _ => return,
        };
        *self.watch.acts.entry(what).or_default() += 1;
    }

    /// Whether such a fault struck the instance within the last `window`.
    pub(super) fn recently(&self, i: usize, window: Ms, kind: impl Fn(&Kind) -> bool) -> bool {
        self.struck_within(i, self.now.saturating_sub(window), self.now, kind)
    }

    /// Whether its child hangs, or has given up: that lasts until it is restarted.
    pub(super) fn hangs(&self, i: usize) -> bool {
        self.instances[i].children.values().any(|child| child.frozen || child.stuck)
    }

    fn struck_within(&self, i: usize, from: Ms, to: Ms, kind: impl Fn(&Kind) -> bool) -> bool {
        let zone = self.instances[i].zone;
        let there = |fault: &Fault| fault.onset(i) <= to && fault.until > from && fault.concerns(i, zone);
        self.faults.iter().any(|fault| kind(&fault.kind) && there(fault))
    }

    /// Whether such a fault strikes the instance, and has done so for the last `time`.
    pub(super) fn lastingly(&self, i: usize, time: Ms, kind: impl Fn(&Kind) -> bool) -> bool {
        let zone = self.instances[i].zone;
        let there = |fault: &Fault| fault.onset(i) + time <= self.now && self.now < fault.until;
        self.faults
            .iter()
            .any(|fault| kind(&fault.kind) && fault.flaps.is_none() && fault.concerns(i, zone) && there(fault))
    }

    pub fn recheck(&mut self, later: Later) {
        match later {
            Later::Both { i } => self.never_two_marked(i),
            Later::Due { fault, i } => self.a_lasting_local_fault_is_condemned_in_time(fault, i),
        }
    }

    /// The world has been well for long: everybody is registered again.
    pub fn everybody_is_registered(&mut self) {
        for member in self.group.members.clone() {
            let instance = &self.instances[member.i];
            // One that is on its way out, and kept by a hold, has drained.
            let goes = member.lifecycle.starts_with("Terminating");
            if !goes && !instance.registered() && self.now - instance.booted > 10 * MIN {
                let what = format!("{:?}, {}", instance.health, member.lifecycle);
                self.watch.fail("everybody is registered again", self.now, member.i, what);
            }
        }
    }
}
