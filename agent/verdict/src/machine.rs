//! The verdict itself: takes facts, gives orders.

use crate::change::Change;
use crate::condemn::Condemn;
use crate::connectors::Connectors;
use crate::duty::Duty;
use crate::jitter::Jitter;
use crate::journal::{Decision, DecisionKind, Journal};
use crate::outage::Outage;
use crate::reports::PendingOrders;
use crate::{Carried, Complaint, Config, Event, Mono, Order, OrderId, Report, Request, RunFact};

/// Decides what is done about the tunnel of one instance.
///
/// Each part owns its state: no other module can write it, and what one part does to another it asks of it.
#[derive(Debug, Clone, Hash)]
pub struct Verdict {
    pub(crate) config: Config,
    /// When the first agent of this boot started: the startup grace counts from here.
    pub(crate) started: Mono,
    /// When this agent started, or the instance was taken into service again.
    pub(crate) begun: Mono,
    pub(crate) jitter: Jitter,
    pub(crate) orders: PendingOrders,
    pub(crate) journal: Journal,
    pub(crate) connectors: Connectors,
    pub(crate) change: Change,
    pub(crate) outage: Outage,
    pub(crate) condemn: Condemn,
    pub(crate) duty: Duty,
}

impl Verdict {
    /// A verdict that knows what an earlier agent of this boot `carried`. The same `seed` gives the same jitter.
    pub fn new(config: Config, seed: u64, carried: Carried, now: Mono) -> Self {
        let (carried, dropped) = match carried.checked(now) {
            Ok(carried) => (carried, None),
            Err(why) => (Carried::default(), Some(why)),
        };
        let group_lag = config.group_lag;
        let mut verdict = Self {
            config,
            started: carried.started.unwrap_or(now).min(now),
            begun: now,
            jitter: Jitter::new(seed),
            orders: PendingOrders::default(),
            journal: carried.journal,
            connectors: Connectors::default(),
            change: Change::carried(carried.refused, carried.probation, carried.proven),
            outage: Outage::carried(carried.outage, carried.blips, carried.registered_ever, now),
            condemn: Condemn::carried(carried.ladder, now, group_lag),
            duty: Duty::default(),
        };
        if let Some(why) = dropped {
            verdict.note(now, DecisionKind::Refusal, "the previous agent's state is dropped", why);
        }
        verdict
    }

    /// Takes one event and decides.
    pub fn handle(&mut self, now: Mono, event: Event) {
        match event {
            Event::Identified { installed } => self.identified(now, installed),
            Event::Run(id, fact) => {
                if let RunFact::Complained { complaint: Complaint::Unauthorized | Complaint::TunnelGone, .. } = fact {
                    self.change.hurry(now);
                }
                self.outage.hear(id, &fact);
                if self.connectors.learn(now, id, fact) {
                    // Over QUIC that is all it says.
                    self.change.hurry(now);
                }
            }
            Event::Operator(Request::Stop) => {
                self.duty.stop();
                self.change.end_handover();
            }
            Event::Operator(Request::Reload(request)) => self.reload(now, request),
            Event::Noticed(notices) => self.noticed(now, notices),
            Event::NewBinary { version } => self.new_binary(now, version),
            Event::Done(id, report) => {
                if self.orders.close(id, &report) {
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
        self.orders.poll()
    }

    /// The next decision for the log, if there is one.
    pub fn poll_decision(&mut self) -> Option<Decision> {
        self.journal.poll()
    }

    /// What must survive a restart of the agent.
    pub fn carry(&self) -> Carried {
        let carried = Carried {
            started: Some(self.started),
            outage: self.outage.clock().clone(),
            ladder: self.condemn.carry(),
            journal: self.journal.clone(),
            refused: self.change.refused().cloned(),
            probation: self.change.probation().cloned(),
            proven: self.change.proven().cloned(),
            registered_ever: self.outage.registered_ever(),
            blips: self.outage.blips().clone(),
            ..Carried::default()
        };
        carried.now()
    }

    /// The next moment at which something is due, always later than the `now` that was handled last.
    pub fn wake_at(&self, now: Mono) -> Option<Mono> {
        let mut moments = Vec::new();
        if !self.is_stopping() {
            moments.push(self.begun + self.config.startup_grace);
            moments.extend(self.change_moments());
            moments.extend(self.lifecycle_moments());
            moments.extend(self.ladder_moments());
            moments.extend(self.hold_moments());
        }
        moments.into_iter().filter(|&moment| moment > now).min()
    }

    /// Whether systemd may be told that the start is over: the tunnel is registered, or was given its time.
    pub fn is_up(&self, now: Mono) -> bool {
        self.outage.registered_once() || !self.is_on_duty() || now >= self.begun + self.config.startup_grace
    }

    /// Whether the agent was told to stop.
    pub fn is_stopping(&self) -> bool {
        self.duty.is_stopping()
    }

    pub(crate) fn note(&mut self, now: Mono, kind: DecisionKind, what: impl Into<String>, evidence: impl Into<String>) {
        let blame = self.outage.found().map(|finding| finding.blame);
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
            // A child that was not replaced is looked at again.
            Report::Restart(_) => self.connectors.restarted(now),
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
            // A mark that was not lifted is lifted again, notices are read a
            // minute later, and a bundle that was not discarded is pruned.
            Report::Start(_, Ok(()))
            | Report::ReadNotices(Err(_))
            | Report::MarkHealthy(Ok(false) | Err(_))
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
                self.connectors.drain_all(&mut self.orders);
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
        self.connectors.drain_all(&mut self.orders);
        if self.connectors.is_empty() && self.duty.may_exit() {
            self.orders.give(Order::Exit);
        }
    }
}
