//! How one connector takes over from another: beside it, never instead of it, unless there is no room for two.
//!
//! An installed bundle goes through the stages of [`Stage`]; whatever goes wrong in one of them, the connector that serves
//! is not touched.

use super::UnderWay;
use crate::connectors::{Role, Trial};
use crate::{
    DecisionKind, Ended, Failure, Generation, Installed, Memory, Mode, Mono, Order, RunId, Transport, Verdict,
    VersionId,
};
use std::time::Duration;

/// A hand-over that is under way; at most one is.
#[derive(Debug, Clone, Hash)]
pub(crate) struct Handover {
    /// The bundle that is to serve.
    pub installed: Installed,
    pub why: Why,
    pub stage: Stage,
}

/// Why it is handed over.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Why {
    /// The secret has a new version.
    Version,
    /// Somebody asked for it.
    Asked,
    /// cloudflared's file is another one.
    Binary(String),
    /// The bundle that serves was lost within its probation: back to the one before.
    Return,
}

/// How far it has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Stage {
    /// The origins that would change are tried.
    Origins,
    /// Whether a second connector finds room is looked up.
    Memory,
    /// The successor is on trial.
    Trial,
    /// The edge refused the successor and did not say why. It ends, for one that asks over HTTP/2 needs its place.
    Refused {
        /// The successor.
        successor: RunId,
    },
    /// That one runs.
    Asking {
        /// Which.
        run: RunId,
        /// When that is given up.
        until: Mono,
    },
    /// There is no room: the old one ends first.
    Vacating {
        /// The old one.
        old: RunId,
    },
}

/// How long one that asks why the edge refuses may run.
pub(crate) const OPINION_RUNS: Duration = Duration::from_secs(20);
/// What is known of a successor that the edge refused, if nobody said why.
const REFUSED: &str = "the edge refused its registrations, and gave no reason";
/// A second connector may need so much more than the first one takes now: it has yet to be used.
const HEADROOM: u64 = 48 << 20;

impl Handover {
    /// What is under way, for a person.
    pub fn tell(&self) -> String {
        let version = &self.installed.version;
        let what = match &self.why {
            Why::Version => format!("handing over to secret version {version}"),
            Why::Asked => format!("handing over to secret version {version}, on request"),
            Why::Binary(binary) => format!("handing over to cloudflared {binary}"),
            Why::Return => format!("going back to secret version {version}"),
        };
        let stage = match self.stage {
            Stage::Origins => "trying the origins that change",
            Stage::Memory => "measuring the memory",
            Stage::Trial => "the new connector is on trial beside the old one",
            Stage::Refused { .. } | Stage::Asking { .. } => "the edge refused it; asking for the reason over HTTP/2",
            Stage::Vacating { .. } => "there is no room for two connectors, so the old one ends first",
        };
        format!("{what}: {stage}")
    }
}

impl Memory {
    /// Whether a second connector finds room beside the first.
    pub(crate) fn has_room(&self) -> bool {
        self.available >= self.connector.saturating_add(HEADROOM)
    }
}

impl Verdict {
    /// Takes a bundle into use: at once if nothing is registered, else beside what serves.
    pub(crate) fn hand_over(&mut self, now: Mono, installed: Installed, why: Why) {
        if !self.is_to_serve() {
            return;
        }
        if self.connectors.full() || self.change.is_handing_over() {
            // It is read again when the one that is under way is over.
            self.change.poll.next_read = now;
            self.conclude(Ended::Failed, "another connector is still being started or drained; try again".into());
            return;
        }
        let Some((_, old)) = self.connectors.serving() else {
            return self.take_over(now, installed);
        };
        if old.connections() == 0 && why != Why::Return {
            self.note(now, DecisionKind::Action, "replace the connector at once", "it is not registered");
            return self.replace(now, installed);
        }
        let changes_rules = old.installed.generation != installed.generation && why != Why::Return;
        let stage = if changes_rules { Stage::Origins } else { Stage::Memory };
        let (old, new) = (old.installed.generation, installed.generation);
        self.change.under_way = UnderWay::HandingOver(Handover { installed, why, stage });
        match stage {
            Stage::Origins => self.orders.give(Order::CompareOrigins { old, new }),
            Stage::Memory | Stage::Trial | Stage::Refused { .. } | Stage::Asking { .. } | Stage::Vacating { .. } => {
                self.measure(now);
            }
        }
    }

