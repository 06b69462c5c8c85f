//! The connectors: which serves, which is on trial, which is on its way out.

use crate::reports::PendingOrders;
use crate::{
    Complaint, Ending, Generation, Installed, Mono, Observation, Order, Purpose, Ready, Reason, RunFact, RunId, Stop,
    Transport, VersionId,
};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

mod tries;
use tries::TRIES_BY;
pub use tries::{Attempts, Refusals};

/// One connector, as far as it is known.
#[derive(Debug, Clone, PartialEq, Hash)]
pub struct Run {
    /// The bundle that it serves: the one that it was started from, or a later one that means the same to it.
    pub installed: Installed,
    /// Which metrics address it has: 0 or 1.
    pub slot: usize,
    /// What it is there for.
    pub role: Role,
    /// When it was ordered.
    pub ordered: Mono,
    /// Its living child's process id.
    pub pid: Option<u32>,
    /// When that child was executed.
    pub since: Option<Mono>,
    /// What its living child said last.
    pub ready: Option<Ready>,
    /// When that was.
    pub observed: Option<Mono>,
    /// The gauge that contradicts `ready` now and then.
    pub ha_connections: Option<u32>,
    /// The most connections that its living child has held.
    pub most: u32,
    /// Whether one of its children was ever registered.
    pub registered_once: bool,
    /// How the last child that ended by itself did so.
    pub last_exit: Option<String>,
    /// How often a child ended by itself.
    pub exits: u32,
    /// When the last of these were that only the process can be blamed for: a crash, or an exit without a word of why.
    pub own_exits: VecDeque<(Mono, Ending)>,
    /// Whether the child that lives, or lived last, has said why it cannot go on, or what else is wrong.
    complained: bool,
    /// Whether the last exit counts as the process's own unless words that come late explain it.
    unexplained: bool,
    room: Room,
    /// When it last said that it does not reach the edge, after it had had its time to try.
    pub(crate) cut_off: Option<Mono>,
    /// Whether the last try to execute a child failed.
    pub not_spawned: bool,
    /// What its children complained of since one was last registered: when last, and in which words.
    pub complaints: BTreeMap<Complaint, (Mono, String)>,
    /// What its registrations came to since it was last registered, by its own counts.
    pub attempts: Attempts,
    /// How its connections reach the edge, as seen last.
    pub transport: Option<Transport>,
    /// The transport that it must use.
    pub pinned: Option<Transport>,
}

/// So many exits without a word, within [`Config::crash_window`](crate::Config), are a crash loop.
pub(crate) const CRASH_LOOP: usize = 3;

/// Whether the living child makes room for another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Room {
    No,
    /// It was told to.
    Made,
    /// That was reported at that time, and the next child has not been heard of yet.
    MadeBy(Mono),
}

/// What a child said last may be read after its exit: this part of the time in which exits are counted, 5 s by default.
const LATE_WORDS: u32 = 48;

/// The words of a try that did not get as far as a registration.
pub(crate) const WAY: [Complaint; 2] = [Complaint::DnsFailed, Complaint::EdgeUnreachable];

/// What a connector is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// It carries the tunnel.
    Serving,
    /// It is to take over when it has registered and settled.
    Successor {
        /// When that is given up.
        until: Mono,
        /// Since when it has held enough connections.
        enough_since: Option<Mono>,
    },
    /// It says over HTTP/2 why the one that serves is refused.
    Opinion,
    /// It was told to stop.
    Leaving,
}

impl Run {
    pub(crate) fn new(installed: Installed, slot: usize, role: Role, ordered: Mono) -> Self {
        Self {
            installed,
            slot,
            role,
            ordered,
            pid: None,
            since: None,
            ready: None,
            ha_connections: None,
            most: 0,
            registered_once: false,
            last_exit: None,
            exits: 0,
            own_exits: VecDeque::new(),
            complained: false,
            unexplained: false,
            room: Room::No,
            cut_off: None,
            observed: None,
            not_spawned: false,
            complaints: BTreeMap::new(),
            attempts: Attempts::default(),
            transport: None,
            pinned: None,
        }
    }

