//! The invariants. Each is a function of its own, and judges by what is true in the model, not by what the verdict believes.

use super::fault::{Cut, Fault, Kind, Scope};
use super::group::GRACE;
use super::trace::Entry;
use super::{DAY, Ev, Fleet, HOUR, MIN, Ms, S};
use cflared_verdict::{Order, OrderId, Reason};
use std::collections::BTreeMap;
use std::time::Duration;

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
    /// From the break to the mark, in ms.
    pub slowest: [Ms; 2],
    /// Members that came or went, or were unhealthy: from when until when.
    unsettled: Vec<(usize, Ms, Option<Ms>)>,
    /// Our marks that were taken, oldest first.
    marks: Vec<OurMark>,
    /// Replacements by our marks, oldest first.
    replaced: Vec<OurMark>,
    of: BTreeMap<usize, Seen>,
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
    /// The last restart for being unregistered, unless a good stretch came after it.
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
    matches!(kind, Kind::Frozen | Kind::FrozenOnce | Kind::CrashLoop | Kind::PortTaken)
}

fn is_local(kind: &Kind) -> bool {
    is_process(kind) || matches!(kind, Kind::StuckOnce | Kind::Network(_))
}

fn is_edge(kind: &Kind) -> bool {
    matches!(kind, Kind::Edge(_))
}

fn is_shared(kind: &Kind) -> bool {
    matches!(kind, Kind::Rotated | Kind::TunnelDeleted | Kind::BadConfig { .. } | Kind::Origin)
}

