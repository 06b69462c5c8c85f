//! The Auto Scaling group: grace, health checks, replacements, refreshes.

use super::fault::{Fault, Kind, Scope};
use super::hooks::Hooks;
use super::rng::hash;
use super::trace::Entry;
use super::{Ev, Fleet, Ms, S};
use cflared_verdict::{Failure, FailureKind, Group, Launch};
use std::collections::VecDeque;
use std::time::Duration;

/// For so long after it is in service a mark does nothing.
pub const GRACE: Ms = 180 * S;
const DAY: Ms = 86_400 * S;

/// The group.
#[derive(Debug)]
pub struct AutoScaling {
    pub members: Vec<Member>,
    pub desired: usize,
    /// Whether a replacement is launched before the old instance is terminated.
    pub launch_first: bool,
    /// Replacements that were begun, oldest first.
    pub activities: VecDeque<Activity>,
    /// What a read may still show: every state of the last seconds.
    shown: VecDeque<(Ms, Vec<cflared_verdict::Member>)>,
    /// The hooks at which it waits.
    pub hooks: Option<Hooks>,
    /// How many instances were given up before they were in service.
    pub abandoned: u32,
    /// The instances that a refresh has still to replace.
    refreshing: Vec<usize>,
    /// When the refresh got on last.
    progress: Ms,
}

/// A refresh that does not get on for so long has failed.
const PATIENCE: Ms = 3600 * S;

/// An instance as the group has it.
#[derive(Debug, Clone)]
pub struct Member {
    pub i: usize,
    pub lifecycle: &'static str,
    pub healthy: bool,
    pub in_service_since: Ms,
    /// Since when our mark stands.
    pub marked: Option<Ms>,
    /// Its replacement was begun.
    pub leaving: bool,
    /// When the group waits for it no longer, if it does.
    pub waits_until: Ms,
    /// When it ceased to wait for it.
    pub waited: Option<Ms>,
}

/// A replacement.
#[derive(Debug, Clone, Copy)]
pub struct Activity {
    pub at: Ms,
    pub cause: Cause,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    OurMark,
    Ec2,
    Refresh,
    Scaling,
}

impl Cause {
    pub fn is_health(self) -> bool {
        matches!(self, Self::OurMark | Self::Ec2)
    }
}

/// Something that the group does later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Later {
    /// Looks at the health of an instance that was unhealthy.
    Check(usize),
    /// Shuts the instance down.
    ShutDown(usize),
    Terminated(usize),
    InService(usize),
    /// The instance runs, and is waited for.
    Wait(usize),
    /// Nobody answered at a hook.
    OutOfPatience(usize),
    /// Launches what is missing.
    Fill,
    /// Lets go of what is too many.
    Shrink,
    /// Goes on with the refresh.
    Refresh,
    /// The instance's host was found dead.
    FoundDead(usize),
}

impl AutoScaling {
    pub fn new(desired: usize, launch_first: bool) -> Self {
        Self {
            members: Vec::new(),
            desired,
            launch_first,
            activities: VecDeque::new(),
            shown: VecDeque::new(),
            hooks: None,
            abandoned: 0,
            refreshing: Vec::new(),
            progress: 0,
        }
    }

    pub fn member(&self, i: usize) -> Option<&Member> {
        self.members.iter().find(|member| member.i == i)
    }

    pub fn member_mut(&mut self, i: usize) -> Option<&mut Member> {
        self.members.iter_mut().find(|member| member.i == i)
    }

    pub fn settled(&self) -> bool {
        let settled = |member: &Member| member.lifecycle == "InService" && member.healthy && !member.leaving;
        self.members.len() == self.desired && self.members.iter().all(settled)
    }
}

impl Fleet {
    pub fn later(&mut self, when: Ms, what: Later) {
        self.at(when, Ev::Group(what));
    }

    /// Whether a process of the group is suspended.
    pub fn suspended(&self, name: &str) -> bool {
        let now = self.now;
        let there = |fault: &Fault| fault.from <= now && now < fault.until;
        self.faults.iter().any(|fault| fault.kind == Kind::Suspended(fault_name(name)) && there(fault))
    }

    pub fn refreshing(&self) -> bool {
        let there = |fault: &Fault| fault.from <= self.now && self.now < fault.until;
        self.faults.iter().any(|fault| fault.kind == Kind::Refresh && there(fault))
    }

    /// An instance is in the group, as it is at the start of a model.
    pub fn enlist(&mut self, i: usize, lifecycle: &'static str) {
        let now = self.now;
        self.group.members.push(Member {
            i,
            lifecycle,
            healthy: true,
            in_service_since: now,
            marked: None,
            leaving: false,
            waits_until: Ms::MAX,
            waited: None,
        });
        self.group_changed();
    }

