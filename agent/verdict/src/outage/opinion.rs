//! A second opinion: why the edge refuses a connector over QUIC, which never says so.
//!
//! A connector of the same bundle runs for some seconds with `--protocol http2`. It says the cause, or it registers, and then it
//! serves. It never stands in the way of anything else that needs its place.
//!
//! It is asked for after two refusals over QUIC, 12 s after the first, if TCP greets and memory allows it. It is never respawned, and
//! ends at once for an install, a reload, a return or a drain. If it names the credentials or the tunnel, the blame is *credentials* for
//! as long as the connector is refused; any other cause is shown with blame *refused*; an exit or silence is evidence of nothing.

use crate::change::OPINION_RUNS;
use crate::connectors::Role;
use crate::jitter::Jitter;
use crate::{
    Blame, Complaint, DecisionKind, Failure, Memory, Mode, Mono, Order, Reach, RunFact, RunId, Transport, Verdict,
};
use std::time::Duration;

/// How long after the first refusal one is asked for, and the spread on top, for an edge that refuses refuses many at once.
const AFTER: Duration = Duration::from_secs(12);
const SPREAD: Duration = Duration::from_secs(5);
/// So many refusals were answered before one is asked for.
const REFUSALS: u64 = 2;
/// The next one comes so long after it, then after twice as long, at most an hour.
const AGAIN: Duration = Duration::from_secs(300);
const SELDOM: Duration = Duration::from_secs(3600);

/// What a second opinion said.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Told {
    pub complaint: Complaint,
    pub text: String,
}

/// How far one has come.
#[derive(Debug, Clone, Default, Hash)]
pub(crate) struct Opinion {
    stage: Stage,
    /// How often one was asked for in this outage, and when the next may be.
    times: u32,
    next: Option<Mono>,
    told: Option<Told>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Hash)]
enum Stage {
    #[default]
    Idle,
    /// Whether the edge greets over TCP is tried.
    Greeting,
    /// Whether a second connector finds room is looked up.
    Measuring,
    /// It runs.
    Asking { run: RunId, until: Mono },
}

impl Opinion {
    /// What the last one said of this outage.
    pub fn told(&self) -> Option<&Told> {
        self.told.as_ref()
    }

    /// The tunnel is registered, or another bundle serves.
    pub fn over(&mut self) {
        (self.times, self.next, self.told) = (0, None, None);
    }

    /// Whether one runs.
    pub fn is_asked(&self) -> bool {
        self.run().is_some()
    }

    fn run(&self) -> Option<RunId> {
        match self.stage {
            Stage::Idle | Stage::Greeting | Stage::Measuring => None,
            Stage::Asking { run, .. } => Some(run),
        }
    }

    /// What that connector says counts, if it was asked.
    pub fn hear(&mut self, id: RunId, fact: &RunFact) {
        let RunFact::Complained { complaint, text } = fact else { return };
        let answers = match complaint {
            Complaint::Unauthorized | Complaint::TunnelGone | Complaint::EdgeRejected => true,
            Complaint::ConfigRefused
            | Complaint::CredentialsUnreadable
            | Complaint::PortTaken
            | Complaint::DnsFailed
            | Complaint::EdgeUnreachable
            | Complaint::EdgeSilent
            | Complaint::OriginUnreachable
            | Complaint::Other => false,
        };
        if answers && self.run() == Some(id) {
            self.told = Some(Told { complaint: *complaint, text: text.clone() });
        }
    }

    /// When the next one may be asked for, that long after the first refusal.
    fn due(&mut self, first: Mono, jitter: &mut Jitter) -> Mono {
        *self.next.get_or_insert_with(|| first + AFTER + jitter.up_to(SPREAD))
    }

    /// One is over, or came to nothing.
    fn ended(&mut self, now: Mono) {
        self.stage = Stage::Idle;
        self.times = self.times.saturating_add(1);
        let doubled = AGAIN.saturating_mul(2u32.saturating_pow((self.times - 1).min(8)));
        self.next = Some(now + doubled.min(SELDOM));
    }

    /// When it wants to be looked at.
    pub fn moment(&self) -> Option<Mono> {
        match self.stage {
            Stage::Idle => self.next,
            Stage::Greeting | Stage::Measuring => None,
            Stage::Asking { until, .. } => Some(until),
        }
    }
}

impl Verdict {
    pub(crate) fn step_opinion(&mut self, now: Mono) {
        match self.outage.opinion.stage {
            Stage::Idle => self.ask_opinion(now),
            Stage::Greeting | Stage::Measuring => {}
            Stage::Asking { run, until } => self.watch_opinion(now, run, until),
        }
    }

