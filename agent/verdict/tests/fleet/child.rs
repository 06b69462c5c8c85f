//! cloudflared: how it registers, loses its registration, exits and is replaced, as the real one was seen to.

use super::fault::{Kind, Obstacle};
use super::secret::Flaw;
use super::trace::Entry;
use super::{Ev, Fleet, Ms, S};
use cflared_verdict::{Complaint, Ending, Event, Ready, RunFact, RunId, Transport, Tries};
use std::time::Duration;

/// One connector: a child process, or the pause between two of them.
#[derive(Debug, Clone)]
pub struct Child {
    pub version: u32,
    pub life: Life,
    pub spawned: Ms,
    /// Since when it is registered.
    pub registered: Option<Ms>,
    /// It was registered once: from then on it never exits by itself.
    pub ever: bool,
    pub frozen: bool,
    /// It tries no more.
    pub stuck: bool,
    /// The edge answers it no more, whatever it tries.
    faded: bool,
    /// When it was registered last, if it is not any more.
    pub lost: Option<Ms>,
    /// Its next step; earlier plans are void.
    pub plan: u64,
    /// How often it has backed off since it was registered.
    tries: u32,
    /// How often children exited before they were stable.
    unstable: u32,
    /// How every child of it begins, and how the living one goes on.
    begins: Transport,
    pub transport: Transport,
    /// What the living child has counted.
    pub counts: Tries,
    /// It is there for a second opinion: it is never respawned.
    pub opinion: bool,
}

/// From the first dial over QUIC to the first over HTTP/2, with `--max-edge-addr-retries 1`.
const FALLS_BACK: Ms = 11 * S;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    Up,
    Pause,
}

/// What a child does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// Dials the edge.
    Try,
    /// The registration is through, or the time for it is over.
    Register,
    /// Gives up waiting for the edge's answer.
    Silence,
    /// Notices that its connections are dead.
    Lose,
    /// Its version shows what is wrong with it.
    Fade,
    Exit,
    Spawn,
}

impl Child {
    fn new(version: u32, begins: Transport) -> Self {
        Self {
            version,
            life: Life::Pause,
            spawned: 0,
            registered: None,
            ever: false,
            frozen: false,
            stuck: false,
            faded: false,
            lost: None,
            plan: 0,
            tries: 0,
            unstable: 0,
            begins,
            transport: begins,
            counts: Tries::default(),
            opinion: false,
        }
    }

    pub fn up(&self) -> bool {
        self.life == Life::Up
    }

    /// What `/ready` says of it: its connections come a second apart.
    pub fn ready(&self, now: Ms) -> Ready {
        match self.registered {
            _ if !self.up() => Ready::Unanswered { why: "connection refused".into() },
            _ if self.frozen => Ready::Unanswered { why: "timed out".into() },
            Some(since) => Ready::Yes { connections: u32::try_from((now - since) / S + 1).map_or(4, |n| n.min(4)) },
            None => Ready::No,
        }
    }

    /// Whether clients get through it.
    pub fn carries(&self) -> bool {
        self.registered.is_some() && !self.frozen
    }

    fn lose(&mut self, now: Ms) {
        if self.registered.take().is_some() {
            self.lost = Some(now);
        }
    }

    pub fn steady(&self, now: Ms) -> bool {
        self.up() && !self.frozen && self.registered.is_some_and(|since| now - since > 10 * S)
    }
}

impl Fleet {
    /// A connector from that version is started.
    pub fn start_connector(&mut self, i: usize, run: RunId, version: u32, opinion: bool) {
        let begins = if opinion { Transport::Http2 } else { self.transport };
        self.instances[i].children.insert(run, Child { opinion, ..Child::new(version, begins) });
        self.plan(i, run, self.now, Step::Spawn);
    }

    /// Its living child is stopped and another one started, at once if there is none.
    pub fn restart_connector(&mut self, i: usize, run: RunId) {
        if let Some(child) = self.instances[i].children.get_mut(&run) {
            child.lose(self.now);
            child.life = Life::Pause;
            self.plan(i, run, self.now, Step::Spawn);
        }
    }

