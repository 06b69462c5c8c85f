//! Whose turn it is: the instances of a group change one after the other, so that what is bad about a change is seen at the
//! first of them.

use crate::change::Why;
use crate::{DecisionKind, Failure, FailureKind, Mode, Mono, Order, Place, Verdict, VersionId};
use std::time::Duration;

/// A change that waits for this instance's turn.
#[derive(Debug, Clone, Hash)]
pub(crate) struct Rollout {
    pub change: Update,
    /// When it comes; `None`: the place in the group is being read.
    pub at: Option<Mono>,
    /// Whether others are asked first what they made of it.
    asks: bool,
    /// From when on it is made though others refuse it; `None`: as long as they do it is not.
    alone_from: Option<Mono>,
    /// What it waits for beyond its time.
    pub waits: Option<String>,
    /// It was read once that nobody refuses it any more: what is late or lost looks the same, so it is read again.
    clear: bool,
    /// So many more answers that cannot be read are waited out.
    tries_left: u32,
}

/// What changes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Update {
    /// The secret has that version.
    Version(VersionId),
    /// The file of cloudflared is of that version.
    Binary(String),
}

/// What others refuse could not be read so often: that is no reason to run on with an old secret for ever.
const ENOUGH_TRIES: u32 = 5;
/// Instances that put off the same version, as in an outage of the edge, would wait for each other for ever. The first of them tries it
/// again at once, each other one so much later.
const EACH_OTHER: Duration = Duration::from_secs(3600);

impl Verdict {
    pub(crate) fn new_binary(&mut self, now: Mono, version: String) {
        let evidence = if self.config.on_new_binary {
            "the connector is handed over to it"
        } else {
            "it comes into use when the connector is started next; `cflared-agent reload` hands over to it"
        };
        self.note(now, DecisionKind::Finding, format!("cloudflared {version} was installed"), evidence);
        // A version of the secret that waits takes the new file along.
        if self.config.on_new_binary
            && self.config.mode == Mode::Act
            && self.change.rollout.is_none()
            && self.is_on_duty()
            && self.connectors.serving().is_some()
        {
            self.take_turn(Update::Binary(version));
        }
    }

    /// A change has come up, and what runs is well: it is made in turn.
    pub(crate) fn take_turn(&mut self, change: Update) {
        if self.change.rollout.as_ref().is_some_and(|turn| turn.change == change) {
            return;
        }
        self.change.rollout =
            Some(Rollout { change, at: None, asks: true, alone_from: None, waits: None, clear: false, tries_left: 0 });
        self.read_place();
    }

    /// The place in the group is known, or not.
    pub(crate) fn turn_is(&mut self, now: Mono, place: &Result<Place, Failure>) {
        let refused = self.change.poll.refused.as_ref().map(|refused| &refused.version);
        let Some(turn) = self.change.rollout.as_mut().filter(|turn| turn.at.is_none()) else { return };
        let rank = match place {
            Ok(place) => place.rank,
            // There is no group, so there is nobody to wait for.
            Err(Failure { kind: FailureKind::Disabled | FailureKind::Missing, .. }) => 0,
            Err(_) => 1,
        };
        let one = self.config.register_timeout + self.config.settle;
        // The first may read the secret a whole poll after this one, and what it makes of the change is read late.
        let first = self.config.poll_interval + self.config.probation + self.config.peers_wait;
        let wait = if rank == 0 { Duration::ZERO } else { first + one * rank };
        // The first in the group may have come late, and others refuse the version already. If it refused that itself, it is
        // the one that tries it again: somebody must.
        let new_to_it = matches!(&turn.change, Update::Version(version) if Some(version) != refused);
        (turn.at, turn.asks) = (Some(now + wait), rank > 0 || new_to_it);
        turn.alone_from = (!new_to_it).then(|| now + EACH_OTHER * rank);
        turn.tries_left = if rank > 0 { ENOUGH_TRIES } else { 0 };
        if rank > 0 {
            let evidence = match place {
                Ok(_) => format!("{rank} instances of the group go first"),
                Err(failure) => format!("whether others go first is not known: {}", failure.text),
            };
            self.note(now, DecisionKind::Action, format!("{} in {} s", self.told_change(), wait.as_secs()), evidence);
        }
    }

    pub(crate) fn step_turn(&mut self, now: Mono) {
        let Some(turn) = &self.change.rollout else { return };
        // A new version may be what is missing; a new file comes into use with the next start anyway.
        let urgent = matches!(turn.change, Update::Version(_)) && self.is_urgent();
        if !urgent && turn.at.is_none_or(|at| now < at) {
            return;
        }
        let busy = self.change.is_changing()
            || self.change.requests.is_active()
            || self.connectors.full()
            || self.orders.is_open(|order| matches!(order, Order::ReadRefusals));
        if busy || (!urgent && self.is_held(now)) {
            return;
        }
        if turn.asks && !urgent {
            self.ask_refusals();
        } else {
            self.go_ahead(now);
        }
    }

    fn ask_refusals(&mut self) {
        if !self.orders.is_open(|order| *order == Order::ReadRefusals) {
            self.orders.give(Order::ReadRefusals);
        }
    }

    pub(crate) fn refusals_read(&mut self, now: Mono, result: Result<u32, Failure>) {
        let Some(turn) = &mut self.change.rollout else { return };
        if turn.waits.is_some() && result == Ok(0) && !std::mem::replace(&mut turn.clear, true) {
            turn.at = Some(now + self.config.grain);
            return;
        }
        turn.clear &= result == Ok(0);
        let waits = match result {
            Ok(0) | Err(Failure { kind: FailureKind::Disabled, .. }) => return self.go_ahead(now),
            Ok(_) if turn.alone_from.is_some_and(|from| now >= from) => return self.go_ahead(now),
            Ok(_) => "another instance of the tunnel refuses a version of the secret".to_string(),
            Err(_) if turn.tries_left == 0 => return self.go_ahead(now),
            Err(failure) => {
                turn.tries_left -= 1;
                format!("whether another instance refuses it is not known: {}", failure.text)
            }
        };
        turn.at = Some(now + self.config.grain);
        if turn.waits.as_ref() != Some(&waits) {
            turn.waits = Some(waits.clone());
            let what = format!("{}: not yet", self.told_change());
            self.note(now, DecisionKind::Refusal, what, waits);
        }
    }

    fn go_ahead(&mut self, now: Mono) {
        if self.change.is_handing_over() || self.connectors.full() {
            return;
        }
        let what = self.told_change();
        let Some(turn) = self.change.rollout.take() else { return };
        match turn.change {
            Update::Version(version) => {
                self.note(now, DecisionKind::Action, what, "the secret has it");
                self.install(version);
            }
            Update::Binary(binary) => {
                let serving = self.connectors.serving().filter(|(_, run)| run.connections() > 0);
                let Some(installed) = serving.map(|(_, run)| run.installed.clone()) else { return };
                self.note(now, DecisionKind::Action, what, "its file was replaced");
                self.hand_over(now, installed, Why::Binary(binary));
            }
        }
    }

    /// What waits for its turn, in words.
    pub(crate) fn told_change(&self) -> String {
        match self.change.rollout.as_ref().map(|turn| &turn.change) {
            Some(Update::Version(version)) => format!("install secret version {version}"),
            Some(Update::Binary(binary)) => format!("hand over to cloudflared {binary}"),
            None => String::new(),
        }
    }

    pub(crate) fn rollout_moment(&self) -> Option<Mono> {
        self.change.rollout.as_ref().and_then(|turn| turn.at)
    }
}
