//! What holds for any sequence of events and times.

#![allow(clippy::unwrap_used)] // a test may fail

use cflared_verdict::{
    Carried, Complaint, Condemns, Config, DecisionKind, Ending, Event, Failure, FailureKind, Generation, Group, Health,
    Hold, Holder, Hook, Installed, Member, Memory, Mono, Notices, Observation, Order, OrderId, PeerGrain, Peers, Place,
    Probe, Probes, Reach, Ready, Report, Request, RequestId, Role, RunFact, RunId, SecretRead, Taken, Target,
    Transport, Tries, Verdict, VersionId,
};
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::time::Duration;

/// One step of a made-up life.
#[derive(Debug, Clone)]
enum Step {
    Pass(u64),
    Identified(Option<u64>),
    Spawned(u32),
    Exited(u32),
    Observed(u32, Ready, Option<(Tries, Transport)>),
    Complained(u32, Complaint),
    /// An operator holds for so many seconds; `None`: for ever.
    Held(Option<u64>),
    Lifted,
    /// What the world says from now on when it is asked.
    World(Box<Answers>),
    /// Reports the open order of that place (modulo their number) as done or failed.
    Report(usize, Option<FailureKind>),
    /// Reports an order that was never given, or was reported before.
    Stale(u64),
    Reload,
    NewBinary,
    Noticed(Notices),
    Stop,
    /// The agent is killed and started again.
    Reborn,
}

/// What the reads of the guard give.
#[derive(Debug, Clone)]
struct Answers {
    group: Group,
    peers: Peers,
    edge: Reach,
    hold_tag: Option<String>,
    place: Place,
    refusals: u32,
    origins_lost: Vec<String>,
    available: u64,
    equivalent: bool,
}

/// Mostly a group that lets this instance go.
fn answers() -> impl Strategy<Value = Answers> {
    let lifecycle =
        prop_oneof![6 => Just("InService"), 1 => Just("Standby"), 1 => Just("Pending"), 1 => Just("Terminating:Wait")];
    let member = (0u32..6, lifecycle, prop::bool::weighted(0.9)).prop_map(|(id, lifecycle, healthy)| Member {
        id: format!("i-{id}"),
        lifecycle: lifecycle.into(),
        healthy,
        zone: None,
    });
    let me = Member { id: "i-2".into(), lifecycle: "InService".into(), healthy: true, zone: None };
    let group = (
        prop::collection::vec(member, 0..3),
        prop::option::weighted(0.1, Just("InProgress".to_string())),
        prop::collection::vec((0u64..100_000).prop_map(Duration::from_secs), 0..3),
        prop::bool::weighted(0.8),
    )
        .prop_map(move |(mut members, refresh, replaced, listed)| {
            members.retain(|member| member.id != me.id);
            if listed {
                members.insert(0, me.clone());
            }
            Group { name: "g".into(), me: me.id.clone(), members, suspended: vec![], refresh, replaced, launch: None }
        });
    let grain = (0u64..700, 0u32..3, 0u32..3).prop_map(|(age, live, reporting)| PeerGrain {
        age: Duration::from_secs(age),
        live,
        reporting,
        same_version: Some(live),
    });
    let reach = prop_oneof![Just(Reach::Answered), Just(Reach::Silent), Just(Reach::Untried)];
    let tag = prop::option::weighted(0.1, Just("yes".to_string()));
    let change = (
        prop::sample::select(&["InService", "Pending:Wait", "Pending", "Terminating:Wait", "Standby"][..]),
        0u32..3,
        0u32..2,
        prop::collection::vec(Just("an origin".to_string()), 0..2),
        prop::sample::select(&[0u64, 50, 500][..]),
        any::<bool>(),
    );
    (group, prop::collection::vec(grain, 0..6), reach, tag, change).prop_map(
        |(group, grains, edge, hold_tag, (lifecycle, rank, refusals, origins_lost, mib, equivalent))| {
            let timeout = Some(Duration::from_secs(600));
            let place =
                Place { lifecycle: lifecycle.into(), rank, launch_timeout: timeout, terminate_timeout: timeout };
            let (peers, available) = (Peers { grains, ..Peers::default() }, mib << 20);
            Answers { group, peers, edge, hold_tag, place, refusals, origins_lost, available, equivalent }
        },
    )
}

