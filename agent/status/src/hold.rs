//! `hold.json`: a person's "hands off", which the command writes and the agent reads.
//!
//! It says until when on the clock of this boot, so that a step of the time of day neither ends nor prolongs it. It ends
//! with the boot at the latest, as the runtime directory does. What cannot be read holds: somebody wanted hands off.

use cflared_verdict::{Hold, Mono};
use input::file::{self, Links};
use input::plain;
use serde::{Deserialize, Serialize};
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The name of the file in the runtime directory.
pub const HOLD_FILE: &str = "hold.json";
/// The schema that is written, and the only one that is read.
pub const SCHEMA: u32 = 1;
/// The largest file that is read, in bytes; a real one has a few hundred.
const LARGEST: u64 = 16 * 1024;

/// The longest hold: that of the command.
pub const LONGEST: Duration = Duration::from_secs(7 * 24 * 3600);

/// A file may be written between the moment that its reader calls now and the reading; the reader may be stopped in
/// between.
const JUST_WRITTEN: Duration = Duration::from_secs(60);

/// What the file holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Held {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The boot that the moments belong to; none if the kernel's id could not be read.
    pub boot_id: Option<String>,
    /// When it was written.
    pub made_at: Mono,
    /// When it ends.
    pub until: Mono,
    /// Who held, and why.
    pub note: String,
}

impl Held {
    /// Puts it into the file, in place of what was there.
    ///
    /// # Errors
    /// The directory cannot be written to.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        let json = serde_json::to_vec(self).expect("a hold has string keys only, so it is always JSON");
        let temporary = path.with_added_extension(format!("{}.tmp", std::process::id()));
        file::replace_by(&temporary, path, 0o644, &json)
    }
}

/// Removes the file, whatever it holds. False if there was none.
///
/// # Errors
/// The directory cannot be written to.
pub fn lift(path: &Path) -> io::Result<bool> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if is_missing(&error) => Ok(false),
        Err(error) => Err(error),
    }
}

/// The hold that the file means at `now`; `None` if there is no file, or it has ended. A file that cannot be used is a
/// hold without an end. `boot_id` and `now` are of this boot.
pub fn read(path: &Path, boot_id: Option<&str>, now: Mono) -> Option<Hold> {
    let held = match file::read(path, Links::Refused, LARGEST).map(|bytes| file::parse::<Held>(&bytes, SCHEMA)) {
        Err(error) if is_missing(&error) => return None,
        Err(error) => Err(error.to_string()),
        Ok(parsed) => parsed,
    };
    match held {
        Ok(held) => {
            // Where a sandbox hides the boot's id, what was written well after now is of another one all the same.
            let another = boot_id.zip(held.boot_id.as_deref()).is_some_and(|(ours, its)| ours != its)
                || held.made_at > now + JUST_WRITTEN;
            let ended = another || held.until <= now;
            (!ended).then(|| Hold { until: Some(held.until.min(now + LONGEST)), note: printable(&held.note) })
        }
        Err(cause) => {
            // The cause quotes what it does not know of the file.
            let cause = printable(&cause);
            let note =
                format!("{} cannot be used, so it holds: {cause}; end it by: cflared-agent hold off", path.display());
            Some(Hold { until: None, note })
        }
    }
}

/// Nobody can have put a file there.
fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// How much of what somebody wrote is kept, in characters.
const NOTE: usize = 200;

/// What somebody wrote, in a form that can be shown in a line: printable, and not too long.
pub fn printable(text: &str) -> String {
    plain::line(text, NOTE)
}

/// Notices when the file changes.
#[derive(Debug)]
pub struct Watch {
    path: PathBuf,
    boot_id: Option<String>,
    /// What the file looked like; `None`: it was not there.
    seen: Option<Result<Stamp, io::ErrorKind>>,
}

/// What changes with every change of a file.
type Stamp = (u64, u64, (i64, i64), (i64, i64));

impl Watch {
    /// Watches the file of that runtime directory; at the beginning it is taken to be missing.
    pub fn new(runtime_dir: &Path, boot_id: Option<String>) -> Self {
        Self { path: runtime_dir.join(HOLD_FILE), boot_id, seen: None }
    }

    /// What the file means at `now`, if it has changed since the last look. It is a tmpfs that is looked at: nobody
    /// waits.
    pub fn look(&mut self, now: Mono) -> Option<Option<Hold>> {
        let stamp = |file: Metadata| {
            (file.ino(), file.len(), (file.mtime(), file.mtime_nsec()), (file.ctime(), file.ctime_nsec()))
        };
        let seen = match fs::symlink_metadata(&self.path) {
            Err(error) if is_missing(&error) => None,
            other => Some(other.map(stamp).map_err(|error| error.kind())),
        };
        if seen == self.seen {
            return None;
        }
        self.seen = seen;
        Some(read(&self.path, self.boot_id.as_deref(), now))
    }
}

#[cfg(test)]
mod tests;
