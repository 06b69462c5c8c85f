//! A short loss of all connections is not slept out: a new child registers in a fraction of a second, and one that has lost its
//! connections sleeps for up to a minute (observed, 2026.8.2).
//!
//! The edge is tried by the transport that the connector uses. When it answers, the child is replaced; when UDP is silent and TCP
//! is not, too, for only a new child falls back to HTTP/2.

use crate::{
    DecisionKind, Failure, Mode, Mono, Order, Reach, Ready, Reason, Restarts, Run, RunId, Stop, Transport, Verdict,
};
use std::collections::VecDeque;
use std::time::Duration;

/// From here on the edge is tried, as long as nothing is connected.
const TRIED_AFTER: Duration = Duration::from_secs(2);
/// QUIC mends itself in 0.7 to 6.3 s (observed): it is left alone for so long.
const QUIC_MENDS: Duration = Duration::from_secs(7);
/// The edge is tried every second for so long, then every five.
const CLOSELY: Duration = Duration::from_secs(30);
/// The spread of the restarts after a short outage, and after one that all instances may have had.
const SPREAD: Duration = Duration::from_secs(1);
const WIDE_SPREAD: Duration = Duration::from_secs(10);
/// Not more often than this, and not more than so many within an hour.
const LEAST: Duration = Duration::from_secs(300);
const HOUR: Duration = Duration::from_secs(3600);
const MOST: usize = 6;
/// UDP is shut when so many tries in a row were silent.
const SILENT: u32 = 2;

/// The restarts that were made, and how far the next one has come.
#[derive(Debug, Clone, Default, Hash)]
pub(crate) struct Blips {
    /// When they were made, oldest first; no more than may be within an hour.
    made: VecDeque<Mono>,
    stage: Stage,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Hash)]
enum Stage {
    /// Nothing is lost, or nothing may be done about it.
    #[default]
    Calm,
    /// The edge is tried again at that time.
    Trying { next: Mono, transport: Transport, silent: u32 },
    /// The child is replaced at that time, if it is still needed.
    Due { at: Mono, reason: Reason },
}

impl Blips {
    pub fn carried(made: VecDeque<Mono>) -> Self {
        Self { made, stage: Stage::Calm }
    }

    pub fn made(&self) -> &VecDeque<Mono> {
        &self.made
    }

    /// Whether a child was replaced for this a short while ago.
    pub fn made_since(&self, earlier: Mono) -> bool {
        self.made.back().is_some_and(|at| *at >= earlier)
    }

    fn may(&self, now: Mono) -> bool {
        let within = self.made.iter().filter(|at| now.since(**at) < HOUR).count();
        !self.made_since(now.before(LEAST)) && within < MOST
    }

    fn make(&mut self, now: Mono) {
        if self.made.len() == MOST {
            self.made.pop_front();
        }
        self.made.push_back(now);
        self.stage = Stage::Calm;
    }

    pub fn moment(&self) -> Option<Mono> {
        match self.stage {
            Stage::Calm => None,
            Stage::Trying { next, .. } => Some(next),
            Stage::Due { at, .. } => Some(at),
        }
    }
}

impl Run {
    /// Whether a living child has lost what it had.
    fn has_lost_all(&self) -> bool {
        self.pid.is_some() && self.most > 0 && self.ready == Some(Ready::No)
    }

    /// By what it reaches the edge, as far as is known. TCP answers or does not, so it is tried where nothing is known.
    fn way(&self) -> Transport {
        self.transport.or(self.pinned).unwrap_or(Transport::Http2)
    }
}

impl Verdict {
    pub(crate) fn step_blip(&mut self, now: Mono) {
        let Some((id, lost)) = self.blip(now) else {
            self.outage.blips.stage = Stage::Calm;
            return;
        };
        match self.outage.blips.stage {
            Stage::Calm => {
                let Some((_, run)) = self.connectors.serving() else { return };
                let (next, transport) = (lost + TRIED_AFTER, run.way());
                self.outage.blips.stage = Stage::Trying { next, transport, silent: 0 };
                self.try_edge(now, id, lost);
            }
            Stage::Trying { .. } => self.try_edge(now, id, lost),
            Stage::Due { at, reason } if now >= at => self.replace_child(now, id, reason),
            Stage::Due { .. } => {}
        }
    }

