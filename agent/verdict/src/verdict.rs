//! The verdict itself: takes facts, gives orders.

use crate::guard::Guard;
use crate::handover::{Handover, Why};
use crate::health::Health;
use crate::hold::Holds;
use crate::inquiry::Inquiry;
use crate::jitter::Jitter;
use crate::journal::{Decision, DecisionKind, Journal};
use crate::ladder::Ladder;
use crate::lifecycle::Lifecycle;
use crate::orders::Book;
use crate::outage::Outage;
use crate::probation::Probation;
use crate::reload::Reloads;
use crate::runs::{Role, Runs};
use crate::supply::{Refused, Supply};
use crate::turn::Turn;
use crate::{
    Complaint, Config, Event, Failure, FailureKind, Finding, Mono, Order, OrderId, Outcome, Request, RunFact, VersionId,
};
use serde::{Deserialize, Serialize};

/// What must survive a restart of the agent within one boot; to be saved before an order runs.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Carried {
    pub(crate) started: Option<Mono>,
    pub(crate) outage: Outage,
    pub(crate) ladder: Ladder,
    pub(crate) journal: Journal,
    #[serde(default)]
    pub(crate) refused: Option<Refused>,
    #[serde(default)]
    pub(crate) probation: Option<Probation>,
    #[serde(default)]
    pub(crate) proven: Option<VersionId>,
}

/// Decides what is done about the tunnel of one instance.
#[derive(Debug)]
pub struct Verdict {
    pub(crate) config: Config,
    /// When the first agent of this boot started: the startup grace counts from here.
    pub(crate) started: Mono,
    /// When this agent started.
    pub(crate) begun: Mono,
    pub(crate) jitter: Jitter,
    pub(crate) book: Book,
    pub(crate) supply: Supply,
    pub(crate) runs: Runs,
    pub(crate) turn: Option<Turn>,
    pub(crate) handover: Option<Handover>,
    pub(crate) probation: Option<Probation>,
    /// The version that passed its probation last.
    pub(crate) proven: Option<VersionId>,
    pub(crate) reloads: Reloads,
    pub(crate) lifecycle: Lifecycle,
    pub(crate) outage: Outage,
    pub(crate) ladder: Ladder,
    pub(crate) inquiry: Inquiry,
    pub(crate) guard: Guard,
    pub(crate) holds: Holds,
    /// Whose fault it is, as judged last.
    pub(crate) found: Option<Finding>,
    pub(crate) journal: Journal,
    pub(crate) health: Health,
    pub(crate) since: Mono,
    pub(crate) registered_once: bool,
    pub(crate) life: Life,
}

/// Takes the one outcome that fits an order; any other is a failure to carry it out.
macro_rules! expect {
    ($variant:path) => {
        |outcome| match outcome {
            $variant(found) => Ok(found),
            other => Err(Failure::new(FailureKind::Host, format!("the answer does not fit the question: {other:?}"))),
        }
    };
}

/// How far the agent's own life has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Life {
    Running,
    /// Told to stop: connectors are drained.
    Stopping,
    /// Nothing is left: the order to exit is out.
    Exiting,
}

impl Verdict {
    /// A verdict that knows what an earlier agent of this boot `carried`. The same `seed` gives the same jitter.
    pub fn new(config: Config, seed: u64, carried: Carried, now: Mono) -> Self {
        Self {
            config,
            started: carried.started.unwrap_or(now).min(now),
            begun: now,
            jitter: Jitter::new(seed),
            book: Book::default(),
            supply: Supply::carried(carried.refused),
            runs: Runs::default(),
            turn: None,
            handover: None,
            probation: carried.probation,
            proven: carried.proven,
            reloads: Reloads::default(),
            lifecycle: Lifecycle::default(),
            outage: carried.outage,
            ladder: carried.ladder,
            inquiry: Inquiry::default(),
            guard: Guard::default(),
            holds: Holds::default(),
            found: None,
            journal: carried.journal,
            health: Health::Starting,
            since: now,
            registered_once: false,
            life: Life::Running,
        }
    }

    /// Takes one event and decides.
    pub fn handle(&mut self, now: Mono, event: Event) {
        match event {
            Event::Identified { installed } => self.identified(now, installed),
            Event::Run(id, fact) => {
                if let RunFact::Complained { complaint: Complaint::Unauthorized | Complaint::TunnelGone, .. } = fact {
                    self.supply.hurry(now);
                }
                if let Some(run) = self.runs.get_mut(id) {
                    run.learn(now, fact);
                }
            }
            Event::Operator(Request::Stop) => self.life = self.life.max(Life::Stopping),
            Event::Operator(Request::Reload(request)) => self.reload(now, request),
            Event::Noticed(notices) => self.noticed(now, notices),
            Event::NewBinary { version } => self.new_binary(now, version),
            Event::Done(id, result) => {
                if let Some(order) = self.book.close(id) {
                    self.done(now, order, result);
                }
            }
            Event::Hold { by, hold } => self.held(now, by, hold),
            Event::Wake => {}
        }
        self.step(now);
    }

    /// The next order, if there is one.
    pub fn poll_order(&mut self) -> Option<(OrderId, Order)> {
        self.book.poll()
    }

    /// The next decision for the log, if there is one.
    pub fn poll_decision(&mut self) -> Option<Decision> {
        self.journal.poll()
    }

    /// What must survive a restart of the agent.
    pub fn carry(&self) -> Carried {
        Carried {
            started: Some(self.started),
            outage: self.outage.clone(),
            ladder: self.ladder.clone(),
            journal: self.journal.clone(),
            refused: self.supply.refused.clone(),
            probation: self.probation.clone(),
            proven: self.proven.clone(),
        }
    }