    pub fn group_changed(&mut self) {
        let member = |member: &Member| cflared_verdict::Member {
            id: self.instances[member.i].id.clone(),
            lifecycle: member.lifecycle.into(),
            healthy: member.healthy,
            zone: Some(self.zone_name(member.i)),
        };
        let members: Vec<_> = self.group.members.iter().map(member).collect();
        let unsettled: Vec<usize> = self
            .group
            .members
            .iter()
            .filter(|member| !member.healthy || !matches!(member.lifecycle, "InService" | "Standby"))
            .map(|member| member.i)
            .collect();
        let now = self.now;
        self.watch.unsettled(now, &unsettled);
        let shown = &mut self.group.shown;
        shown.push_back((now, members));
        while shown.get(1).is_some_and(|(at, _)| now - at > 10 * S) {
            shown.pop_front();
        }
    }

    /// What a read gives that began `lag` too early.
    pub fn describe(&self, i: usize, lag: Ms) -> Result<Group, Failure> {
        let fail = |kind| Err(Failure::new(kind, "the group was not read"));
        if !self.reaches_aws(i) {
            return fail(FailureKind::Unreachable);
        }
        if self.struck(i, |kind| *kind == Kind::GroupDenied) {
            return fail(FailureKind::Denied);
        }
        if self.struck(i, |kind| *kind == Kind::GroupThrottled) {
            return fail(FailureKind::Throttled);
        }
        if self.struck(i, |kind| *kind == Kind::ClockSkewed) {
            return fail(FailureKind::Host);
        }
        let then = self.now.saturating_sub(lag);
        let shown = self.group.shown.iter().rev().find(|(at, _)| *at <= then).or(self.group.shown.front());
        let members = shown.map(|(_, members)| members.clone()).unwrap_or_default();
        let me = self.instances[i].id.clone();
        if !members.iter().any(|member| member.id == me) {
            return fail(FailureKind::Missing);
        }
        let counts = |cause: Cause| cause.is_health() || self.plant.counts_refreshes() && cause == Cause::Refresh;
        let recent = self.group.activities.iter().filter(|done| done.at <= then && self.now - done.at < DAY);
        let replaced =
            recent.filter(|done| counts(done.cause)).map(|done| Duration::from_millis(self.now - done.at)).collect();
        let suspended = PROCESSES.iter().filter(|name| self.suspended(name)).map(|name| (*name).into()).collect();
        let refresh = self.refreshing().then(|| "InProgress".into());
        let launch = self.instances[i].launched.filter(|(at, _)| self.now - at < DAY).map(|(at, for_unhealthy)| {
            let age = Duration::from_millis(self.now - at);
            Launch { age, for_unhealthy }
        });
        Ok(Group { name: "tunnel".into(), me, members, suspended, refresh, replaced, launch })
    }

    /// SetInstanceHealth, by the instance itself. Says whether the group heard it.
    pub fn set_health(&mut self, i: usize, healthy: bool) {
        let now = self.now;
        let Some(member) = self.group.member_mut(i) else { return };
        if member.lifecycle != "InService" || member.leaving || (!healthy && now < member.in_service_since + GRACE) {
            return;
        }
        if member.healthy == healthy {
            return;
        }
        member.healthy = healthy;
        member.marked = (!healthy).then_some(now);
        self.note(i, Entry::Marked(!healthy));
        self.group_changed();
        if !healthy {
            self.mark_stands(i);
            let loops = self.rng.between(0, 60 * S);
            self.later(now + loops, Later::Check(i));
        }
    }

    pub fn group_step(&mut self, what: Later) {
        match what {
            Later::Check(i) => self.check_health(i),
            Later::ShutDown(i) => self.agent_gone(i),
            Later::Terminated(i) => {
                self.group.members.retain(|member| member.i != i);
                self.group_changed();
                self.agent_gone(i);
                self.buried.push(i);
                self.living.retain(|living| *living != i);
                self.fill();
            }
            Later::InService(i) => self.in_service(i),
            Later::Wait(i) => self.wait_at(i, "Pending:Wait"),
            Later::OutOfPatience(i) => self.out_of_patience(i),
            Later::Fill => self.fill(),
            Later::Shrink => self.shrink(),
            Later::Refresh => self.refresh_step(),
            Later::FoundDead(i) => {
                if let Some(member) = self.group.member_mut(i).filter(|member| member.healthy) {
                    member.healthy = false;
                    self.group_changed();
                    self.later(self.now + S, Later::Check(i));
                }
            }
        }
    }