fn notices() -> impl Strategy<Value = Notices> {
    let target = prop_oneof![
        4 => Just(Some(Target::InService)),
        1 => Just(Some(Target::Standby)),
        1 => Just(Some(Target::Warmed)),
        1 => Just(None),
        1 => prop::option::weighted(0.2, Just(Target::Terminated)),
    ];
    (target, any::<bool>()).prop_map(|(target, rebalance)| Notices { target, spot: None, rebalance })
}

fn ready() -> impl Strategy<Value = Ready> {
    prop_oneof![
        (1u32..=4).prop_map(|connections| Ready::Yes { connections }),
        Just(Ready::No),
        Just(Ready::Foreign { owner: "other".into() }),
        Just(Ready::Unanswered { why: "timed out".into() }),
    ]
}

/// What a connector has counted: much or little, so that it grows and falls.
fn counts() -> impl Strategy<Value = Option<(Tries, Transport)>> {
    let transport = prop_oneof![3 => Just(Transport::Quic), 1 => Just(Transport::Http2)];
    let tries = (0u64..3, 0u64..9, 0u64..9, prop::option::of(0u64..30));
    let tries =
        tries.prop_map(|(accepted, refused, unanswered, dialled)| Tries { accepted, refused, unanswered, dialled });
    prop::option::weighted(0.7, (tries, transport))
}

fn failure() -> impl Strategy<Value = Option<FailureKind>> {
    prop_oneof![
        4 => Just(None),
        1 => prop_oneof![
            Just(FailureKind::Unreachable),
            Just(FailureKind::Throttled),
            Just(FailureKind::Denied),
            Just(FailureKind::Missing),
            Just(FailureKind::Invalid),
            Just(FailureKind::Host),
            Just(FailureKind::Disabled),
        ]
        .prop_map(Some),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0u64..100_000).prop_map(Step::Pass),
        1 => proptest::option::of(0u64..4).prop_map(Step::Identified),
        2 => (1u32..4).prop_map(Step::Spawned),
        2 => (1u32..4).prop_map(Step::Exited),
        6 => (1u32..4, ready(), counts()).prop_map(|(run, ready, counts)| Step::Observed(run, ready, counts)),
        3 => (1u32..4, prop::sample::select(&Complaint::ALL[..])).prop_map(|(run, complaint)| Step::Complained(run, complaint)),
        1 => prop::option::of(1u64..1000).prop_map(Step::Held),
        1 => Just(Step::Lifted),
        3 => answers().prop_map(Box::new).prop_map(Step::World),
        12 => (0usize..8, failure()).prop_map(|(place, failure)| Step::Report(place, failure)),
        1 => (0u64..50).prop_map(Step::Stale),
        1 => Just(Step::Reborn),
        1 => Just(Step::Reload),
        1 => Just(Step::NewBinary),
        1 => notices().prop_map(Step::Noticed),
        1 => prop_oneof![9 => Just(Step::Pass(1)), 1 => Just(Step::Stop)],
    ]
}

/// With everything that the settings may switch on.
fn config() -> Config {
    Config { launch_hook: true, terminate_hook: true, on_new_binary: true, ..Config::default() }
}

struct Life {
    verdict: Verdict,
    now: Mono,
    open: Vec<(OrderId, Order)>,
    answers: Answers,
    /// The last answer to a read of the group, if it could be read.
    group: Option<Group>,
    place: Option<Place>,
    last_id: u64,
    versions: u64,
    requests: u64,
    unanswered: BTreeSet<u64>,
    log: String,
}

