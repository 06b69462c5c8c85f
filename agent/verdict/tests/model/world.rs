//! Real verdicts in one Auto Scaling group, and the few things that can happen around a mark, in any order.

use cflared_verdict::{
    Carried, Config, Event, Failure, FailureKind, Generation, Group, Installed, Mark, Member, Memory, Mono, Notices,
    Observation, Order, OrderId, PeerGrain, Peers, Place, Probe, Probes, Reach, Ready, Report, RunFact, RunId,
    SecretRead, Transport, Tries, Verdict, VersionId,
};
use std::sync::Arc;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
/// A connector is looked at so often.
const LOOK: Duration = Duration::from_secs(15);
/// A call takes no longer than this.
const CALL: Duration = Duration::from_secs(10);
/// What the group shows may be so old.
const LAG: Duration = Duration::from_secs(3);
/// A mark has stood so long when the group acts on it: two calls, the lag, a look and two more calls. One that acts sooner can
/// act on two of one moment before anybody could read that there are two; the simulation has such groups.
const ACTS_AFTER: Duration = Duration::from_secs(50);
/// How long it takes the group to have another instance in service.
const REPLACED_AFTER: Duration = Duration::from_secs(90);
/// How long a fair course is followed at most, and how long after the last change of the group at least.
const REST: Duration = Duration::from_secs(1800);
const CALM: Duration = Duration::from_secs(300);
/// So many replacements an hour are allowed.
const BUDGET: usize = 2;

/// What is wrong on the hosts of the verdicts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// cloudflared cannot be executed.
    Process,
    /// The edge cannot be reached from here.
    Network,
    /// The edge answers nobody.
    Edge,
}

/// A mistake in what the verdicts get to see, or in what becomes of their orders.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Plant {
    Nothing,
    /// Nobody sees that another one is marked or goes.
    OthersUnseen,
    /// Nobody sees what was replaced before.
    ReplacementsUnseen,
    /// A mark is never taken back.
    NoLift,
    /// The group is never readable.
    NoReads,
}

/// Where a course begins.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    pub verdicts: usize,
    pub fault: Fault,
    /// Instances without a verdict here, which serve.
    pub bystanders: u32,
    /// How many were replaced within the hour.
    pub replaced: usize,
    pub plant: Plant,
}

/// What may happen, and how often in one course.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Chances {
    /// The answer to a mark is lost.
    pub lost: u8,
    /// An agent is restarted.
    pub reborn: u8,
    /// A tunnel is registered again.
    pub back: u8,
    /// The others' reports are late.
    pub late: u8,
    /// A new version of the secret is published.
    pub versions: u8,
}

/// One thing that happens.
#[derive(Debug, Clone, Copy)]
pub enum Action {
    /// Time passes until somebody wants to look.
    Pass,
    /// A call is answered; of several of one instance, the first.
    Answer(usize),
    /// The same, by what the group was before its last change.
    AnswerOld(usize),
    /// The same, and the answer is lost, or says nothing.
    AnswerLost(usize),
    /// A mark reaches the group.
    Arrive(usize),
    /// An agent is restarted.
    Reborn(usize),
    /// The tunnel of an instance is registered again.
    Back(usize),
    /// The group acts on an unhealthy instance.
    Terminate(usize),
    /// The group has another one in its place.
    Replace(usize),
    /// A new version of the secret is published.
    Publish,
}

/// An instance with a verdict.
#[derive(Clone, Hash)]
struct Instance {
    verdict: Verdict,
    /// The calls that are under way, and whether a mark has arrived.
    calls: Vec<(OrderId, Order, Mono, bool)>,
    run: Option<RunId>,
    /// Whether a child of it lives.
    runs: bool,
    looked: Mono,
    /// When its fault ended.
    back: Option<Mono>,
}

/// What the group holds of one instance.
#[derive(Clone, Copy, Hash, PartialEq, Eq)]
struct Seen {
    healthy: bool,
    terminating: bool,
}

#[derive(Clone, Hash)]
pub struct World {
    now: Mono,
    fault: Fault,
    struck: Mono,
    plant: Plant,
    chances: Chances,
    /// `None`: it is gone.
    instances: Vec<Option<Arc<Instance>>>,
    group: Vec<Seen>,
    /// What it was before its last change, and when that was.
    before: (Vec<Seen>, Mono),
    /// Since when a mark has stood, or an instance has been on its way out.
    since: Vec<Mono>,
    /// Instances without a verdict here, which serve.
    bystanders: u32,
    /// When instances were replaced for their health.
    replaced: Vec<Mono>,
    version: u8,
}

