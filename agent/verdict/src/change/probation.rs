//! The first minutes of a new bundle: lost in them, the one before comes back, if it can.

use crate::change::Why;
use crate::{DecisionKind, Installed, Mode, Mono, Run, Verdict};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A bundle that serves, or is to serve, and has not proven itself on this instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Hash)]
pub(crate) struct Probation {
    /// The bundle that worked before it; none if this is the first.
    pub previous: Option<Installed>,
    /// When it was first registered.
    pub registered: Option<Mono>,
    /// When a return may be tried next.
    pub next_try: Mono,
    /// How often one was tried since the bundle was registered last.
    #[serde(default)]
    pub tries: u32,
    /// The bundle before did not register either, though the edge could be reached.
    #[serde(default)]
    pub no_remedy: bool,
}

/// In an outage that neither bundle ends, returns are not tried more seldom than this.
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);

impl Probation {
    fn begins(now: Mono, previous: Option<Installed>) -> Self {
        Self { previous, registered: None, next_try: now, tries: 0, no_remedy: false }
    }
}

impl Verdict {
    /// What takes over from `old` has to prove itself, if it is another bundle.
    pub(crate) fn begin_probation(&mut self, now: Mono, old: &Run) {
        let new = self.change.handover().map(|handover| &handover.installed).or(self.change.poll.installed.as_ref());
        if new.is_some_and(|new| new.generation != old.installed.generation) {
            // What never worked is no way back: the one before it stays that.
            let before = self.change.probation.take().and_then(|probation| probation.previous);
            let worked = old.registered_once || self.is_proven(&old.installed);
            let previous = if worked { Some(old.installed.clone()) } else { before };
            self.change.probation = Some(Probation::begins(now, previous));
        }
    }

    /// The first bundle of a boot has to prove itself too.
    pub(crate) fn begin_first_probation(&mut self, now: Mono, installed: &Installed) {
        if self.change.probation.is_none() && !self.is_proven(installed) {
            self.change.probation = Some(Probation::begins(now, None));
        }
    }

    fn is_proven(&self, installed: &Installed) -> bool {
        self.change.proven.as_ref() == Some(&installed.version)
    }

    pub(crate) fn step_probation(&mut self, now: Mono) {
        let Some((_, run)) = self.connectors.serving() else { return };
        let (connections, installed) = (run.connections(), run.installed.clone());
        let Some(probation) = &mut self.change.probation else { return };
        if probation.previous.as_ref().is_some_and(|previous| previous.generation == installed.generation) {
            self.change.probation = None;
        } else if connections > 0 {
            // It came back by itself. Lost again, the way back is the first thing to try again, unless it was shown to be none.
            if !probation.no_remedy {
                probation.tries = 0;
            }
            probation.registered.get_or_insert(now);
            if self.probation_ends().is_some_and(|end| now >= end) {
                (self.change.probation, self.change.proven) = (None, Some(installed.version));
                self.change.poll.proven();
            }
        } else if self.return_due().is_some_and(|due| now >= due) {
            // It needs the second place.
            self.drop_opinion(now);
            if self.may_return(now) {
                self.try_return(now);
            }
        }
    }

    /// When it has been registered for long enough without a break; `None` while it is not registered.
    pub(crate) fn probation_ends(&self) -> Option<Mono> {
        let registered = self.change.probation.as_ref()?.registered?;
        Some(registered.max(self.outage.clock().good_since()?) + self.config.probation)
    }

    /// When the bundle on probation counts as lost, and the one before may be tried.
    fn return_due(&self) -> Option<Mono> {
        let (probation, (_, run)) = (self.change.probation.as_ref()?, self.connectors.serving()?);
        probation.previous.as_ref()?;
        let lost = match probation.registered {
            // An edge that comes and goes is no reason: it is lost when it stays lost.
            Some(_) => self.outage.clock().lost_since()? + self.config.settle,
            None => run.ordered + self.config.register_timeout,
        };
        Some(lost.max(probation.next_try))
    }

    fn may_return(&self, now: Mono) -> bool {
        let busy = self.change.is_changing() || self.change.requests.is_active() || self.connectors.full();
        !busy && !self.is_held(now) && !self.edge_out(now) && self.config.mode == Mode::Act
    }

    /// Whether the way back is being tried, or has yet to be: nothing is condemned for what that may mend.
    pub(crate) fn return_comes_first(&self, now: Mono) -> bool {
        let returning = self.change.handover().is_some_and(|handover| handover.why == Why::Return);
        let untried = self
            .change
            .probation
            .as_ref()
            .is_some_and(|probation| probation.previous.is_some() && probation.tries == 0);
        returning || (untried && self.may_return(now))
    }

    fn try_return(&mut self, now: Mono) {
        let Some(Probation { previous: Some(previous), next_try, tries, .. }) = &mut self.change.probation else {
            return;
        };
        let previous = previous.clone();
        // 2, 4, 8 … times as long as a connector may take: most often the other bundle is no remedy either.
        *tries = tries.saturating_add(1);
        *next_try = now + (self.config.register_timeout * 2u32.saturating_pow(*tries)).min(LONGEST_PAUSE);
        let what = format!("try the previous bundle, secret version {}", previous.version);
        let evidence = format!("the new one was lost within its probation; {}", self.why(now));
        self.note(now, DecisionKind::Action, what, evidence);
        self.hand_over(now, previous, Why::Return);
    }

    /// The bundle before serves again: the one that was `lost` is refused for good only if it was its own fault.
    pub(crate) fn returned(&mut self, now: Mono, lost: &Run) {
        self.change.probation = None;
        let (version, why) = (lost.installed.version.clone(), lost.evidence());
        let text = |why: &str| format!("it was lost within its probation, so the previous version serves again: {why}");
        match lost.fault_of_bundle() {
            Some(words) => self.refuse_version(now, version, text(&format!("cloudflared says: {words}"))),
            None => self.put_off(now, version, text(&why)),
        }
    }

    /// The bundle before was tried, and did not register either.
    pub(crate) fn return_failed(&mut self, now: Mono) {
        let reached = !self.edge_out(now);
        if let Some(probation) = &mut self.change.probation {
            probation.no_remedy |= reached;
        }
    }

    /// When a probation wants to be looked at.
    pub(crate) fn probation_moments(&self) -> impl Iterator<Item = Mono> {
        [self.probation_ends(), self.return_due()].into_iter().flatten()
    }
}
