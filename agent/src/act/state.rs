//! `state.json`: the state that must survive a restart of the agent within one boot. It is on disk before the act that it belongs to.

use super::writer::{self, Writer};
use aws::cloudwatch::Saved;
use cflared_verdict::Mono;
use input::file::{self, Links};
use serde::{Deserialize, Serialize};
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// The schema this agent writes, and the only one it reads.
pub const SCHEMA: u32 = 1;
/// The largest file that is read, in bytes; a real one has a few thousand.
const LARGEST: u64 = 4 * 1024 * 1024;

/// What survives an agent restart.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The boot this belongs to; none if the kernel's id could not be read (a sandbox may hide it).
    pub boot_id: Option<String>,
    /// When it was saved, on the clock of this boot.
    pub saved_at: Mono,
    /// What the verdict wants to have again; only the verdict knows its form.
    #[serde(default)]
    pub carried: serde_json::Value,
    /// Which moments have a datapoint, and what became of them.
    #[serde(default)]
    pub cloudwatch: Saved,
    /// Whether an agent runs, or ended without saying goodbye.
    #[serde(default)]
    pub running: bool,
    /// What was restarted in this boot.
    #[serde(default)]
    pub restarts: Restarts,
}

/// Unplanned restarts in this boot.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Restarts {
    /// Of connectors.
    pub connector: u64,
    /// Of the agent.
    pub agent: u64,
}

/// What came of reading the file.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// What it said, or an empty state.
    pub state: State,
    /// Why it said nothing, if that is worth a line in the log. A missing file is not.
    pub warning: Option<String>,
}

impl State {
    /// Nothing to remember.
    pub fn empty(boot_id: Option<String>) -> Self {
        Self {
            schema: SCHEMA,
            boot_id,
            saved_at: Mono::default(),
            carried: serde_json::Value::Null,
            cloudwatch: Saved::default(),
            running: false,
            restarts: Restarts::default(),
        }
    }

    /// Reads `path`. Never fails: a state that is missing, unreadable, garbage, of another schema or of another boot
    /// is an empty one. `boot_id` and `now` are of this boot; a state saved later than `now` is of another one, too.
    pub fn load(path: &Path, boot_id: Option<String>, now: Mono) -> Loaded {
        let usable = match file::read(path, Links::Refused, LARGEST) {
            Ok(bytes) => parse(&bytes, boot_id.as_deref(), now),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Loaded::nothing(boot_id, None),
            Err(error) => Err(error.to_string()),
        };
        match usable {
            Ok(state) => Loaded { state, warning: None },
            Err(cause) => {
                let warning = format!("failed to take up the state {}: {cause}; starting without it", path.display());
                Loaded::nothing(boot_id, Some(warning))
            }
        }
    }
}

impl Loaded {
    fn nothing(boot_id: Option<String>, warning: Option<String>) -> Self {
        Self { state: State::empty(boot_id), warning }
    }
}

fn parse(bytes: &[u8], boot_id: Option<&str>, now: Mono) -> Result<State, String> {
    let state: State = file::parse(bytes, SCHEMA)?;
    match &state.boot_id {
        saved if saved.as_deref() != boot_id => Err("it belongs to another boot".into()),
        _ if state.saved_at > now => Err("it was saved later than now, so it belongs to another boot".into()),
        _ => Ok(state),
    }
}

/// The state and the file it is kept in. Several rooms own a part each; a save always holds the newest of all parts.
#[derive(Debug, Clone)]
pub struct StateFile {
    state: Arc<Mutex<State>>,
    writer: Arc<Writer>,
}

impl StateFile {
    /// Keeps `state` in the state file of `writer`.
    pub fn new(state: State, writer: Arc<Writer>) -> Self {
        Self { state: Arc::new(Mutex::new(state)), writer }
    }

    /// Makes `change` and has the whole state written; what is returned is done when that is on disk. The change holds
    /// in memory even if the write fails, and is part of the next one.
    ///
    /// # Errors
    /// The file could not be replaced, or the writer is closed.
    pub fn save<C: FnOnce(&mut State)>(
        &self,
        now: Mono,
        change: C,
    ) -> impl Future<Output = Result<(), writer::Error>> + Send + 'static + use<C> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut state);
        state.saved_at = now;
        let json = serde_json::to_vec(&*state).expect("the state has string keys only, so it is always JSON");
        // Handed over under the lock, so that the file never goes back to an older state.
        self.writer.state(json)
    }

    /// A copy of the state as it is now.
    pub fn get(&self) -> State {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests;
