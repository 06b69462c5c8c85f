//! The verdict's view of itself, for the status file.

use crate::change::Refused;
use crate::{Decision, Finding, Health, Hold, Holder, Installed, Mark, Mono, Run, RunId, Verdict, VersionId};
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
    /// The version of the secret that is refused, or was tried and is put off.
    pub refusing: Option<VersionId>,
    /// What is under way or to come: a hand-over, a change whose turn comes, a probation; in words that stay the same as time
    /// goes by.
    pub changing: Option<String>,
    /// Until when that lasts, or waits, if that is known.
    pub changing_until: Option<Mono>,
    /// Why the instance is not to serve, if so.
    pub off_duty: Option<String>,
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
    /// The bundle that comes back if the one in use is lost within its probation.
    pub previous: Option<Installed>,
    /// The connectors, oldest first.
    pub runs: Vec<(RunId, Run)>,
    /// The last decisions, oldest first.
    pub journal: Vec<Decision>,
}

impl Verdict {
    /// What there is to show at `now`.
    pub fn view(&self, now: Mono) -> View {
        let refused = self.change.refused();
        let (changing, changing_until) = self.told_changing().unzip();
        let (health, since) = self.outage.health();
        View {
            health,
            since,
            why: self.why(now),
            trouble: refused.map(Refused::tell).or_else(|| self.change.trouble().map(|failure| failure.text.clone())),
            refusing: refused.map(|refused| refused.version.clone()),
            changing,
            changing_until: changing_until.flatten(),
            off_duty: self.off_duty().map(String::from),
            outage: self.outage.clock().lasted(now),
            blame: self.outage.found().cloned(),
            holds: self.holds_in_force(now).map(|(by, hold)| (by, hold.clone())).collect(),
            guard: self.condemn.said().map(String::from),
            mark: self.condemn.standing().mark(),
            installed: self.change.installed().cloned(),
            previous: self.change.probation().and_then(|probation| probation.previous.clone()),
            runs: self.connectors.iter().map(|(id, run)| (id, run.clone())).collect(),
            journal: self.journal.kept().cloned().collect(),
        }
    }

    /// Whether the connectors are to be looked at every second, and not as seldom as the settings say.
    pub fn looks_closely(&self, now: Mono) -> bool {
        self.blip_is_young(now)
    }

    /// How the tunnel is; cheaper than the whole [`View`].
    pub fn health(&self) -> Health {
        self.outage.health().0
    }
}
