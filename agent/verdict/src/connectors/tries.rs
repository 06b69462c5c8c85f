//! What the counts of the living child say of its registrations in this outage: whether the edge answered them, and with what.
//!
//! Over QUIC cloudflared never says why a registration failed, so nothing may rest on its words alone.

use crate::{Mono, Tries};
use std::time::Duration;

/// The tries of one connector since it was last registered, over all its children.
#[derive(Debug, Clone, PartialEq, Default, Hash)]
pub struct Attempts {
    /// What the living child had counted when it was last read. A new child has counted nothing; `None`: it was not read, so the
    /// next read is only where counting begins.
    counted: Option<Tries>,
    /// When the counts of the living child were last read, and those of the one before it.
    read: Option<Mono>,
    read_before: Option<Mono>,
    refused: Option<Refusals>,
    unanswered: u64,
    /// Whether the child that lives, or lived last, was answered or waited for an answer.
    reached: bool,
}

/// The registrations that the edge answered with a no.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Refusals {
    /// How many.
    pub times: u64,
    /// When the first was seen.
    pub first: Mono,
    /// When the last was seen.
    pub last: Mono,
    /// Connections that were dialled since then and did not get as far as a registration.
    unreached: u64,
    /// Registrations since then that nobody answered.
    unanswered: u64,
    /// How often a connector has said since then that it does not reach the edge.
    cut_off: u64,
    /// How often they were superseded, and there was another one all the same.
    returns: u64,
}

/// So many connections may be on their way at any moment, so that many say nothing.
const ON_THEIR_WAY: u64 = 4;

/// A child that has lived for so long has tried. What it says of the way to the edge before may be of its start alone.
pub(super) const TRIES_BY: Duration = Duration::from_secs(10);

impl Refusals {
    /// Whether later tries came to something else, so that something else stands in the way now. Each time that there was another
    /// refusal all the same, more of them are needed: the edge may refuse one try and not be reached by the next.
    pub fn are_superseded(&self) -> bool {
        let more = ON_THEIR_WAY * self.returns;
        self.cut_off > more || self.unreached.max(self.unanswered) > ON_THEIR_WAY + more
    }

    /// There were more.
    fn more(self, now: Mono, refused: u64) -> Self {
        let returns = self.returns + u64::from(self.are_superseded());
        let times = self.times.saturating_add(refused);
        Self { times, last: now, unreached: 0, unanswered: 0, cut_off: 0, returns, ..self }
    }
}

impl Tries {
    /// Whether `self` was counted by another process than `before`.
    fn restarted(&self, before: &Tries) -> bool {
        let ended = |tries: &Tries| tries.refused.saturating_add(tries.unanswered);
        let dialled = |tries: &Tries| tries.dialled.unwrap_or_default();
        self.accepted < before.accepted || ended(self) < ended(before) || dialled(self) < dialled(before)
    }
}

impl Attempts {
    /// A new child is executed.
    pub fn begin(&mut self) {
        (self.counted, self.reached) = (Some(Tries::default()), false);
        self.read_before = self.read.take();
    }

    /// It is registered: what was counted before belongs to no outage any more.
    pub fn registered(&mut self, tries: Option<Tries>) {
        *self = Self { counted: tries, ..Self::default() };
    }

    /// The counts of a child that is not registered and has lived for so long. Says whether the edge refused more of its tries.
    pub fn learn(&mut self, now: Mono, lived: Duration, tries: Tries) -> bool {
        // Of one that has just begun, and whose first try is on its way, nothing is known.
        if [tries.accepted, tries.refused, tries.unanswered].iter().any(|count| *count > 0) || lived >= TRIES_BY {
            self.read = Some(now);
        }
        let Some(before) = self.counted.replace(tries) else { return false };
        let before = if tries.restarted(&before) { Tries::default() } else { before };
        let grown = |count: fn(&Tries) -> u64| count(&tries).saturating_sub(count(&before));
        let (accepted, refused) = (grown(|tries| tries.accepted), grown(|tries| tries.refused));
        let unanswered = grown(|tries| tries.unanswered);
        let dialled = grown(|tries| tries.dialled.unwrap_or_default());
        self.unanswered = self.unanswered.saturating_add(unanswered);
        self.reached |= refused + unanswered > 0;
        if refused > 0 {
            let none =
                Refusals { times: 0, first: now, last: now, unreached: 0, unanswered: 0, cut_off: 0, returns: 0 };
            self.refused = Some(self.refused.unwrap_or(none).more(now, refused));
        } else if let Some(refusals) = &mut self.refused {
            let reached = accepted.saturating_add(unanswered);
            refusals.unreached = refusals.unreached.saturating_add(dialled).saturating_sub(reached);
            refusals.unanswered = refusals.unanswered.saturating_add(unanswered);
        }
        refused > 0
    }

    /// A child that has had its time to try says that it does not reach the edge.
    pub fn cut_off(&mut self) {
        if let Some(refusals) = &mut self.refused {
            refusals.cut_off = refusals.cut_off.saturating_add(1);
        }
    }

    /// The refusals of this outage.
    pub fn refused(&self) -> Option<&Refusals> {
        self.refused.as_ref()
    }

