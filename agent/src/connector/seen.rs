//! What a run's children have said, as far as it is kept.

use crate::cloudflared::{Line, Stamp, Symptom, redacted};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use uuid::Uuid;

/// How many lines are kept for a post-mortem, and how much of each, in bytes.
const LINES: usize = 20;
const LINE: usize = 1024;

/// A program that knows four connections may one day know more, but not without end.
const CONNECTIONS: u64 = 16;

/// What is kept of the name of a place, in characters.
const NAME: usize = 64;

/// Where a registered connection ends, as the child said when it was registered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Edge {
    /// The address at the edge.
    pub ip: String,
    /// The data centre, as in `iad01`.
    pub location: String,
    /// `quic` or `http2`.
    pub protocol: String,
}

/// What a run's children have said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// The connector id of the child that lives, once it has said it.
    pub connector_id: Option<Uuid>,
    /// The file that the last child was executed from, as it was just before.
    pub executed: Option<Stamp>,
    /// The registered connections of the child that lives, by index.
    pub edges: BTreeMap<u64, Edge>,
    /// How many lines of the run had which meaning.
    pub symptoms: BTreeMap<Symptom, u64>,
    /// The last 20 lines of the run, oldest first, without what may be a key.
    pub last_lines: VecDeque<String>,
    /// Bytes that were not passed on, because their line was too long.
    pub discarded_bytes: u64,
}

/// It is written by the tasks that read the outputs, and read by whoever holds the handle.
#[derive(Debug, Default)]
pub(super) struct Shared(Mutex<Seen>);

impl Shared {
    pub fn get(&self) -> Seen {
        let mut seen = self.lock().clone();
        // Not where they come in: that is a hot path, and this is not.
        seen.last_lines.iter_mut().for_each(|line| *line = redacted(line));
        seen
    }

    pub fn connector_id(&self) -> Option<Uuid> {
        self.lock().connector_id
    }

    pub fn edges(&self) -> BTreeMap<u64, Edge> {
        self.lock().edges.clone()
    }

    /// A new child, of that file, has not named itself yet, nor registered.
    pub fn new_child(&self, executed: Option<Stamp>) {
        let mut seen = self.lock();
        (seen.connector_id, seen.executed) = (None, executed);
        seen.edges.clear();
    }

    /// Notes a line: as it came, what it says, what it means, and how much of it is missing.
    pub fn note(&self, text: &[u8], line: &Line, symptom: Symptom, discarded: u64) {
        let mut seen = self.lock();
        if seen.last_lines.len() == LINES {
            seen.last_lines.pop_front();
        }
        let kept = &text[..text.len().min(LINE)];
        seen.last_lines.push_back(String::from_utf8_lossy(kept).into_owned());
        seen.connector_id = line.connector_id().or(seen.connector_id);
        if let Some(index) = line.conn_index.filter(|index| *index < CONNECTIONS) {
            match symptom {
                Symptom::Registered => drop(seen.edges.insert(index, Edge::of(line))),
                ended if ended.ends_connection() => drop(seen.edges.remove(&index)),
                _ => {}
            }
        }
        *seen.symptoms.entry(symptom).or_default() += 1;
        seen.discarded_bytes += discarded;
    }

    /// Each change leaves it whole, so that a panic in between does no harm.
    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Edge {
    fn of(line: &Line) -> Self {
        let name = |text: &Option<String>| {
            let text = text.as_deref().unwrap_or_default();
            text.chars().filter(char::is_ascii_graphic).take(NAME).collect()
        };
        Self { ip: name(&line.ip), location: name(&line.location), protocol: name(&line.protocol) }
    }
}

#[cfg(test)]
mod tests;
