//! A world in virtual time that answers every order at once, unless it is told to fail or to keep silent.

use cflared_verdict::{
    Carried, Complaint, Config, Decision, Event, Failure, FailureKind, Generation, Group, Health, Installed, Member,
    Memory, Mono, Notices, Observation, Order, OrderId, OriginProbe, PeerGrain, Peers, Place, Probe, Probes, Reach,
    Ready, Report, RunFact, RunId, SecretRead, Taken, Transport, Tries, Verdict, VersionId,
};
use std::collections::BTreeMap;
use std::time::Duration;

/// One instance, its secret and its edge.
pub struct World {
    pub verdict: Verdict,
    pub now: Mono,
    /// The version that the secret holds; `None`: it cannot be read.
    pub secret: Option<&'static str>,
    /// What every connector's `/ready` says.
    pub ready: Ready,
    /// What a connector from that version says instead.
    pub ready_of: BTreeMap<&'static str, Ready>,
    /// What setting the health gives.
    pub mark: Result<bool, FailureKind>,
    /// What reading the group gives; marks show in it.
    pub group: Result<Group, FailureKind>,
    /// How many other connectors each grain since the asked time shows, and how many reported; `None`: no report came.
    pub peers: Result<Option<(u32, u32)>, FailureKind>,
    /// What a probe of the edge gives; `None`: nothing could be tried.
    pub edge: Option<Reach>,
    /// What a probe over UDP alone gives, if not the same.
    pub udp: Option<Reach>,
    /// Whether the only origin does not answer.
    pub origin_down: bool,
    /// The next probes do not try the origin.
    pub origin_spared: bool,
    /// The hold tag.
    pub hold_tag: Result<Option<&'static str>, FailureKind>,
    /// Whether the version that is installed breaks a rule.
    pub bad_bundle: bool,
    /// Whether nothing can be made current.
    pub bad_disk: bool,
    /// Whether a new bundle means the same to the connector.
    pub equivalent: bool,
    /// The origins that a new bundle would lose.
    pub origins_lost: Result<Vec<String>, FailureKind>,
    /// How much memory is available, in MiB, next to a connector of 60.
    pub available: u64,
    /// Where the group has this instance.
    pub place: Result<Place, FailureKind>,
    /// What the living child of every connector has counted at the next look; `None`: it cannot be read.
    pub tries: Option<Tries>,
    /// How every connector reaches the edge.
    pub transport: Option<Transport>,
    /// How many others each grain shows registered with the same version; `None`: nobody reports that.
    pub same_version: Option<u32>,
    /// What each zone's grains show.
    pub zones: BTreeMap<String, (u32, u32)>,
    /// How many others refuse a version.
    pub refusals: Result<u32, FailureKind>,
    /// What the metadata service says.
    pub notices: Notices,
    /// What completing a hook gives.
    pub hook: Result<(), FailureKind>,
    /// Every order with its second.
    pub given: Vec<(u64, Order)>,
    /// Every decision.
    pub decisions: Vec<Decision>,
    /// The orders that are not answered before [`World::answer_late`].
    pub is_late: fn(&Order) -> bool,
    late: Vec<(OrderId, Order)>,
    runs: BTreeMap<RunId, Generation>,
    versions: BTreeMap<Generation, String>,
}

pub fn at(second: u64) -> Mono {
    Mono::new(Duration::from_secs(second))
}

/// This instance, and another one of its group with a higher id.
pub const ME: &str = "i-0000000000000005";
pub const PEER: &str = "i-0000000000000007";
/// One with a lower id.
pub const LOWER: &str = "i-0000000000000001";

pub const FOUR: Ready = Ready::Yes { connections: 4 };

impl World {
    /// A world that began at second 1000 after the host's boot, before anything was said.
    pub fn new(carried: Carried) -> Self {
        Self::made(Config::default(), carried)
    }

    /// The world of an agent that starts at that time, with what the one before it carried.
    pub fn reborn(carried: Carried, now: Mono) -> Self {
        let mut world = Self::new(Carried::default());
        (world.verdict, world.now) = (Verdict::new(Config::default(), 7, carried, now), now);
        world
    }

