//! How the instance comes to another bundle, and back: the secret is read, a new version waits for its turn, is installed and handed
//! over to, and proves itself.
//!
//! A version is refused for good if it breaks a rule, would lose an origin, or if cloudflared or the edge does not take it; anything else
//! is tried again after 5, 10 … 60 minutes. The refusal ends with another version, by a reload, with the boot, and in an outage, in which
//! the refused version may be what helps. A bundle that took over is on probation until it has been registered for
//! `handover.probation`; lost for `settle` in it, the bundle before is started beside it, and whichever registers first serves: the edge,
//! not a guess, says whether the old one still works. What passed its probation once in this boot stays a way back after a restart of the
//! agent. A reload is answered once, always ends in a new connector, and tries anew what was refused. Whatever is read or installed after
//! the instance was told to go comes into use no more.

mod handover;
mod probation;
mod requests;
mod rollout;
mod secret_poll;

use crate::connectors::Role;
use crate::{Failure, Generation, Installed, Mono, Verdict, VersionId};
pub(crate) use handover::OPINION_RUNS;
use handover::{Handover, Why};
pub(crate) use probation::Probation;
use requests::Requests;
use rollout::{Rollout, Update};
pub(crate) use secret_poll::Refused;
use secret_poll::SecretPoll;
use std::time::Duration;

/// What is known of the secret, and what is under way because of it.
#[derive(Debug, Clone, Hash)]
pub(crate) struct Change {
    poll: SecretPoll,
    /// A change that waits for its turn.
    rollout: Option<Rollout>,
    under_way: UnderWay,
    probation: Option<Probation>,
    /// The version that passed its probation last.
    proven: Option<VersionId>,
    requests: Requests,
}

/// What is under way with a bundle: one thing at a time. Reading the secret is none: it never stands in another's way.
#[derive(Debug, Clone, Default, Hash)]
enum UnderWay {
    #[default]
    Idle,
    /// A version is checked and installed.
    Installing,
    /// It means the same to the connector that serves, and is made current.
    Adopting(Installed),
    /// A connector of it is to take over.
    HandingOver(Handover),
}

impl Change {
    /// What an earlier agent of this boot left.
    pub fn carried(refused: Option<Refused>, probation: Option<Probation>, proven: Option<VersionId>) -> Self {
        let poll = SecretPoll::carried(refused);
        Self { poll, rollout: None, under_way: UnderWay::Idle, probation, proven, requests: Requests::default() }
    }
    /// Whether the instance knows who it is, so that the secret can be named.
    pub fn identified(&self) -> bool {
        self.poll.identified
    }

    /// The bundle in use, or taken into use.
    pub fn installed(&self) -> Option<&Installed> {
        self.poll.installed.as_ref()
    }

    /// The version that was refused last, if it still is.
    pub fn refused(&self) -> Option<&Refused> {
        self.poll.refused.as_ref()
    }

    /// What stands in the way of a bundle right now.
    pub fn trouble(&self) -> Option<&Failure> {
        self.poll.trouble.as_ref()
    }

    /// What the bundle in use has yet to prove.
    pub fn probation(&self) -> Option<&Probation> {
        self.probation.as_ref()
    }

    /// The version that passed its probation last.
    pub fn proven(&self) -> Option<&VersionId> {
        self.proven.as_ref()
    }

    /// Whether the second connector's place is taken or called for.
    pub fn needs_the_second_place(&self) -> bool {
        self.is_changing() || self.requests.is_active()
    }

    /// Whether one connector takes over from another.
    pub fn is_handing_over(&self) -> bool {
        self.handover().is_some()
    }

    /// Whether a bundle is installed, or taken into use.
    pub fn is_changing(&self) -> bool {
        match self.under_way {
            UnderWay::Idle => false,
            UnderWay::Installing | UnderWay::Adopting(_) | UnderWay::HandingOver(_) => true,
        }
    }

    fn handover(&self) -> Option<&Handover> {
        match &self.under_way {
            UnderWay::HandingOver(handover) => Some(handover),
            UnderWay::Idle | UnderWay::Installing | UnderWay::Adopting(_) => None,
        }
    }