impl World {
    /// Verdicts whose tunnels are struck by a fault, a moment before they ask to be replaced.
    pub fn new(setting: Setting, chances: Chances) -> Self {
        let Setting { verdicts, fault, bystanders, replaced, plant } = setting;
        let begin = Mono::new(SECOND * 10_000);
        let seen = vec![Seen { healthy: true, terminating: false }; verdicts];
        let mut world = Self {
            now: begin,
            fault,
            struck: begin + SECOND * 600,
            plant,
            chances: Chances { lost: 0, reborn: 0, back: 0, late: 0, versions: 0 },
            instances: (0..verdicts).map(|_| Some(Arc::new(Instance::new(Carried::default(), begin)))).collect(),
            group: seen.clone(),
            before: (seen, begin),
            since: vec![begin; verdicts],
            bystanders,
            replaced: (0..replaced).map(|n| begin + SECOND * 60 * n as u32).collect(),
            version: 1,
        };
        for i in 0..verdicts {
            world.begin(i);
        }
        let end = world.struck + SECOND * 118;
        while world.next() <= end {
            world.pass();
            (0..verdicts).for_each(|i| while world.answer(i, Answer::Now) {});
        }
        world.chances = chances;
        world
    }

    pub fn now(&self) -> Mono {
        self.now
    }

    /// All that may happen next.
    pub fn actions(&self) -> Vec<Action> {
        let mut actions = Vec::new();
        // A call is answered or given up before it is too old.
        let next = self.next();
        let young = |i: &Arc<Instance>| i.calls.iter().all(|(_, _, since, _)| next.since(*since) <= CALL);
        if self.instances.iter().flatten().all(young) {
            actions.push(Action::Pass);
        }
        let old = self.before.0 != self.group && self.now.since(self.before.1) <= LAG;
        for (i, instance) in self.instances.iter().enumerate() {
            let Some(instance) = instance else {
                continue;
            };
            match instance.calls.first() {
                Some((_, Order::MarkUnhealthy | Order::MarkHealthy, _, false)) => actions.push(Action::Arrive(i)),
                Some((_, Order::MarkUnhealthy | Order::MarkHealthy, _, true)) => {
                    actions.push(Action::Answer(i));
                    actions.extend((self.chances.lost > 0).then_some(Action::AnswerLost(i)));
                }
                Some((_, Order::ReadPeers { .. }, _, _)) => {
                    actions.push(Action::Answer(i));
                    actions.extend((self.chances.late > 0).then_some(Action::AnswerLost(i)));
                }
                Some(_) => {
                    actions.push(Action::Answer(i));
                    actions.extend(old.then_some(Action::AnswerOld(i)));
                }
                None => {}
            }
            actions.extend((self.chances.reborn > 0).then_some(Action::Reborn(i)));
            actions.extend((self.chances.back > 0 && instance.back.is_none()).then_some(Action::Back(i)));
        }
        for (i, seen) in self.group.iter().enumerate().filter(|(i, _)| self.instances[*i].is_some()) {
            let stood = self.now.since(self.since[i]);
            let acts = !seen.healthy && !seen.terminating && stood >= ACTS_AFTER;
            actions.extend(acts.then_some(Action::Terminate(i)));
            actions.extend((seen.terminating && stood >= REPLACED_AFTER).then_some(Action::Replace(i)));
        }
        actions.extend((self.chances.versions > 0).then_some(Action::Publish));
        actions
    }

    /// Lets one thing happen.
    ///
    /// # Errors
    /// Which property it broke.
    pub fn act(&mut self, action: Action) -> Result<(), String> {
        match action {
            Action::Pass => self.pass(),
            Action::Answer(i) => _ = self.answer(i, Answer::Now),
            Action::AnswerOld(i) => _ = self.answer(i, Answer::Old),
            Action::AnswerLost(i) => {
                let is_mark = self.instances[i].as_ref().is_some_and(|instance| !is_read(&instance.calls[0].1));
                let left = if is_mark { &mut self.chances.lost } else { &mut self.chances.late };
                *left -= 1;
                self.answer(i, Answer::Lost);
            }
            Action::Arrive(i) => self.arrive(i),
            Action::Reborn(i) => {
                self.chances.reborn -= 1;
                let now = self.now;
                if let Some(instance) = self.instances[i].clone() {
                    let back = instance.back;
                    self.instances[i] =
                        Some(Arc::new(Instance { back, ..Instance::new(instance.verdict.carry(), now) }));
                    self.begin(i);
                }
            }
            Action::Back(i) => {
                self.chances.back -= 1;
                let now = self.now;
                self.with(i, |instance| instance.back = Some(now));
            }
            Action::Terminate(i) => return self.terminate(i),
            Action::Replace(i) => {
                self.instances[i] = None;
                self.bystanders += 1;
            }
            Action::Publish => {
                self.chances.versions -= 1;
                self.version += 1;
            }
        }
        Ok(())
    }

