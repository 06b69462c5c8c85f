//! Whether the tunnel is served, since when not, and whose fault that is.

mod blame;
mod blip;
mod clock;
mod evidence;
mod health;
mod opinion;
mod probes;

use crate::{Config, Mono, RunFact, RunId};
pub use blame::{Blame, Condemns, Confidence, Finding, Restarts};
use blip::Blips;
pub(crate) use clock::Clock;
pub use evidence::{Complaint, OriginProbe, Probe, Probes, Reach};
pub use health::Health;
use opinion::{Opinion, Told};
use probes::ProbeSchedule;
use std::collections::VecDeque;

/// What is known of the tunnel's service.
#[derive(Debug, Clone, Hash)]
pub(crate) struct Outage {
    clock: Clock,
    probes: ProbeSchedule,
    blips: Blips,
    opinion: Opinion,
    /// Whose fault it is, as judged last.
    found: Option<Finding>,
    health: Health,
    since: Mono,
    registered_once: bool,
    /// Whether this instance has been registered since its host booted.
    registered_ever: bool,
}

impl Outage {
    /// What an earlier agent of this boot left.
    pub fn carried(clock: Clock, blips: VecDeque<Mono>, registered_ever: bool, now: Mono) -> Self {
        Self {
            clock,
            probes: ProbeSchedule::default(),
            blips: Blips::carried(blips),
            opinion: Opinion::default(),
            found: None,
            health: Health::Starting,
            since: now,
            registered_once: false,
            registered_ever,
        }
    }
    /// One look at the tunnel.
    pub fn look(&mut self, now: Mono, registered: bool, config: &Config) {
        self.clock.note(now, registered, config.recovered_after, config.flapping_window);
        if registered {
            (self.registered_once, self.registered_ever) = (true, true);
            self.opinion.over();
            self.probes.registered();
        }
    }

    /// It is over.
    pub fn over(&mut self) {
        self.probes.over();
    }

    /// Another bundle serves: what an opinion said was of the one before.
    pub fn forget_opinion(&mut self) {
        self.opinion.over();
    }

    /// The instance is taken into service again, as after a boot.
    pub fn begin_anew(&mut self) {
        (self.registered_once, self.clock) = (false, Clock::default());
        self.probes.over();
        self.opinion.over();
    }

    /// How long, and since when.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Whose fault it is, as judged last.
    pub fn found(&self) -> Option<&Finding> {
        self.found.as_ref()
    }

    /// How the tunnel is, and since when it has been so.
    pub fn health(&self) -> (Health, Mono) {
        (self.health, self.since)
    }

    /// Whether the tunnel has been registered since the agent began, or the instance came into service again.
    pub fn registered_once(&self) -> bool {
        self.registered_once
    }

    /// Whether this instance has been registered since its host booted.
    pub fn registered_ever(&self) -> bool {
        self.registered_ever
    }

    /// The restarts after blips within the last hour.
    pub fn blips(&self) -> &VecDeque<Mono> {
        self.blips.made()
    }

    /// Whether a connector runs for a second opinion.
    pub fn opinion_is_asked(&self) -> bool {
        self.opinion.is_asked()
    }
    /// What a connector that was asked for a second opinion says counts.
    pub fn hear(&mut self, id: RunId, fact: &RunFact) {
        self.opinion.hear(id, fact);
    }
}
