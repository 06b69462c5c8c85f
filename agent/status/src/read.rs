//! Reading a status that some agent wrote.

use super::{STALE_AFTER, Status};
use input::file::{self, Links};
use std::io;
use std::path::Path;
use std::time::SystemTime;

/// The largest file that is read, in bytes.
const LARGEST: u64 = 1024 * 1024;

/// Why there is no status to show.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// No agent has run since boot.
    #[error(
        "failed to read the status {0}: the file does not exist; is cflared-agent running? systemctl status \
        cflared-agent"
    )]
    Missing(String),
    /// It is there and cannot be read.
    #[error(
        "failed to read the status {path}: {cause}; a running agent writes it again within 30 s: systemctl status \
         cflared-agent"
    )]
    Unreadable {
        /// The file.
        path: String,
        /// Why.
        cause: String,
    },
}

impl Status {
    /// Reads a status that some agent wrote.
    ///
    /// # Errors
    /// There is none, or it is not one.
    pub fn read(path: &Path) -> Result<Self, ReadError> {
        let name = path.display().to_string();
        match file::read(path, Links::Refused, LARGEST) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map_err(|error| ReadError::Unreadable { path: name, cause: error.to_string() }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(ReadError::Missing(name)),
            Err(error) => Err(ReadError::Unreadable { path: name, cause: error.to_string() }),
        }
    }

    /// Whether the agent should have rewritten this by `now` and has not.
    pub fn is_stale(&self, now: SystemTime) -> bool {
        self.written_at.age(now) > STALE_AFTER
    }
}