    /// How many tries nobody answered.
    pub fn unanswered(&self) -> u64 {
        self.unanswered
    }

    /// Whether the child that lives, or lived last, got as far as a registration: then its exit is no riddle.
    pub fn reached(&self) -> bool {
        self.reached
    }

    /// When the counts of the living child were last read; those of the one before it, until it has been looked at.
    pub fn read_at(&self) -> Option<Mono> {
        self.read.or(self.read_before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIVED: Duration = Duration::from_secs(1);

    fn at(second: u64) -> Mono {
        Mono::new(Duration::from_secs(second))
    }

    fn tries(accepted: u64, refused: u64, unanswered: u64, dialled: u64) -> Tries {
        Tries { accepted, refused, unanswered, dialled: Some(dialled) }
    }

    fn refused(attempts: &Attempts) -> Option<u64> {
        attempts.refused().filter(|refusals| !refusals.are_superseded()).map(|refusals| refusals.times)
    }

    #[test]
    fn a_new_childs_counts_are_all_of_this_outage() {
        let mut attempts = Attempts::default();
        attempts.begin();
        assert!(attempts.learn(at(1), LIVED, tries(0, 2, 0, 2)));
        assert!(!attempts.learn(at(2), LIVED, tries(0, 2, 0, 3)));
        assert_eq!((refused(&attempts), attempts.unanswered()), (Some(2), 0));
    }

    #[test]
    fn what_was_counted_before_the_outage_does_not_count() {
        let mut attempts = Attempts::default();
        attempts.begin();
        attempts.learn(at(1), LIVED, tries(0, 3, 0, 3));
        for baseline in [Some(tries(4, 3, 0, 7)), None] {
            attempts.registered(baseline);
            attempts.learn(at(10), LIVED, tries(4, 3, 0, 8));
            assert_eq!(refused(&attempts), None, "{baseline:?}");
            attempts.learn(at(11), LIVED, tries(4, 4, 0, 8));
            assert_eq!(refused(&attempts), Some(1), "{baseline:?}");
        }
    }

    #[test]
    fn a_child_that_was_never_read_hides_what_was_read_before_it() {
        let mut attempts = Attempts::default();
        attempts.begin();
        attempts.learn(at(1), LIVED, tries(0, 0, 1, 1));
        attempts.begin();
        assert_eq!(attempts.read_at(), Some(at(1)), "the new one has not been looked at");
        attempts.begin();
        assert_eq!(attempts.read_at(), None);
    }

    #[test]
    fn a_decrease_is_a_new_start() {
        let mut attempts = Attempts::default();
        attempts.begin();
        attempts.learn(at(1), LIVED, tries(0, 5, 0, 5));
        attempts.learn(at(2), LIVED, tries(0, 1, 0, 1));
        assert_eq!(refused(&attempts), Some(6), "five by one process, one by the next");
    }

    #[test]
    fn tries_that_do_not_get_as_far_supersede_a_refusal() {
        let mut attempts = Attempts::default();
        attempts.begin();
        attempts.learn(at(1), LIVED, tries(0, 4, 0, 4));
        attempts.learn(at(2), LIVED, tries(0, 4, 0, 8));
        assert_eq!(refused(&attempts), Some(4), "four may be on their way");
        attempts.learn(at(3), LIVED, tries(0, 4, 0, 9));
        assert_eq!(refused(&attempts), None);
        attempts.learn(at(4), LIVED, tries(0, 5, 0, 10));
        assert_eq!(refused(&attempts), Some(5), "and another refusal counts again");
    }

    #[test]
    fn tries_that_nobody_answers_supersede_a_refusal_as_well() {
        let mut attempts = Attempts::default();
        attempts.begin();
        attempts.learn(at(1), LIVED, tries(0, 1, 0, 1));
        attempts.learn(at(2), LIVED, tries(0, 1, 4, 5));
        assert_eq!(refused(&attempts), Some(1));
        attempts.learn(at(3), LIVED, tries(0, 1, 5, 6));
        assert_eq!(refused(&attempts), None);
    }

    #[test]
    fn what_alternates_is_refused() {
        let mut attempts = Attempts::default();
        attempts.begin();
        let (mut refusals, mut flips) = (0, 0);
        for round in 1..20 {
            refusals += 1;
            attempts.learn(at(round * 10), LIVED, tries(0, refusals, 0, refusals));
            assert!(refused(&attempts).is_some());
            for _ in 0..3 {
                attempts.cut_off();
            }
            flips += u32::from(refused(&attempts).is_none());
        }
        assert_eq!(flips, 1, "the second time more is needed");
        (0..100).for_each(|_| attempts.cut_off());
        assert_eq!(refused(&attempts), None, "it does not last for ever");
    }

    #[test]
    fn tries_that_nobody_answers_are_counted_by_themselves() {
        let mut attempts = Attempts::default();
        attempts.begin();
        attempts.learn(at(5), LIVED, tries(0, 0, 3, 4));
        assert_eq!((refused(&attempts), attempts.unanswered(), attempts.reached()), (None, 3, true));
    }
}