    /// Everything is answered at once, and the group does what it is asked: in the end each instance serves, without a mark; or
    /// is replaced; or a person was told why it is not.
    ///
    /// # Errors
    /// What did not come to rest.
    pub fn come_to_rest(&mut self) -> Result<(), String> {
        let end = self.now + REST;
        while self.now < end && !(self.is_calm() && self.rests().is_ok()) {
            for i in 0..self.instances.len() {
                while self.instances[i].as_ref().is_some_and(|instance| !instance.calls.is_empty()) {
                    self.arrive(i);
                    self.answer(i, Answer::Now);
                }
            }
            let of_the_group = |action: &Action| matches!(action, Action::Terminate(_) | Action::Replace(_));
            match self.actions().into_iter().find(of_the_group) {
                Some(Action::Terminate(i)) if self.has_served(i) => {
                    return Err(format!("#{i} serves, and its mark stands when the group acts on it"));
                }
                Some(action) => self.act(action)?,
                None => self.pass(),
            }
        }
        self.rests()
    }

    /// Whether it has been back for long enough to take its mark back.
    fn has_served(&self, i: usize) -> bool {
        let back = self.instances[i].as_ref().and_then(|instance| instance.back);
        back.is_some_and(|back| self.now.since(back) > LOOK + LAG)
    }

    /// Whether the group has long been as it is: whoever waits for it has asked again since.
    fn is_calm(&self) -> bool {
        let waits = |i: usize| self.instances[i].is_some() && (self.group[i].terminating || !self.group[i].healthy);
        let changed = self.since.iter().chain(&self.replaced).max();
        !(0..self.group.len()).any(waits) && changed.is_none_or(|at| self.now.since(*at) >= CALM)
    }

    fn rests(&self) -> Result<(), String> {
        let mut healed = true;
        for (i, instance) in self.instances.iter().enumerate() {
            let Some(instance) = instance else { continue };
            let view = instance.verdict.view(self.now);
            match (instance.back, &view.mark) {
                (Some(_), Mark::None) if self.group[i].healthy => {}
                (Some(_), mark) => return Err(format!("#{i} serves, and its mark stands: {mark:?}")),
                (None, Mark::Refused { .. }) => healed = false,
                (None, mark) => return Err(format!("#{i} neither goes nor is held: {mark:?}; {}", view.why)),
            }
        }
        // Whoever is held is so because the budget is used up, or nobody serves at all.
        if !healed && self.bystanders > 0 && self.fault != Fault::Edge && self.replaced.len() < BUDGET {
            return Err("an instance is held that could be replaced".into());
        }
        Ok(())
    }

    // ---- the group

    fn change(&mut self, i: usize, change: impl FnOnce(&mut Seen)) {
        let before = self.group.clone();
        change(&mut self.group[i]);
        if before != self.group {
            (self.before, self.since[i]) = ((before, self.now), self.now);
        }
    }

    fn terminate(&mut self, i: usize) -> Result<(), String> {
        let going = self.group.iter().filter(|seen| seen.terminating).count();
        let gone = self.instances.iter().filter(|instance| instance.is_none()).count();
        self.change(i, |seen| seen.terminating = true);
        self.replaced.push(self.now);
        if going > gone {
            return Err(format!("#{i} goes while another one is on its way"));
        }
        // No mark was asked for without room in the budget, so none is acted upon.
        if self.replaced.len() > BUDGET {
            return Err(format!("#{i} goes, and the budget was used up"));
        }
        Ok(())
    }

    fn arrive(&mut self, i: usize) {
        let Some(instance) = &self.instances[i] else { return };
        let healthy = match instance.calls.first() {
            Some((_, Order::MarkUnhealthy, _, false)) => false,
            Some((_, Order::MarkHealthy, _, false)) => true,
            _ => return,
        };
        let lost = healthy && self.plant == Plant::NoLift;
        if !lost && !self.group[i].terminating {
            self.change(i, |seen| seen.healthy = healthy);
        }
        self.with(i, |instance| instance.calls[0].3 = true);
    }

