//! One instance through one scenario, in virtual time. The verdict is real; every answer takes its time, and every wait
//! its longest.

use crate::answers;
use crate::child::{Child, Present, Step};
use crate::reader::{Scenario, Setting, What};
use crate::record::Record;
use cflared_verdict::{
    Carried, Config, Event, Failure, FailureKind, Generation, Hold, Holder, Installed, Memory, Mono, Notices,
    Observation, Order, OrderId, Purpose, Report, RunFact, RunId, SecretRead, Taken, Transport, Verdict, VersionId,
};
use std::collections::BTreeMap;
use std::time::Duration;

/// The break, after the boot of the host: 45 s into a minute, so that the first minute's end after it tells nothing yet.
const BREAK: Duration = Duration::from_secs(7245);
const LOOK: Duration = Duration::from_secs(5);
const SECOND: Duration = Duration::from_secs(1);

/// The instance and what is under way.
pub struct World<'a> {
    scenario: &'a Scenario,
    words: Words,
    verdict: Verdict,
    now: Duration,
    children: BTreeMap<RunId, Child>,
    agenda: BTreeMap<(Duration, bool, u64), Item>,
    planned: u64,
    versions: BTreeMap<Generation, String>,
    current: Option<Installed>,
    marked: bool,
    rival: bool,
    record: Record,
}

/// What of cloudflared's words the agent gets to see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Words {
    All,
    Withheld,
}

/// Something that comes at its time.
enum Item {
    Look,
    /// A look beside the regular ones.
    Glance,
    Seen(RunId, Observation),
    Done(OrderId, Order, Option<Report>),
    Change,
    Boot,
}

/// Lives through a scenario to its end.
pub fn live(scenario: &Scenario, words: Words) -> Record {
    let start = BREAK - scenario.world.age;
    let mut world = World {
        scenario,
        words,
        verdict: Verdict::new(Config::default(), 7, Carried::default(), Mono::new(start)),
        now: start,
        children: BTreeMap::new(),
        agenda: BTreeMap::new(),
        planned: 0,
        versions: BTreeMap::new(),
        current: None,
        marked: false,
        rival: false,
        record: Record::default(),
    };
    if scenario.world.installed {
        world.current = Some(world.install("v1"));
    }
    world.plan(start, Item::Look);
    world.plan(start, Item::Boot);
    for change in scenario.happens.iter().flat_map(|happening| happening.changes(scenario.right.watch)) {
        world.plan(BREAK + change, Item::Change);
    }
    world.run(BREAK + scenario.right.watch);
    world.record
}

impl<'a> World<'a> {
    fn run(&mut self, end: Duration) {
        loop {
            let item = self.agenda.keys().next().map(|(at, ..)| *at);
            let child =
                self.children.iter().filter_map(|(run, child)| Some((child.next?, *run))).min_by_key(|next| next.0.0);
            let wake = self.verdict.wake_at(Mono::new(self.now)).map(Mono::since_boot);
            assert!(wake.is_none_or(|wake| wake > self.now), "a wake-up in the past");
            let next = [item, child.map(|((at, _), _)| at), wake].into_iter().flatten().min();
            let Some(next) = next.filter(|next| *next <= end) else { break };
            self.now = next;
            match child {
                _ if item == Some(next) => self.next_item(),
                Some(((at, step), run)) if at == next => self.step_child(run, step),
                _ => {}
            }
            if wake == Some(next) {
                self.tell(Event::Wake);
            }
            if self.scenario.right.stop_at_act && self.record.acted.is_some() {
                break;
            }
        }
        self.now = end;
        self.record.end(self.verdict.health());
    }