    /// The first connector of a bundle, when none serves.
    fn take_over(&mut self, now: Mono, installed: Installed) {
        let generation = installed.generation;
        self.start(now, installed, Role::Serving);
        self.orders.give(Order::Commit { generation });
    }

    /// Starts the new one and lets go of the old one, which carries nothing.
    fn replace(&mut self, now: Mono, installed: Installed) {
        let old = self.connectors.serving().map(|(id, run)| (id, run.clone()));
        self.take_over(now, installed);
        if let Some((id, run)) = old {
            self.begin_probation(now, &run);
            self.connectors.drain(&mut self.orders, id);
        }
    }

    pub(crate) fn origins_compared(&mut self, now: Mono, new: Generation, result: Result<Vec<String>, Failure>) {
        let Some(Handover { installed, stage: Stage::Origins, .. }) = self.change.handover() else { return };
        if installed.generation != new {
            return;
        }
        let (generation, version) = (installed.generation, installed.version.clone());
        match result {
            Ok(lost) if lost.is_empty() => self.measure(now),
            Ok(lost) => {
                self.give_up(generation);
                self.refuse_version(now, version, format!("an origin would be lost: {}", lost.join("; ")));
            }
            Err(failure) => {
                self.give_up(generation);
                self.supply_failed(now, "the origins were not compared", failure);
            }
        }
    }

    /// Whether nothing serves because there was no room for two.
    pub(crate) fn is_vacating(&self) -> bool {
        matches!(self.change.handover(), Some(Handover { stage: Stage::Vacating { .. }, .. }))
    }

    fn measure(&mut self, now: Mono) {
        let Some(handover) = self.change.handover_mut() else { return };
        handover.stage = Stage::Memory;
        match self.connectors.serving() {
            Some((like, _)) => self.orders.give(Order::MeasureMemory { like }),
            None => self.begin_trial(now),
        }
    }

    pub(crate) fn memory_measured(&mut self, now: Mono, result: Result<Memory, Failure>) {
        if self.opinion_measured(now, &result) {
            return;
        }
        let serving = self.connectors.serving().map(|(id, run)| (id, run.clone()));
        let Some(handover @ Handover { stage: Stage::Memory, .. }) = self.change.handover_mut() else { return };
        match (result, serving) {
            (Ok(memory), Some((old, run))) if !memory.has_room() => {
                handover.stage = Stage::Vacating { old };
                let evidence = format!(
                    "{} MiB are available, and the connector takes {} MiB: it is stopped first, so this instance serves nobody \
                     for some seconds",
                    memory.available >> 20,
                    memory.connector >> 20
                );
                let installed = handover.installed.clone();
                let returns = handover.why == Why::Return;
                self.note(now, DecisionKind::Action, "no room for two connectors", evidence);
                if returns {
                    self.change.poll.installed = Some(installed);
                    self.returned(now, &run);
                } else {
                    self.begin_probation(now, &run);
                }
                self.connectors.drain(&mut self.orders, old);
            }
            // What cannot be measured is no reason to take the tunnel down.
            _ => self.begin_trial(now),
        }
    }

    fn begin_trial(&mut self, now: Mono) {
        let Some(handover) = self.change.handover_mut() else { return };
        handover.stage = Stage::Trial;
        let installed = handover.installed.clone();
        let until = now + self.config.register_timeout;
        self.start(now, installed, Role::Successor { until, enough_since: None });
    }

    pub(crate) fn step_successor(&mut self, now: Mono) {
        self.step_asking(now);
        let (needed, settle) = (self.config.min_connections, self.config.settle);
        let Some((id, trial)) = self.connectors.trial(now, needed, settle) else { return };
        if self.orders.is_open(|order| matches!(order, Order::Commit { .. })) {
            return;
        }
        let alone = self.connectors.serving().is_none_or(|(_, run)| run.connections() == 0);
        if !alone && self.change.handover().is_some_and(|handover| handover.why == Why::Return) {
            self.note(
                now,
                DecisionKind::Action,
                "no return is needed",
                "the connector that serves is registered again",
            );
            self.change.end_handover();
            return self.connectors.drain(&mut self.orders, id);
        }
        match trial {
            Trial::Passed { generation } => self.orders.give(Order::Commit { generation }),
            Trial::Registered { generation } if alone => self.orders.give(Order::Commit { generation }),
            Trial::Failed { evidence } => self.trial_failed(now, id, evidence),
            Trial::Registered { .. } | Trial::Waiting => self.watch_successor(now, id),
        }
    }

