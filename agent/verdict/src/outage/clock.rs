//! How long the tunnel has been without a registration.

use crate::Mono;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::time::Duration;

/// The outage clock and the record of the last minutes.
///
/// The clock starts at the first bad look and stops after a stretch of good ones, so that a connector which registers
/// for a moment now and then does not start it anew each time.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, Hash)]
pub struct Clock {
    since: Option<Mono>,
    good_since: Option<Mono>,
    /// When it changed between good and bad, oldest first; the first entry may lie before the window.
    changes: VecDeque<(Mono, bool)>,
}

/// So many bad stretches are a connector that is lost again and again.
const FLAPS: usize = 3;
/// More changes than this inside the window are a flapping connector whatever they add up to; older ones are dropped.
const MOST_CHANGES: usize = 512;

impl Clock {
    /// Takes one look.
    pub fn note(&mut self, now: Mono, good: bool, recovered_after: Duration, window: Duration) {
        if good {
            let good_since = *self.good_since.get_or_insert(now);
            if now.since(good_since) >= recovered_after {
                self.since = None;
            }
        } else {
            self.good_since = None;
            self.since.get_or_insert(now);
        }
        if self.changes.back().is_none_or(|&(_, last)| last != good) {
            self.changes.push_back((now, good));
        }
        while self.changes.len() > MOST_CHANGES || self.changes.get(1).is_some_and(|&(at, _)| now.since(at) > window) {
            self.changes.pop_front();
        }
    }

    /// How long the outage has lasted; `None` when there is none.
    pub fn lasted(&self, now: Mono) -> Option<Duration> {
        self.since.map(|since| now.since(since))
    }

    /// All moments that it remembers.
    pub fn moments(&self) -> impl Iterator<Item = Mono> {
        self.since.into_iter().chain(self.good_since).chain(self.changes.iter().map(|&(at, _)| at))
    }

    /// How long it has been bad at a stretch, and how long the outage has lasted if good moments lie in it; in words.
    pub fn tell(&self, now: Mono) -> String {
        let stretch = match self.changes.back() {
            Some(&(since, false)) => now.since(since),
            _ => Duration::ZERO,
        };
        match self.lasted(now) {
            Some(lasted) if lasted > stretch => {
                format!("unregistered for {} s, unsteady for {} s", stretch.as_secs(), lasted.as_secs())
            }
            _ => format!("unregistered for {} s", stretch.as_secs()),
        }
    }

    /// The moment at which the outage will have lasted `after`.
    pub fn reaches(&self, after: Duration) -> Option<Mono> {
        self.since.map(|since| since + after)
    }

    /// Since when it has been bad without a break.
    pub fn lost_since(&self) -> Option<Mono> {
        self.changes.back().filter(|(_, good)| !good).map(|&(at, _)| at)
    }

    /// Since when it has been good without a break.
    pub fn good_since(&self) -> Option<Mono> {
        self.good_since
    }

    /// For how long it has been good without a break.
    pub fn good_for(&self, now: Mono) -> Duration {
        self.good_since.map_or(Duration::ZERO, |since| now.since(since))
    }

    /// Whether it was lost again and again, and more than half of the window was bad. What lies before the first look
    /// counts as neither. One long outage that is over is not flapping.
    pub fn flapping(&self, now: Mono, window: Duration) -> bool {
        let within = self.bad_stretches(now).filter(|(_, to)| now.since(*to) < window);
        let lengths = within.map(|(from, to)| now.since(from).min(window) - now.since(to));
        let (times, bad) = lengths.fold((0, Duration::ZERO), |(times, bad), length| (times + 1, bad + length));
        times >= FLAPS && bad > window / 2
    }

    /// Whether it was bad at `moment`, and had been for `margin`, in this outage or while it flaps.
    pub fn bad_before(&self, now: Mono, moment: Mono, margin: Duration, window: Duration) -> bool {
        self.of_this_outage(now, window).any(|(from, to)| from + margin <= moment && moment <= to)
    }

    /// Whether good moments lie in this outage, or it flaps.
    pub fn is_unsteady(&self, now: Mono, window: Duration) -> bool {
        self.of_this_outage(now, window).nth(1).is_some()
    }

