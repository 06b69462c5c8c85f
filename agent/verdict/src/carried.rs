//! What survives a restart of the agent within one boot.
//!
//! It comes from a file that a damaged disk or the child may have written, so nothing of it is believed that cannot be true: state
//! of another schema, or from the future, is dropped as a whole, and that is said.

use crate::change::Probation;
use crate::change::Refused;
use crate::condemn::Ladder;
use crate::journal::{Journal, KEPT};
use crate::outage::Clock;
use crate::{Mono, VersionId};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::time::Duration;

/// The schema of what this agent carries. An agent before it wrote none.
const SCHEMA: u32 = 3;
/// Nothing is planned further ahead than this.
const AHEAD: Duration = Duration::from_secs(24 * 3600);
/// More restarts of one outage than there can be in a year.
const MOST_RESTARTS: u32 = 10_000;

/// What must survive a restart of the agent within one boot; to be saved before an order runs.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Carried {
    #[serde(default)]
    pub(crate) schema: u32,
    pub(crate) started: Option<Mono>,
    pub(crate) outage: Clock,
    pub(crate) ladder: Ladder,
    pub(crate) journal: Journal,
    #[serde(default)]
    pub(crate) refused: Option<Refused>,
    #[serde(default)]
    pub(crate) probation: Option<Probation>,
    #[serde(default)]
    pub(crate) proven: Option<VersionId>,
    #[serde(default)]
    pub(crate) registered_ever: bool,
    #[serde(default)]
    pub(crate) blips: VecDeque<Mono>,
}

impl Carried {
    /// What this agent knows, in its own schema.
    pub(crate) fn now(self) -> Self {
        Self { schema: SCHEMA, ..self }
    }

    /// The same if it can be true at `now`; else why it cannot.
    pub(crate) fn checked(self, now: Mono) -> Result<Self, String> {
        if self == Self::default() {
            return Ok(self);
        }
        if self.schema != SCHEMA {
            return Err(format!("it has schema {}, and this agent knows {SCHEMA}", self.schema));
        }
        let past = self.past().max().unwrap_or_default();
        if past > now {
            return Err(format!("it is from the future: {} s after now", past.since(now).as_secs()));
        }
        let planned = self.planned().max().unwrap_or_default();
        if planned > now + AHEAD {
            return Err(format!("it plans for {} s after now", planned.since(now).as_secs()));
        }
        let times = self.ladder.restarted.map_or(1, |restarted| restarted.times);
        if !(1..=MOST_RESTARTS).contains(&times) {
            return Err(format!("it counts {times} restarts of one outage"));
        }
        if self.journal.kept().count() > KEPT {
            return Err(format!("its journal has more than {KEPT} entries"));
        }
        Ok(self)
    }

    /// The moments in it that have been.
    fn past(&self) -> impl Iterator<Item = Mono> {
        let ladder = [self.started, self.ladder.restarted.map(|restarted| restarted.at), self.ladder.testified];
        let registered = self.probation.as_ref().and_then(|probation| probation.registered);
        let journal = self.journal.kept().map(|decision| decision.at);
        let blips = self.blips.iter().copied();
        ladder.into_iter().chain([registered]).flatten().chain(self.outage.moments()).chain(journal).chain(blips)
    }

    /// The moments in it that may be to come.
    fn planned(&self) -> impl Iterator<Item = Mono> {
        let refused = self.refused.as_ref().and_then(|refused| refused.until);
        let returns = self.probation.as_ref().map(|probation| probation.next_try);
        [self.ladder.standing.planned(), refused, returns].into_iter().flatten()
    }
}