    /// A configuration that cloudflared refuses gets no better by waiting.
    fn watch_successor(&mut self, now: Mono, id: RunId) {
        let refused = self.connectors.get(id).and_then(|run| run.refused_files().map(String::from));
        if let Some(text) = refused {
            self.trial_failed(now, id, format!("cloudflared says: {text}"));
        }
    }

    fn trial_failed(&mut self, now: Mono, id: RunId, evidence: String) {
        let Some(run) = self.connectors.get(id) else { return };
        let (version, fault) = (run.installed.version.clone(), run.fault_of_bundle().map(String::from));
        let refused = run.attempts.refused().is_some_and(|refusals| !refusals.are_superseded());
        let silent = refused && fault.is_none() && run.transport != Some(Transport::Http2);
        self.connectors.drain(&mut self.orders, id);
        if silent && self.ask_why_refused(now, id) {
            return;
        }
        self.trial_ended(now, version, fault, evidence);
    }

    /// The successor's place is used to ask why the edge refused it. Says whether it is.
    fn ask_why_refused(&mut self, now: Mono, successor: RunId) -> bool {
        let may = self.config.second_opinion && self.config.mode == Mode::Act;
        let new = |why: &Why| matches!(why, Why::Version | Why::Asked);
        let Some(handover) = self.change.handover_mut().filter(|handover| may && new(&handover.why)) else {
            return false;
        };
        handover.stage = Stage::Refused { successor };
        let why = "over QUIC cloudflared does not report why it is refused";
        self.note(now, DecisionKind::Action, "ask for a second opinion over HTTP/2", why);
        true
    }

    /// The refused successor is gone: what asks in its place starts.
    fn ask_in_its_place(&mut self, now: Mono) {
        let Some(handover) = self.change.handover_mut() else { return };
        let installed = handover.installed.clone();
        let run = self.connectors.start(&mut self.orders, now, installed, Role::Opinion);
        handover.stage = Stage::Asking { run, until: now + OPINION_RUNS };
    }

    fn step_asking(&mut self, now: Mono) {
        let Some(Handover { installed, stage: Stage::Asking { run: id, until }, .. }) = self.change.handover() else {
            return;
        };
        let (id, until, version) = (*id, *until, installed.version.clone());
        let Some(run) = self.connectors.get(id) else {
            return self.trial_ended(now, version, None, REFUSED.into());
        };
        let fault = run.fault_of_bundle().map(String::from);
        if run.connections() > 0 && run.pinned.is_none() {
            // It is taken over HTTP/2, so it goes on trial with that.
            let on_trial = Role::Successor { until: now + self.config.register_timeout, enough_since: None };
            self.connectors.adopt(&mut self.orders, id, on_trial);
            if let Some(handover) = self.change.handover_mut() {
                handover.stage = Stage::Trial;
            }
        } else if fault.is_some() || run.exits > 0 || run.not_spawned || run.connections() > 0 || now >= until {
            self.connectors.drain(&mut self.orders, id);
            self.trial_ended(now, version, fault, REFUSED.into());
        }
    }

    /// When what asks in a successor's place is to be looked at.
    pub(crate) fn asking_moment(&self) -> Option<Mono> {
        match self.change.handover()?.stage {
            Stage::Asking { until, .. } => Some(until),
            Stage::Origins | Stage::Memory | Stage::Trial | Stage::Refused { .. } | Stage::Vacating { .. } => None,
        }
    }

    fn trial_ended(&mut self, now: Mono, version: VersionId, fault: Option<String>, evidence: String) {
        let why = self.change.take_handover().map(|handover| handover.why);
        match (why, fault) {
            (Some(Why::Return), _) => {
                self.return_failed(now);
                self.note(now, DecisionKind::Refusal, "the previous bundle does not register either", evidence);
            }
            (Some(Why::Binary(binary)), _) => {
                let what = format!("cloudflared {binary} did not register in time; the old one goes on serving");
                self.note(now, DecisionKind::Refusal, &what, &evidence);
                self.conclude(Ended::Failed, format!("{what}: {evidence}"));
            }
            (_, Some(words)) if self.is_news(&version) => {
                self.refuse_version(now, version, format!("cloudflared says: {words}"));
            }
            // The one that serves goes on with what the edge would not take any more.
            (_, Some(words)) => {
                let why = format!("cloudflared says: {words}");
                self.note(now, DecisionKind::Refusal, "the connector that serves stays", &why);
                self.conclude(Ended::Refused, why);
            }
            (_, None) => self.put_off(now, version, format!("the successor did not register in time: {evidence}")),
        }
    }