    fn agent_gone(&mut self, i: usize) {
        if !self.instances[i].gone {
            self.terminate(i);
        }
    }

    fn check_health(&mut self, i: usize) {
        let Some(member) = self.group.member(i).filter(|member| !member.healthy && !member.leaving) else { return };
        let cause = if member.marked.is_some() { Cause::OurMark } else { Cause::Ec2 };
        if HEALTH.iter().any(|name| self.suspended(name)) {
            return self.later(self.now + 10 * S, Later::Check(i));
        }
        self.replace(i, cause);
    }

    /// Begins to replace an instance.
    fn replace(&mut self, i: usize, cause: Cause) {
        let now = self.now;
        self.note_world(format!("#{i} is being replaced: {cause:?}"));
        if cause == Cause::OurMark {
            self.replaced_by_us(i);
        }
        self.group.activities.push_back(Activity { at: now, cause });
        while self.group.activities.front().is_some_and(|done| now - done.at > DAY) {
            self.group.activities.pop_front();
        }
        if let Some(member) = self.group.member_mut(i) {
            member.leaving = true;
        }
        // Its successor may be there already, as when the group has one more than it wants.
        let wanted = self.staying() < self.group.desired;
        if self.group.launch_first && wanted { self.fill() } else { self.shut_down(i) }
    }

    fn shut_down(&mut self, i: usize) {
        let Some(member) = self.group.member_mut(i) else { return };
        member.lifecycle = "Terminating";
        self.group_changed();
        match self.hooks() {
            Some(_) => self.wait_at(i, "Terminating:Wait"),
            None => self.end(i),
        }
    }

    /// Nothing keeps the instance any more.
    pub fn end(&mut self, i: usize) {
        let (drained, ended) = (self.rng.between(5 * S, 20 * S), self.rng.between(30 * S, 60 * S));
        self.later(self.now + drained, Later::ShutDown(i));
        self.later(self.now + ended, Later::Terminated(i));
    }

    /// How many are not on their way out.
    fn staying(&self) -> usize {
        self.group.members.iter().filter(|member| !member.leaving).count()
    }

    /// Launches what is missing.
    fn fill(&mut self) {
        let staying = self.staying();
        let launch_first = self.group.launch_first;
        let there = self.group.members.iter().filter(|member| !(member.leaving && launch_first)).count();
        // A leaving instance holds its place until it is gone, unless its successor comes first.
        if staying.max(there) >= self.group.desired {
            return;
        }
        if self.suspended("Launch") {
            return self.later(self.now + 10 * S, Later::Fill);
        }
        let i = self.launch();
        self.enlist(i, "Pending");
        let takes = self.rng.between(60 * S, 120 * S);
        match self.hooks() {
            Some(_) => self.later(self.now + takes / 8, Later::Wait(i)),
            None => self.later(self.now + takes, Later::InService(i)),
        }
        self.fill();
    }

    /// Boots an instance in the zone that has the fewest.
    fn launch(&mut self) -> usize {
        let count = |zone| self.group.members.iter().filter(|member| self.instances[member.i].zone == zone).count();
        let zone = (0..self.zones).min_by_key(|zone| count(*zone)).unwrap_or(0);
        let i = self.instances.len();
        let (high, low) = (hash(&[self.seed, i as u64, 7]), hash(&[self.seed, i as u64, 8]) & 0xf);
        let i = self.boot(format!("i-{high:016x}{low:x}"), zone);
        let lately = self.group.activities.back().filter(|done| self.now - done.at < 600 * S);
        self.instances[i].launched = Some((self.now, lately.is_some_and(|done| done.cause.is_health())));
        self.note_world(format!("#{i} is launched in zone {zone}"));
        let image = self.faults.iter().find_map(|fault| match fault.kind {
            Kind::BadImage(image) if fault.from <= self.now && self.now < fault.until => Some(image),
            _ => None,
        });
        if let Some(image) = image {
            self.add_fault(Fault::new(image.kind(), Scope::One(i), self.now, Ms::MAX / 2));
        }
        i
    }

    fn in_service(&mut self, i: usize) {
        let now = self.now;
        let arrives = |member: &&mut Member| matches!(member.lifecycle, "Pending" | "Pending:Proceed");
        let Some(member) = self.group.member_mut(i).filter(arrives) else { return };
        (member.lifecycle, member.in_service_since) = ("InService", now);
        self.group.progress = now;
        self.group_changed();
        // What it was launched for goes now, if it is still there.
        let waiting = |member: &&Member| member.leaving && !member.lifecycle.starts_with("Terminating");
        if self.group.launch_first
            && let Some(old) = self.group.members.iter().find(waiting).map(|member| member.i)
        {
            self.shut_down(old);
        }
    }