    fn plan(&mut self, i: usize, run: RunId, when: Ms, step: Step) {
        self.plans += 1;
        let plan = self.plans;
        if let Some(child) = self.instances[i].children.get_mut(&run) {
            child.plan = plan;
            self.at(when, Ev::Child(i, run, plan, step));
        }
    }

    pub fn child_step(&mut self, i: usize, run: RunId, plan: u64, step: Step) {
        let Some(child) = self.instances[i].children.get(&run).filter(|child| child.plan == plan) else { return };
        if child.frozen && step != Step::Spawn {
            return;
        }
        match step {
            Step::Spawn => self.spawn(i, run),
            Step::Try => self.dial(i, run),
            Step::Register => match self.obstacle(i, child.version, child.transport) {
                Some(_) => self.dial(i, run),
                None => self.register(i, run),
            },
            Step::Silence => self.rejected(i, run, Complaint::EdgeSilent, S),
            Step::Lose => self.lose(i, run),
            Step::Fade => self.fade(i, run),
            Step::Exit => self.exit(i, run),
        }
        self.stirred(i);
    }

    fn spawn(&mut self, i: usize, run: RunId) {
        let now = self.now;
        let Some(child) = self.instances[i].children.get_mut(&run) else { return };
        let (version, unstable, lost) = (child.version, child.unstable, child.lost);
        let (opinion, over) = (child.opinion, child.begins);
        *child = Child { life: Life::Up, spawned: now, unstable, lost, opinion, ..Child::new(version, over) };
        if self.obstacle(i, version, over) == Some(Obstacle::Binary) {
            return self.not_spawned(i, run);
        }
        self.instances[i].pids += 1;
        let pid = self.instances[i].pids;
        self.note(i, Entry::Spawned(run));
        self.watch.counts_load(now, |load| load.starts += 1);
        self.tell(i, Event::Run(run, RunFact::Spawned { pid, pinned: None }));
        self.look_by(i, now + S);
        match self.obstacle(i, version, over) {
            Some(Obstacle::Words) => {
                self.complain(i, run, Complaint::Other);
                self.plan(i, run, now + 50, Step::Exit);
            }
            Some(Obstacle::Config) => {
                self.complain(i, run, Complaint::ConfigRefused);
                self.plan(i, run, now + 50, Step::Exit);
            }
            Some(Obstacle::Port) => {
                self.complain(i, run, Complaint::PortTaken);
                self.plan(i, run, now + 50, Step::Exit);
            }
            Some(Obstacle::Crash) => {
                let lives = self.instances[i].rng.between(200, 9 * S);
                self.plan(i, run, now + lives, Step::Exit);
            }
            Some(Obstacle::Freeze) => self.freeze(i, run),
            _ => {
                let soon = self.instances[i].rng.between(100, 400);
                self.plan(i, run, now + soon, Step::Try);
            }
        }
    }

    fn not_spawned(&mut self, i: usize, run: RunId) {
        let respawn_in = self.pause(i, run, 0).map(Duration::from_millis);
        let why = "cloudflared: no such file".to_string();
        self.tell(i, Event::Run(run, RunFact::NotSpawned { why, respawn_in }));
    }

    fn complain(&mut self, i: usize, run: RunId, complaint: Complaint) {
        self.note(i, Entry::Complained(complaint));
        if self.plant.drops_complaints() {
            return;
        }
        self.tell(i, Event::Run(run, RunFact::Complained { complaint, text: String::new() }));
    }