    fn is_news(&self, version: &VersionId) -> bool {
        self.change.poll.installed.as_ref().is_none_or(|installed| installed.version != *version)
    }

    pub(crate) fn committed(&mut self, now: Mono, generation: Generation) {
        self.change.poll.succeeded();
        if self.commit_equivalent(now, generation) {
            return;
        }
        let Some((new, run)) = self.connectors.successor() else { return };
        if run.installed.generation != generation {
            return;
        }
        let (installed, evidence) = (run.installed.clone(), run.evidence());
        let old = self.connectors.serving().map(|(id, run)| (id, run.clone()));
        self.connectors.promote(new);
        self.condemn.drop_question();
        let what = format!("secret version {} serves now", installed.version);
        self.note(now, DecisionKind::Action, &what, evidence);
        self.conclude(Ended::Done, format!("{what} (generation {generation})"));
        let why = self.change.take_handover().map(|handover| handover.why);
        self.change.poll.installed = Some(installed);
        let Some((id, run)) = old else { return };
        match why {
            Some(Why::Return) => self.returned(now, &run),
            _ => self.begin_probation(now, &run),
        }
        self.connectors.drain(&mut self.orders, id);
    }

    /// A bundle that means the same to the connector is made current, and the connector stays.
    pub(crate) fn take_equivalent(&mut self, now: Mono, installed: Installed) {
        // Who asks for a new connector gets one.
        if self.change.requests.is_active() || self.connectors.serving().is_none() {
            let why = if self.change.requests.is_active() { Why::Asked } else { Why::Version };
            return self.hand_over(now, installed, why);
        }
        let generation = installed.generation;
        self.change.under_way = UnderWay::Adopting(installed);
        self.orders.give(Order::Commit { generation });
    }

    fn commit_equivalent(&mut self, now: Mono, generation: Generation) -> bool {
        let Some(installed) = self.change.take_adopted(generation) else {
            return false;
        };
        let what = format!("secret version {} changes nothing for the connector", installed.version);
        self.note(now, DecisionKind::Action, what, "it means the same as the previous version; the connector stays");
        let before = self.connectors.renamed(installed.clone());
        self.condemn.drop_question();
        if before.is_some() && self.change.proven == before {
            self.change.proven = Some(installed.version.clone());
        }
        self.change.poll.installed = Some(installed);
        true
    }

    pub(crate) fn not_committed(&mut self, now: Mono, generation: Generation, failure: Failure) {
        let equivalent = self.change.take_adopted(generation);
        let successor =
            self.connectors.successor().filter(|(_, run)| run.installed.generation == generation).map(|(id, _)| id);
        self.supply_failed(now, "the bundle was not made current", failure);
        match successor {
            _ if equivalent.is_some() => self.orders.give(Order::Discard { generation }),
            Some(id) => {
                self.change.end_handover();
                self.connectors.drain(&mut self.orders, id);
            }
            // It runs all the same. The next read installs it anew.
            None => self.change.poll.installed = None,
        }
    }

    /// Lets go of a bundle that no connector was started from.
    fn give_up(&mut self, generation: Generation) {
        self.change.end_handover();
        self.orders.give(Order::Discard { generation });
    }

    pub(crate) fn drained(&mut self, now: Mono, id: RunId) {
        let Some(run) = self.connectors.ended(id) else { return };
        if let Some(Handover { stage: Stage::Vacating { old }, .. }) = self.change.handover()
            && *old == id
            && let Some(handover) = self.change.take_handover()
            && self.is_to_serve()
        {
            self.take_over(now, handover.installed);
        }
        if matches!(self.change.handover(), Some(Handover { stage: Stage::Refused { successor }, .. }) if *successor == id)
        {
            return self.ask_in_its_place(now);
        }
        // Older bundles are kept as the last that worked; a newer one never came into use. What serves is not installed if
        // it could not be made current.
        let serving = || self.connectors.serving().map(|(_, run)| &run.installed);
        let newest = self.change.poll.installed.as_ref().or_else(serving).map(|installed| installed.generation);
        if newest.is_some_and(|newest| run.installed.generation > newest) && !self.is_stopping() {
            self.orders.give(Order::Discard { generation: run.installed.generation });
        }
    }
}