impl Life {
    fn new() -> Self {
        let now = Mono::default();
        let verdict = Verdict::new(config(), 1, Carried::default(), now);
        let me = Member { id: "i-2".into(), lifecycle: "InService".into(), healthy: true, zone: None };
        let group = Group { name: "g".into(), me: me.id.clone(), members: vec![me], ..Group::default() };
        let answers = Answers {
            group,
            peers: Peers::default(),
            edge: Reach::Answered,
            hold_tag: None,
            place: Place { lifecycle: "InService".into(), ..Place::default() },
            refusals: 0,
            origins_lost: vec![],
            available: 500 << 20,
            equivalent: false,
        };
        Self {
            verdict,
            now,
            open: vec![],
            answers,
            group: None,
            place: None,
            last_id: 0,
            versions: 0,
            requests: 0,
            unanswered: BTreeSet::new(),
            log: String::new(),
        }
    }

    fn take(&mut self, step: &Step) {
        let event = match step.clone() {
            Step::Pass(millis) => {
                self.now = self.now + Duration::from_millis(millis);
                Event::Wake
            }
            Step::Identified(generation) => {
                Event::Identified { installed: generation.map(|n| self.bundle(Generation(n), format!("v{n}"))) }
            }
            Step::Spawned(run) => Event::Run(RunId(run), RunFact::Spawned { pid: run, pinned: None }),
            Step::Exited(run) => {
                let (after, respawn_in) = (Duration::from_secs(9), Duration::from_secs(1));
                Event::Run(
                    RunId(run),
                    RunFact::Exited {
                        how: "exit status: 1".into(),
                        ending: Ending::Status,
                        after,
                        respawn_in: Some(respawn_in),
                    },
                )
            }
            Step::Observed(run, ready, counts) => {
                let (tries, transport) = counts.unzip();
                let observation = Observation { ready, ha_connections: Some(1), tries, transport };
                Event::Run(RunId(run), RunFact::Observed(observation))
            }
            Step::Complained(run, complaint) => {
                Event::Run(RunId(run), RunFact::Complained { complaint, text: "words".into() })
            }
            Step::Held(seconds) => {
                let until = seconds.map(|seconds| self.now + Duration::from_secs(seconds));
                Event::Hold { by: Holder::Operator, hold: Some(Hold { until, note: "why".into() }) }
            }
            Step::Lifted => Event::Hold { by: Holder::Operator, hold: None },
            Step::World(answers) => {
                self.answers = *answers;
                Event::Wake
            }
            Step::Report(_, _) if self.open.is_empty() => Event::Wake,
            Step::Report(place, failure) => {
                let (id, order) = self.open.remove(place % self.open.len());
                if order == Order::ReadPlace && failure.is_none() {
                    self.place = Some(self.answers.place.clone());
                }
                if order == Order::ReadGroup {
                    self.group = failure.is_none().then(|| self.answers.group.clone());
                }
                let report = match failure {
                    Some(kind) => order.failed(Failure::new(kind, "why")),
                    None => self.report(order),
                };
                Event::Done(id, report)
            }
            Step::Stale(id) if self.open.iter().any(|(open, _)| open.0 == id) => Event::Wake,
            Step::Stale(id) => Event::Done(OrderId(id), Report::MarkUnhealthy(Ok(true))),
            Step::Stop => Event::Operator(Request::Stop),
            Step::Reload => {
                self.requests += 1;
                self.unanswered.insert(self.requests);
                Event::Operator(Request::Reload(RequestId(self.requests)))
            }
            Step::NewBinary => Event::NewBinary { version: "2026.9.0".into() },
            Step::Noticed(notices) => Event::Noticed(notices),
            Step::Reborn => {
                let carried = serde_json::to_string(&self.verdict.carry()).unwrap();
                let carried = serde_json::from_str(&carried).unwrap();
                self.verdict = Verdict::new(config(), 1, carried, self.now);
                (self.open, self.last_id, self.group) = (vec![], 0, None);
                self.unanswered.clear();
                Event::Wake
            }
        };
        self.verdict.handle(self.now, event);
    }

