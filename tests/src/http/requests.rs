//! The record of what a stand-in was asked, with times that can be compared between stand-ins on one host.

use super::Answer;
use serde::Serialize;
use serde_json::Value;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{SystemTime, UNIX_EPOCH};

/// One request, as seen from the stand-in.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Request {
    /// Its number, from 0, never used twice by one stand-in.
    pub number: u64,
    /// What was asked: method and path at IMDS, service and action (`secretsmanager.GetSecretValue`) at AWS.
    pub what: String,
    /// Who asked: the access key id, at AWS.
    pub by: Option<String>,
    /// The input, where it is worth keeping.
    pub input: Option<Value>,
    /// When it had been read, in microseconds since 1970.
    pub began_us: u64,
    /// When it was answered or its client went away, in microseconds since 1970.
    pub ended_us: Option<u64>,
    /// The HTTP status of the answer; none: there was no answer (yet).
    pub status: Option<u16>,
}

/// All requests since the start, or since they were last forgotten. Clones share one record.
#[derive(Clone, Debug, Default)]
pub struct Requests(Arc<Mutex<Record>>);

#[derive(Debug, Default)]
struct Record {
    next_number: u64,
    requests: Vec<Request>,
}

impl Requests {
    /// Records that a request has been read.
    pub fn begin(&self, what: String, by: Option<String>, input: Option<Value>) -> InFlight {
        let mut record = self.lock();
        let number = record.next_number;
        record.next_number += 1;
        record.requests.push(Request { number, what, by, input, began_us: now_us(), ended_us: None, status: None });
        InFlight { requests: self.clone(), number, answered: None }
    }

    /// All of them, in the order they came.
    pub fn all(&self) -> Vec<Request> {
        self.lock().requests.clone()
    }

    /// Those whose `what` contains `part`, in the order they came.
    pub fn of(&self, part: &str) -> Vec<Request> {
        self.lock().requests.iter().filter(|request| request.what.contains(part)).cloned().collect()
    }

    /// How many there were whose `what` contains `part`.
    pub fn count(&self, part: &str) -> usize {
        self.lock().requests.iter().filter(|request| request.what.contains(part)).count()
    }

    /// Starts a new record.
    pub fn forget(&self) {
        self.lock().requests.clear();
    }

    fn lock(&self) -> MutexGuard<'_, Record> {
        self.0.lock().expect("nobody panics while holding the record")
    }
}

/// A request that is being served; dropping it records its end, also when the client gave up.
#[derive(Debug)]
pub struct InFlight {
    requests: Requests,
    number: u64,
    answered: Option<u16>,
}

impl InFlight {
    /// Passes the answer on, and records its status.
    pub fn answered(mut self, answer: Answer) -> Answer {
        self.answered = Some(answer.status().as_u16());
        answer
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let mut record = self.requests.lock();
        // The record may have been forgotten meanwhile.
        if let Some(entry) = record.requests.iter_mut().rev().find(|request| request.number == self.number) {
            entry.ended_us = Some(now_us());
            entry.status = self.answered;
        }
    }
}

/// Requests counted by what they asked, with how they lay in time.
#[derive(Debug, PartialEq, Serialize)]
pub struct Summary {
    /// Number of requests by `what`.
    pub counts: std::collections::BTreeMap<String, usize>,
    /// The most that were in flight at one time.
    pub most_at_once: usize,
    /// See [`depth`].
    pub depth: usize,
}

/// Sums up requests, which may come from several stand-ins.
pub fn summary(requests: &[Request]) -> Summary {
    let mut counts = std::collections::BTreeMap::new();
    for request in requests {
        *counts.entry(request.what.clone()).or_default() += 1;
    }
    Summary { counts, most_at_once: most_at_once(requests), depth: depth(requests) }
}

/// The length of the longest chain of requests in which each began after the one before had ended: what a latency per
/// request is multiplied with at least. Requests without an end are left out. They may come from several stand-ins.
pub fn depth(requests: &[Request]) -> usize {
    let mut spans: Vec<(u64, u64)> = requests.iter().filter_map(|r| Some((r.ended_us?, r.began_us))).collect();
    // The most intervals that do not overlap: take the one that ends first, drop what overlaps it, and so on.
    spans.sort_unstable();
    let mut chain_end = None;
    let mut depth = 0;
    for (ended, began) in spans {
        if chain_end.is_none_or(|end| began >= end) {
            chain_end = Some(ended);
            depth += 1;
        }
    }
    depth
}

/// The most requests that were in flight at one time.
pub fn most_at_once(requests: &[Request]) -> usize {
    let begins = requests.iter().map(|r| (r.began_us, 1_isize));
    let ends = requests.iter().filter_map(|r| Some((r.ended_us?, -1_isize)));
    let mut edges: Vec<(u64, isize)> = begins.chain(ends).collect();
    // At one instant an end comes before a begin: -1 sorts first.
    edges.sort_unstable();
    let mut now = 0;
    edges.iter().fold(0, |most, (_, step)| {
        now += step;
        most.max(now)
    }) as usize
}

fn now_us() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}
