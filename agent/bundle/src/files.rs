//! Files that are there whole or not at all, also after a power cut: each is written and fsynced before it gets a name
//! that anybody reads, and the directory is fsynced after.

use input::file::{self, Links};
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, symlink};
use std::path::Path;

/// Makes a directory for us alone (0700).
pub fn make_dir(path: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(path)
}

/// Makes a file for us alone (0600 from its first byte on), which must not exist, and puts it on the disk. Its name is
/// there for good only when the directory is fsynced as well.
pub fn create(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Puts a directory's names on the disk.
pub fn sync_dir(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Lets the link `name` in `dir` point to `target`, in one step. Whatever had that name is gone, unless it is a
/// directory.
pub fn link(dir: &Path, name: &str, target: &str) -> io::Result<()> {
    let temporary = dir.join(temporary_link(name));
    symlink(target, &temporary)?;
    std::fs::rename(&temporary, dir.join(name)).inspect_err(|_| {
        // Left there, it would be in the way of the next attempt; the error to tell is the rename's.
        let _ = std::fs::remove_file(&temporary);
    })
}

/// The name of a link that is to become `name`.
fn temporary_link(name: &str) -> String {
    format!(".{name}.new")
}

/// Whether a killed [`link`] may have left a file of that name.
pub fn is_temporary_link(name: &str) -> bool {
    name.starts_with('.') && name.ends_with(".new")
}

/// Why a file is not read.
pub enum Unread {
    /// It is not a plain file of ours with mode 0600, or it is too long.
    Unsafe(&'static str),
    /// It cannot be read.
    Io(io::Error),
}

/// Reads a file of ours of at most `limit` bytes. A link is not followed.
pub fn read_own(path: &Path, limit: u64) -> Result<Vec<u8>, Unread> {
    let file = file::open(path, Links::Refused).map_err(|error| match error.kind() {
        io::ErrorKind::IsADirectory | io::ErrorKind::Other => Unread::Unsafe("is not a plain file"),
        _ => Unread::Io(error),
    })?;
    let metadata = file.metadata().map_err(Unread::Io)?;
    if metadata.uid() != nix::unistd::geteuid().as_raw() || metadata.mode() & 0o077 != 0 {
        return Err(Unread::Unsafe("is open to others, or belongs to another user"));
    }
    if metadata.len() > limit {
        return Err(Unread::Unsafe("is longer than anything that is installed"));
    }
    let mut bytes = Vec::with_capacity(metadata.len() as usize);
    file.take(limit).read_to_end(&mut bytes).map_err(Unread::Io)?;
    Ok(bytes)
}
