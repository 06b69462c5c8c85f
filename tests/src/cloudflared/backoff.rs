//! When to try again, as the recordings show it.

use crate::edge::ids;
use std::time::Duration;
use tokio::time::Instant;

const FIRST_ROUND: Duration = Duration::from_secs(10);
/// More doublings than anybody waits for.
const MOST_DOUBLINGS: u32 = 20;

/// The back-off of one connection.
#[derive(Debug)]
pub struct Backoff {
    /// Doublings after which the waits stop growing: 5 unless it is given, `Retrying connection in up to 1m4s`.
    most: u32,
    retries: u32,
    settled: bool,
}

/// What [`Backoff::next`] gives.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Retry {
    /// What is logged: `up to` this.
    pub said: Duration,
    /// The longest that it really waits. It differs from what is said once a connection was registered (2 s, said
    /// 1 s) and at the top (32 s, said 64 s).
    pub limit: Duration,
}

impl Backoff {
    /// A back-off whose waits stop growing after `most` doublings.
    pub fn new(most: u32) -> Self {
        Backoff { most: most.min(MOST_DOUBLINGS), retries: 0, settled: false }
    }

    /// The connection was registered: the next failure starts over.
    pub fn settle(&mut self) {
        (self.retries, self.settled) = (0, true);
    }

    /// How many failures there were, as far as they are counted.
    pub fn retries(&self) -> u32 {
        self.retries
    }

    /// Whether the waits have stopped to grow.
    pub fn at_its_longest(&self) -> bool {
        self.retries == self.most
    }

    /// One more failure.
    pub fn next(&mut self) -> Retry {
        let said = if std::mem::take(&mut self.settled) { 1 } else { 2 << self.retries };
        self.retries = (self.retries + 1).min(self.most);
        Retry { said: Duration::from_secs(said), limit: Duration::from_secs(1 << self.retries) }
    }
}

/// The back-off between rounds, in which all connections that are down are tried together.
#[derive(Debug)]
pub struct Rounds {
    most: u32,
    retries: u32,
    /// When it starts over, if nothing is lost before.
    settled_at: Option<Instant>,
}

impl Rounds {
    /// Rounds whose waits stop growing after `most` doublings: 5 unless it is given, 320 s.
    pub fn new(most: u32) -> Self {
        Rounds { most: most.min(MOST_DOUBLINGS), retries: 0, settled_at: None }
    }

    /// Every connection is up. If that lasts, for as long as a round could, it starts over.
    pub fn settle(&mut self, now: Instant, scaled: impl Fn(Duration) -> Duration) {
        let longest = FIRST_ROUND * (4 << self.retries);
        self.settled_at = Some(now + scaled(up_to(longest)));
    }

    /// The wait before the next round.
    pub fn next(&mut self, now: Instant) -> Duration {
        up_to(self.limit(now))
    }

    fn limit(&mut self, now: Instant) -> Duration {
        if self.settled_at.is_some_and(|at| now > at) {
            self.retries = 0;
            self.settled_at = None;
        }
        self.retries = (self.retries + 1).min(self.most);
        FIRST_ROUND * (1 << self.retries)
    }
}

/// A wait of up to `limit`, any as likely as any other.
pub fn up_to(limit: Duration) -> Duration {
    limit.mul_f64(ids::fraction())
}

/// A duration as Go prints it: `32s`, `1m4s`.
pub fn go(duration: Duration) -> String {
    match (duration.as_secs() / 60, duration.as_secs() % 60) {
        (0, seconds) => format!("{seconds}s"),
        (minutes, seconds) => format!("{minutes}m{seconds}s"),
    }
}

#[cfg(test)]
mod tests;
