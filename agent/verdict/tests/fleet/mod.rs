//! A fleet in virtual time: real verdicts under a model of everything around them.
//!
//! One [`Fleet`] is one Auto Scaling group with one tunnel. Every instance has the verdict of the agent; cloudflared, the
//! agent's carrying out of orders, Auto Scaling, CloudWatch, Secrets Manager, the edge and the hosts are models. Time jumps from event to
//! event. All chance comes from the seed, so that a fleet can be replayed.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a test may fail

pub mod child;
pub mod cloudwatch;
pub mod episode;
pub mod fault;
pub mod group;
pub mod hooks;
pub mod instance;
pub mod orders;
pub mod plant;
pub mod rng;
pub mod secret;
pub mod table;
pub mod trace;
pub mod watch;

use cflared_verdict::{Event, Health, Hold, Holder, OrderId, Request, RunId, Transport};
use child::Step;
use fault::{Fault, Kind, Scope};
use group::{AutoScaling, Later};
use hooks::Hooks;
use instance::Instance;
use plant::Plant;
use rng::{Rng, hash};
use secret::Secret;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use trace::{Entry, Trace};
use watch::Watch;

/// Milliseconds since the world began.
pub type Ms = u64;
pub const S: Ms = 1000;
pub const MIN: Ms = 60 * S;
pub const HOUR: Ms = 60 * MIN;
pub const DAY: Ms = 24 * HOUR;

/// What is left out because it would change nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Jump {
    /// Nothing: every look is made.
    Nothing,
    /// Looks at a calm connector.
    Looks,
    /// Also the polls of a group in which everybody is calm.
    Quiet,
}

impl Jump {
    pub fn skips_looks(self) -> bool {
        self >= Jump::Looks
    }
}

/// Something that happens at its time. The order of the variants is the order of events of one moment.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ev {
    /// A fault strikes an instance (`None`: the group), once.
    Strike(usize, Option<usize>),
    /// A fault is over.
    Lift(usize),
    Weather(usize),
    Group(Later),
    Mark(usize, u32, OrderId, bool),
    Child(usize, RunId, u64, Step),
    Done(usize, u32, OrderId),
    AgentUp(usize, u32),
    Look(usize),
    Wake(usize),
    /// An invariant is looked at later.
    Recheck(watch::Later),
}

/// The whole model.
pub struct Fleet {
    pub seed: u64,
    pub now: Ms,
    pub jump: Jump,
    pub plant: Plant,
    pub instances: Vec<Instance>,
    /// The instances that are in the group.
    pub living: Vec<usize>,
    /// The instances that left it; their datapoints can still be read.
    pub buried: Vec<usize>,
    pub zones: u8,
    /// How cloudflared reaches the edge at first.
    pub transport: Transport,
    pub group: AutoScaling,
    pub secret: Secret,
    pub faults: Vec<Fault>,
    pub loss_per_mille: u64,
    pub watch: Watch,
    pub trace: Trace,
    pub rng: Rng,
    plans: u64,
    queue: BinaryHeap<Reverse<(Ms, Ev)>>,
}

impl Fleet {
    /// A group of that size whose instances boot at time zero, in service since then.
    pub fn new(seed: u64, size: usize) -> Self {
        let mut rng = Rng::new(hash(&[seed]));
        let launch_first = rng.chance(50);
        let mut fleet = Self {
            seed,
            now: 0,
            jump: Jump::Looks,
            plant: Plant::Nothing,
            instances: Vec::new(),
            living: Vec::new(),
            buried: Vec::new(),
            zones: size.min(3) as u8,
            // QUIC is the default, and what most have.
            transport: if hash(&[seed, 20]) % 100 < 85 { Transport::Quic } else { Transport::Http2 },
            group: AutoScaling::new(size, launch_first),
            secret: Secret::new(),
            faults: Vec::new(),
            loss_per_mille: 5,
            watch: Watch::default(),
            trace: Trace::new(20_000),
            rng,
            plans: 0,
            queue: BinaryHeap::new(),
        };
        for i in 0..size {
            let (high, low) = (fleet.rng.next(), fleet.rng.next() & 0xf);
            let zone = (i % usize::from(fleet.zones)) as u8;
            let i = fleet.boot(format!("i-{high:016x}{low:x}"), zone);
            fleet.enlist(i, "InService");
        }
        fleet
    }