    fn present(&self) -> Present<'a> {
        Present { scenario: self.scenario, time: self.now.checked_sub(BREAK), now: self.now }
    }

    fn plan(&mut self, at: Duration, item: Item) {
        self.planned += 1;
        // A look at the very moment of the break comes before it, and sees nothing of it.
        self.agenda.insert((at, !matches!(item, Item::Look), self.planned), item);
    }

    fn next_item(&mut self) {
        let Some((_, item)) = self.agenda.pop_first() else { return };
        match item {
            Item::Look => {
                self.look();
                let pace = if self.verdict.looks_closely(Mono::new(self.now)) { SECOND } else { LOOK };
                self.plan(self.now + pace, Item::Look);
            }
            Item::Glance => self.look(),
            Item::Seen(run, observation) => self.tell(Event::Run(run, RunFact::Observed(observation))),
            Item::Done(id, order, report) => self.done(id, &order, report),
            Item::Change => self.change(),
            Item::Boot => self.tell(Event::Identified { installed: self.current.clone() }),
        }
    }

    fn look(&mut self) {
        let looks: Vec<_> = self.children.iter().map(|(run, child)| (*run, child.look(self.present()))).collect();
        for (run, (takes, observation)) in looks {
            match takes {
                Duration::ZERO => self.tell(Event::Run(run, RunFact::Observed(observation))),
                _ => self.plan(self.now + takes, Item::Seen(run, observation)),
            }
        }
    }

    fn step_child(&mut self, run: RunId, step: Step) {
        let present = self.present();
        let facts = self.children.get_mut(&run).map(|child| child.step(step, present)).unwrap_or_default();
        if step == Step::Spawn {
            // A young child is looked at soon.
            self.plan(self.now + SECOND, Item::Glance);
        }
        facts.into_iter().for_each(|fact| self.tell(Event::Run(run, fact)));
    }

    fn change(&mut self) {
        let present = self.present();
        let time = present.time.unwrap_or_default();
        let before = |what| time.checked_sub(Duration::from_millis(1)).is_some_and(|time| self.scenario.is(what, time));
        let began = self.scenario.happens.iter().filter(|happening| happening.holds(time) && !before(happening.what));
        let began: Vec<_> = began.collect();
        let kinds: Vec<What> = began.iter().map(|happening| happening.what).collect();
        for run in self.children.keys().copied().collect::<Vec<_>>() {
            let facts = self.children.get_mut(&run).map(|child| child.changed(&kinds, present)).unwrap_or_default();
            facts.into_iter().for_each(|fact| self.tell(Event::Run(run, fact)));
        }
        if let Some(hold) = began.iter().find(|happening| happening.what == What::HoldOperator) {
            let until = hold.lasts.map(|lasts| Mono::new(self.now + lasts));
            let hold = Some(Hold { until, note: "root, for the migration".into() });
            self.tell(Event::Hold { by: Holder::Operator, hold });
        }
        if kinds.contains(&What::AgentRestart) {
            self.restart_agent();
        }
    }

    /// The agent is killed, and its child with it; what it carried is what was on the disk.
    fn restart_agent(&mut self) {
        let saved = serde_json::to_string(&self.verdict.carry()).expect("it is plain data");
        let carried: Carried = serde_json::from_str(&saved).expect("it was written by the same");
        self.verdict = Verdict::new(Config::default(), 8, carried, Mono::new(self.now));
        self.children.clear();
        self.agenda.retain(|_, item| matches!(item, Item::Look | Item::Change));
        self.plan(self.now + SECOND, Item::Boot);
    }

    fn tell(&mut self, event: Event) {
        if self.words == Words::Withheld && matches!(event, Event::Run(_, RunFact::Complained { .. })) {
            return;
        }
        self.verdict.handle(Mono::new(self.now), event);
        while let Some((id, order)) = self.verdict.poll_order() {
            if order == Order::MarkUnhealthy {
                let blame = self.verdict.view(Mono::new(self.now)).blame.map(|finding| finding.blame);
                self.record.marked_for.push(blame);
            }
            self.record.order(self.present().time, &order);
            self.carry_out(id, order);
        }
        while let Some(decision) = self.verdict.poll_decision() {
            self.record.decision(self.present().time, &decision);
        }
        if let Some(time) = self.present().time {
            let act = self.scenario.right.act;
            let view = self.verdict.view(Mono::new(self.now));
            let wanted = if self.scenario.happens.iter().any(|it| it.what == What::NewVersion) { "v2" } else { "v1" };
            let handed_over = view.health.is_registered()
                && view.installed.as_ref().is_some_and(|installed| installed.version.0 == wanted);
            self.record.look(act, time, &view, handed_over);
        }
    }

    /// Begins an order: what it gives is found when it is over.
    fn carry_out(&mut self, id: OrderId, order: Order) {
        let (takes, report) = match &order {
            Order::Probe { .. } => {
                let (takes, probes) = answers::probes(self.present());
                (takes, Some(Report::Probe(Ok(probes))))
            }
            Order::ReadGroup if self.present().is(What::GroupUnreachable) => (SECOND * 10, None),
            Order::ReadHoldTag if self.present().is(What::ImdsAway) => (SECOND * 2, None),
            Order::ReadHoldTag | Order::Start { .. } | Order::Restart { .. } | Order::Commit { .. } => {
                (SECOND / 10, None)
            }
            _ => (SECOND, None),
        };
        self.plan(self.now + takes, Item::Done(id, order, report));
    }

    fn done(&mut self, id: OrderId, order: &Order, report: Option<Report>) {
        let report = report.unwrap_or_else(|| self.report(order));
        self.tell(Event::Done(id, report));
    }

    fn report(&mut self, order: &Order) -> Report {
        let present = self.present();
        match order {
            Order::ReadSecret { known } => Report::ReadSecret(answers::secret(present).map(|version| {
                let same = known.as_ref().is_some_and(|known| known.0 == version);
                if same { SecretRead::Unchanged } else { SecretRead::New(VersionId(version.into())) }
            })),
            Order::Install { version } if version.0 == "bad" => {
                order.failed(Failure::new(FailureKind::Invalid, "the last ingress rule is no catch-all"))
            }
            Order::Install { version } => Report::Install(version.clone(), Ok(Taken::New(self.install(&version.0)))),
            Order::MarkUnhealthy => Report::MarkUnhealthy(self.mark(true)),
            Order::MarkHealthy => Report::MarkHealthy(self.mark(false)),
            Order::ReadGroup => Report::ReadGroup(answers::group(present, self.marked, self.rival)),
            Order::ReadPeers { since, zones, .. } => Report::ReadPeers(answers::peers(present, *since, zones)),
            Order::ReadHoldTag => Report::ReadHoldTag(answers::hold_tag(present)),
            Order::ReadPlace => Report::ReadPlace(answers::place(present, self.marked, self.rival)),
            Order::ReadNotices => Report::ReadNotices(Ok(Notices::default())),
            Order::ReadRefusals => Report::ReadRefusals(Ok(u32::from(present.is(What::PeersRefuse)))),
            Order::CompareOrigins { new, .. } => Report::CompareOrigins(*new, Ok(vec![])),
            Order::MeasureMemory { .. } => {
                Report::MeasureMemory(Ok(Memory { available: 600 << 20, connector: 60 << 20 }))
            }
            Order::ProbeEdge { transport, .. } => Report::ProbeEdge(*transport, Ok(answers::edge(present, *transport))),
            _ => self.host_result(order),
        }
    }

    /// What this host does itself.
    fn host_result(&mut self, order: &Order) -> Report {
        let present = self.present();
        match order {
            Order::Start { run, generation, purpose, .. } => {
                let Setting { transport, pinned, .. } = self.scenario.world;
                let transport = if *purpose == Purpose::Opinion { Transport::Http2 } else { transport };
                let child = Child::new(&self.versions[generation], self.now, transport, pinned);
                self.children.insert(*run, child);
            }
            Order::Restart { run, .. } => {
                if let Some(child) = self.children.get_mut(run) {
                    child.restart(present);
                }
            }
            Order::Drain { run } => _ = self.children.remove(run),
            Order::Commit { generation } => {
                self.current = Some(installed(*generation, &self.versions[generation]));
            }
            _ => {}
        }
        order.done().expect("the others were answered")
    }

    /// Sets the health, if the group lets it be set.
    fn mark(&mut self, unhealthy: bool) -> Result<bool, Failure> {
        let shown = !unhealthy || answers::mark(self.present())?;
        if shown && unhealthy {
            self.record.marks += u32::from(!self.marked);
            self.rival |= self.present().is(What::MarkedAtOnce);
        } else if shown {
            self.record.unmarks += u32::from(self.marked);
        }
        self.marked = if shown { unhealthy } else { self.marked };
        Ok(shown)
    }

    fn install(&mut self, version: &str) -> Installed {
        let generation = Generation(self.versions.len() as u64 + 1);
        self.versions.insert(generation, version.into());
        installed(generation, version)
    }
}

fn installed(generation: Generation, version: &str) -> Installed {
    let tunnel = "6ff42ae2-765d-4adf-8112-31c55c1551ef".into();
    Installed { generation, version: VersionId(version.into()), tunnel }
}
