//! The first minutes of a new bundle: lost in them, the one before comes back, if it can.

use crate::handover::Why;
use crate::{DecisionKind, Installed, Mono, Order, Run, Verdict};
use serde::{Deserialize, Serialize};

/// A bundle that serves and has not proven itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Probation {
    /// The bundle that worked before it.
    pub previous: Installed,
    /// When it was first registered: its time counts from here.
    pub registered: Option<Mono>,
    /// When a return may be tried next.
    pub next_try: Mono,
}

impl Verdict {
    /// What takes over from `old` has to prove itself, if that one worked and was another bundle.
    pub(crate) fn begin_probation(&mut self, now: Mono, old: &Run) {
        let new = self.handover.as_ref().map(|handover| &handover.installed).or(self.supply.installed.as_ref());
        let other = new.is_some_and(|new| new.generation != old.installed.generation);
        if other && old.registered_once {
            let previous = old.installed.clone();
            self.probation = Some(Probation { previous, registered: None, next_try: now });
        } else if other && let Some(probation) = &mut self.probation {
            // What came in between never worked: the way back stays the same, and the time begins anew.
            (probation.registered, probation.next_try) = (None, now);
        }
    }

    pub(crate) fn step_probation(&mut self, now: Mono) {
        let Some((_, run)) = self.runs.serving() else { return };
        let (connections, generation) = (run.connections(), run.installed.generation);
        let Some(probation) = &mut self.probation else { return };
        if generation == probation.previous.generation {
            self.probation = None;
        } else if connections > 0 {
            let since = *probation.registered.get_or_insert(now);
            if now.since(since) >= self.config.probation {
                self.probation = None;
                self.supply.proven();
            }
        } else if self.return_due().is_some_and(|due| now >= due) && self.may_return(now) {
            self.try_return(now);
        }
    }

    /// When the bundle on probation counts as lost, and the one before may be tried.
    fn return_due(&self) -> Option<Mono> {
        let (probation, (_, run)) = (self.probation.as_ref()?, self.runs.serving()?);
        let lost = match probation.registered {
            // An edge that comes and goes is no reason: it is lost when it stays lost.
            Some(_) => self.outage.lost_since()? + self.config.settle,
            None => run.ordered + self.config.register_timeout,
        };
        Some(lost.max(probation.next_try))
    }

    fn may_return(&self, now: Mono) -> bool {
        let edge_out = self.inquiry.edge_out(now, self.config.evidence_lasts);
        let installing = self.book.is_open(|order| matches!(order, Order::Install { .. }));
        let busy = self.handover.is_some() || installing || self.reloads.is_active() || self.runs.full();
        !busy && !self.is_held(now) && !edge_out
    }

    fn try_return(&mut self, now: Mono) {
        let Some(probation) = &mut self.probation else { return };
        probation.next_try = now + self.config.register_timeout * 2;
        let previous = probation.previous.clone();
        let what = format!("try the bundle before, secret version {}", previous.version);
        let evidence = format!("the new one was lost within its probation; {}", self.why(now));
        self.note(now, DecisionKind::Action, what, evidence);
        self.hand_over(now, previous, Why::Return);
    }

    /// The bundle before serves again: the one that was `lost` is refused for good only if it was its own fault.
    pub(crate) fn returned(&mut self, now: Mono, lost: &Run) {
        self.probation = None;
        let (version, why) = (lost.installed.version.clone(), lost.evidence());
        let text = |why: &str| format!("it was lost within its probation, so the version before serves again: {why}");
        match lost.fault_of_bundle() {
            Some(words) => self.refuse_version(now, version, text(&format!("cloudflared says: {words}"))),
            None => self.put_off(now, version, text(&why)),
        }
    }

    /// When a probation wants to be looked at.
    pub(crate) fn probation_moments(&self) -> impl Iterator<Item = Mono> {
        let registered = self.probation.as_ref().and_then(|probation| probation.registered);
        [registered.map(|since| since + self.config.probation), self.return_due()].into_iter().flatten()
    }
}
