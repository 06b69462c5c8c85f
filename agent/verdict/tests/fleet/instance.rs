//! One instance: a real verdict, and the agent around it.

use super::child::Child;
use super::fault::Kind;
use super::rng::{Rng, hash};
use super::secret::number;
use super::trace::Entry;
use super::{Ev, Fleet, Ms, S};
use cflared_verdict::{
    Carried, Config, Event, Generation, Health, Installed, Mono, Observation, Order, OrderId, Ready, RunFact, RunId,
    Verdict, VersionId,
};
use std::collections::BTreeMap;
use std::time::Duration;

/// An agent runs so long after its host booted.
const BOOT: Ms = 15 * S;
/// How often a connector is looked at.
const LOOK: Ms = 5 * S;
/// A younger child is looked at more often.
const YOUNG: Ms = 8 * S;

/// One instance. Its number is its place in [`Fleet::instances`].
pub struct Instance {
    pub id: String,
    pub zone: u8,
    pub booted: Ms,
    pub gone: bool,
    pub verdict: Option<Verdict>,
    pub health: Health,
    /// Which agent of this boot it is: what an earlier one ordered is forgotten.
    pub agent: u32,
    carried: Carried,
    pub open: BTreeMap<OrderId, Order>,
    pub wake: Option<Ms>,
    pub next_look: Option<Ms>,
    pub next_weather: Option<Ms>,
    pub children: BTreeMap<RunId, Child>,
    pub bundles: BTreeMap<Generation, Installed>,
    pub current: Option<Generation>,
    /// What its datapoints say from when on; `None`: it sends none. Oldest first.
    pub reported: Vec<(Ms, Option<bool>)>,
    /// The version that it is registered with, from when on. Oldest first; it stays when the registration is lost.
    pub served: Vec<(Ms, u32)>,
    /// When it was launched, and whether for an unhealthy one.
    pub launched: Option<(Ms, bool)>,
    /// The version that it refuses, and since when.
    pub refusing: Option<(Ms, VersionId)>,
    /// From when on it reports that it refuses a version, or that it refuses none. Oldest first.
    pub refused: Vec<(Ms, bool)>,
    /// Since when and until when somebody holds by the command.
    pub held: Option<(Ms, Ms)>,
    /// How many processes there were.
    pub pids: u32,
    /// Since when its last look was good; `None`: it was not.
    pub good_since: Option<Ms>,
    pub rng: Rng,
    seed: u64,
}

impl Instance {
    pub fn new(seed: u64, id: String, zone: u8, booted: Ms) -> Self {
        Self {
            id,
            zone,
            booted,
            gone: false,
            verdict: None,
            health: Health::Starting,
            agent: 0,
            carried: Carried::default(),
            open: BTreeMap::new(),
            wake: None,
            next_look: None,
            next_weather: None,
            children: BTreeMap::new(),
            bundles: BTreeMap::new(),
            current: None,
            reported: Vec::new(),
            served: Vec::new(),
            launched: None,
            refusing: None,
            refused: Vec::new(),
            held: None,
            pids: 0,
            good_since: None,
            rng: Rng::new(seed),
            seed,
        }
    }

    /// The instance's own clock, which never steps.
    pub fn mono(&self, now: Ms) -> Mono {
        Mono::new(Duration::from_millis(now - self.booted))
    }

    /// The connector that serves clients, as it truly is.
    pub fn registered(&self) -> bool {
        self.children.values().any(Child::carries)
    }

    fn report(&mut self, now: Ms, value: Option<bool>) {
        record(&mut self.reported, now, value);
    }

    fn refuses(&mut self, now: Ms, version: Option<VersionId>) {
        record(&mut self.refused, now, version.is_some());
        let before = self.refusing.take();
        self.refusing = version.map(|version| match before {
            Some((since, before)) if before == version => (since, version),
            _ => (now, version),
        });
    }
}

/// What is reported from now on, if that is news; an hour is kept.
fn record<T: PartialEq>(reported: &mut Vec<(Ms, T)>, now: Ms, value: T) {
    if reported.last().is_none_or(|(_, last)| *last != value) {
        reported.push((now, value));
    }
    while reported.get(1).is_some_and(|(at, _)| now.saturating_sub(*at) > 3600 * S) {
        reported.remove(0);
    }
}