    /// A refresh begins: every instance there is will be replaced.
    pub fn refresh(&mut self) {
        self.group.refreshing = self.group.members.iter().map(|member| member.i).collect();
        self.group.progress = self.now;
        self.refresh_step();
    }

    fn refresh_step(&mut self) {
        if !self.refreshing() {
            self.group.refreshing.clear();
            return;
        }
        if self.hooks().is_some() && self.now - self.group.progress > PATIENCE {
            return self.refresh_failed();
        }
        if self.group.settled() && !self.suspended("Launch") && !self.suspended("Terminate") {
            let old: Vec<usize> = self.group.members.iter().map(|member| member.i).collect();
            self.group.refreshing.retain(|i| old.contains(i));
            match self.group.refreshing.pop() {
                Some(i) => self.replace(i, Cause::Refresh),
                None => return self.refreshed(),
            }
        }
        self.later(self.now + 30 * S, Later::Refresh);
    }

    /// What it launched goes, what was to go stays, and the image before is launched again.
    fn refresh_failed(&mut self) {
        self.note_world("the refresh failed");
        self.group.refreshing.clear();
        let mut unhealthy = Vec::new();
        for member in self.group.members.iter_mut().filter(|member| member.lifecycle == "InService") {
            member.leaving = false;
            unhealthy.extend((!member.healthy).then_some(member.i));
        }
        for i in unhealthy {
            self.later(self.now + S, Later::Check(i));
        }
        let arriving = |member: &&Member| member.lifecycle.starts_with("Pending");
        let arriving: Vec<usize> = self.group.members.iter().filter(arriving).map(|member| member.i).collect();
        for i in arriving {
            self.enter(i, "Terminating", Ms::MAX);
            self.end(i);
        }
        for fault in self.faults.iter_mut().filter(|fault| matches!(fault.kind, Kind::BadImage(_))) {
            fault.until = fault.until.min(self.now);
        }
        self.refreshed();
    }

    fn refreshed(&mut self) {
        let now = self.now;
        self.note_world("the refresh is over");
        let over = |fault: &&mut Fault| fault.kind == Kind::Refresh && fault.from <= now && now < fault.until;
        self.faults.iter_mut().filter(over).for_each(|fault| fault.until = now);
    }

    /// The group wants one more, or one fewer.
    pub fn scale(&mut self, up: bool) {
        if up {
            self.group.desired += 1;
            return self.fill();
        }
        self.group.desired -= 1;
        self.shrink();
    }

    /// Lets go of what is too many, as soon as one is there that can go.
    fn shrink(&mut self) {
        if self.staying() <= self.group.desired {
            return;
        }
        let settled = |member: &&Member| member.lifecycle == "InService" && !member.leaving;
        match self.group.members.iter().rfind(settled).map(|member| member.i) {
            Some(i) => self.replace(i, Cause::Scaling),
            None => self.later(self.now + 10 * S, Later::Shrink),
        }
    }

    /// Puts an instance aside, or back.
    pub fn standby(&mut self, i: usize, aside: bool) {
        let now = self.now;
        let (from, to) = if aside { ("InService", "Standby") } else { ("Standby", "InService") };
        if let Some(member) = self.group.member_mut(i).filter(|member| member.lifecycle == from && !member.leaving) {
            (member.lifecycle, member.in_service_since) = (to, now);
            self.group_changed();
        }
    }

    /// The host is dead: its status checks tell, minutes later.
    pub fn host_dies(&mut self, i: usize) {
        if !self.instances[i].gone && self.group.member(i).is_some_and(|member| member.lifecycle == "InService") {
            self.note_world(format!("#{i}'s host dies"));
            self.terminate(i);
            let found = self.rng.between(60 * S, 180 * S);
            self.later(self.now + found, Later::FoundDead(i));
        }
    }
}

/// The processes that the model knows.
pub const PROCESSES: [&str; 4] = ["Launch", "Terminate", "HealthCheck", "ReplaceUnhealthy"];
/// Without these nothing is replaced for its health.
const HEALTH: [&str; 3] = ["Terminate", "HealthCheck", "ReplaceUnhealthy"];

fn fault_name(name: &str) -> &'static str {
    PROCESSES.into_iter().find(|known| *known == name).unwrap_or("")
}
