//! What must hold when an order is given.

use super::super::fault::Kind;
use super::super::group::Member;
use super::super::{Fleet, HOUR, MIN, Ms, S};
use super::{LINGERS, UNSEEN, is_process};
use cflared_verdict::{Blame, Order, OrderId, Reason, Stop};

impl Fleet {
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
                self.nothing_is_condemned_without_evidence_for_this_host(i);
                self.a_replacement_that_did_not_help_is_not_repeated(i);
                self.nothing_is_condemned_on_unreadable_facts(i);
                self.nothing_is_condemned_under_a_hold(i);
                self.nothing_is_condemned_while_the_group_is_busy(i);
                self.nothing_is_condemned_while_registered(i);
            }
            Order::MarkHealthy => {
                self.one_mark_in_flight(i);
                self.only_our_own_mark_is_undone(i);
            }
            Order::Restart { stop: Stop::AtOnce, .. } => self.no_restart_at_once_more_often_than_the_policy(i),
            Order::Restart { reason, .. } => {
                self.no_restart_more_often_than_the_policy(i, *reason);
                self.no_restart_of_what_is_registered(i);
            }
            _ => self.change_is_sound(i, order),
        }
    }

    fn one_mark_in_flight(&mut self, i: usize) {
        let open = &self.instances[i].open;
        if open.values().any(|order| matches!(order, Order::MarkUnhealthy | Order::MarkHealthy)) {
            self.watch.fail("one mark in flight", self.now, i, "a mark was ordered while one is under way");
        }
    }

    /// By whose fault it is held to be. A canary says that it is the edge's; one of whom nothing is known has another one beside it that
    /// is, or was a moment ago, registered with the same version.
    fn nothing_is_condemned_without_evidence_for_this_host(&mut self, i: usize) {
        let mono = self.instances[i].mono(self.now);
        let view = self.instances[i].verdict.as_ref().map(|verdict| verdict.view(mono));
        let blame = view.and_then(|view| view.blame).map(|finding| finding.blame);
        *self.watch.blamed.entry(blame.map_or("none".into(), |blame| blame.to_string())).or_default() += 1;
        let sound = match blame {
            Some(Blame::Process | Blame::HostNetwork | Blame::Edge) => true,
            Some(Blame::Unknown) => self.another_serves_the_same_version(i),
            Some(_) | None => false,
        };
        if !sound {
            self.watch.fail("nothing is condemned without evidence for its host", self.now, i, format!("{blame:?}"));
        }
    }

    /// By the datapoints of the last minutes, which is as long as evidence lasts.
    fn another_serves_the_same_version(&self, i: usize) -> bool {
        let from = self.now.saturating_sub(10 * MIN);
        let version = self.version(i);
        let serves = |other: &usize| {
            let instance = &self.instances[*other];
            let was = |value: bool| {
                let ends = instance.reported.iter().skip(1).map(|(at, _)| *at).chain([self.now]);
                instance.reported.iter().zip(ends).any(|((_, said), end)| *said == Some(value) && end >= from)
            };
            *other != i && was(true) && instance.served.iter().any(|(_, served)| Some(*served) == version)
        };
        self.living.iter().chain(&self.buried).any(serves)
    }

    /// An instance that came for an unhealthy one and never registered is replaced again for its process only, or after six hours.
    fn a_replacement_that_did_not_help_is_not_repeated(&mut self, i: usize) {
        let instance = &self.instances[i];
        let recent = instance.launched.is_some_and(|(at, unhealthy)| unhealthy && self.now - at < 6 * HOUR - MIN);
        if recent && instance.served.is_empty() && !self.recently(i, LINGERS, is_process) && !self.hangs(i) {
            self.watch.fail("a replacement that did not help is not repeated", self.now, i, "");
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
        // One that came into service a moment ago is not to be seen yet.
        let seen = |member: &Member| member.lifecycle == "InService" && now - member.in_service_since > UNSEEN;
        let others = self.group.members.iter().any(|member| member.i != i && seen(member));
        let needs_peers = others && !self.recently(i, LINGERS, is_process) && !self.hangs(i);
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

    /// A look that would have shown it is never further away than its interval.
    fn no_restart_of_what_is_registered(&mut self, i: usize) {
        let settled = |since: Ms| self.now - since > 6 * S;
        if self.instances[i].children.values().any(|child| !child.frozen && child.registered.is_some_and(settled)) {
            self.watch.fail("no restart of what is registered", self.now, i, "");
        }
    }

    /// A last look spares what is registered by then.
    fn no_restart_at_once_more_often_than_the_policy(&mut self, i: usize) {
        let now = self.now;
        let made = &mut self.watch.of.entry(i).or_default().at_once;
        made.retain(|at| now - at < HOUR);
        let too_many = made.len() >= 6 || made.last().is_some_and(|last| now - last < 300 * S);
        made.push(now);
        if too_many {
            self.watch.fail("no restart at once more often than the policy", now, i, "");
        }
    }

    fn no_restart_more_often_than_the_policy(&mut self, i: usize, reason: Reason) {
        const NAME: &str = "no restart more often than the policy";
        let now = self.now;
        let seen = self.watch.of.entry(i).or_default();
        let (any, same) = (seen.restarted.replace(now), seen.restarted_in_this_outage.replace(now));
        for (before, least) in [(any, 45 * S), (same, 295 * S)] {
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
}