    /// How many connections it holds.
    pub fn connections(&self) -> u32 {
        match self.ready {
            Some(Ready::Yes { connections }) => connections,
            _ => 0,
        }
    }

    /// Whether its children end again and again, by crashes or without saying why, later than `after`.
    pub(crate) fn is_crashing(&self, now: Mono, window: Duration, after: Mono) -> bool {
        // Words may still come that explain the last one.
        let last = self.own_exits.len().saturating_sub(1);
        let late = |at: Mono, number| number == last && now.since(at) < window / LATE_WORDS;
        let counts = |(number, (at, ending)): &(usize, &(Mono, Ending))| {
            *at > after && now.since(*at) <= window && (*ending == Ending::Crash || !late(*at, *number))
        };
        self.own_exits.iter().enumerate().filter(counts).count() >= CRASH_LOOP
    }

    /// Whether it is crashes alone that make it so, which words do not explain.
    pub(crate) fn is_killed(&self, now: Mono, window: Duration) -> bool {
        let crashes = self.own_exits.iter().filter(|(_, ending)| *ending == Ending::Crash);
        crashes.filter(|(at, _)| now.since(*at) <= window).count() >= CRASH_LOOP
    }

    /// How long its living child has lived.
    fn lived(&self, now: Mono) -> Duration {
        self.since.map_or(Duration::ZERO, |since| now.since(since))
    }

    /// Whether its child does not answer because it is being stopped for another one.
    fn makes_room(&self, now: Mono, ready: &Ready) -> bool {
        let hung = matches!(self.ready, Some(Ready::Unanswered { .. }));
        let told = match self.room {
            Room::No => false,
            Room::Made => true,
            Room::MadeBy(at) => now.since(at) < TRIES_BY,
        };
        told && !hung && matches!(ready, Ready::Unanswered { .. })
    }

    /// Whether it is known what its tries came to: they were counted lately, or it says itself that nobody answered.
    pub(crate) fn tries_are_known(&self, now: Mono, lasts: Duration) -> bool {
        let said = self.complaints.get(&Complaint::EdgeSilent).map(|(at, _)| *at);
        [self.attempts.read_at(), said].into_iter().flatten().any(|at| now.since(at) <= lasts)
    }

    /// What it said, if its files cannot be used.
    pub(crate) fn refused_files(&self) -> Option<&str> {
        self.said(&[Complaint::ConfigRefused, Complaint::CredentialsUnreadable])
    }

    /// What it said, if the fault is its bundle's: it would be the same on every host.
    pub(crate) fn fault_of_bundle(&self) -> Option<&str> {
        self.refused_files().or_else(|| self.said(&[Complaint::Unauthorized, Complaint::TunnelGone]))
    }

    fn said(&self, complaints: &[Complaint]) -> Option<&str> {
        complaints.iter().find_map(|complaint| self.complaints.get(complaint)).map(|(_, text)| text.as_str())
    }

    /// Takes a fact. Says whether the edge refused it once more.
    pub(crate) fn learn(&mut self, now: Mono, fact: RunFact) -> bool {
        match fact {
            RunFact::Spawned { pid, pinned } => {
                self.child_is(Some(pid));
                self.attempts.begin();
                (self.since, self.pinned, self.room) = (Some(now), pinned, Room::No);
                (self.not_spawned, self.complained, self.unexplained) = (false, false, false);
            }
            RunFact::Exited { how, ending, .. } => self.exited(now, how, ending),
            RunFact::NotSpawned { why, .. } => {
                self.child_is(None);
                (self.not_spawned, self.last_exit) = (true, Some(why));
            }
            RunFact::Observed(seen) => return self.look(now, seen),
            RunFact::Complained { complaint, text } => self.hear(now, complaint, text),
        }
        false
    }

    fn exited(&mut self, now: Mono, how: String, ending: Ending) {
        self.child_is(None);
        self.exits += 1;
        let explained = self.complained || self.attempts.reached();
        self.unexplained = ending == Ending::Status && !explained;
        if ending == Ending::Crash || self.unexplained {
            // One more than counts: words may explain the last one yet.
            if self.own_exits.len() > CRASH_LOOP {
                self.own_exits.pop_front();
            }
            self.own_exits.push_back((now, ending));
        }
        self.last_exit = Some(how);
    }

