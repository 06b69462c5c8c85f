//! The verdict itself: takes facts, gives orders.

use crate::blip::Blips;
use crate::guard::Guard;
use crate::handover::Handover;
use crate::health::Health;
use crate::hold::Holds;
use crate::inquiry::Inquiry;
use crate::jitter::Jitter;
use crate::journal::{Decision, DecisionKind, Journal};
use crate::ladder::Ladder;
use crate::lifecycle::Lifecycle;
use crate::opinion::Opinion;
use crate::outage::Outage;
use crate::probation::Probation;
use crate::reload::Reloads;
use crate::reports::PendingOrders;
use crate::runs::{Role, Runs};
use crate::supply::Supply;
use crate::turn::Turn;
use crate::{Carried, Complaint, Config, Event, Finding, Mono, Order, OrderId, Report, Request, RunFact, VersionId};

/// Decides what is done about the tunnel of one instance.
#[derive(Debug)]
pub struct Verdict {
    pub(crate) config: Config,
    /// When the first agent of this boot started: the startup grace counts from here.
    pub(crate) started: Mono,
    /// When this agent started.
    pub(crate) begun: Mono,
    pub(crate) jitter: Jitter,
    pub(crate) book: PendingOrders,
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
    /// Whether this instance has been registered since its host booted.
    pub(crate) registered_ever: bool,
    pub(crate) blips: Blips,
    pub(crate) opinion: Opinion,
    pub(crate) life: Life,
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
        let (carried, dropped) = match carried.checked(now) {
            Ok(carried) => (carried, None),
            Err(why) => (Carried::default(), Some(why)),
        };
        let mut verdict = Self {
            config,
            started: carried.started.unwrap_or(now).min(now),
            begun: now,
            jitter: Jitter::new(seed),
            book: PendingOrders::default(),
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
            registered_ever: carried.registered_ever,
            blips: Blips::carried(carried.blips),
            opinion: Opinion::default(),
            life: Life::Running,
        };
        if let Some(why) = dropped {
            verdict.note(now, DecisionKind::Refusal, "what the agent before carried over is dropped", why);
        }
        verdict
    }

    /// Takes one event and decides.
    pub fn handle(&mut self, now: Mono, event: Event) {
        match event {
            Event::Identified { installed } => self.identified(now, installed),
            Event::Run(id, fact) => {
                if let RunFact::Complained { complaint: Complaint::Unauthorized | Complaint::TunnelGone, .. } = fact {
                    self.supply.hurry(now);
                }
                self.opinion.hear(id, &fact);
                if let Some(run) = self.runs.get_mut(id)
                    && run.learn(now, fact)
                {
                    // Over QUIC that is all it says.
                    self.supply.hurry(now);
                }
            }
            Event::Operator(Request::Stop) => self.life = self.life.max(Life::Stopping),
            Event::Operator(Request::Reload(request)) => self.reload(now, request),
            Event::Noticed(notices) => self.noticed(now, notices),
            Event::NewBinary { version } => self.new_binary(now, version),
            Event::Done(id, report) => {
                if self.book.close(id, &report) {
                    self.reported(now, report);
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
        let carried = Carried {
            started: Some(self.started),
            outage: self.outage.clone(),
            ladder: self.ladder.clone(),
            journal: self.journal.clone(),
            refused: self.supply.refused.clone(),
            probation: self.probation.clone(),
            proven: self.proven.clone(),
            registered_ever: self.registered_ever,
            blips: self.blips.made().clone(),
            ..Carried::default()
        };
        carried.now()
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
            moments.extend(self.asking_moment());
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

    /// Hands the answer to whoever gave the order.
    fn reported(&mut self, now: Mono, report: Report) {
        match report {
            Report::ReadSecret(Ok(read)) => self.secret_read(now, read),
            Report::ReadSecret(Err(failure)) => self.supply_failed(now, "the secret was not read", failure),
            Report::Install(version, taken) => self.installed(now, version, taken),
            Report::Start(run, Err(failure)) => self.not_started(now, run, failure),
            // Whatever went wrong, the agent has let go of it.
            Report::Drain(run, _) => self.drained(now, run),
            Report::Commit(generation, Ok(())) => self.committed(now, generation),
            Report::Commit(generation, Err(failure)) => self.not_committed(now, generation, failure),
            Report::CompareOrigins(new, lost) => self.origins_compared(now, new, lost),
            Report::MeasureMemory(memory) => self.memory_measured(now, memory),
            Report::ReadPlace(place) => self.place_read(now, place),
            Report::ReadRefusals(others) => self.refusals_read(now, others),
            Report::ReadNotices(Ok(notices)) => self.noticed(now, notices),
            Report::CompleteHook(hook, result) => self.hook_completed(now, hook, result),
            Report::Heartbeat(hook, result) => self.hook_beaten(now, hook, result),
            Report::MarkUnhealthy(shown) => self.marked(now, shown),
            Report::MarkHealthy(Ok(true)) => self.lifted(now),
            Report::Probe(probes) => self.probed(now, probes),
            Report::ProbeEdge(transport, reach) => self.edge_tried(now, transport, reach),
            Report::ReadGroup(group) => self.group_read(now, group),
            Report::ReadPeers(peers) => self.peers_read(now, peers),
            Report::ReadHoldTag(value) => self.hold_tag_read(now, value),
            // A child that was not replaced is looked at again, a mark that was not lifted is lifted again, notices are read a
            // minute later, and a bundle that was not discarded is pruned.
            Report::Start(_, Ok(()))
            | Report::ReadNotices(Err(_))
            | Report::MarkHealthy(Ok(false) | Err(_))
            | Report::Restart(_)
            | Report::Discard(_)
            | Report::Adopt(_)
            | Report::Answer(_)
            | Report::Exit(_) => {}
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
