//! Lines that repeat: the first few are written, the rest are counted, and the count is written.
//!
//! A program in trouble prints the same line again and again; a log that keeps all of them loses other lines.

use super::record::{Record, Value};
use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::time::{Duration, SystemTime};

/// So many of the same line are written within one [`WINDOW`], which begins with the first of them.
const FREE: u32 = 10;
const WINDOW: Duration = Duration::from_secs(30);

/// So many different lines are looked out for at a time. What finds no place is written.
const KINDS: usize = 64;

/// The lines of the last moments.
#[derive(Debug, Default)]
pub(super) struct Repeats {
    kinds: HashMap<u64, Kind>,
    hasher: RandomState,
}

/// One line.
#[derive(Debug)]
struct Kind {
    ends: SystemTime,
    written: u32,
    held: Option<Held>,
}

/// Lines that were not written.
#[derive(Debug)]
pub(super) struct Held {
    /// How many.
    pub count: u64,
    /// The last of them.
    pub last: Box<Record>,
}

impl Repeats {
    /// The record if it is to be written now; else it is kept and counted.
    pub fn admit(&mut self, record: Box<Record>) -> Option<Box<Record>> {
        let (key, now) = (self.key(&record), record.time);
        if self.kinds.len() >= KINDS && !self.kinds.contains_key(&key) {
            self.kinds.retain(|_, kind| kind.held.is_some() || !kind.is_over(now));
            if self.kinds.len() >= KINDS {
                return Some(record);
            }
        }
        let fresh = || Kind { ends: now + WINDOW, written: 0, held: None };
        let kind = self.kinds.entry(key).or_insert_with(fresh);
        if kind.held.is_none() && kind.is_over(now) {
            *kind = fresh();
        }
        if kind.written < FREE {
            kind.written += 1;
            return Some(record);
        }
        let count = kind.held.as_ref().map_or(0, |held| held.count) + 1;
        kind.held = Some(Held { count, last: record });
        None
    }

    /// What was held back in windows that are over.
    pub fn over(&mut self, now: SystemTime) -> Vec<Held> {
        self.release(|kind| kind.is_over(now))
    }

    /// All that was held back.
    pub fn all(&mut self) -> Vec<Held> {
        self.release(|_| true)
    }

    /// How long it is until something is over; `None` while nothing is held back.
    pub fn until_over(&self, now: SystemTime) -> Option<Duration> {
        let left = |kind: &Kind| if kind.is_over(now) { Duration::ZERO } else { kind.left(now) };
        self.kinds.values().filter(|kind| kind.held.is_some()).map(left).min()
    }

    fn release(&mut self, which: impl Fn(&Kind) -> bool) -> Vec<Held> {
        let mut held = Vec::new();
        self.kinds.retain(|_, kind| {
            let release = kind.held.is_some() && which(kind);
            if release {
                held.extend(kind.held.take());
            }
            !release
        });
        held.sort_by_key(|held| held.last.time);
        held
    }

    /// Two records of one key read the same, apart from their times.
    fn key(&self, record: &Record) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        (record.level, record.target, &record.message).hash(&mut hasher);
        for (name, value) in &record.fields {
            name.hash(&mut hasher);
            value.to_string().hash(&mut hasher);
        }
        hasher.finish()
    }
}

impl Kind {
    /// Also when the clock was set back, past the window's beginning.
    fn is_over(&self, now: SystemTime) -> bool {
        now >= self.ends || self.left(now) > WINDOW
    }

    fn left(&self, now: SystemTime) -> Duration {
        self.ends.duration_since(now).unwrap_or_default()
    }
}

impl Held {
    /// The line that stands for them.
    pub fn told(self) -> Box<Record> {
        let Self { count, mut last } = self;
        last.fields.push(("repeated", Value::Unsigned(count)));
        last
    }
}

#[cfg(test)]
mod tests;
