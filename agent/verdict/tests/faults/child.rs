//! cloudflared 2026.8.2 as it was observed, as far as its agent sees it; every random wait takes its longest.

use crate::reader::{Scenario, What};
use cflared_verdict::{Complaint, Ending, Observation, Ready, RunFact};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
/// From the start to the answer to the first registration.
const REGISTERS: Duration = Duration::from_secs(2);
/// The longest wait between two tries of a connection.
const LONGEST: u32 = 64;
/// A child that ran so long was stable: its first exit is answered at once.
const STABLE: Duration = Duration::from_secs(30);
/// The longest wait until the next child.
const LONGEST_RESPAWN: Duration = Duration::from_secs(60);

/// One connector: a child, and those that replace it.
#[derive(Debug)]
pub struct Child {
    /// The version of the secret that it runs from.
    pub version: String,
    /// What it does next, at that time after the break (which lies [`EARLY`](crate::world::EARLY) after the beginning).
    pub next: Option<(Duration, Step)>,
    alive: bool,
    frozen: bool,
    registered: bool,
    registered_once: bool,
    backoff: u32,
    spawned: Duration,
    crashes: u32,
    pid: u32,
}

/// What it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    Spawn,
    Try,
    Exit,
    /// A client asks for the origin.
    Client,
}

/// What an attempt to register comes to, unless it succeeds.
struct Trouble {
    complaint: Complaint,
    /// From the complaint to the exit of a child that was never registered; none: it stays.
    exits: Option<Duration>,
}

/// The scenario and the time after the beginning at which something is asked of it.
#[derive(Clone, Copy)]
pub struct Present<'a> {
    pub scenario: &'a Scenario,
    /// The time since the break; none before it.
    pub time: Option<Duration>,
    /// The time since the beginning.
    pub now: Duration,
}

impl Present<'_> {
    pub fn is(&self, what: What) -> bool {
        self.time.is_some_and(|time| self.scenario.is(what, time))
    }

    /// Why nobody registers with that version, if nobody does.
    fn trouble(&self, version: &str) -> Option<Trouble> {
        let unless_new = version != "v2";
        let table = [
            (What::Dns, Complaint::DnsFailed, None),
            (What::EdgeRefused, Complaint::EdgeUnreachable, None),
            (What::EdgeBlackHole, Complaint::EdgeUnreachable, None),
            (What::UdpBlockedPinned, Complaint::EdgeUnreachable, None),
            (What::EdgeHangs, Complaint::EdgeSilent, Some(SECOND)),
            (What::EdgeRejects, Complaint::EdgeRejected, Some(SECOND)),
            (What::Unauthorized, Complaint::Unauthorized, Some(SECOND * 8)),
            (What::TunnelGone, Complaint::TunnelGone, Some(SECOND)),
        ];
        let holds = |what| self.is(what) && (what != What::Unauthorized || unless_new);
        let found = table.into_iter().find(|(what, ..)| holds(*what));
        let fallback = self.scenario.now(What::UdpBlocked, self.time?).filter(|udp| {
            // How long the real one takes to fall back was not observed; a guess on the long side.
            self.time.is_some_and(|time| time < udp.at + SECOND * 20)
        });
        let fallback = fallback.map(|_| Trouble { complaint: Complaint::EdgeUnreachable, exits: None });
        found.map(|(_, complaint, exits)| Trouble { complaint, exits }).or(fallback)
    }
}

impl Child {
    /// One whose first child is executed at once.
    pub fn new(version: &str, now: Duration) -> Self {
        Self {
            version: version.into(),
            next: Some((now, Step::Spawn)),
            alive: false,
            frozen: false,
            registered: false,
            registered_once: false,
            backoff: 1,
            spawned: now,
            crashes: 0,
            pid: 100,
        }
    }

    pub fn is_registered(&self) -> bool {
        self.alive && !self.frozen && self.registered
    }

    /// It does what is next.
    pub fn step(&mut self, step: Step, present: Present<'_>) -> Vec<RunFact> {
        self.next = None;
        match step {
            Step::Spawn => self.spawn(present),
            Step::Try => self.register(present),
            Step::Exit => vec![self.exit("exit status: 1", present)],
            Step::Client => self.client(present),
        }
    }

