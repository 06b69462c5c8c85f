//! Which file the program is.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// What tells a file from the one that an upgrade puts in its place: device, inode, size, and time of the last change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    place: (u64, u64),
    bytes: u64,
    modified: (i64, i64),
}

impl Stamp {
    /// That of the file which `path` leads to; `None` if there is none, as in the middle of an upgrade.
    pub fn of(path: &Path) -> Option<Self> {
        let stamp = |file: Metadata| Self {
            place: (file.dev(), file.ino()),
            bytes: file.len(),
            modified: (file.mtime(), file.mtime_nsec()),
        };
        std::fs::metadata(path).ok().map(stamp)
    }
}