    fn dial(&mut self, i: usize, run: RunId) {
        self.watch.counts_load(self.now, |load| load.dials += 1);
        let Some(child) = self.instances[i].children.get_mut(&run) else { return };
        let (version, faded, over, ever) = (child.version, child.faded, child.transport, child.ever);
        if over == Transport::Quic {
            *child.counts.dialled.get_or_insert_default() += 1;
        }
        match self.obstacle(i, version, over) {
            None if faded => self.plan(i, run, self.now + 5 * S, Step::Silence),
            None => {
                let slow = if self.secret.flaw(version) == Some(Flaw::Slow) { 65 * S } else { 0 };
                let takes = slow + self.instances[i].rng.between(S, 5 * S);
                self.plan(i, run, self.now + takes, Step::Register);
            }
            Some(Obstacle::Dns) => self.unreachable(i, run, Complaint::DnsFailed),
            Some(Obstacle::Unreachable | Obstacle::EdgeUnreachable) => {
                self.unreachable(i, run, Complaint::EdgeUnreachable);
            }
            // Only a child that was never connected over QUIC falls back.
            Some(Obstacle::Udp | Obstacle::Large) if ever || over == Transport::Http2 => {
                self.unreachable(i, run, Complaint::EdgeUnreachable);
            }
            Some(Obstacle::Udp | Obstacle::Large) => {
                if let Some(child) = self.instances[i].children.get_mut(&run) {
                    child.transport = Transport::Http2;
                }
                self.complain(i, run, Complaint::EdgeUnreachable);
                self.plan(i, run, self.now + FALLS_BACK, Step::Try);
            }
            Some(Obstacle::EdgeSilent | Obstacle::AnswersLost) => self.plan(i, run, self.now + 5 * S, Step::Silence),
            Some(Obstacle::EdgeRejects) => self.rejected(i, run, Complaint::EdgeRejected, S),
            Some(Obstacle::TunnelGone) => self.rejected(i, run, Complaint::TunnelGone, 1500),
            Some(Obstacle::Unauthorized) => self.rejected(i, run, Complaint::Unauthorized, 10 * S),
            // What befell it meanwhile ends it, or hangs it.
            Some(Obstacle::Freeze) => self.freeze(i, run),
            Some(Obstacle::Binary | Obstacle::Config | Obstacle::Port | Obstacle::Crash | Obstacle::Words) => {
                self.plan(i, run, self.now + S, Step::Exit);
            }
        }
    }

    fn unreachable(&mut self, i: usize, run: RunId, complaint: Complaint) {
        self.complain(i, run, complaint);
        self.back_off(i, run);
    }

    /// The edge answered and did not take it: fatal for the first registration only.
    fn rejected(&mut self, i: usize, run: RunId, complaint: Complaint, exits_after: Ms) {
        let Some(child) = self.instances[i].children.get_mut(&run) else { return };
        let silent = child.transport == Transport::Quic;
        *(if complaint == Complaint::EdgeSilent { &mut child.counts.unanswered } else { &mut child.counts.refused }) +=
            1;
        // Over QUIC it never says why, and never exits.
        self.complain(i, run, if silent { Complaint::Other } else { complaint });
        match self.instances[i].children.get(&run) {
            Some(child) if !child.ever && !silent => self.plan(i, run, self.now + exits_after, Step::Exit),
            _ => self.back_off(i, run),
        }
    }

    fn back_off(&mut self, i: usize, run: RunId) {
        let Some(child) = self.instances[i].children.get_mut(&run) else { return };
        let wait = (1 << child.tries.min(6)) * S;
        child.tries += 1;
        self.plan(i, run, self.now + wait, Step::Try);
    }

    fn register(&mut self, i: usize, run: RunId) {
        let now = self.now;
        let Some(child) = self.instances[i].children.get_mut(&run) else { return };
        (child.registered, child.lost, child.ever, child.tries) = (Some(now), None, true, 0);
        child.counts.accepted += 1;
        let version = child.version;
        self.note(i, Entry::Registered(run));
        if self.secret.flaw(version) == Some(Flaw::Fades) {
            let lasts = self.instances[i].rng.between(20 * S, 120 * S);
            self.plan(i, run, now + lasts, Step::Fade);
        }
    }

    fn lose(&mut self, i: usize, run: RunId) {
        let Some(child) = self.instances[i].children.get(&run) else { return };
        let (version, over) = (child.version, child.transport);
        if child.registered.is_none() || !self.obstacles(i, version, over).iter().any(|found| found.cuts()) {
            return;
        }
        self.drop_connections(i, run);
    }

    fn fade(&mut self, i: usize, run: RunId) {
        if let Some(child) = self.instances[i].children.get_mut(&run) {
            child.faded = true;
            self.drop_connections(i, run);
        }
    }

