//! What the verdict shows of itself, for the status file.

use crate::{Decision, Finding, Health, Hold, Holder, Installed, Mark, Mono, Run, RunId, Verdict};
use std::time::Duration;

/// The whole state of the judgement at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct View {
    /// How the tunnel is.
    pub health: Health,
    /// Since when it has been so.
    pub since: Mono,
    /// Why, for a person.
    pub why: String,
    /// What stands in the way of a newer bundle, with the next step; `None` when nothing does.
    pub trouble: Option<String>,
    /// How long the tunnel has been unregistered, if it is or was a moment ago.
    pub outage: Option<Duration>,
    /// Whose fault it is, if it is not well and that can be judged.
    pub blame: Option<Finding>,
    /// The holds in force.
    pub holds: Vec<(Holder, Hold)>,
    /// What the guard last said against condemning, if it was asked in this outage.
    pub guard: Option<String>,
    /// Where condemning stands.
    pub mark: Mark,
    /// The bundle in use.
    pub installed: Option<Installed>,
    /// The connectors, oldest first.
    pub runs: Vec<(RunId, Run)>,
    /// The last decisions, oldest first.
    pub journal: Vec<Decision>,
}

impl Verdict {
    /// What there is to show at `now`.
    pub fn view(&self, now: Mono) -> View {
        let refused = self.supply.refused.as_ref();
        View {
            health: self.health,
            since: self.since,
            why: self.why(now),
            trouble: refused
                .map(|(version, why)| format!("secret version {version} was refused: {why}"))
                .or_else(|| self.supply.trouble.as_ref().map(|failure| failure.text.clone())),
            outage: self.outage.lasted(now),
            blame: self.found.clone(),
            holds: self.holds.in_force(now).map(|(by, hold)| (by, hold.clone())).collect(),
            guard: self.guard.said().map(String::from),
            mark: self.ladder.mark.clone(),
            installed: self.supply.installed.clone(),
            runs: self.runs.iter().map(|(id, run)| (id, run.clone())).collect(),
            journal: self.journal.kept().cloned().collect(),
        }
    }

    /// How the tunnel is; cheaper than the whole [`View`].
    pub fn health(&self) -> Health {
        self.health
    }
}
