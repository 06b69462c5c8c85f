//! A small file: replaced as a whole, read with suspicion, since somebody else may have made it.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// Replaces `path` with `bytes` by a rename, so that a reader sees the old file or the new one. The new one has `mode`
/// before its first byte, whatever the umask.
///
/// Nothing is synced: these files live in the runtime directory, a tmpfs, which a power cut empties anyway, or are written
/// anew at each boot. There must be one writer only. A missing directory is created (0755); its parent must exist.
///
/// # Errors
/// The directory does not take it.
pub fn replace(path: &Path, mode: u32, bytes: &[u8]) -> io::Result<()> {
    replace_by(&path.with_added_extension("tmp"), path, mode, bytes)
}

/// As [`replace`], for several writers: each has a name of its own for the file that is not complete yet.
///
/// # Errors
/// As [`replace`].
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
            make_directory_of(path)?;
            create()
        }
        created => created,
    }
}

/// Makes the directory that `path` lies in (0755), unless it is there; its parent must exist.
///
/// # Errors
/// It cannot be made.
pub fn make_directory_of(path: &Path) -> io::Result<()> {
    let Some(directory) = path.parent() else { return Err(io::ErrorKind::NotFound.into()) };
    match DirBuilder::new().mode(0o755).create(directory) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}

/// What becomes of a link where a file should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Links {
    /// It is followed: the directory is root's.
    Followed,
    /// It is an error: others may write to the directory.
    Refused,
}

/// Opens a plain file for reading.
///
/// # Errors
/// It cannot be opened, or is no plain file.
pub fn open(path: &Path, links: Links) -> io::Result<File> {
    // Without O_NONBLOCK, a FIFO of that name would hold the reader for ever.
    let flags = nix::libc::O_NONBLOCK
        | match links {
            Links::Followed => 0,
            Links::Refused => nix::libc::O_NOFOLLOW,
        };
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    match file.metadata()?.file_type() {
        plain if plain.is_file() => Ok(file),
        other if other.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
        _ => Err(io::Error::other("it is not a plain file")),
    }
}

/// The bytes of a plain file of at most `largest` bytes.
///
/// # Errors
/// As [`open`]; or it is larger than that.
pub fn read(path: &Path, links: Links, largest: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(path, links)?.take(largest + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > largest { Err(io::Error::other("it is too large")) } else { Ok(bytes) }
}

/// The same, as text.
///
/// # Errors
/// As [`read`]; or it is not UTF-8.
pub fn read_text(path: &Path, links: Links, largest: u64) -> io::Result<String> {
    String::from_utf8(read(path, links, largest)?).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// What JSON of that very `schema` says.
///
/// # Errors
/// It is no JSON, of another schema, or not of that form; in words.
pub fn parse<T: DeserializeOwned>(bytes: &[u8], schema: u32) -> Result<T, String> {
    #[derive(Deserialize)]
    struct Schema {
        schema: u32,
    }
    let found: Schema = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    if found.schema != schema {
        return Err(format!("its schema is {}, this agent knows {schema}", found.schema));
    }
    serde_json::from_slice(bytes).map_err(|error| error.to_string())
}
