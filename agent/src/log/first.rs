//! The first lines of the agent: a reader of the journal that starts after the agent begins at the end, and never sees them.

use super::record::Record;
use super::write;
use cloudflared::LOG_TARGET;
use std::sync::{Arc, Mutex, PoisonError};

/// How many lines are kept, and how much of each, in bytes.
const LINES: usize = 40;
const LINE: usize = 1024;

/// The agent's own first lines.
#[derive(Debug, Clone, Default)]
pub(super) struct First(Arc<Mutex<Vec<String>>>);

impl First {
    /// Keeps a line, while there is room.
    pub fn keep(&self, record: &Record) {
        if record.target == LOG_TARGET {
            return;
        }
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() < LINES {
            let mut line = write::text(record);
            line.truncate(line.floor_char_boundary(LINE));
            lines.push(line.trim_end().into());
        }
    }

    /// Oldest first.
    pub fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