    /// The same with other settings.
    pub fn configured(config: Config) -> Self {
        Self::made(config, Carried::default())
    }

    fn made(config: Config, carried: Carried) -> Self {
        Self {
            verdict: Verdict::new(config, 7, carried, at(1000)),
            now: at(1000),
            secret: Some("v1"),
            ready: FOUR,
            ready_of: BTreeMap::new(),
            mark: Ok(true),
            group: Ok(group(&[ME, PEER])),
            peers: Ok(Some((1, 1))),
            edge: Some(Reach::Answered),
            udp: None,
            origin_down: false,
            origin_spared: false,
            hold_tag: Ok(None),
            bad_bundle: false,
            bad_disk: false,
            equivalent: false,
            origins_lost: Ok(vec![]),
            available: 600,
            place: Ok(Place { lifecycle: "InService".into(), ..Place::default() }),
            tries: Some(Tries::default()),
            transport: None,
            same_version: Some(1),
            zones: BTreeMap::new(),
            refusals: Ok(0),
            notices: Notices::default(),
            hook: Ok(()),
            given: vec![],
            decisions: vec![],
            is_late: |_| false,
            late: vec![],
            runs: BTreeMap::new(),
            versions: BTreeMap::new(),
        }
    }

    /// The same after a boot with `installed` on the disk.
    pub fn booted(installed: Option<Installed>) -> Self {
        let mut world = Self::new(Carried::default());
        world.tell(Event::Identified { installed });
        world
    }

    /// The same when it has been registered for a while.
    pub fn registered() -> Self {
        Self::with(Config::default())
    }

    /// The same with other settings.
    pub fn with(config: Config) -> Self {
        let mut world = Self::configured(config);
        world.tell(Event::Identified { installed: None });
        world.run(400);
        assert_eq!(world.verdict.health(), Health::Registered);
        world.given.clear();
        world.decisions.clear();
        world
    }

    pub fn second(&self) -> u64 {
        self.now.since_boot().as_secs() - 1000
    }

    pub fn tell(&mut self, event: Event) {
        if let Event::Identified { installed: Some(installed) } = &event {
            self.knows(&installed.clone());
        }
        self.verdict.handle(self.now, event);
        while let Some((id, order)) = self.verdict.poll_order() {
            self.given.push((self.second(), order.clone()));
            if (self.is_late)(&order) {
                self.late.push((id, order));
            } else if let Some(result) = self.carry_out(&order) {
                self.report(id, result, order);
            }
        }
        while let Some(decision) = self.verdict.poll_decision() {
            self.decisions.push(decision);
        }
    }

    /// What was withheld is answered now, by what is so now.
    pub fn answer_late(&mut self) {
        self.is_late = |_| false;
        for (id, order) in std::mem::take(&mut self.late) {
            if let Some(result) = self.carry_out(&order) {
                self.report(id, result, order);
            }
        }
        self.tell(Event::Wake);
    }

    fn report(&mut self, id: OrderId, report: Report, order: Order) {
        self.verdict.handle(self.now, Event::Done(id, report));
        if matches!(order, Order::Restart { .. }) {
            // A new child has counted nothing.
            self.tries = self.tries.map(|_| Tries::default());
        }
        if let Order::Start { run, .. } | Order::Restart { run, .. } = order {
            self.verdict.handle(self.now, Event::Run(run, RunFact::Spawned { pid: 100 + run.0, pinned: None }));
        }
    }