impl Fleet {
    /// Adds an instance that boots now.
    pub fn boot(&mut self, id: String, zone: u8) -> usize {
        let i = self.instances.len();
        let seed = hash(&[self.seed, i as u64, 1]);
        self.instances.push(Instance::new(seed, id, zone, self.now));
        self.living.push(i);
        self.weather_again(i);
        for (number, fault) in self.faults.clone().into_iter().enumerate() {
            if fault.concerns(i, zone) && fault.onset(i) > self.now {
                self.at(fault.onset(i), Ev::Strike(number, Some(i)));
            }
        }
        self.at(self.now + BOOT, Ev::AgentUp(i, 0));
        i
    }

    /// The instance is no more.
    pub fn terminate(&mut self, i: usize) {
        self.agent_down(i);
        self.instances[i].gone = true;
        self.living.retain(|living| *living != i);
        self.note(i, Entry::Gone);
    }

    /// The agent ends, and its children with it.
    pub fn agent_down(&mut self, i: usize) {
        let now = self.now;
        let instance = &mut self.instances[i];
        if let Some(verdict) = instance.verdict.take() {
            // As on the disk: state is JSON there.
            let saved = serde_json::to_string(&verdict.carry()).expect("it is serialisable");
            instance.carried = serde_json::from_str(&saved).expect("it was written so");
        }
        instance.children.clear();
        instance.open.clear();
        (instance.wake, instance.next_look, instance.good_since) = (None, None, None);
        instance.agent += 1;
        instance.report(now, None);
        instance.refuses(now, None);
        self.watch.agent_down(i);
    }

    /// An agent starts.
    pub fn agent_up(&mut self, i: usize, agent: u32) {
        if self.instances[i].gone || self.instances[i].agent != agent || self.instances[i].verdict.is_some() {
            return;
        }
        if self.struck(i, |kind| matches!(kind, Kind::ImdsAway | Kind::AgentCrashes)) {
            return self.at(self.now + 5 * S, Ev::AgentUp(i, agent));
        }
        let now = self.now;
        let hooks = self.group.hooks.is_some();
        let config = Config { launch_hook: hooks, terminate_hook: hooks, ..Config::default() };
        let instance = &mut self.instances[i];
        let seed = hash(&[instance.seed, u64::from(agent)]);
        let carried = std::mem::take(&mut instance.carried);
        instance.verdict = Some(Verdict::new(config, seed, carried, instance.mono(now)));
        instance.report(now, Some(false));
        let installed = instance.current.map(|current| instance.bundles[&current].clone());
        self.note(i, Entry::AgentStarted);
        self.tell(i, Event::Identified { installed });
        self.hold_again(i);
        self.look_by(i, now + S);
    }

    /// Tells the verdict something, and does what it orders.
    pub fn tell(&mut self, i: usize, event: Event) {
        let now = self.now;
        let instance = &mut self.instances[i];
        let mono = instance.mono(now);
        let Some(verdict) = &mut instance.verdict else { return };
        verdict.handle(mono, event);
        let mut orders = Vec::new();
        while let Some(order) = verdict.poll_order() {
            orders.push(order);
        }
        let mut decisions = Vec::new();
        while let Some(decision) = verdict.poll_decision() {
            decisions.push(decision);
        }
        let (wake, health) = (verdict.wake_at(mono), verdict.health());
        // A refusal begins with a decision, and ends with or without one.
        if !decisions.is_empty() || instance.refusing.is_some() {
            let refusing = verdict.view(mono).refusing;
            instance.refuses(now, refusing);
        }
        let booted = instance.booted;
        let changed = health != instance.health;
        instance.health = health;
        decisions.into_iter().for_each(|decision| self.note(i, Entry::Decided(decision)));
        self.watch.is(i, now, health);
        if changed {
            self.note(i, Entry::Health(health));
        }
        self.wake_by(i, wake.map(|wake| booted + millis_up(wake.since_boot())));
        for (id, order) in orders {
            self.take_order(i, id, order);
        }
    }

    fn wake_by(&mut self, i: usize, wake: Option<Ms>) {
        self.watch.no_wake_up_in_the_past(i, self.now, wake);
        if wake != self.instances[i].wake {
            self.instances[i].wake = wake;
            if let Some(wake) = wake {
                self.at(wake.max(self.now), Ev::Wake(i));
            }
        }
    }

