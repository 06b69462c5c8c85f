//! A small file replaced as a whole.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// Replaces `path` with `bytes` by a rename, so that a reader sees the old file or the new one. The new one has `mode`
/// before its first byte, whatever the umask.
///
/// Nothing is synced: these files live in the runtime directory, a tmpfs, which a power cut empties anyway. There must
/// be one writer only. A missing directory is created (0755); its parent must exist.
pub fn replace(path: &Path, mode: u32, bytes: &[u8]) -> io::Result<()> {
    replace_by(&path.with_added_extension("tmp"), path, mode, bytes)
}

/// As [`replace`], for several writers: each has a name of its own for the file that is not complete yet.
pub fn replace_by(temporary: &Path, path: &Path, mode: u32, bytes: &[u8]) -> io::Result<()> {
    let written = create(temporary)
        .and_then(|mut file| {
            file.set_permissions(Permissions::from_mode(mode))?;
            file.write_all(bytes)
        })
        .and_then(|()| fs::rename(temporary, path));
    if written.is_err() {
        // The cause that is reported is the first one; what is left over is replaced by the next attempt.
        let _ = fs::remove_file(temporary);
    }
    written
}

fn create(path: &Path) -> io::Result<File> {
    let create = || OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    match create() {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            fs::remove_file(path)?;
            create()
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let Some(directory) = path.parent() else { return Err(error) };
            DirBuilder::new().mode(0o755).create(directory)?;
            create()
        }
        created => created,
    }
}