    /// The same after half an hour, when everybody has been registered for long.
    pub fn steady(seed: u64, size: usize) -> Self {
        Self::new(seed, size).settled()
    }

    /// The same over that transport.
    pub fn over(seed: u64, size: usize, transport: Transport) -> Self {
        let mut fleet = Self::new(seed, size);
        fleet.transport = transport;
        fleet.settled()
    }

    /// The same with hooks; a replacement comes before what it replaces goes.
    pub fn hooked(seed: u64, size: usize) -> Self {
        let mut fleet = Self::new(seed, size);
        fleet.group.launch_first = true;
        fleet.group.hooks = Some(Hooks { timeout: 5 * MIN });
        fleet.settled()
    }

    fn settled(mut self) -> Self {
        let (seed, fleet) = (self.seed, &mut self);
        fleet.run_until(30 * MIN);
        let registered = fleet.living.iter().all(|i| fleet.instances[*i].registered());
        assert!(registered, "seed {seed}: not registered after half an hour\n{fleet}");
        self
    }

    /// The numbers of the instances in the group, by their ids: the lowest first.
    pub fn by_id(&self) -> Vec<usize> {
        let mut living = self.living.clone();
        living.sort_by_key(|i| &self.instances[*i].id);
        living
    }

    /// Plants a fault. It begins after this moment.
    pub fn add_fault(&mut self, fault: Fault) {
        let fault = Fault { from: fault.from.max(self.now + 1), ..fault };
        let number = self.faults.len();
        self.faults.push(fault);
        for i in self.living.clone() {
            if fault.concerns(i, self.instances[i].zone) {
                self.weather_again(i);
                self.at(fault.onset(i), Ev::Strike(number, Some(i)));
            }
        }
        self.at(fault.from, Ev::Strike(number, None));
        self.at(fault.until, Ev::Lift(number));
        self.expect_what_follows(number);
    }

    /// Plants an event.
    pub fn at(&mut self, when: Ms, what: Ev) {
        self.queue.push(Reverse((when.max(self.now), what)));
    }

    /// Lets time pass.
    pub fn run_for(&mut self, time: Ms) {
        self.run_until(self.now + time);
    }

    /// The same; a world in which an invariant was broken stands still, so that its trace ends there.
    pub fn run_until(&mut self, end: Ms) {
        let due = |fleet: &Self| fleet.queue.peek().is_some_and(|Reverse((when, _))| *when <= end);
        while due(self) && self.watch.violations.is_empty() {
            let Some(Reverse((when, what))) = self.queue.pop() else { break };
            self.now = when;
            self.happen(what);
            self.enough_are_registered();
        }
        self.now = end;
    }

    fn happen(&mut self, what: Ev) {
        match what {
            Ev::Strike(fault, struck) => self.begin(fault, struck),
            Ev::Lift(fault) => self.lift(fault),
            Ev::Weather(i) => self.weather(i),
            Ev::Group(later) => self.group_step(later),
            Ev::Mark(i, _, _, healthy) => self.mark_arrives(i, healthy),
            Ev::Child(i, run, plan, step) => self.child_step(i, run, plan, step),
            Ev::Done(i, agent, id) => self.order_done(i, agent, id),
            Ev::AgentUp(i, agent) => self.agent_up(i, agent),
            Ev::Look(i) => self.look(i),
            Ev::Wake(i) => self.woken(i),
            Ev::Recheck(later) => self.recheck(later),
        }
    }

    fn begin(&mut self, number: usize, struck: Option<usize>) {
        let kind = self.faults[number].kind;
        let Some(i) = struck else {
            self.note_world(format!("{:?}", self.faults[number]));
            return match kind {
                Kind::Rotated => self.secret.rotate(),
                Kind::Published(flaw) => self.secret.publish(flaw),
                Kind::Reformatted => self.secret.restore(),
                Kind::Refresh => self.refresh(),
                Kind::Scaling => self.scale(true),
                _ => {}
            };
        };
        if self.instances[i].gone {
            return;
        }
        match kind {
            Kind::AgentKilled => {
                self.note(i, Entry::World("the agent is killed".into()));
                self.agent_down(i);
                let back = self.instances[i].rng.between(S, 4 * S);
                self.at(self.now + back, Ev::AgentUp(i, self.instances[i].agent));
            }
            Kind::HoldCommand => {
                self.instances[i].held = Some((self.now, self.faults[number].until));
                self.hold_again(i);
            }
            Kind::Reload => self.reload(i),
            Kind::Standby => self.standby(i, true),
            Kind::HostDies => self.host_dies(i),
            kind => self.strike(i, kind),
        }
    }