    fn report(&mut self, order: Order) -> Report {
        match order {
            Order::ReadSecret { .. } => {
                self.versions += 1;
                Report::ReadSecret(Ok(SecretRead::New(VersionId(format!("n{}", self.versions / 2)))))
            }
            Order::Install { version } => {
                self.versions += 1;
                let installed = self.bundle(Generation(10 + self.versions), version.0.clone());
                let taken = if self.answers.equivalent { Taken::Equivalent(installed) } else { Taken::New(installed) };
                Report::Install(version, Ok(taken))
            }
            Order::MarkUnhealthy => Report::MarkUnhealthy(Ok(self.versions.is_multiple_of(3))),
            Order::MarkHealthy => Report::MarkHealthy(Ok(self.versions.is_multiple_of(3))),
            Order::ReadGroup => Report::ReadGroup(Ok(self.answers.group.clone())),
            Order::ReadPeers { .. } => Report::ReadPeers(Ok(self.answers.peers.clone())),
            Order::ReadHoldTag => Report::ReadHoldTag(Ok(self.answers.hold_tag.clone())),
            Order::Probe { .. } => {
                let edge = Probe { reach: self.answers.edge, evidence: "evidence".into() };
                Report::Probe(Ok(Probes { tcp: edge.clone(), udp: edge, ..Probes::default() }))
            }
            Order::CompareOrigins { new, .. } => Report::CompareOrigins(new, Ok(self.answers.origins_lost.clone())),
            Order::MeasureMemory { .. } => {
                Report::MeasureMemory(Ok(Memory { available: self.answers.available, connector: 60 << 20 }))
            }
            Order::ProbeEdge { transport, .. } => Report::ProbeEdge(transport, Ok(self.answers.edge)),
            Order::ReadPlace => Report::ReadPlace(Ok(self.answers.place.clone())),
            Order::ReadRefusals => Report::ReadRefusals(Ok(self.answers.refusals)),
            Order::ReadNotices => order.failed(Failure::new(FailureKind::Unreachable, "the service does not answer")),
            _ => order.done().unwrap(),
        }
    }

    /// Whether the group waits at that hook by the last answer of where it has this instance.
    fn answers_waited(&self, hook: Hook) -> bool {
        self.place.as_ref().is_some_and(|place| match hook {
            Hook::Launch => place.lifecycle == "Pending:Wait",
            Hook::Terminate => place.lifecycle == "Terminating:Wait",
        })
    }

    fn bundle(&self, generation: Generation, version: String) -> Installed {
        Installed { generation, version: VersionId(version), tunnel: "t".into() }
    }