    fn shows(&self, i: usize, old: bool) -> Group {
        let seen = if old { &self.before.0 } else { &self.group };
        let member = |j: usize, seen: Seen| {
            let hidden = j != i && self.plant == Plant::OthersUnseen;
            let lifecycle = if seen.terminating && !hidden { "Terminating" } else { "InService" };
            Member { id: id(j), lifecycle: lifecycle.into(), healthy: seen.healthy || hidden, zone: None }
        };
        let there = seen.iter().enumerate().filter(|(j, _)| self.instances[*j].is_some());
        let bystanders = (0..self.bystanders).map(|n| Member {
            id: format!("i-f{n}"),
            lifecycle: "InService".into(),
            healthy: true,
            zone: None,
        });
        let members = there.map(|(j, seen)| member(j, *seen)).chain(bystanders).collect();
        let unseen = self.plant == Plant::ReplacementsUnseen;
        let replaced = self.replaced.iter().filter(|_| !unseen).map(|at| self.now.since(*at)).collect();
        Group { name: "tunnel".into(), me: id(i), members, replaced, ..Group::default() }
    }

    fn peers(&self, i: usize, since: Duration) -> Peers {
        let last = self.now.since_boot().as_secs() % 60;
        let ages = (0..10).map(|n| SECOND * (last as u32 + 60 * n)).filter(|age| *age <= since);
        let grains = ages.map(|age| {
            let then = self.now.before(age);
            let others =
                || self.instances.iter().enumerate().filter(|(j, _)| *j != i).filter_map(|(_, it)| it.as_ref());
            let served = |it: &&Arc<Instance>| then < self.struck || it.back.is_some_and(|back| back <= then);
            let bystanders = if self.fault == Fault::Edge && then >= self.struck { 0 } else { self.bystanders };
            let live = others().filter(served).count() as u32 + bystanders;
            PeerGrain { age, live, reporting: others().count() as u32 + self.bystanders, same_version: Some(live) }
        });
        Peers { grains: grains.collect(), ..Peers::default() }
    }

    // ---- the instances

    fn with<T>(&mut self, i: usize, change: impl FnOnce(&mut Instance) -> T) -> Option<T> {
        self.instances[i].as_mut().map(|instance| change(Arc::make_mut(instance)))
    }

    /// An agent begins.
    fn begin(&mut self, i: usize) {
        self.tell(i, Event::Identified { installed: Some(installed(1)) });
        self.look(i);
    }

    /// When somebody wants to look next.
    fn next(&self) -> Mono {
        let moment = |instance: &Arc<Instance>| {
            let wake = instance.verdict.wake_at(self.now);
            wake.into_iter().chain([instance.looked + LOOK]).min()
        };
        let acts = self.since.iter().flat_map(|since| [*since + ACTS_AFTER, *since + REPLACED_AFTER]);
        let moments = self.instances.iter().flatten().filter_map(moment).chain(acts);
        moments.filter(|moment| *moment > self.now).min().unwrap_or(self.now + LOOK)
    }

    fn pass(&mut self) {
        let before = self.now;
        self.now = self.next();
        for i in 0..self.instances.len() {
            let Some(instance) = &self.instances[i] else { continue };
            if instance.looked + LOOK <= self.now {
                self.look(i);
            } else if instance.verdict.wake_at(before).is_some_and(|wake| wake <= self.now) {
                self.tell(i, Event::Wake);
            }
        }
    }

    fn look(&mut self, i: usize) {
        let now = self.now;
        let Some(Some(run)) = self.with(i, |instance| {
            instance.looked = now;
            instance.run
        }) else {
            return;
        };
        let struck = now >= self.struck && self.instances[i].as_ref().is_some_and(|instance| instance.back.is_none());
        let fact = match (struck, self.fault) {
            (true, Fault::Process) => {
                self.with(i, |instance| instance.runs = false);
                RunFact::NotSpawned { why: "ENOEXEC".into(), respawn_in: Some(LOOK) }
            }
            (true, Fault::Network | Fault::Edge) => observed(Ready::No),
            (false, _) => {
                if self.with(i, |instance| !std::mem::replace(&mut instance.runs, true)) == Some(true) {
                    self.tell(i, Event::Run(run, RunFact::Spawned { pid: 1, pinned: None }));
                }
                observed(Ready::Yes { connections: 4 })
            }
        };
        self.tell(i, Event::Run(run, fact));
    }