    /// Whether one may be asked for: nothing else needs the second place.
    fn may_ask_opinion(&self, now: Mono) -> bool {
        let busy = self.change.needs_the_second_place() || self.connectors.full() || self.return_comes_first(now);
        self.config.second_opinion && self.config.mode == Mode::Act && !busy
    }

    fn ask_opinion(&mut self, now: Mono) {
        let Some((run, serving)) = self.connectors.serving() else { return };
        // Over HTTP/2 it says so itself.
        let silent = serving.transport != Some(Transport::Http2) && serving.pinned != Some(Transport::Http2);
        let refused = self.outage.found.as_ref().is_some_and(|finding| finding.blame == Blame::Refused);
        let Some(refusals) = serving.attempts.refused().filter(|refusals| refusals.times >= REFUSALS).copied() else {
            return;
        };
        if !refused || !silent {
            return;
        }
        let due = self.outage.opinion.due(refusals.first, &mut self.jitter);
        let probing = self.orders.is_open(|order| matches!(order, Order::ProbeEdge { .. }));
        if now >= due && !probing && self.may_ask_opinion(now) {
            self.outage.opinion.stage = Stage::Greeting;
            self.orders.give(Order::ProbeEdge { run, transport: Transport::Http2 });
        }
    }

    /// The edge was tried over TCP; false: not for this.
    pub(crate) fn opinion_greeted(&mut self, now: Mono, result: &Result<Reach, Failure>) -> bool {
        if self.outage.opinion.stage != Stage::Greeting {
            return false;
        }
        match (result, self.connectors.serving().map(|(id, _)| id)) {
            (Ok(Reach::Answered), Some(like)) => {
                self.outage.opinion.stage = Stage::Measuring;
                self.orders.give(Order::MeasureMemory { like });
            }
            (_, _) => self.outage.opinion.ended(now),
        }
        true
    }

    /// The memory was measured; false: not for this.
    pub(crate) fn opinion_measured(&mut self, now: Mono, result: &Result<Memory, Failure>) -> bool {
        if self.outage.opinion.stage != Stage::Measuring {
            return false;
        }
        let room = result.as_ref().is_ok_and(Memory::has_room);
        match self.connectors.serving().map(|(_, run)| (run.installed.clone(), run.connections())) {
            Some((installed, 0)) if room && self.may_ask_opinion(now) => {
                let until = now + OPINION_RUNS;
                self.note(
                    now,
                    DecisionKind::Action,
                    "ask for a second opinion over HTTP/2",
                    "over QUIC cloudflared does not report why it is refused",
                );
                let run = self.connectors.start(&mut self.orders, now, installed, Role::Opinion);
                self.outage.opinion.stage = Stage::Asking { run, until };
            }
            Some(_) | None => self.outage.opinion.ended(now),
        }
        true
    }

    fn watch_opinion(&mut self, now: Mono, id: RunId, until: Mono) {
        let Some(run) = self.connectors.get(id) else { return self.outage.opinion.ended(now) };
        let (connections, ended) = (run.connections(), run.exits > 0 || run.not_spawned);
        let served = self.connectors.serving().is_some_and(|(_, run)| run.connections() > 0);
        let pinned = self.connectors.serving().is_some_and(|(_, run)| run.pinned.is_some());
        if connections > 0 && !served && !pinned {
            self.adopt_opinion(now, id);
        } else if served || connections > 0 || ended || self.outage.opinion.told.is_some() || now >= until {
            self.drop_opinion(now);
        }
    }

    /// It registered where the one that serves does not: it serves.
    fn adopt_opinion(&mut self, now: Mono, id: RunId) {
        let old = self.connectors.serving().map(|(old, _)| old);
        self.outage.opinion.ended(now);
        self.note(
            now,
            DecisionKind::Action,
            "the connector over HTTP/2 serves",
            "the edge accepted it, but refuses the one over QUIC",
        );
        self.connectors.adopt(&mut self.orders, id, Role::Serving);
        self.condemn.drop_question();
        if let Some(old) = old {
            self.connectors.drain(&mut self.orders, old);
        }
    }

    /// Lets go of it: its time is over, or its place is needed.
    pub(crate) fn drop_opinion(&mut self, now: Mono) {
        if let Some(run) = self.outage.opinion.run() {
            self.outage.opinion.ended(now);
            self.connectors.drain(&mut self.orders, run);
        }
    }

    /// When a second opinion wants to be looked at.
    pub(crate) fn opinion_moment(&self) -> Option<Mono> {
        self.outage.opinion.moment()
    }

    /// It was not started.
    pub(crate) fn opinion_not_started(&mut self, now: Mono, id: RunId) {
        // One in a successor's place is missed when it is looked for.
        if self.outage.opinion.run() == Some(id) {
            self.outage.opinion.ended(now);
        }
    }
}
