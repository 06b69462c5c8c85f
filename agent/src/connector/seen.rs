//! What a run's children have said, as far as it is kept.

use crate::cloudflared::{Line, Stamp, Symptom};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use uuid::Uuid;

/// How many lines are kept for a post-mortem, and how much of each, in bytes.
const LINES: usize = 20;
const LINE: usize = 1024;

/// What a run's children have said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// The connector id of the child that lives, once it has said it.
    pub connector_id: Option<Uuid>,
    /// The file that the last child was executed from, as it was just before.
    pub executed: Option<Stamp>,
    /// How many lines of the run had which meaning.
    pub symptoms: BTreeMap<Symptom, u64>,
    /// The last 20 lines of the run, oldest first, as they came.
    pub last_lines: VecDeque<String>,
    /// Bytes that were not passed on, because their line was too long.
    pub discarded_bytes: u64,
}

/// It is written by the tasks that read the outputs, and read by whoever holds the handle.
#[derive(Debug, Default)]
pub(super) struct Shared(Mutex<Seen>);

impl Shared {
    pub fn get(&self) -> Seen {
        self.lock().clone()
    }

    pub fn connector_id(&self) -> Option<Uuid> {
        self.lock().connector_id
    }

    /// A new child, of that file, has not named itself yet.
    pub fn new_child(&self, executed: Option<Stamp>) {
        let mut seen = self.lock();
        (seen.connector_id, seen.executed) = (None, executed);
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
        *seen.symptoms.entry(symptom).or_default() += 1;
        seen.discarded_bytes += discarded;
    }

    /// Each change leaves it whole, so that a panic in between does no harm.
    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