    /// The connector that lost all its connections, and when; `None` while nothing may be done about it.
    fn blip(&self, now: Mono) -> Option<(RunId, Mono)> {
        let (id, _) = self.connectors.serving().filter(|(_, run)| run.has_lost_all())?;
        let lost = self.outage.clock.lost_since()?;
        let blamed = self.outage.found.as_ref().is_some_and(|finding| finding.blame.may_restart() != Restarts::Soon);
        let busy = self.change.is_changing()
            || self.return_comes_first(now)
            || self.orders.is_open(|order| matches!(order, Order::Restart { .. }));
        let may = self.config.mode == Mode::Act && self.outage.blips.may(now) && !blamed && !busy;
        may.then_some((id, lost))
    }

    /// Whether the connector that serves is to be looked at every second: it has just lost what it had.
    pub(crate) fn blip_is_young(&self, now: Mono) -> bool {
        let lost = self.connectors.serving().is_some_and(|(_, run)| run.has_lost_all());
        lost && self.outage.clock.lost_since().is_some_and(|since| now.since(since) < CLOSELY)
    }

    fn try_edge(&mut self, now: Mono, run: RunId, lost: Mono) {
        let Stage::Trying { next, transport, .. } = &mut self.outage.blips.stage else { return };
        if now < *next || self.orders.is_open(|order| matches!(order, Order::ProbeEdge { .. })) {
            return;
        }
        let again = if now.since(lost) < CLOSELY { Duration::from_secs(1) } else { Duration::from_secs(5) };
        *next = now + again;
        let transport = *transport;
        self.orders.give(Order::ProbeEdge { run, transport });
    }

    pub(crate) fn edge_tried(&mut self, now: Mono, transport: Transport, result: Result<Reach, Failure>) {
        if self.opinion_greeted(now, &result) {
            return;
        }
        let (Some((_, lost)), Stage::Trying { next, transport: tried, silent }) =
            (self.blip(now), self.outage.blips.stage)
        else {
            return;
        };
        let Some((_, run)) = self.connectors.serving().filter(|_| tried == transport) else { return };
        let (way, pinned) = (run.way(), run.pinned.is_some());
        let answered = matches!(result, Ok(Reach::Answered));
        // What could not be tried says nothing.
        let silent = match result {
            Ok(Reach::Silent | Reach::Failed) if transport == Transport::Quic => silent + 1,
            Ok(Reach::Answered) if transport == Transport::Quic => 0,
            Ok(_) | Err(_) => silent,
        };
        let spread = self.jitter.up_to(if now.since(lost) > CLOSELY { WIDE_SPREAD } else { SPREAD });
        self.outage.blips.stage = match (way, transport) {
            (Transport::Quic, Transport::Quic) if answered => {
                Stage::Due { at: now.max(lost + QUIC_MENDS) + spread, reason: Reason::Blip }
            }
            (Transport::Http2, Transport::Http2) if answered => Stage::Due { at: now + spread, reason: Reason::Blip },
            (Transport::Quic, Transport::Http2) if answered && silent >= SILENT => {
                Stage::Due { at: now + spread, reason: Reason::Transport }
            }
            // UDP is silent: whether TCP is not is tried next.
            (Transport::Quic, Transport::Quic) if silent >= SILENT && !pinned => {
                Stage::Trying { next: now, transport: Transport::Http2, silent }
            }
            (_, _) => Stage::Trying { next, transport: way, silent },
        };
    }

    fn replace_child(&mut self, now: Mono, run: RunId, reason: Reason) {
        self.outage.blips.make(now);
        let why = match reason {
            Reason::Transport => "UDP to the edge is blocked, and TCP is not: a new child falls back to HTTP/2",
            Reason::Blip | Reason::Unregistered | Reason::EdgeBack => {
                "all connections are lost, and the edge answers: a new child registers at once"
            }
        };
        self.note(now, DecisionKind::Action, "replace the child", why);
        self.connectors.restart(&mut self.orders, run, reason, Stop::AtOnce);
    }

    /// When the loss of all connections wants to be looked at.
    pub(crate) fn blip_moments(&self) -> impl Iterator<Item = Mono> {
        let lost = self.outage.clock.lost_since().filter(|_| self.outage.blips.stage == Stage::Calm);
        self.outage.blips.moment().into_iter().chain(lost.map(|lost| lost + TRIED_AFTER))
    }
}