    /// The next moment at which something is due, always later than the `now` that was handled last.
    pub fn wake_at(&self, now: Mono) -> Option<Mono> {
        let mut moments = Vec::new();
        if !self.is_stopping() {
            moments.push(self.begun + self.config.startup_grace);
            if self.supply.identified {
                moments.push(self.supply.next_read);
            }
            if let Some((_, run)) = self.runs.successor()
                && let Role::Successor { until, enough_since } = run.role
            {
                moments.push(until);
                moments.extend(enough_since.map(|since| since + self.config.settle));
            }
            moments.extend(self.turn_moment());
            moments.extend(self.probation_moments());
            moments.extend(self.reload_moment());
            moments.extend(self.lifecycle_moments());
            moments.extend(self.ladder_moments());
            moments.extend(self.hold_moments());
        }
        moments.into_iter().filter(|&moment| moment > now).min()
    }

    /// Whether systemd may be told that the start is over: the tunnel is registered, or was given its time.
    pub fn is_up(&self, now: Mono) -> bool {
        self.registered_once || !self.is_on_duty() || now >= self.begun + self.config.startup_grace
    }

    /// Whether the agent was told to stop.
    pub fn is_stopping(&self) -> bool {
        self.life != Life::Running
    }

    pub(crate) fn note(&mut self, now: Mono, kind: DecisionKind, what: impl Into<String>, evidence: impl Into<String>) {
        let blame = self.found.as_ref().map(|finding| finding.blame);
        self.journal.note(Decision { at: now, kind, what: what.into(), blame, evidence: evidence.into() });
    }

    fn done(&mut self, now: Mono, order: Order, result: Result<Outcome, Failure>) {
        match (order, result) {
            (Order::ReadSecret { .. }, Ok(Outcome::Secret(read))) => self.secret_read(now, read),
            (Order::ReadSecret { .. }, Err(failure)) => self.supply_failed(now, "the secret was not read", failure),
            (Order::Install { version }, Err(failure)) if failure.kind == FailureKind::Invalid => {
                self.refuse_version(now, version, failure.text);
            }
            (Order::Install { .. }, Ok(Outcome::Installed(installed))) => {
                let why = if self.reloads.is_active() { Why::Asked } else { Why::Version };
                self.hand_over(now, installed, why);
            }
            (Order::Install { .. }, Ok(Outcome::Equivalent(installed))) => self.take_equivalent(now, installed),
            (Order::Install { .. }, Err(failure)) => self.supply_failed(now, "the bundle was not installed", failure),
            (Order::Start { run, .. }, Err(failure)) => self.not_started(now, run, failure),
            (Order::Commit { generation }, Ok(_)) => self.committed(now, generation),
            (Order::Commit { generation }, Err(failure)) => self.not_committed(now, generation, failure),
            (Order::Drain { run }, _) => self.drained(now, run),
            (Order::CompareOrigins { new, .. }, result) => {
                self.origins_compared(now, new, result.and_then(expect!(Outcome::OriginsLost)));
            }
            (Order::MeasureMemory { .. }, result) => {
                self.memory_measured(now, result.and_then(expect!(Outcome::Memory)));
            }
            (Order::ReadPlace, result) => self.place_read(now, result.and_then(expect!(Outcome::Place))),
            (Order::ReadRefusals, result) => self.refusals_read(now, result.and_then(expect!(Outcome::Refusals))),
            // What the service does not say now, it says a minute later.
            (Order::ReadNotices, Ok(Outcome::Notices(notices))) => self.noticed(now, notices),
            (Order::CompleteHook { hook, .. }, result) => self.hook_completed(now, hook, result.map(drop)),
            (Order::Heartbeat { hook }, result) => self.hook_beaten(now, hook, result.map(drop)),
            (Order::MarkUnhealthy, result) => self.marked(now, result),
            (Order::MarkHealthy, Ok(Outcome::Marked { shown: true })) => self.lifted(now),
            (Order::Probe { .. }, result) => self.probed(now, result.and_then(expect!(Outcome::Probed))),
            (Order::ReadGroup, result) => self.group_read(now, result.and_then(expect!(Outcome::Group))),
            (Order::ReadPeers { .. }, result) => self.peers_read(now, result.and_then(expect!(Outcome::Peers))),
            (Order::ReadHoldTag, result) => self.hold_tag_read(now, result.and_then(expect!(Outcome::HoldTag))),
            // The rest needs no answer: a mark that was not lifted is asked for again, a discarded bundle is pruned later.
            _ => {}
        }
    }

    fn step(&mut self, now: Mono) {
        if self.is_stopping() {
            self.step_stop(now);
        } else {
            self.step_holds(now);
            self.step_lifecycle(now);
            if self.is_on_duty() {
                self.step_service(now);
            } else {
                self.drain_all();
            }
        }
        self.step_health(now);
    }

    fn step_service(&mut self, now: Mono) {
        self.step_reload(now);
        self.step_supply(now);
        self.step_turn(now);
        self.step_successor(now);
        self.step_probation(now);
        self.step_blame(now);
        self.step_ladder(now);
    }

    fn step_stop(&mut self, now: Mono) {
        self.drop_reloads(now);
        self.drain_all();
        if self.runs.is_empty() && self.life == Life::Stopping {
            self.life = Life::Exiting;
            self.book.give(Order::Exit);
        }
    }
}