    fn drop_connections(&mut self, i: usize, run: RunId) {
        if let Some(child) = self.instances[i].children.get_mut(&run) {
            child.lose(self.now);
            self.note(i, Entry::Lost(run));
            self.plan(i, run, self.now + S, Step::Try);
            self.stirred(i);
        }
    }

    fn freeze(&mut self, i: usize, run: RunId) {
        if let Some(child) = self.instances[i].children.get_mut(&run) {
            child.frozen = true;
            self.note(i, Entry::Froze(run));
            self.stirred(i);
        }
    }

    fn stick(&mut self, i: usize, run: RunId) {
        if let Some(child) = self.instances[i].children.get_mut(&run) {
            child.stuck = true;
            // A plan that never comes.
            self.plan(i, run, Ms::MAX / 2, Step::Try);
        }
    }

    fn exit(&mut self, i: usize, run: RunId) {
        let Some(child) = self.instances[i].children.get(&run) else { return };
        let ran = self.now - child.spawned;
        self.note(i, Entry::Exited(run));
        let respawn_in = self.pause(i, run, ran);
        let (after, respawn_in) = (Duration::from_millis(ran), respawn_in.map(Duration::from_millis));
        self.tell(
            i,
            Event::Run(
                run,
                RunFact::Exited { how: "exit status: 1".into(), ending: Ending::Status, after, respawn_in },
            ),
        );
    }

    /// The child is no more; says when the next one is executed.
    fn pause(&mut self, i: usize, run: RunId, ran: Ms) -> Option<Ms> {
        let now = self.now;
        let instance = &mut self.instances[i];
        let child = instance.children.get_mut(&run)?;
        child.lose(now);
        (child.life, child.frozen) = (Life::Pause, false);
        if child.opinion {
            return None;
        }
        let respawn_in = if ran >= 30 * S {
            child.unstable = 0;
            0
        } else {
            let delay = (1u64 << child.unstable.min(5)).min(30) * S;
            child.unstable += 1;
            delay + instance.rng.between(0, delay)
        };
        self.plan(i, run, now + respawn_in, Step::Spawn);
        Some(respawn_in)
    }

    /// What stands in the instance's way may have changed.
    pub fn weather(&mut self, i: usize) {
        if self.instances[i].gone || self.instances[i].next_weather != Some(self.now) {
            return;
        }
        self.weather_again(i);
        let runs: Vec<RunId> = self.instances[i].children.keys().copied().collect();
        for run in runs {
            let Some(child) = self.instances[i].children.get(&run) else { continue };
            if !child.up() || child.frozen {
                continue;
            }
            let (registered, found) = (child.registered.is_some(), self.obstacles(i, child.version, child.transport));
            let ends = [Obstacle::Crash, Obstacle::Port, Obstacle::Words];
            if ends.iter().any(|end| found.contains(end)) {
                self.plan(i, run, self.now + 50, Step::Exit);
            } else if found.contains(&Obstacle::Freeze) {
                self.freeze(i, run);
            } else if registered && found.iter().any(|found| found.cuts()) {
                let notices = self.instances[i].rng.between(0, 5 * S);
                self.plan(i, run, self.now + notices, Step::Lose);
            }
        }
        self.stirred(i);
    }

    /// What strikes once.
    pub fn strike(&mut self, i: usize, kind: Kind) {
        let runs: Vec<RunId> = self.instances[i].children.keys().copied().collect();
        for run in runs {
            let Some(child) = self.instances[i].children.get(&run).filter(|child| child.up()) else { continue };
            match kind {
                Kind::FrozenOnce => self.freeze(i, run),
                Kind::Dropped if child.registered.is_some() => {
                    self.drop_connections(i, run);
                }
                Kind::StuckOnce => {
                    self.drop_connections(i, run);
                    self.stick(i, run);
                }
                _ => {}
            }
        }
    }

    /// When the instance's weather changes next.
    pub fn weather_again(&mut self, i: usize) {
        let zone = self.instances[i].zone;
        let next = self
            .faults
            .iter()
            .filter(|fault| fault.concerns(i, zone))
            .filter_map(|fault| fault.changes(i, self.now))
            .min();
        self.instances[i].next_weather = next;
        if let Some(next) = next {
            self.at(next, Ev::Weather(i));
        }
    }
}
