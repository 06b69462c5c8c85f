//! What must have happened by a time: a lasting fault of one host is condemned.

use super::super::fault::{Cut, Fault, Kind, Scope};
use super::super::group::GRACE;
use super::super::{DAY, Ev, Fleet, HOUR, MIN, Ms, S};
use super::{Later, is_process};
use std::time::Duration;

impl Fleet {
    /// A fault was planted: what must come of it.
    pub fn expect_what_follows(&mut self, number: usize) {
        let fault = self.faults[number];
        let Scope::One(i) = fault.scope else { return };
        let lasting = matches!(fault.kind, Kind::Frozen | Kind::CrashLoop | Kind::PortTaken | Kind::UnknownWords)
            || matches!(fault.kind, Kind::Network(Cut::Edge) | Kind::AnswersLost | Kind::MtuHole(_));
        let limit = limit(&fault.kind);
        let born_with_it = self.instances[i].booted + MIN > fault.from;
        if lasting && !born_with_it && fault.flaps.is_none() && fault.until >= fault.onset(i) + limit + MIN {
            self.at(fault.onset(i) + limit, Ev::Recheck(Later::Due { fault: number, i }));
        }
    }

    pub(super) fn a_lasting_local_fault_is_condemned_in_time(&mut self, number: usize, i: usize) {
        let Some(fault) = self.faults.get(number).copied() else { return };
        let onset = fault.onset(i);
        if let Some(mark) = self.watch.marks.iter().find(|mark| mark.i == i && mark.at >= onset) {
            let slowest = &mut self.watch.slowest[usize::from(!is_process(&fault.kind))];
            *slowest = (*slowest).max(mark.at - onset);
            self.watch.in_time += 1;
            self.watch.by_fault.entry(format!("{:?}", fault.kind)).or_default().0 += 1;
            return;
        }
        match self.excluded(&fault, number, i, onset) {
            Some(why) => {
                *self.watch.excluded.entry(why).or_default() += 1;
                *self.watch.by_fault.entry(format!("{:?}", fault.kind)).or_default().1.entry(why).or_default() += 1;
            }
            None => {
                let what = format!("{:?} since {} s", fault.kind, (self.now - onset) / S);
                self.watch.fail("a lasting local fault is condemned in time", self.now, i, what);
            }
        }
    }

    /// Why it is not expected, if it is not.
    fn excluded(&mut self, fault: &Fault, number: usize, i: usize, onset: Ms) -> Option<&'static str> {
        let due = self.now;
        match fault.kind {
            Kind::PortTaken => return Some("held: a stranger alone never condemns"),
            Kind::UnknownWords => return Some("held: it may be the configuration"),
            _ => {}
        }
        if self.instances[i].served.is_empty() && self.instances[i].launched.is_some_and(|(_, unhealthy)| unhealthy) {
            return Some("held: it came for an unhealthy one and never registered");
        }
        // Nothing but the counts of its tries speaks then, so it takes another one with the same version.
        let unknown = matches!(fault.kind, Kind::AnswersLost | Kind::MtuHole(_));
        if unknown && self.instances[i].served.last().map(|(_, served)| *served) != self.version(i) {
            return Some("held: the version that it took in the outage may be the cause");
        }
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
            // What makes it lose its connections is what shows a hole for large packets.
            let shows = it.kind == Kind::Dropped && it.scope == fault.scope;
            let bears = if process { it.concerns(i, zone) && !harmless } else { !shows };
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
        let peers = self.read_peers(i, Duration::from_millis(since), None, &[]);
        self.now = now;
        let after_the_break = Duration::from_millis(since.saturating_sub(30 * S));
        peers.is_ok_and(|peers| peers.grains.iter().any(|grain| grain.live > 0 && grain.age <= after_the_break))
    }
}

fn limit(kind: &Kind) -> Ms {
    if is_process(kind) { 3 * MIN } else { 5 * MIN }
}