    /// One look at it. Says whether the edge refused it once more.
    fn look(&mut self, now: Mono, Observation { ready, ha_connections, tries, transport }: Observation) -> bool {
        if self.makes_room(now, &ready) {
            return false;
        }
        if let Room::MadeBy(_) = self.room {
            self.room = Room::No;
        }
        self.ready = Some(ready);
        self.transport = transport.or(self.transport);
        self.observed = Some(now);
        self.ha_connections = ha_connections.or(self.ha_connections);
        self.most = self.most.max(self.connections());
        if self.connections() > 0 {
            (self.registered_once, self.cut_off) = (true, None);
            // An origin's trouble shows only while it is registered.
            self.complaints.retain(|complaint, _| *complaint == Complaint::OriginUnreachable);
            self.attempts.registered(tries);
            return false;
        }
        let lived = self.lived(now);
        tries.is_some_and(|tries| self.attempts.learn(now, lived, tries))
    }

    fn hear(&mut self, now: Mono, complaint: Complaint, text: String) {
        if WAY.contains(&complaint) && self.lived(now) >= TRIES_BY {
            self.cut_off = Some(now);
            self.attempts.cut_off();
        }
        self.complaints.insert(complaint, (now, text));
        // Last words may come after the exit that they explain.
        if complaint != Complaint::OriginUnreachable {
            self.complained = true;
            if std::mem::take(&mut self.unexplained) {
                self.own_exits.pop_back();
            }
        }
    }

    /// A new child, or none, has said nothing and holds nothing.
    fn child_is(&mut self, pid: Option<u32>) {
        self.pid = pid;
        self.since = None;
        self.ready = None;
        self.ha_connections = None;
        self.most = 0;
    }

    /// Why it counts as it does, for a person.
    pub fn evidence(&self) -> String {
        let contradiction = match self.ha_connections {
            Some(gauge) if gauge != self.connections() => {
                format!(" (ha_connections shows {gauge}; it counts attempts, not registrations)")
            }
            _ => String::new(),
        };
        match (&self.ready, self.pid) {
            // It is why ours cannot stay, so it comes before that.
            (Some(Ready::Foreign { owner }), _) => {
                format!("{owner} answers on our metrics port; stop it")
            }
            (_, None) => match &self.last_exit {
                Some(how) => format!("cloudflared is not running: {how}"),
                None => "cloudflared is being started".into(),
            },
            (None, Some(pid)) => format!("cloudflared (pid {pid}) has not been observed yet"),
            (Some(Ready::Yes { connections: 1 }), _) => "/ready: 1 connection".into(),
            (Some(Ready::Yes { connections }), _) => format!("/ready: {connections} connections"),
            (Some(Ready::No), _) => format!("/ready: not registered with the edge{contradiction}"),
            (Some(Ready::Unanswered { why }), _) => format!("/ready does not answer: {why}"),
        }
    }
}

/// All connectors of this agent's life that have not ended.
#[derive(Debug, Clone, Default, Hash)]
pub struct Connectors {
    runs: BTreeMap<RunId, Run>,
    last: u32,
}

impl Connectors {
    /// Starts one on the metrics address that is free, and names it.
    pub fn start(&mut self, orders: &mut PendingOrders, now: Mono, installed: Installed, role: Role) -> RunId {
        self.last += 1;
        let (run, generation) = (RunId(self.last), installed.generation);
        let slot = usize::from(self.runs.values().any(|run| run.slot == 0));
        let purpose = if role == Role::Opinion { Purpose::Opinion } else { Purpose::Serve };
        self.runs.insert(run, Run::new(installed, slot, role, now));
        orders.give(Order::Start { run, generation, slot, purpose });
        run
    }

    /// One that was started for a second opinion is wanted for more.
    pub fn adopt(&mut self, orders: &mut PendingOrders, run: RunId, role: Role) {
        if let Some(adopted) = self.runs.get_mut(&run) {
            adopted.role = role;
            orders.give(Order::Adopt { run });
        }
    }

