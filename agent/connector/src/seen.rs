//! The lines of a run's children that are kept.

use super::ports::Taken;
use cloudflared::{Line, Stamp, Symptom, redacted};
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;
use uuid::Uuid;

/// How many lines are kept for a post-mortem, and how much of each, in bytes.
const LINES: usize = 200;
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

/// A child process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Child {
    /// Its id.
    pub pid: u32,
    /// Where it serves `/ready` and `/metrics`.
    pub metrics: SocketAddr,
    /// The id that it gave itself, once it has said it; a log level above info would silence that.
    pub connector_id: Option<Uuid>,
    /// The file that it was executed from, as it was just before.
    pub executed: Option<Stamp>,
}

/// What a run's children have said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// The last child.
    pub child: Option<Child>,
    /// The metrics addresses that it could not have, and who has them.
    pub taken: Vec<Taken>,
    /// The registered connections of the child that lives, by index.
    pub edges: BTreeMap<u64, Edge>,
    /// How many lines of the run had which meaning.
    pub symptoms: BTreeMap<Symptom, u64>,
    /// The last 200 lines of the run, oldest first, without what may be a key.
    pub last_lines: VecDeque<String>,
    /// Bytes that were not passed on, because their line was too long.
    pub discarded_bytes: u64,
    /// Whether the last child has said what the program's runtime says when it gives up.
    crashed: bool,
}

/// It is written by the tasks that read the outputs, and read by whoever holds the handle.
#[derive(Debug, Default)]
pub(super) struct Shared {
    seen: Mutex<Seen>,
    /// Whether a connection came or went since somebody asked.
    stirred: AtomicBool,
    /// Who is woken by that.
    stir: Arc<Notify>,
}

impl Shared {
    /// What is seen through `stir`, too: it is notified when a connection has come or gone, once until somebody asks.
    pub fn stirring(stir: Arc<Notify>) -> Self {
        Self { stir, ..Self::default() }
    }

    /// Whether a connection came or went since this was asked last.
    pub fn take_stirred(&self) -> bool {
        self.stirred.swap(false, Ordering::Relaxed)
    }

    pub fn get(&self) -> Seen {
        let mut seen = self.lock().clone();
        // Not where they come in: that is a hot path, and this is not.
        seen.last_lines.iter_mut().for_each(|line| *line = redacted(line));
        seen
    }

    pub fn child(&self) -> Option<Child> {
        self.lock().child
    }

    pub fn edges(&self) -> BTreeMap<u64, Edge> {
        self.lock().edges.clone()
    }

    pub fn get_taken(&self) -> Vec<Taken> {
        self.lock().taken.clone()
    }

    pub fn crashed(&self) -> bool {
        self.lock().crashed
    }

    /// The next child cannot have those addresses.
    pub fn taken(&self, taken: Vec<Taken>) {
        self.lock().taken = taken;
    }

    /// A new child, of that file, has not named itself yet, nor registered.
    pub fn new_child(&self, pid: u32, metrics: SocketAddr, executed: Option<Stamp>) {
        let mut seen = self.lock();
        seen.child = Some(Child { pid, metrics, connector_id: None, executed });
        seen.edges.clear();
        seen.crashed = false;
    }

    /// Notes a line: as it came, what it says, what it means, and how much of it is missing.
    pub fn note(&self, text: &[u8], line: &Line, symptom: Symptom, discarded: u64) {
        let mut seen = self.lock();
        if seen.last_lines.len() == LINES {
            seen.last_lines.pop_front();
        }
        seen.crashed |= symptom == Symptom::Crashed;
        let kept = &text[..text.len().min(LINE)];
        seen.last_lines.push_back(String::from_utf8_lossy(kept).into_owned());
        if let (Some(child), Some(id)) = (&mut seen.child, line.connector_id()) {
            child.connector_id = Some(id);
        }
        if let Some(index) = line.conn_index.filter(|index| *index < CONNECTIONS) {
            match symptom {
                Symptom::Registered => {
                    seen.edges.insert(index, Edge::of(line));
                    self.stir();
                }
                ended if ended.ends_connection() => {
                    seen.edges.remove(&index);
                    self.stir();
                }
                _ => {}
            }
        }
        // It is looked at now, and not when its turn comes.
        if symptom == Symptom::Reconfigured {
            self.stir();
        }
        *seen.symptoms.entry(symptom).or_default() += 1;
        seen.discarded_bytes += discarded;
    }

    fn stir(&self) {
        if !self.stirred.swap(true, Ordering::Relaxed) {
            self.stir.notify_one();
        }
    }

    /// Each change leaves it whole, so that a panic in between does no harm.
    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
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