    fn check(&mut self) -> Result<(), TestCaseError> {
        let view = self.verdict.view(self.now);
        prop_assert!(self.verdict.wake_at(self.now).is_none_or(|wake| wake > self.now), "a wake-up in the past");
        let serving = view.runs.iter().filter(|(_, run)| run.role == Role::Serving).count();
        prop_assert!(serving <= 1, "{serving} connectors serve");
        prop_assert!(view.runs.len() <= 2, "{} connectors", view.runs.len());
        if let [(_, one), (_, other)] = &view.runs[..] {
            prop_assert_ne!(one.slot, other.slot, "one metrics address for two connectors");
        }
        let registered = view.runs.iter().any(|(_, run)| run.role == Role::Serving && run.connections() > 0);
        while let Some((id, order)) = self.verdict.poll_order() {
            prop_assert!(id.0 > self.last_id, "an order's id was used before");
            self.last_id = id.0;
            if order == Order::MarkUnhealthy {
                prop_assert!(!registered, "condemned while registered");
                prop_assert!(self.now >= Mono::new(Duration::from_secs(180)), "condemned within the startup grace");
                prop_assert!(!view.runs.is_empty(), "condemned without a connector");
                prop_assert!(view.holds.is_empty(), "condemned in spite of a hold");
                let blame = view.blame.as_ref().map(|finding| finding.blame);
                let may = blame.is_none_or(|blame| blame.may_condemn() != Condemns::Never);
                prop_assert!(may, "condemned for {blame:?}");
                let group = self.group.as_ref();
                let clear = group.is_some_and(|group| {
                    let me = group.myself().is_some_and(|me| me.in_service() && me.healthy);
                    let hour = group.replaced.iter().filter(|age| age.as_secs() < 3600).count();
                    me && group.refresh.is_none() && group.others().all(Member::settled) && hour < 2
                });
                prop_assert!(clear, "condemned in a group like {group:?}");
            }
            if let Order::Answer { request, .. } = &order {
                prop_assert!(self.unanswered.remove(&request.0), "{request:?} was answered before, or never made");
            }
            if order == Order::Exit {
                prop_assert!(self.unanswered.is_empty(), "an exit without an answer to {:?}", self.unanswered);
            }
            if let Order::CompleteHook { hook, .. } = &order {
                let waits = self.answers_waited(*hook);
                prop_assert!(waits && view.holds.is_empty(), "{hook:?} was completed");
            }
            self.log += &format!("{:?} {order:?}\n", self.now);
            self.open.push((id, order));
        }
        while let Some(decision) = self.verdict.poll_decision() {
            if decision.kind == DecisionKind::Transition {
                let (from, to) = decision.what.split_once(" → ").expect("a transition names both");
                let known = Health::ALL.iter().any(|health| {
                    health.to_string() == from && health.next().iter().any(|next| next.to_string() == to)
                });
                prop_assert!(known, "a transition that is in no table: {}", decision.what);
            }
            self.log += &format!("{decision:?}\n");
        }
        let marks = self.open.iter().filter(|(_, order)| matches!(order, Order::MarkUnhealthy | Order::MarkHealthy));
        prop_assert!(marks.count() <= 1, "two marks in flight");
        let queries: [fn(&Order) -> bool; 10] = [
            |order| matches!(order, Order::ReadPlace),
            |order| matches!(order, Order::ReadNotices),
            |order| matches!(order, Order::ReadRefusals),
            |order| matches!(order, Order::Install { .. }),
            |order| {
                matches!(
                    order,
                    Order::CompleteHook { hook: Hook::Launch, .. } | Order::Heartbeat { hook: Hook::Launch }
                )
            },
            |order| matches!(order, Order::CompleteHook { hook: Hook::Terminate, .. }),
            |order| matches!(order, Order::ReadSecret { .. }),
            |order| matches!(order, Order::Probe { .. }),
            |order| matches!(order, Order::ReadHoldTag),
            |order| matches!(order, Order::ReadGroup | Order::ReadPeers { .. }),
        ];
        for query in queries {
            let open = self.open.iter().filter(|(_, order)| query(order)).count();
            prop_assert!(open <= 1, "two of one query in flight: {:?}", self.open);
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_invariants_hold_and_the_same_inputs_give_the_same_outputs(steps in proptest::collection::vec(step(), 1..120)) {
        let mut logs = [String::new(), String::new()];
        for log in &mut logs {
            let mut life = Life::new();
            for step in &steps {
                life.take(step);
                life.check()?;
            }
            *log = life.log;
        }
        prop_assert_eq!(&logs[0], &logs[1]);
    }

    #[test]
    fn what_is_carried_loses_nothing_that_matters(steps in proptest::collection::vec(step(), 1..80)) {
        let mut life = Life::new();
        for step in &steps {
            life.take(step);
            life.check()?;
        }
        let carried = life.verdict.carry();
        let next = Verdict::new(config(), 1, carried.clone(), life.now);
        let (before, after) = (life.verdict.view(life.now), next.view(life.now));
        prop_assert_eq!(before.mark, after.mark);
        prop_assert_eq!(before.outage, after.outage);
        prop_assert_eq!(before.journal, after.journal);
        prop_assert_eq!(next.carry(), carried);
    }
}