    /// The one on trial carries the tunnel.
    pub fn promote(&mut self, run: RunId) {
        if let Some(successor) = self.runs.get_mut(&run) {
            successor.role = Role::Serving;
        }
    }

    /// Its child is replaced by another one.
    pub fn restart(&mut self, orders: &mut PendingOrders, run: RunId, reason: Reason, stop: Stop) {
        if let Some(replaced) = self.runs.get_mut(&run) {
            replaced.room = Room::Made;
        }
        orders.give(Order::Restart { run, reason, stop });
    }

    /// The order to replace a child is reported.
    pub fn restarted(&mut self, now: Mono) {
        self.runs.values_mut().filter(|run| run.room == Room::Made).for_each(|run| run.room = Room::MadeBy(now));
    }

    /// Lets go of it.
    pub fn drain(&mut self, orders: &mut PendingOrders, run: RunId) {
        if let Some(leaving) = self.runs.get_mut(&run) {
            leaving.role = Role::Leaving;
            orders.give(Order::Drain { run });
        }
    }

    /// Lets go of all that stay.
    pub fn drain_all(&mut self, orders: &mut PendingOrders) {
        for (run, leaving) in self.runs.iter_mut().filter(|(_, run)| run.role != Role::Leaving) {
            leaving.role = Role::Leaving;
            orders.give(Order::Drain { run: *run });
        }
    }

    /// Nothing of it is left.
    pub fn ended(&mut self, id: RunId) -> Option<Run> {
        self.runs.remove(&id)
    }

    /// Takes a fact. Says whether the edge refused that connector once more.
    pub fn learn(&mut self, now: Mono, id: RunId, fact: RunFact) -> bool {
        self.runs.get_mut(&id).is_some_and(|run| run.learn(now, fact))
    }

    /// The one that serves is of that bundle too, which means the same to it: it goes on from the files that it was started
    /// with, and what `current` names is what is gone back to. Gives the version before.
    pub fn renamed(&mut self, installed: Installed) -> Option<VersionId> {
        let serving = self.runs.values_mut().find(|run| run.role == Role::Serving)?;
        Some(std::mem::replace(&mut serving.installed, installed).version)
    }

    pub fn get(&self, id: RunId) -> Option<&Run> {
        self.runs.get(&id)
    }

    pub fn iter(&self) -> impl Iterator<Item = (RunId, &Run)> {
        self.runs.iter().map(|(id, run)| (*id, run))
    }

    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// The one that carries the tunnel.
    pub fn serving(&self) -> Option<(RunId, &Run)> {
        self.iter().find(|(_, run)| run.role == Role::Serving)
    }

    /// The one on trial.
    pub fn successor(&self) -> Option<(RunId, &Run)> {
        self.iter().find(|(_, run)| matches!(run.role, Role::Successor { .. }))
    }

    /// Both metrics addresses are taken, so no further connector can be started.
    pub fn full(&self) -> bool {
        self.runs.len() >= 2
    }

    /// How the successor's trial stands; keeps its clock.
    pub fn trial(&mut self, now: Mono, needed: u32, settle: Duration) -> Option<(RunId, Trial)> {
        let (id, run) = self.runs.iter_mut().find(|(_, run)| matches!(run.role, Role::Successor { .. }))?;
        let (connections, generation) = (run.connections(), run.installed.generation);
        let Role::Successor { until, enough_since } = &mut run.role else { return None };
        *enough_since = (connections >= needed).then(|| enough_since.unwrap_or(now));
        let trial = match *enough_since {
            Some(since) if now.since(since) >= settle => Trial::Passed { generation },
            None if now >= *until => Trial::Failed { evidence: run.evidence() },
            _ if connections > 0 => Trial::Registered { generation },
            _ => Trial::Waiting,
        };
        Some((*id, trial))
    }
}

/// How a successor's trial stands.
#[derive(Debug, PartialEq, Eq)]
pub enum Trial {
    /// It holds nothing yet.
    Waiting,
    /// It is registered, and has not settled.
    Registered { generation: Generation },
    /// It has settled.
    Passed { generation: Generation },
    /// Its time is over.
    Failed { evidence: String },
}