    fn carry_out(&mut self, order: &Order) -> Option<Report> {
        Some(match order {
            Order::ReadSecret { known } => Report::ReadSecret(match self.secret {
                None => Err(Failure::new(FailureKind::Denied, "access denied")),
                Some(version) if known.as_ref().is_some_and(|known| known.0 == version) => Ok(SecretRead::Unchanged),
                Some(version) => Ok(SecretRead::New(VersionId(version.into()))),
            }),
            Order::Install { .. } if self.bad_bundle => {
                order.failed(Failure::new(FailureKind::Invalid, "the last ingress rule is no catch-all"))
            }
            Order::Install { version } => {
                let generation = Generation(self.versions.len() as u64 + 1);
                self.versions.insert(generation, version.0.clone());
                let installed = installed(generation.0, &version.0);
                let taken = if self.equivalent { Taken::Equivalent(installed) } else { Taken::New(installed) };
                Report::Install(version.clone(), Ok(taken))
            }
            Order::Commit { .. } if self.bad_disk => {
                order.failed(Failure::new(FailureKind::Host, "`current` is a directory"))
            }
            Order::Start { run, generation, .. } => {
                self.runs.insert(*run, *generation);
                order.done()?
            }
            Order::Drain { run } => {
                self.runs.remove(run);
                order.done()?
            }
            Order::MarkUnhealthy => Report::MarkUnhealthy(self.mark(false)),
            Order::MarkHealthy => Report::MarkHealthy(self.mark(true)),
            Order::ReadGroup => Report::ReadGroup(told(&self.group)),
            Order::ReadPeers { since, .. } => {
                Report::ReadPeers(told(&self.peers).map(|reported| self.grains(*since, reported)))
            }
            Order::Probe { .. } => Report::Probe(Ok(probes(self.edge, self.origin()))),
            Order::ReadHoldTag => Report::ReadHoldTag(told(&self.hold_tag).map(|tag| tag.map(String::from))),
            Order::CompareOrigins { new, .. } => Report::CompareOrigins(*new, told(&self.origins_lost)),
            Order::MeasureMemory { .. } => {
                Report::MeasureMemory(Ok(Memory { available: self.available << 20, connector: 60 << 20 }))
            }
            Order::ReadNotices => Report::ReadNotices(Ok(self.notices.clone())),
            Order::ReadPlace => Report::ReadPlace(told(&self.place)),
            Order::ReadRefusals => Report::ReadRefusals(told(&self.refusals)),
            Order::CompleteHook { hook, .. } => Report::CompleteHook(*hook, told(&self.hook)),
            Order::Heartbeat { hook } => Report::Heartbeat(*hook, told(&self.hook)),
            Order::ProbeEdge { transport, .. } => {
                let udp = self.udp.filter(|_| *transport == Transport::Quic);
                Report::ProbeEdge(*transport, Ok(udp.or(self.edge).unwrap_or(Reach::Untried)))
            }
            _ => order.done()?,
        })
    }

    fn origin(&self) -> Reach {
        match (self.origin_spared, self.origin_down) {
            (true, _) => Reach::Untried,
            (false, true) => Reach::Failed,
            (false, false) => Reach::Answered,
        }
    }

    /// Sets this instance's health. Gives whether the group shows it.
    fn mark(&mut self, healthy: bool) -> Result<bool, Failure> {
        let shown = self.mark.map_err(|kind| Failure::new(kind, "the group says no"))?;
        if let (true, Ok(group)) = (shown, &mut self.group) {
            group.members[0].healthy = healthy;
        }
        Ok(shown)
    }

    /// The whole minutes that ended within `since`, each as `reported`.
    fn grains(&self, since: Duration, reported: Option<(u32, u32)>) -> Peers {
        let last = self.now.since_boot().as_secs() % 60;
        let ages: Vec<u64> = (0..10).map(|n| last + 60 * n).filter(|age| *age <= since.as_secs()).collect();
        let grains = |(live, reporting): (u32, u32), same_version: Option<u32>| {
            let grain = |age: &u64| PeerGrain { age: Duration::from_secs(*age), live, reporting, same_version };
            ages.iter().map(grain).collect::<Vec<_>>()
        };
        let zones = self.zones.iter().map(|(zone, shown)| (zone.clone(), grains(*shown, None))).collect();
        Peers { grains: reported.map(|shown| grains(shown, self.same_version)).unwrap_or_default(), zones }
    }