    /// It is killed and replaced at the agent's order.
    pub fn restart(&mut self, present: Present<'_>) {
        (self.alive, self.registered) = (false, false);
        self.next = Some((present.now, Step::Spawn));
    }

    fn spawn(&mut self, present: Present<'_>) -> Vec<RunFact> {
        self.pid += 1;
        (self.alive, self.registered, self.registered_once) = (true, false, false);
        (self.backoff, self.spawned, self.frozen) = (1, present.now, present.is(What::Frozen));
        let mut facts = vec![RunFact::Spawned { pid: self.pid, pinned: None }];
        let complaint = if present.is(What::PortTaken) {
            Some(Complaint::PortTaken)
        } else if present.is(What::ConfigRefused) && self.version != "v2" {
            Some(Complaint::ConfigRefused)
        } else {
            None
        };
        facts.extend(complaint.map(complain));
        self.next = match complaint {
            _ if self.frozen => None,
            Some(_) => Some((present.now + SECOND / 5, Step::Exit)),
            None if present.is(What::CrashLoop) => Some((present.now + SECOND, Step::Exit)),
            None => Some((present.now + REGISTERS, Step::Try)),
        };
        facts
    }

    fn register(&mut self, present: Present<'_>) -> Vec<RunFact> {
        let Some(Trouble { complaint, exits }) = present.trouble(&self.version) else {
            (self.registered, self.registered_once, self.backoff) = (true, true, 1);
            return self.client(present);
        };
        self.next = match exits.filter(|_| !self.registered_once) {
            Some(exits) => Some((present.now + exits, Step::Exit)),
            None => Some((present.now + SECOND * self.backoff, Step::Try)),
        };
        self.backoff = (self.backoff * 2).min(LONGEST);
        vec![complain(complaint)]
    }

    fn client(&mut self, present: Present<'_>) -> Vec<RunFact> {
        self.next = Some((present.now + SECOND * 20, Step::Client));
        present.is(What::OriginDown).then(|| complain(Complaint::OriginUnreachable)).into_iter().collect()
    }

    fn exit(&mut self, how: &str, present: Present<'_>) -> RunFact {
        (self.alive, self.registered) = (false, false);
        let after = present.now - self.spawned;
        let respawn_in = if after >= STABLE {
            self.crashes = 0;
            Duration::ZERO
        } else {
            self.crashes += 1;
            (SECOND * (1 << self.crashes.min(6))).min(LONGEST_RESPAWN)
        };
        self.next = Some((present.now + respawn_in, Step::Spawn));
        RunFact::Exited {
            how: how.into(),
            ending: if how.starts_with("signal") { Ending::Crash } else { Ending::Status },
            after,
            respawn_in: Some(respawn_in),
        }
    }

    /// Something began or ended.
    pub fn changed(&mut self, began: &[What], present: Present<'_>) -> Vec<RunFact> {
        let killers = [What::Killed, What::CrashLoop, What::PortTaken, What::ConfigRefused];
        if self.alive && began.iter().any(|what| killers.contains(what)) {
            return vec![self.exit("signal: 9 (SIGKILL)", present)];
        }
        if self.alive && began.contains(&What::Frozen) {
            (self.frozen, self.next) = (true, None);
        }
        if self.is_registered() && present.trouble(&self.version).is_some() {
            self.registered = false;
            self.next = Some((present.now + SECOND, Step::Try));
        }
        vec![]
    }

    /// What its metrics server says, and how long that takes.
    pub fn look(&self, present: Present<'_>) -> (Duration, Observation) {
        let silent = |why: &str| Ready::Unanswered { why: why.into() };
        let (takes, ready) = match () {
            () if present.is(What::PortTaken) => {
                (Duration::ZERO, Ready::Foreign { owner: "5c1ad4d6-1b9f-43f5-8d0c-6b0d1f1f6d0a".into() })
            }
            () if !self.alive => (Duration::ZERO, silent("connection refused")),
            () if self.frozen => (SECOND * 2, silent("no answer within 2 s")),
            () if self.registered => (Duration::ZERO, Ready::Yes { connections: 4 }),
            () => (Duration::ZERO, Ready::No),
        };
        (takes, Observation { ready, ha_connections: None, tries: None, transport: None })
    }
}

fn complain(complaint: Complaint) -> RunFact {
    RunFact::Complained { complaint, text: format!("{complaint:?}") }
}
