//! cloudflared 2026.8.2 as it was observed, as far as its agent sees it; every random wait takes its longest.

use crate::reader::{Scenario, What};
use cflared_verdict::{Complaint, Ending, Observation, Ready, RunFact, Transport, Tries};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
/// From the start to the answer to the first registration.
const REGISTERS: Duration = Duration::from_secs(2);
/// From the first try over QUIC to the first over HTTP/2, with `--max-edge-addr-retries 1`.
const FALLS_BACK: Duration = Duration::from_secs(11);
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
    /// Whether it may use HTTP/2 where QUIC fails.
    pinned: bool,
    transport: Transport,
    begins_with: Transport,
    /// What the living child has counted.
    tries: Tries,
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

/// How far a try came that did not succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Came {
    /// Not to the edge.
    Nowhere,
    /// To an edge that did not answer the registration.
    Unanswered,
    /// To an edge that said no.
    Refused,
}

/// What an attempt to register comes to, unless it succeeds.
struct Trouble {
    complaint: Complaint,
    came: Came,
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

    /// Why nobody registers with that version over that transport, if nobody does. Over QUIC a refusal has no words, and no child
    /// ever exits.
    fn trouble(&self, version: &str, transport: Transport) -> Option<Trouble> {
        use Came::{Nowhere, Refused, Unanswered};
        let unless_new = version != "v2";
        let table = [
            (What::Dns, Complaint::DnsFailed, Nowhere, None),
            (What::EdgeRefused, Complaint::EdgeUnreachable, Nowhere, None),
            (What::EdgeBlackHole, Complaint::EdgeUnreachable, Nowhere, None),
            (What::UdpBlocked, Complaint::EdgeUnreachable, Nowhere, None),
            (What::LargeSentLost, Complaint::EdgeUnreachable, Nowhere, None),
            (What::LargeLost, Complaint::EdgeUnreachable, Nowhere, None),
            (What::EdgeHangs, Complaint::EdgeSilent, Unanswered, Some(SECOND)),
            (What::AnswersLost, Complaint::EdgeSilent, Unanswered, Some(SECOND)),
            (What::EdgeRejects, Complaint::EdgeRejected, Refused, Some(SECOND)),
            (What::Unauthorized, Complaint::Unauthorized, Refused, Some(SECOND * 8)),
            (What::TunnelGone, Complaint::TunnelGone, Refused, Some(SECOND)),
        ];
        let holds = |what| {
            self.is(what)
                && (what != What::Unauthorized || unless_new)
                && (what != What::UdpBlocked || transport == Transport::Quic)
        };
        let (_, complaint, came, exits) = table.into_iter().find(|(what, ..)| holds(*what))?;
        match (transport, came) {
            (Transport::Quic, Refused | Unanswered) => Some(Trouble { complaint: Complaint::Other, came, exits: None }),
            (Transport::Quic, Nowhere) | (Transport::Http2, _) => Some(Trouble { complaint, came, exits }),
        }
    }
}

impl Child {
    /// One whose first child is executed at once.
    pub fn new(version: &str, now: Duration, transport: Transport, pinned: bool) -> Self {
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
            pinned,
            transport,
            begins_with: transport,
            tries: Tries::default(),
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
            Step::Exit if present.is(What::Panics) => vec![self.exit("signal: 6 (SIGABRT)", present)],
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
        (self.tries, self.transport) = (Tries::default(), self.begins_with);
        (self.backoff, self.spawned, self.frozen) = (1, present.now, present.is(What::Frozen));
        let mut facts = vec![RunFact::Spawned { pid: self.pid, pinned: self.pinned.then_some(self.transport) }];
        let complaint = if present.is(What::PortTaken) {
            Some(Complaint::PortTaken)
        } else if present.is(What::ConfigRefused) && self.version != "v2" {
            Some(Complaint::ConfigRefused)
        } else if present.is(What::ExitsWithWords) {
            Some(Complaint::Other)
        } else {
            None
        };
        facts.extend(complaint.map(complain));
        self.next = match complaint {
            _ if self.frozen => None,
            Some(_) => Some((present.now + SECOND / 5, Step::Exit)),
            None if present.is(What::CrashLoop) || present.is(What::Panics) => Some((present.now + SECOND, Step::Exit)),
            None => Some((present.now + REGISTERS, Step::Try)),
        };
        facts
    }

    fn register(&mut self, present: Present<'_>) -> Vec<RunFact> {
        let Some(Trouble { complaint, came, exits }) = present.trouble(&self.version, self.transport) else {
            (self.registered, self.registered_once, self.backoff) = (true, true, 1);
            self.tries.accepted += 4;
            return self.client(present);
        };
        if self.transport == Transport::Quic {
            *self.tries.dialled.get_or_insert_default() += 1;
        }
        match came {
            Came::Nowhere => {}
            Came::Unanswered => self.tries.unanswered += 1,
            Came::Refused => self.tries.refused += 1,
        }
        // A child that was never registered over QUIC falls back, and only such a one.
        let falls_back = came == Came::Nowhere && self.transport == Transport::Quic && !self.pinned;
        self.next = match exits.filter(|_| !self.registered_once) {
            Some(exits) => Some((present.now + exits, Step::Exit)),
            None if falls_back && !self.registered_once => {
                self.transport = Transport::Http2;
                Some((present.now + FALLS_BACK, Step::Try))
            }
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
        let killers = [
            What::Killed,
            What::CrashLoop,
            What::Panics,
            What::ExitsWithWords,
            What::PortTaken,
            // The next one is given another port, so nothing else comes of these.
            What::OnePortTaken,
            What::BothPortsTaken,
            What::ConfigRefused,
        ];
        if self.alive && began.iter().any(|what| killers.contains(what)) {
            return vec![self.exit("signal: 9 (SIGKILL)", present)];
        }
        if self.alive && began.contains(&What::Frozen) {
            (self.frozen, self.next) = (true, None);
        }
        if self.is_registered() && present.trouble(&self.version, self.transport).is_some() {
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
                (Duration::ZERO, Ready::Foreign { owner: "python3 (pid 4711)".into() })
            }
            () if !self.alive => (Duration::ZERO, silent("connection refused")),
            () if self.frozen => (SECOND * 2, silent("no answer within 2 s")),
            () if self.registered => (Duration::ZERO, Ready::Yes { connections: 4 }),
            () => (Duration::ZERO, Ready::No),
        };
        let answers = matches!(ready, Ready::Yes { .. } | Ready::No);
        let tries = Some(self.tries).filter(|_| answers && !present.is(What::MetricsUnreadable));
        (takes, Observation { ready, ha_connections: None, tries, transport: Some(self.transport) })
    }
}

fn complain(complaint: Complaint) -> RunFact {
    RunFact::Complained { complaint, text: format!("{complaint:?}") }
}