    pub fn woken(&mut self, i: usize) {
        if self.instances[i].wake == Some(self.now) {
            self.instances[i].wake = None;
            self.tell(i, Event::Wake);
        }
    }

    /// The instance's connectors are looked at by then.
    pub fn look_by(&mut self, i: usize, when: Ms) {
        let instance = &mut self.instances[i];
        if instance.verdict.is_some() && instance.next_look.is_none_or(|next| next > when) {
            instance.next_look = Some(when);
            self.at(when, Ev::Look(i));
        }
    }

    /// Looks at every connector of the instance.
    pub fn look(&mut self, i: usize) {
        if self.instances[i].next_look != Some(self.now) {
            return;
        }
        let now = self.now;
        self.instances[i].next_look = None;
        let runs: Vec<RunId> = self.instances[i].children.keys().copied().collect();
        let foreign = self.struck(i, |kind| *kind == Kind::PortTaken);
        let mut good = false;
        for run in runs {
            let Some(child) = self.instances[i].children.get(&run) else { continue };
            let ready = if foreign && !child.up() {
                Ready::Foreign { owner: "python3 (pid 4711)".into() }
            } else {
                child.ready(now)
            };
            let registered = matches!(ready, Ready::Yes { .. });
            good |= registered;
            let (counts, transport) = (child.counts, child.transport);
            let answers = registered || ready == Ready::No;
            let tries = Some(self.plant.tries(counts)).filter(|_| answers);
            if let Some(version) = self.version(i).filter(|_| registered) {
                record(&mut self.instances[i].served, now, version);
            }
            self.tell(
                i,
                Event::Run(
                    run,
                    RunFact::Observed(Observation { ready, ha_connections: None, tries, transport: Some(transport) }),
                ),
            );
        }
        let instance = &mut self.instances[i];
        instance.good_since = if good { instance.good_since.or(Some(now)) } else { None };
        instance.report(now, Some(good));
        self.watch.looked(i, now, good);
        let young = instance.children.values().any(|child| now - child.spawned < YOUNG);
        let closely = instance.verdict.as_ref().is_some_and(|verdict| verdict.looks_closely(instance.mono(now)));
        if young || closely {
            self.look_by(i, now + S);
        } else if !(self.jump.skips_looks() && self.calm(i)) {
            let phase = hash(&[self.seed, i as u64, 2]) % LOOK;
            self.look_by(i, (now + LOOK - phase) / LOOK * LOOK + phase);
        }
    }

    /// Whether another look would tell the verdict what it knows: it has been registered, and nothing else, for longer
    /// than the verdict remembers, and nothing is under way.
    pub fn calm(&self, i: usize) -> bool {
        const REMEMBERED: Ms = 11 * 60 * S;
        let instance = &self.instances[i];
        instance.verdict.is_some()
            && instance.open.is_empty()
            && instance.health == Health::Registered
            && instance.good_since.is_some_and(|since| self.now - since > REMEMBERED)
            && instance.children.values().all(|child| child.steady(self.now))
    }

    /// The version of the bundle that `current` names.
    pub fn version(&self, i: usize) -> Option<u32> {
        let instance = &self.instances[i];
        instance.current.map(|current| number(&instance.bundles[&current].version.0))
    }

    /// Something about the instance's connectors changed, so looks are needed again.
    pub fn stirred(&mut self, i: usize) {
        let now = self.now;
        let phase = hash(&[self.seed, i as u64, 2]) % LOOK;
        self.look_by(i, (now + LOOK - phase) / LOOK * LOOK + phase);
    }

    /// A bundle from that version is laid down.
    pub fn installed(&mut self, i: usize, version: VersionId) -> Installed {
        let instance = &mut self.instances[i];
        let generation = Generation(instance.bundles.len() as u64 + 1);
        let installed = Installed { generation, version, tunnel: "6ff42ae2-765d-4adf-8112-31c55c1551ef".into() };
        instance.bundles.insert(generation, installed.clone());
        installed
    }
}

/// A wake-up comes never too early.
fn millis_up(duration: Duration) -> Ms {
    u64::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX / 2)
}