impl Fleet {
    pub fn count(&mut self, entry: &Entry) {
        let what = match entry {
            Entry::Ordered(Order::Restart { reason: Reason::Unregistered, .. }) => "restart",
            Entry::Ordered(Order::Restart { reason: Reason::EdgeBack, .. }) => "restart, edge back",
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
    fn recently(&self, i: usize, window: Ms, kind: impl Fn(&Kind) -> bool) -> bool {
        self.struck_within(i, self.now.saturating_sub(window), self.now, kind)
    }

    /// Whether its child hangs, or has given up: that lasts until it is restarted.
    fn hangs(&self, i: usize) -> bool {
        self.instances[i].children.values().any(|child| child.frozen || child.stuck)
    }

    fn struck_within(&self, i: usize, from: Ms, to: Ms, kind: impl Fn(&Kind) -> bool) -> bool {
        let zone = self.instances[i].zone;
        let there = |fault: &Fault| fault.onset(i) <= to && fault.until > from && fault.concerns(i, zone);
        self.faults.iter().any(|fault| kind(&fault.kind) && there(fault))
    }

    /// Whether such a fault strikes the instance, and has done so for the last `time`.
    fn lastingly(&self, i: usize, time: Ms, kind: impl Fn(&Kind) -> bool) -> bool {
        let zone = self.instances[i].zone;
        let there = |fault: &Fault| fault.onset(i) + time <= self.now && self.now < fault.until;
        self.faults
            .iter()
            .any(|fault| kind(&fault.kind) && fault.flaps.is_none() && fault.concerns(i, zone) && there(fault))
    }

    /// What must hold when an order is given.
    pub fn order_is_sound(&mut self, i: usize, id: OrderId, order: &Order) {
        let now = self.now;
        let seen = self.watch.of.entry(i).or_default();
        if seen.last_order.replace(id).is_some_and(|last| last >= id) {
            self.watch.fail("an order's number is used once", now, i, format!("{id:?}"));
        }
        match order {
            Order::MarkUnhealthy => {
                self.one_mark_in_flight(i);
                self.nothing_is_condemned_on_unreadable_facts(i);
                self.nothing_is_condemned_under_a_hold(i);
                self.nothing_is_condemned_while_the_group_is_busy(i);
                self.nothing_is_condemned_while_registered(i);
            }
            Order::MarkHealthy => {
                self.one_mark_in_flight(i);
                self.only_our_own_mark_is_undone(i);
            }
            Order::Restart { reason, .. } => self.no_restart_more_often_than_the_policy(i, *reason),
            _ => {}
        }
    }

    fn one_mark_in_flight(&mut self, i: usize) {
        let open = &self.instances[i].open;
        if open.values().any(|order| matches!(order, Order::MarkUnhealthy | Order::MarkHealthy)) {
            self.watch.fail("one mark in flight", self.now, i, "a mark was ordered while one is under way");
        }
    }

    fn nothing_is_condemned_on_unreadable_facts(&mut self, i: usize) {
        const NAME: &str = "nothing condemned on unreadable facts";
        let now = self.now;
        let fresh = |read: Option<(Ms, bool)>| read.is_some_and(|(at, readable)| readable && now - at <= 90 * S);
        let seen = self.watch.of.entry(i).or_default();
        let (group, peers) = (seen.group_read, seen.peers_read);
        if !fresh(group) {
            self.watch.fail(NAME, now, i, format!("the last read of the group: {group:?}"));
        }
        let in_service = self.group.members.iter().filter(|member| member.lifecycle == "InService").count();
        let needs_peers = in_service > 1 && !self.recently(i, LINGERS, is_process) && !self.hangs(i);
        if needs_peers && !fresh(peers) {
            self.watch.fail(NAME, now, i, format!("the last read of the peers: {peers:?}"));
        }
    }

    fn nothing_is_condemned_under_a_hold(&mut self, i: usize) {
        let by_tag = self.lastingly(i, 40 * S, |kind| *kind == Kind::HoldTag);
        let by_command = self.instances[i].held.is_some_and(|(since, until)| since < self.now && self.now < until);
        let unreadable = self.lastingly(i, 100 * S, |kind| *kind == Kind::ImdsAway);
        if by_tag || by_command || unreadable {
            let what = format!("tag {by_tag}, command {by_command}, tag unreadable {unreadable}");
            self.watch.fail("nothing condemned under a hold", self.now, i, what);
        }
    }

    fn nothing_is_condemned_while_the_group_is_busy(&mut self, i: usize) {
        const NAME: &str = "nothing condemned while the group is busy";
        let suspended = self.lastingly(i, UNSEEN, |kind| matches!(kind, Kind::Suspended(_)));
        let refresh = self.lastingly(i, UNSEEN, |kind| *kind == Kind::Refresh);
        let from = self.now.saturating_sub(UNSEEN);
        let other =
            self.watch.unsettled.iter().any(|(who, since, until)| *who != i && *since < from && until.is_none());
        if suspended || refresh || other {
            let what = format!("suspended {suspended}, refresh {refresh}, another comes or goes {other}");
            self.watch.fail(NAME, self.now, i, what);
        }
    }

    fn nothing_is_condemned_while_registered(&mut self, i: usize) {
        let settled = |since: Ms| self.now - since > 20 * S;
        if self.instances[i].children.values().any(|child| !child.frozen && child.registered.is_some_and(settled)) {
            self.watch.fail("nothing condemned while registered", self.now, i, "");
        }
    }

    fn only_our_own_mark_is_undone(&mut self, i: usize) {
        let ours = self.watch.marks.iter().any(|mark| mark.i == i);
        let foreign = self.group.member(i).is_some_and(|member| !member.healthy && member.marked.is_none());
        if foreign && !ours {
            self.watch.fail("only our own mark is undone", self.now, i, "");
        }
    }

    fn no_restart_more_often_than_the_policy(&mut self, i: usize, reason: Reason) {
        const NAME: &str = "no restart more often than the policy";
        let now = self.now;
        let seen = self.watch.of.entry(i).or_default();
        let (any, same) = (seen.restarted.replace(now), seen.restarted_in_this_outage);
        let mut least = vec![(any, 20 * S)];
        if reason == Reason::Unregistered {
            least.extend([(any, 90 * S), (same, 295 * S)]);
            seen.restarted_in_this_outage = Some(now);
        }
        for (before, least) in least {
            if before.is_some_and(|before| now - before < least) {
                self.watch.fail(
                    NAME,
                    now,
                    i,
                    format!("{reason:?}: the last was at {before:?}, {least} ms are the least"),
                );
            }
        }
    }

    /// Our mark was taken by the group.
    pub fn mark_stands(&mut self, i: usize) {
        self.nothing_is_condemned_for_what_it_cannot_mend(i);
        let edge = self.recently(i, LINGERS, is_edge) && !self.recently(i, LINGERS, is_local) && !self.hangs(i);
        self.watch.marks.push(OurMark { at: self.now, i, edge });
        self.at(self.now + 20 * S, Ev::Recheck(Later::Both { i }));
    }

    /// By the true cause: credentials, a configuration or an origin, or nothing at all.
    fn nothing_is_condemned_for_what_it_cannot_mend(&mut self, i: usize) {
        if !self.recently(i, LINGERS, |kind| is_local(kind) || is_edge(kind)) && !self.hangs(i) {
            let shared = self.recently(i, HOUR, is_shared);
            let what = if shared { "credentials, configuration or origin" } else { "nothing is wrong with it" };
            self.watch.fail("no condemnation for credentials, config or origin", self.now, i, what);
        }
    }

    /// The group begins to replace an instance because of our mark.
    pub fn replaced_by_us(&mut self, i: usize) {
        let now = self.now;
        let edge = self.watch.marks.iter().rev().find(|mark| mark.i == i).is_some_and(|mark| mark.edge);
        self.one_canary_an_hour(i, edge);
        if !self.never_two_in_transition(i) {
            self.the_budget_is_kept(i);
        }
        self.watch.replaced.push(OurMark { at: now, i, edge });
    }

    fn one_canary_an_hour(&mut self, i: usize, edge: bool) {
        let before = self.watch.replaced.iter().rev().find(|mark| mark.edge && self.now - mark.at < HOUR - 2 * MIN);
        if edge && let Some(before) = before {
            let what = format!("#{} was replaced {} s before", before.i, (self.now - before.at) / S);
            self.watch.fail("an edge outage costs one canary an hour", self.now, i, what);
        }
    }

    /// Two marks of one moment, and the group was faster than anybody who read it: nobody can help that.
    fn raced(&self, i: usize, other: usize) -> bool {
        let marked = |who: usize| self.watch.marks.iter().rev().find(|mark| mark.i == who).map_or(0, |mark| mark.at);
        self.now - marked(i) < RACE && marked(i).abs_diff(marked(other)) < RACE
    }

    /// Says whether it was a race, in which the budget was spent twice too.
    fn never_two_in_transition(&mut self, i: usize) -> bool {
        let ours = |who: usize| self.watch.replaced.iter().any(|mark| mark.i == who);
        let leaving = self.group.members.iter().find(|member| member.i != i && member.leaving && ours(member.i));
        if let Some(leaving) = leaving.map(|leaving| leaving.i) {
            if self.raced(i, leaving) {
                self.watch.raced += 1;
                return true;
            }
            let what = format!("#{leaving} goes already by our mark");
            self.watch.fail("never two in transition by our doing", self.now, i, what);
        }
        false
    }

    fn the_budget_is_kept(&mut self, i: usize) {
        let within = |time: Ms| self.watch.replaced.iter().filter(|mark| self.now - mark.at < time).count();
        // The hour and the day are those of the read, which lies before the mark, which lies before the replacement.
        if within(HOUR - 2 * MIN) >= 2 || within(DAY - 2 * MIN) >= 4 {
            let what = format!("{} within an hour, {} within a day", within(HOUR), within(DAY));
            self.watch.fail("the budget is never exceeded", self.now, i, what);
        }
    }

    pub fn recheck(&mut self, later: Later) {
        match later {
            Later::Both { i } => self.never_two_marked(i),
            Later::Due { fault, i } => self.a_lasting_local_fault_is_condemned_in_time(fault, i),
        }
    }

    /// Two may be marked in one moment; then one of them un-marks itself.
    fn never_two_marked(&mut self, i: usize) {
        let stands = |since: Option<Ms>| since.is_some_and(|since| self.now - since >= 20 * S);
        let mine = self.group.member(i).is_some_and(|member| stands(member.marked));
        let other = self.group.members.iter().find(|member| member.i != i && stands(member.marked));
        if mine && let Some(other) = other {
            let what = format!("#{} is marked too", other.i);
            self.watch.fail("never two in transition by our doing", self.now, i, what);
        }
    }

    /// A fault was planted: what must come of it.
    pub fn expect_what_follows(&mut self, number: usize) {
        let fault = self.faults[number];
        let Scope::One(i) = fault.scope else { return };
        let lasting = matches!(fault.kind, Kind::Frozen | Kind::CrashLoop | Kind::PortTaken)
            || matches!(fault.kind, Kind::Network(Cut::Edge));
        let limit = limit(&fault.kind);
        let born_with_it = self.instances[i].booted + MIN > fault.from;
        if lasting && !born_with_it && fault.flaps.is_none() && fault.until >= fault.onset(i) + limit + MIN {
            self.at(fault.onset(i) + limit, Ev::Recheck(Later::Due { fault: number, i }));
        }
    }

    fn a_lasting_local_fault_is_condemned_in_time(&mut self, number: usize, i: usize) {
        let Some(fault) = self.faults.get(number).copied() else { return };
        let onset = fault.onset(i);
        if let Some(mark) = self.watch.marks.iter().find(|mark| mark.i == i && mark.at >= onset) {
            let slowest = &mut self.watch.slowest[usize::from(!is_process(&fault.kind))];
            *slowest = (*slowest).max(mark.at - onset);
            self.watch.in_time += 1;
            return;
        }
        match self.excluded(&fault, number, i, onset) {
            Some(why) => *self.watch.excluded.entry(why).or_default() += 1,
            None => {
                let what = format!("{:?} since {} s", fault.kind, (self.now - onset) / S);
                self.watch.fail("a lasting local fault is condemned in time", self.now, i, what);
            }
        }
    }

    /// Why it is not expected, if it is not.
    fn excluded(&mut self, fault: &Fault, number: usize, i: usize, onset: Ms) -> Option<&'static str> {
        let due = self.now;
        let process = is_process(&fault.kind);
        let Some(member) = self.group.member(i) else { return Some("it is gone") };
        if member.leaving || member.lifecycle != "InService" || !member.healthy {
            return Some("it is going, or put aside");
        }
        if member.in_service_since + GRACE + MIN > onset || self.instances[i].booted + 6 * MIN > onset {
            return Some("within a grace");
        }
        if self.watch.other_unsettled(i, onset.saturating_sub(MIN), due) {
            return Some("another comes or goes");
        }
        let health: Vec<Ms> =
            self.group.activities.iter().filter(|done| done.cause.is_health()).map(|done| done.at).collect();
        let within = |time: Ms| health.iter().filter(|at| **at + time > onset).count();
        let sole = self.group.members.iter().filter(|member| member.lifecycle == "InService").count() == 1;
        if within(HOUR) >= 2 || within(DAY) >= 4 || (sole && !process && within(HOUR) > 0) {
            return Some("the budget is used up");
        }
        let zone = self.instances[i].zone;
        let overlaps = self.faults.iter().enumerate().any(|(other, it)| {
            let there = it.from <= due && it.until.saturating_add(5 * MIN) > onset;
            // The others are asked about the network only.
            let harmless =
                matches!(it.kind, Kind::CloudWatch | Kind::CloudWatchDenied | Kind::Origin | Kind::SecretsAway);
            let bears = if process { it.concerns(i, zone) && !harmless } else { true };
            other != number && there && bears
        });
        if overlaps {
            return Some("another fault bars it or blurs it");
        }
        let seen_late = !process && !sole && !self.others_were_seen_alive(i, onset);
        seen_late.then_some("the others were seen late")
    }

    /// Whether somebody could know half a minute ago that others are registered.
    fn others_were_seen_alive(&mut self, i: usize, onset: Ms) -> bool {
        let now = self.now;
        self.now -= 30 * S;
        let since = self.now - onset;
        let peers = self.read_peers(i, Duration::from_millis(since));
        self.now = now;
        let after_the_break = Duration::from_millis(since.saturating_sub(30 * S));
        peers.is_ok_and(|peers| peers.grains.iter().any(|grain| grain.live > 0 && grain.age <= after_the_break))
    }

    /// The world has been well for long: everybody is registered again.
    pub fn everybody_is_registered(&mut self) {
        for member in self.group.members.clone() {
            let instance = &self.instances[member.i];
            if !instance.registered() && self.now - instance.booted > 10 * MIN {
                let what = format!("{:?}, {}", instance.health, member.lifecycle);
                self.watch.fail("everybody is registered again", self.now, member.i, what);
            }
        }
    }
}

fn limit(kind: &Kind) -> Ms {
    if is_process(kind) { 3 * MIN } else { 5 * MIN }
}