    fn tell(&mut self, i: usize, event: Event) {
        let now = self.now;
        self.with(i, |instance| instance.verdict.handle(now, event));
        while let Some(Some((id, order))) = self.with(i, |instance| instance.verdict.poll_order()) {
            if is_read(&order) || matches!(order, Order::MarkUnhealthy | Order::MarkHealthy) {
                self.with(i, |instance| instance.calls.push((id, order, now, false)));
                continue;
            }
            let report = self.done_at_once(i, &order);
            self.with(i, |instance| instance.verdict.handle(now, Event::Done(id, report)));
            if let Order::Start { run, .. } | Order::Restart { run, .. } = order {
                self.with(i, |instance| {
                    (instance.run, instance.runs) = (Some(run), true);
                    let spawned = RunFact::Spawned { pid: 1, pinned: None };
                    instance.verdict.handle(now, Event::Run(run, spawned));
                });
                self.look(i);
            }
        }
        self.with(i, |instance| while instance.verdict.poll_decision().is_some() {});
    }

    /// The orders whose order does not matter to the group.
    fn done_at_once(&self, i: usize, order: &Order) -> Report {
        let reach =
            |good: bool| Probe { reach: if good { Reach::Answered } else { Reach::Silent }, ..Probe::default() };
        let struck = self.now >= self.struck && self.instances[i].as_ref().is_some_and(|it| it.back.is_none());
        let edge = reach(!(struck && self.fault == Fault::Network));
        match order {
            Order::ReadSecret { known } => {
                let newest = installed(self.version).version;
                let unchanged = known.as_ref() == Some(&newest);
                Report::ReadSecret(Ok(if unchanged { SecretRead::Unchanged } else { SecretRead::New(newest) }))
            }
            Order::Install { version } => {
                let number = version.0.parse().unwrap();
                Report::Install(version.clone(), Ok(cflared_verdict::Taken::New(installed(number))))
            }
            Order::CompareOrigins { new, .. } => Report::CompareOrigins(*new, Ok(vec![])),
            Order::MeasureMemory { .. } => {
                Report::MeasureMemory(Ok(Memory { available: 600 << 20, connector: 60 << 20 }))
            }
            Order::Probe { .. } => {
                Report::Probe(Ok(Probes { dns: reach(true), tcp: edge.clone(), udp: edge, origins: vec![] }))
            }
            Order::ProbeEdge { transport, .. } => Report::ProbeEdge(*transport, Ok(edge.reach)),
            Order::ReadHoldTag => Report::ReadHoldTag(Ok(None)),
            Order::ReadNotices => Report::ReadNotices(Ok(Notices::default())),
            Order::ReadPlace => Report::ReadPlace(Ok(Place { rank: i as u32, ..Place::default() })),
            Order::ReadRefusals => Report::ReadRefusals(Ok(0)),
            order => order.done().unwrap(),
        }
    }

    /// The first call of an instance is answered; false: there is none.
    fn answer(&mut self, i: usize, answer: Answer) -> bool {
        let call = self.with(i, |instance| (!instance.calls.is_empty()).then(|| instance.calls.remove(0)));
        let Some(Some((id, order, _, _))) = call else { return false };
        let lost = || Failure::new(FailureKind::Unreachable, "no answer");
        let report = match (&order, answer) {
            (Order::ReadPeers { .. }, Answer::Lost) => Report::ReadPeers(Ok(Peers::default())),
            (order, Answer::Lost) => order.failed(lost()),
            (Order::ReadGroup, _) if self.plant == Plant::NoReads => order.failed(lost()),
            (Order::ReadGroup, _) => Report::ReadGroup(Ok(self.shows(i, answer == Answer::Old))),
            (Order::ReadPeers { since, .. }, _) => Report::ReadPeers(Ok(self.peers(i, *since))),
            (Order::MarkUnhealthy, _) => Report::MarkUnhealthy(Ok(!self.group[i].healthy)),
            (order, _) => {
                assert_eq!(*order, Order::MarkHealthy);
                Report::MarkHealthy(Ok(self.group[i].healthy))
            }
        };
        self.tell(i, Event::Done(id, report));
        true
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Answer {
    Now,
    Old,
    Lost,
}

impl Instance {
    fn new(carried: Carried, now: Mono) -> Self {
        let verdict = Verdict::new(Config::default(), 1, carried, now);
        Self { verdict, calls: vec![], run: None, runs: false, looked: now, back: None }
    }
}

fn is_read(order: &Order) -> bool {
    matches!(order, Order::ReadGroup | Order::ReadPeers { .. })
}

fn observed(ready: Ready) -> RunFact {
    let (tries, transport) = (Some(Tries::default()), Some(Transport::Http2));
    RunFact::Observed(Observation { ready, ha_connections: None, tries, transport })
}

fn id(i: usize) -> String {
    format!("i-{i}")
}

fn installed(number: u8) -> Installed {
    let version = VersionId(number.to_string());
    Installed { generation: Generation(number.into()), version, tunnel: "t".into() }
}