    fn lift(&mut self, number: usize) {
        let Fault { kind, scope, .. } = self.faults[number];
        self.note_world(format!("over: {kind:?} {scope:?}"));
        match kind {
            Kind::Rotated | Kind::Published(Some(_)) => self.secret.restore(),
            Kind::Scaling => self.scale(false),
            Kind::Standby => {
                let all: Vec<usize> = self.living.clone();
                all.into_iter().for_each(|i| self.standby(i, false));
            }
            _ => {}
        }
    }

    /// Somebody on the host asks for a hand-over.
    fn reload(&mut self, i: usize) {
        if self.instances[i].verdict.is_some() {
            let request = self.watch.asks(i, self.instances[i].agent);
            self.note(i, Entry::World(format!("{request:?}: hand over")));
            self.tell(i, Event::Operator(Request::Reload(request)));
        }
    }

    /// Somebody holds on the host, or does so no longer.
    pub fn hold(&mut self, i: usize, hold: Option<Hold>) {
        self.note(i, Entry::World(format!("hold: {hold:?}")));
        self.tell(i, Event::Hold { by: Holder::Operator, hold });
    }

    /// The agent keeps a hold by the command in a file of its own, and tells it to each verdict.
    pub fn hold_again(&mut self, i: usize) {
        if let Some((_, until)) = self.instances[i].held.filter(|(_, until)| *until > self.now) {
            let until = self.instances[i].mono(until);
            self.hold(i, Some(Hold { until: Some(until), note: "by hand".into() }));
        }
    }

    /// Ends every fault of an instance: a person mended what could not be replaced, and started agents again that had
    /// called for one.
    pub fn repair(&mut self) {
        let now = self.now;
        for fault in self.faults.iter_mut().filter(|fault| matches!(fault.scope, Scope::One(_)) && fault.until > now) {
            fault.until = now;
        }
        for i in self.living.clone() {
            self.weather_again(i);
            if self.instances[i].health == Health::Held && self.instances[i].verdict.is_some() {
                self.agent_down(i);
                self.at(now + S, Ev::AgentUp(i, self.instances[i].agent));
            }
        }
    }

    /// Whether nothing is under way, so that time may jump to the next fault.
    pub fn quiet(&self) -> bool {
        self.group.settled()
            && self.living.iter().all(|i| self.calm(*i) && self.version(*i) == Some(self.secret.published()))
            && self.faults.iter().all(|fault| fault.until <= self.now)
    }

    /// Goes to `end`; at once if nothing is under way, for then only polls that find nothing new lie before it.
    pub fn pass_until(&mut self, end: Ms) {
        // What happens every minute is not looked at in step with it: a poll would be under way each time.
        const STEP: Ms = MIN + 7 * S;
        while self.now < end && !(self.jump == Jump::Quiet && self.quiet()) {
            self.run_until(end.min(self.now + STEP));
        }
        if self.now < end {
            self.leap(end);
        }
    }

    /// Draws all chance anew and restarts every agent: what follows depends on what is known, not on how often chance was
    /// used before.
    pub fn draw_anew(&mut self, number: u64) {
        self.rng = Rng::new(hash(&[self.seed, number, 9]));
        self.plans = (number + 1) << 32;
        for i in self.living.clone() {
            self.agent_down(i);
            self.instances[i].rng = Rng::new(hash(&[self.seed, number, 10, i as u64]));
            self.at(self.now + S, Ev::AgentUp(i, self.instances[i].agent));
        }
    }

    fn leap(&mut self, end: Ms) {
        let waiting = std::mem::take(&mut self.queue);
        let routine =
            |what: &Ev| matches!(what, Ev::Wake(_) | Ev::Look(_) | Ev::Weather(_) | Ev::Lift(_) | Ev::Strike(..));
        self.queue = waiting.into_iter().filter(|Reverse((when, what))| *when > end || !routine(what)).collect();
        self.now = end;
        self.faults.clear();
        self.buried.clear();
        self.watch.forget(end);
        for i in self.living.clone() {
            let instance = &mut self.instances[i];
            (instance.wake, instance.next_look, instance.next_weather) = (None, None, None);
            self.tell(i, Event::Wake);
            self.stirred(i);
        }
    }
}
