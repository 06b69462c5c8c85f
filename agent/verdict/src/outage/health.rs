//! The one word for how the tunnel is.

use crate::condemn::{Lift, Standing};
use crate::{DecisionKind, Mono, Verdict};
use serde::{Deserialize, Serialize};
use std::fmt;

/// How the tunnel is, as seen from this instance. `docs/verdict.md` draws the transitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Hash)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// Not registered yet, and it is too early to worry.
    Starting,
    /// Registered with as many connections as it ever had.
    Registered,
    /// Registered with fewer connections than it had.
    Degraded,
    /// Not registered.
    Broken,
    /// Not registered; something was done about it and has not helped yet.
    Remediating,
    /// Not registered; the group was told to replace this instance.
    Condemned,
    /// Not registered; the group should replace this instance and could not be told so. A person is needed.
    Held,
    /// Told to go.
    Draining,
}

impl Health {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Starting,
        Self::Registered,
        Self::Degraded,
        Self::Broken,
        Self::Remediating,
        Self::Condemned,
        Self::Held,
        Self::Draining,
    ];

    /// What may follow. A table of what does follow, which tests hold against lives and against the drawing in the docs;
    /// nothing is decided by it.
    pub fn next(self) -> &'static [Self] {
        use Health::{Broken, Condemned, Degraded, Draining, Held, Registered, Remediating, Starting};
        match self {
            Starting => &[Registered, Broken, Remediating, Condemned, Held, Draining],
            Registered => &[Degraded, Broken, Remediating, Condemned, Held, Draining],
            Degraded => &[Registered, Broken, Remediating, Condemned, Held, Draining],
            Broken => &[Registered, Degraded, Remediating, Condemned, Held, Draining],
            Remediating => &[Registered, Degraded, Broken, Condemned, Held, Draining],
            Condemned => &[Registered, Degraded, Broken, Remediating, Held, Draining],
            Held => &[Registered, Degraded, Broken, Remediating, Condemned, Draining],
            // An instance that was put aside comes back.
            Draining => &[Starting, Remediating, Condemned, Held],
        }
    }

    /// Whether clients can be served.
    pub fn is_registered(self) -> bool {
        matches!(self, Health::Registered | Health::Degraded)
    }
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Health::Starting => "starting",
            Health::Registered => "registered",
            Health::Degraded => "degraded",
            Health::Broken => "broken",
            Health::Remediating => "remediating",
            Health::Condemned => "condemned",
            Health::Held => "held",
            Health::Draining => "draining",
        })
    }
}

impl Verdict {
    pub(crate) fn step_health(&mut self, now: Mono) {
        let judged = self.judge(now);
        // A start is over once, unless the instance was put aside and comes back.
        let over = judged == Health::Starting && !matches!(self.outage.health, Health::Starting | Health::Draining);
        let health = if over { Health::Broken } else { judged };
        if health == self.outage.health {
            return;
        }
        let what = format!("{} → {health}", self.outage.health);
        let evidence = self.why(now);
        self.note(now, DecisionKind::Transition, what, evidence);
        self.outage.health = health;
        self.outage.since = now;
    }

    pub(crate) fn judge(&self, now: Mono) -> Health {
        if !self.is_to_serve() {
            return Health::Draining;
        }
        let Some((_, run)) = self.connectors.serving() else {
            let patient = now < self.begun + self.config.startup_grace;
            return match self.change.refused() {
                _ if self.is_vacating() => Health::Remediating,
                _ if patient => Health::Starting,
                Some(_) => Health::Held,
                None => Health::Broken,
            };
        };
        let registered = run.connections() > 0;
        let young = self.outage.clock.lasted(now).is_none_or(|lasted| lasted < self.config.recheck_secret_after);
        match self.condemn.standing() {
            _ if registered && !self.outage.clock.flapping(now, self.config.flapping_window) => {
                if run.connections() < run.most { Health::Degraded } else { Health::Registered }
            }
            Standing::Shown { .. } | Standing::Lifting { lift: Lift::Registered, .. } => Health::Condemned,
            Standing::Called { no: Some(_), .. }
            | Standing::Marking { again: true }
            | Standing::Lifting { lift: Lift::Yields | Lift::Blamed, .. } => Health::Held,
            Standing::Called { no: None, .. } | Standing::Marking { again: false } => Health::Remediating,
            Standing::Calm if registered => Health::Broken,
            Standing::Calm if self.condemn.has_restarted() => Health::Remediating,
            Standing::Calm if !self.outage.registered_once && young => Health::Starting,
            Standing::Calm => Health::Broken,
        }
    }

    /// Why the health is what it is, for a person.
    pub(crate) fn why(&self, now: Mono) -> String {
        if self.is_stopping() {
            return "the agent is stopping".into();
        }
        if let Some(why) = self.off_duty() {
            return why.into();
        }
        let Some((_, run)) = self.connectors.serving() else {
            return self.why_nothing_serves();
        };
        match (self.outage.clock.lasted(now), self.condemn.standing()) {
            (_, Standing::Called { no: Some(why), .. }) => format!("{}; not condemned: {why}", run.evidence()),
            (Some(_), _) if run.connections() == 0 => {
                format!("{}; {}", self.outage.clock.tell(now), run.evidence())
            }
            _ if self.outage.clock.flapping(now, self.config.flapping_window) => {
                format!("{}, but unregistered for most of the last minutes", run.evidence())
            }
            _ => run.evidence(),
        }
    }
}
