//! When the verdict probes this host's network, and the results.

use crate::condemn::LATER;
use crate::{Blame, Complaint, Failure, Mono, Order, OriginProbe, Probes, Reach, Reason, Restarts, Verdict};
use std::time::Duration;

/// How often an origin that clients are refused by is tried. A connection without a login counts against the host at
/// MySQL (`max_connect_errors`), so this is seldom.
const ORIGIN_AGAIN: Duration = Duration::from_secs(600);

/// What was tried from this host.
#[derive(Debug, Clone, Default, Hash)]
pub struct ProbeSchedule {
    last: Option<(Mono, Probes)>,
    /// What the last try of each origin gave, and when: a probe may spare some of them.
    origins: Vec<(Mono, OriginProbe)>,
    next: Mono,
    next_origin: Mono,
    /// The edge could not be reached when it was tried last.
    edge_was_out: bool,
    /// When it first could not, by what the connector may use, since that was registered.
    failed_first: Option<Mono>,
    /// Since when it can be reached again, if the connector was not restarted for it.
    back_since: Option<Mono>,
}

impl ProbeSchedule {
    /// What the last try gave, if it is younger than `lasts`.
    pub fn probes(&self, now: Mono, lasts: Duration) -> Option<&Probes> {
        self.last.as_ref().filter(|(at, _)| now.since(*at) <= lasts).map(|(_, probes)| probes)
    }

    /// When the last try was over.
    pub fn probed_at(&self) -> Option<Mono> {
        self.last.as_ref().map(|(at, _)| *at)
    }

    /// An origin that was down when it was tried last, if that is younger than `lasts`.
    pub fn origin_down(&self, now: Mono, lasts: Duration) -> Option<&OriginProbe> {
        let down = |origin: &OriginProbe| matches!(origin.probe.reach, Reach::Silent | Reach::Failed);
        self.origins.iter().find(|(at, origin)| now.since(*at) <= lasts && down(origin)).map(|(_, origin)| origin)
    }

    /// When an origin was last tried.
    pub fn origins_tried_at(&self) -> Option<Mono> {
        self.origins.iter().map(|(at, _)| *at).max()
    }

    /// Keeps what a probe gave; of an origin that it spared, what the last try gave.
    fn learn(&mut self, now: Mono, probes: Probes) {
        let spared = |(_, before): &(Mono, OriginProbe)| {
            probes.origins.iter().any(|it| it.service == before.service && it.probe.reach == Reach::Untried)
        };
        self.origins.retain(spared);
        let tried = probes.origins.iter().filter(|origin| origin.probe.reach != Reach::Untried);
        self.origins.extend(tried.map(|origin| (now, origin.clone())));
        self.last = Some((now, probes));
    }

    /// When the edge first could not be reached, since the connector was registered.
    pub fn failed_first(&self) -> Option<Mono> {
        self.failed_first
    }

    /// The connector is registered: it sleeps no more.
    pub fn registered(&mut self) {
        (self.back_since, self.failed_first) = (None, None);
    }

    /// The outage is over.
    pub fn over(&mut self) {
        self.next = Mono::default();
        (self.edge_was_out, self.back_since) = (false, None);
    }
}

impl Verdict {
    /// Whether the edge is known to be out of reach from here, by what the connector may use.
    pub(crate) fn edge_out(&self, now: Mono) -> bool {
        let pinned = self.connectors.serving().and_then(|(_, run)| run.pinned);
        let probes = self.outage.probes.probes(now, self.config.evidence_lasts);
        probes.and_then(|probes| probes.edge_reachable_by(pinned)) == Some(false)
    }

    /// Tries this host's ways while the tunnel is out, from `probe_after` on.
    pub(crate) fn step_inquiry(&mut self, now: Mono) {
        if now >= self.outage.probes.next {
            self.outage.probes.next = now + self.config.probe_again;
            self.probe();
        }
    }

    /// Tries the origins of a registered tunnel, when its clients were refused by one.
    pub(crate) fn step_origins(&mut self, now: Mono) {
        let Some((_, run)) = self.connectors.serving() else { return };
        let complaint = run.complaints.get(&Complaint::OriginUnreachable).map(|(at, _)| *at);
        let news = complaint.is_some_and(|at| self.outage.probes.probed_at().is_none_or(|probed| probed < at));
        if news && now >= self.outage.probes.next_origin {
            self.outage.probes.next_origin = now + ORIGIN_AGAIN;
            self.probe();
        }
    }

    fn probe(&mut self) {
        let Some((_, run)) = self.connectors.serving() else { return };
        let generation = run.installed.generation;
        if !self.orders.is_open(|order| matches!(order, Order::Probe { .. })) {
            self.orders.give(Order::Probe { generation });
        }
    }

    pub(crate) fn probed(&mut self, now: Mono, result: Result<Probes, Failure>) {
        // A probe that could not be made says nothing, and the last one ages.
        let Ok(probes) = result else { return };
        match probes.edge_reachable() {
            Some(false) => (self.outage.probes.edge_was_out, self.outage.probes.back_since) = (true, None),
            Some(true) if std::mem::take(&mut self.outage.probes.edge_was_out) => {
                self.outage.probes.back_since = Some(now)
            }
            Some(true) => {}
            None => {}
        }
        self.outage.probes.learn(now, probes);
        if self.edge_out(now) {
            self.outage.probes.failed_first.get_or_insert(now);
        }
    }

    /// When the next probe of an outage is due.
    pub(crate) fn inquiry_moment(&self) -> Mono {
        self.outage.probes.next
    }

    /// Why a living connector should be restarted now, if it should.
    pub(crate) fn restart_reason(&mut self, now: Mono, due: bool) -> Option<Reason> {
        let blame = self.outage.found.as_ref().map(|finding| finding.blame);
        if blame.is_some_and(|blame| blame.may_restart() == Restarts::Never) {
            return None;
        }
        // A hung process is not helped by waiting for the edge.
        if blame != Some(Blame::Process) && self.edge_out(now) {
            return None;
        }
        let Some(back) = self.outage.probes.back_since else { return due.then_some(Reason::Unregistered) };
        // It may have registered since, and the next look shows it.
        if self.connectors.serving().is_none_or(|(_, run)| run.observed.is_none_or(|at| at <= back)) {
            return None;
        }
        self.outage.probes.back_since = None;
        let lately = now.before(LATER);
        (!self.condemn.restarted_since(lately) && !self.outage.blips.made_since(lately)).then_some(Reason::EdgeBack)
    }
}
