//! How a successor takes over from the connector that serves: beside it, never instead of it.

use crate::runs::{Role, Trial};
use crate::{DecisionKind, Failure, Generation, Mono, Order, RunId, Verdict};

impl Verdict {
    pub(crate) fn step_successor(&mut self, now: Mono) {
        let (needed, settle) = (self.config.min_connections, self.config.settle);
        let Some((id, trial)) = self.runs.trial(now, needed, settle) else { return };
        if self.book.is_open(|order| matches!(order, Order::Commit { .. })) {
            return;
        }
        let alone = self.runs.serving().is_none_or(|(_, run)| run.connections() == 0);
        match trial {
            Trial::Passed { generation } => self.book.give(Order::Commit { generation }),
            Trial::Registered { generation } if alone => self.book.give(Order::Commit { generation }),
            Trial::Failed { evidence } => {
                let what = "the successor did not register in time; it is tried again later";
                self.note(now, DecisionKind::Refusal, what, evidence);
                self.drain(id);
            }
            Trial::Registered { .. } | Trial::Waiting => {}
        }
    }

    pub(crate) fn committed(&mut self, now: Mono, generation: Generation) {
        self.supply.succeeded();
        let Some((new, run)) = self.runs.successor() else { return };
        if run.installed.generation != generation {
            return;
        }
        let (installed, evidence) = (run.installed.clone(), run.evidence());
        let old = self.runs.serving().map(|(id, _)| id);
        if let Some(run) = self.runs.get_mut(new) {
            run.role = Role::Serving;
        }
        self.note(now, DecisionKind::Action, format!("secret version {} serves now", installed.version), evidence);
        self.supply.installed = Some(installed);
        if let Some(old) = old {
            self.drain(old);
        }
    }

    pub(crate) fn not_committed(&mut self, now: Mono, generation: Generation, failure: Failure) {
        let successor =
            self.runs.successor().filter(|(_, run)| run.installed.generation == generation).map(|(id, _)| id);
        self.supply_failed(now, "the bundle was not made current", failure);
        match successor {
            Some(id) => self.drain(id),
            // It runs all the same. The next read installs it anew.
            None => self.supply.installed = None,
        }
    }

    pub(crate) fn drain(&mut self, id: RunId) {
        if let Some(run) = self.runs.get_mut(id) {
            run.role = Role::Leaving;
            self.book.give(Order::Drain { run: id });
        }
    }

    pub(crate) fn drained(&mut self, id: RunId) {
        let Some(run) = self.runs.remove(id) else { return };
        // Older bundles are kept as the last that worked; a newer one never came into use. What serves is not installed if
        // it could not be made current.
        let serving = || self.runs.serving().map(|(_, run)| &run.installed);
        let newest = self.supply.installed.as_ref().or_else(serving).map(|installed| installed.generation);
        if newest.is_some_and(|newest| run.installed.generation > newest) && !self.is_stopping() {
            self.book.give(Order::Discard { generation: run.installed.generation });
        }
    }
}
