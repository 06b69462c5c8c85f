//! What became of the streams.

use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// So many failures are told in words; the others are counted.
const TOLD: usize = 20;

/// How it went.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    /// For how long.
    pub time: Duration,
    /// New streams that were tried, short and long ones.
    pub tried: u64,
    /// Of those: not connected, not greeted, or what came back first was not what was sent.
    pub failed: u64,
    /// Short streams that had all of theirs back, and the end of it.
    pub short: u64,
    /// The longest that one of these took. On a machine that cannot carry the load it grows and grows.
    pub slowest: Duration,
    /// Long streams that had their first word back.
    pub long: u64,
    /// Of those: ended by their own doing, cleanly.
    pub ended: u64,
    /// Of those: ended by somebody else.
    pub cut: Vec<Cut>,
    /// What came to clients that had all of theirs back and had ended, before their end came back.
    pub garbled: Vec<String>,
    /// Words that long streams had back.
    pub heartbeats: u64,
    /// The first failures, in words.
    pub failures: Vec<String>,
}

/// A long stream that somebody else ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The client's address.
    pub client: SocketAddr,
    /// How it showed.
    pub how: String,
}

impl Counts {
    /// New streams a second.
    pub fn rate(&self) -> f64 {
        self.tried as f64 / self.time.as_secs_f64()
    }
}

#[derive(Default)]
pub(super) struct Tally(Mutex<Counts>);

impl Tally {
    pub fn counts(&self, time: Duration) -> Counts {
        self.note(|counts| Counts { time, ..counts.clone() })
    }

    pub fn note<T>(&self, change: impl FnOnce(&mut Counts) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub fn failed(&self, why: String) {
        self.note(|counts| {
            counts.failed += 1;
            if counts.failures.len() < TOLD {
                counts.failures.push(why);
            }
        });
    }
}