    fn handover_mut(&mut self) -> Option<&mut Handover> {
        match &mut self.under_way {
            UnderWay::HandingOver(handover) => Some(handover),
            UnderWay::Idle | UnderWay::Installing | UnderWay::Adopting(_) => None,
        }
    }

    fn take_handover(&mut self) -> Option<Handover> {
        match std::mem::take(&mut self.under_way) {
            UnderWay::HandingOver(handover) => Some(handover),
            other @ (UnderWay::Idle | UnderWay::Installing | UnderWay::Adopting(_)) => {
                self.under_way = other;
                None
            }
        }
    }

    /// What is handed over is not any more.
    pub fn end_handover(&mut self) {
        drop(self.take_handover());
    }

    fn take_adopted(&mut self, generation: Generation) -> Option<Installed> {
        match std::mem::take(&mut self.under_way) {
            UnderWay::Adopting(installed) if installed.generation == generation => Some(installed),
            other @ (UnderWay::Idle | UnderWay::Installing | UnderWay::Adopting(_) | UnderWay::HandingOver(_)) => {
                self.under_way = other;
                None
            }
        }
    }

    fn installing_is_over(&mut self) {
        if matches!(self.under_way, UnderWay::Installing) {
            self.under_way = UnderWay::Idle;
        }
    }

    /// The secret is read by then.
    pub fn read_by(&mut self, moment: Mono) {
        self.poll.next_read = self.poll.next_read.min(moment);
    }

    /// The edge does not take the connector: a new version may be there.
    pub fn hurry(&mut self, now: Mono) {
        self.poll.hurry(now);
    }

    /// Nothing is registered: the secret is read anew, and what was refused may be what helps.
    pub fn reconsider(&mut self, now: Mono, poll: Duration) {
        self.poll.reconsider(now, poll);
    }

    /// Nothing is changed while the instance is not to serve.
    pub fn suspend(&mut self) {
        self.end_handover();
        (self.rollout, self.probation) = (None, None);
    }

    /// The instance is taken into service again: the secret is read, and gives what was installed.
    pub fn resume(&mut self, now: Mono) -> Option<Installed> {
        self.poll.next_read = now;
        self.poll.installed.clone()
    }
}

impl Verdict {
    /// What is under way or to come, in words, and until when.
    pub(crate) fn told_changing(&self) -> Option<(String, Option<Mono>)> {
        if let Some(handover) = self.change.handover() {
            return Some((handover.tell(), None));
        }
        if let Some(turn) = &self.change.rollout {
            let waits = turn.waits.as_ref().map(|waits| format!("; it waits: {waits}")).unwrap_or_default();
            let when = if turn.at.is_some() { "in its turn" } else { "when its turn is known" };
            return Some((format!("{} {when}{waits}", self.told_change()), turn.at));
        }
        let probation = self.change.probation.as_ref()?;
        let before = &probation.previous.as_ref()?.version;
        Some(match probation.registered {
            Some(_) => {
                let until = self.probation_ends();
                (format!("on probation: if it is lost, secret version {before} returns"), until)
            }
            None => (format!("on probation: if it does not register, secret version {before} returns"), None),
        })
    }

    /// Why nothing serves, for a person.
    pub(crate) fn why_nothing_serves(&self) -> String {
        match (&self.change.poll.refused, &self.change.poll.trouble) {
            _ if self.is_vacating() => self.change.handover().map(Handover::tell).unwrap_or_default(),
            (Some(refused), _) => refused.tell(),
            (None, Some(failure)) => failure.text.clone(),
            (None, None) if self.change.poll.identified => "the secret is being read".into(),
            (None, None) => "the instance metadata is being read".into(),
        }
    }

    /// When the secret, or what is under way, wants to be looked at.
    pub(crate) fn change_moments(&self) -> Vec<Mono> {
        let trial = match self.connectors.successor().map(|(_, run)| run.role) {
            Some(Role::Successor { until, enough_since }) => {
                [Some(until), enough_since.map(|since| since + self.config.settle)]
            }
            Some(Role::Serving | Role::Opinion | Role::Leaving) | None => [None, None],
        };
        let read = self.change.poll.identified.then_some(self.change.poll.next_read);
        let others = [read, self.asking_moment(), self.rollout_moment(), self.reload_moment()];
        trial.into_iter().chain(others).flatten().chain(self.probation_moments()).collect()
    }
}