    /// How long ago the first bad stretch of this outage began, or of all that flap; at most `window`.
    pub fn bad_for(&self, now: Mono, window: Duration) -> Duration {
        self.of_this_outage(now, window).map(|(from, _)| now.since(from)).max().unwrap_or_default().min(window)
    }

    fn of_this_outage(&self, now: Mono, window: Duration) -> impl Iterator<Item = (Mono, Mono)> {
        let flapping = self.flapping(now, window);
        let since = self.since;
        self.bad_stretches(now).filter(move |(from, to)| {
            if flapping { now.since(*to) < window } else { since.is_some_and(|since| *from >= since) }
        })
    }

    /// From when to when it was bad, oldest first.
    fn bad_stretches(&self, now: Mono) -> impl Iterator<Item = (Mono, Mono)> {
        let ends = self.changes.iter().skip(1).map(|&(at, _)| at).chain([now]);
        self.changes.iter().zip(ends).filter(|((_, good), _)| !good).map(|(&(from, _), to)| (from, to))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECOVERED: Duration = Duration::from_secs(30);
    const WINDOW: Duration = Duration::from_secs(600);

    fn at(seconds: u64) -> Mono {
        Mono::new(Duration::from_secs(seconds))
    }

    fn looks(outage: &mut Clock, from: u64, to: u64, good: bool) {
        for second in from..to {
            outage.note(at(second), good, RECOVERED, WINDOW);
        }
    }

    #[test]
    fn the_clock_starts_at_the_first_bad_look_and_stops_after_30_good_seconds() {
        let mut outage = Clock::default();
        looks(&mut outage, 0, 100, true);
        assert_eq!(outage.lasted(at(100)), None);
        looks(&mut outage, 100, 110, false);
        assert_eq!(outage.lasted(at(110)), Some(Duration::from_secs(10)));
        looks(&mut outage, 110, 140, true);
        assert_eq!(outage.lasted(at(139)), Some(Duration::from_secs(39)), "29 good seconds are not enough");
        looks(&mut outage, 140, 141, true);
        assert_eq!(outage.lasted(at(141)), None);
    }

    #[test]
    fn a_moment_of_good_does_not_start_the_clock_anew() {
        let mut outage = Clock::default();
        looks(&mut outage, 0, 60, false);
        looks(&mut outage, 60, 80, true);
        looks(&mut outage, 80, 90, false);
        assert_eq!(outage.lasted(at(90)), Some(Duration::from_secs(90)));
    }

    #[test]
    fn it_is_told_with_the_good_moments_in_it() {
        let mut outage = Clock::default();
        looks(&mut outage, 0, 10, false);
        assert_eq!(outage.tell(at(10)), "unregistered for 10 s");
        looks(&mut outage, 10, 30, true);
        looks(&mut outage, 30, 35, false);
        assert_eq!(outage.tell(at(35)), "unregistered for 5 s, unsteady for 35 s");
    }

    #[test]
    fn more_than_half_of_the_window_is_flapping() {
        for (bad, good, flaps) in [(31, 29, true), (29, 31, false), (160, 10, true), (600, 0, false), (0, 600, false)] {
            let mut outage = Clock::default();
            for round in 0..30u64 {
                let start = round * (bad + good);
                looks(&mut outage, start, start + bad, false);
                looks(&mut outage, start + bad, start + bad + good, true);
            }
            assert_eq!(outage.flapping(at(30 * (bad + good)), WINDOW), flaps, "{bad} s bad, {good} s good");
        }
    }

    #[test]
    fn what_lies_before_the_window_does_not_count() {
        let mut outage = Clock::default();
        for (from, to, good) in [(0, 990, false), (990, 995, true), (995, 1000, false), (1000, 1005, true)] {
            looks(&mut outage, from, to, good);
        }
        looks(&mut outage, 1005, 1010, false);
        looks(&mut outage, 1010, 1311, true);
        assert!(!outage.flapping(at(1311), WINDOW), "306 of the last 600 s were good");
        assert!(outage.flapping(at(1290), WINDOW), "only 285 of the last 600 s were good");
    }

    #[test]
    fn one_long_outage_that_is_over_is_not_flapping() {
        let mut outage = Clock::default();
        looks(&mut outage, 0, 500, false);
        looks(&mut outage, 500, 560, true);
        assert!(!outage.flapping(at(560), WINDOW));
    }
}