    /// The serving connector complains.
    pub fn complain(&mut self, complaint: Complaint) {
        let run = *self.runs.keys().next().expect("a connector runs");
        self.tell(Event::Run(run, RunFact::Complained { complaint, text: format!("{complaint:?}") }));
    }

    /// The connector of that version complains.
    pub fn complain_of(&mut self, version: &str, complaint: Complaint) {
        let of = |generation: &Generation| self.versions[generation] == version;
        let run = *self.runs.iter().find(|(_, generation)| of(generation)).expect("such a connector runs").0;
        self.tell(Event::Run(run, RunFact::Complained { complaint, text: format!("{complaint:?}") }));
    }

    /// A bundle lies on the disk.
    pub fn knows(&mut self, installed: &Installed) {
        self.versions.insert(installed.generation, installed.version.0.clone());
    }

    /// Lets time pass, with a look at every connector each 5 seconds and a wake-up whenever the verdict asks for one.
    pub fn run(&mut self, seconds: u64) {
        let end = self.now + Duration::from_secs(seconds);
        let mut next_look = self.now + Duration::from_secs(5);
        while self.now < end {
            if self.verdict.looks_closely(self.now) {
                next_look = next_look.min(self.now + Duration::from_secs(1));
            }
            let wake = self.verdict.wake_at(self.now);
            assert!(wake.is_none_or(|wake| wake > self.now), "a wake-up in the past");
            let next = wake.unwrap_or(end).min(next_look).min(end);
            self.now = next;
            if next == next_look {
                self.look();
                next_look = next_look + Duration::from_secs(5);
            }
            self.tell(Event::Wake);
        }
    }

    pub fn look(&mut self) {
        for (run, generation) in self.runs.clone() {
            let version = self.versions[&generation].as_str();
            let ready = self.ready_of.get(version).unwrap_or(&self.ready).clone();
            let observation = Observation { ready, ha_connections: None, tries: self.tries, transport: self.transport };
            self.tell(Event::Run(run, RunFact::Observed(observation)));
        }
    }

    /// How many orders were given that `matches` accepts.
    pub fn count(&self, matches: impl Fn(&Order) -> bool) -> usize {
        self.given.iter().filter(|(_, order)| matches(order)).count()
    }

    /// The second at which the first such order was given.
    pub fn when(&self, matches: impl Fn(&Order) -> bool) -> Option<u64> {
        self.given.iter().find(|(_, order)| matches(order)).map(|(second, _)| *second)
    }

    /// The health transitions, in words.
    pub fn transitions(&self) -> Vec<&str> {
        let transition = |decision: &&Decision| decision.what.contains('→');
        self.decisions.iter().filter(transition).map(|decision| decision.what.as_str()).collect()
    }
}

fn told<T: Clone>(answer: &Result<T, FailureKind>) -> Result<T, Failure> {
    answer.clone().map_err(|kind| Failure::new(kind, "it is not told"))
}

pub fn installed(generation: u64, version: &str) -> Installed {
    Installed {
        generation: Generation(generation),
        version: VersionId(version.into()),
        tunnel: "6ff42ae2-765d-4adf-8112-31c55c1551ef".into(),
    }
}

/// A group of these instances, all well, of which the first is this one.
pub fn group(ids: &[&str]) -> Group {
    let member = |id: &&str| Member { id: (*id).into(), lifecycle: "InService".into(), healthy: true, zone: None };
    let members = ids.iter().map(member).collect();
    Group { name: "tunnel-prd".into(), me: ids[0].into(), members, ..Group::default() }
}

fn probes(edge: Option<Reach>, origin: Reach) -> Probes {
    let Some(edge) = edge else { return Probes::default() };
    let probe = |reach| Probe { reach, evidence: format!("region1.v2.argotunnel.com:7844: {reach:?}") };
    let origin = OriginProbe { service: "tcp://db.internal:3306".into(), probe: probe(origin) };
    Probes { dns: probe(Reach::Answered), tcp: probe(edge), udp: probe(edge), origins: vec![origin] }
}
