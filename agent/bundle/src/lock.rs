//! One writer at a time: `.lock` in the config directory.

use super::error::Error;
use super::store::Store;
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, OpenOptionsExt};

/// The lock file's name. It is never removed: a lock on a removed file would keep nobody out.
const LOCK: &str = ".lock";

/// The store's only writer, until it is dropped.
#[derive(Debug)]
pub struct Locked {
    pub(super) store: Store,
    _lock: Flock<File>,
}

impl Store {
    /// Becomes the only writer, without waiting, and removes what a killed writer has left half done. The process id is
    /// written into the lock file. Whoever has nothing to install need not lock, and then touches no file.
    ///
    /// The kernel releases the lock when the process ends, however it ends; no child inherits it.
    ///
    /// # Errors
    /// Another process is the writer, or the directory cannot be written to.
    pub fn lock(&self) -> Result<Locked, Error> {
        self.own()?;
        let path = self.dir().join(LOCK);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(nix::libc::O_NOFOLLOW)
            .open(&path)
            .map_err(Error::io("open the lock", &path))?;
        let lock = Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(file, errno)| match errno {
            Errno::EWOULDBLOCK => Error::Busy { holder: written(&file), path: path.clone() },
            errno => Error::io("lock", &path)(errno.into()),
        })?;
        // It is for people; a full disk must not keep an installed bundle from being run.
        let _ = sign(&lock);
        let mut locked = Locked { store: self.clone(), _lock: lock };
        locked.tidy()?;
        Ok(locked)
    }
}

impl Locked {
    /// What it writes to.
    pub fn store(&self) -> &Store {
        &self.store
    }
}

/// Writes our process id, for whoever finds the lock taken. A reader that comes in between sees the last holder's.
fn sign(file: &File) -> io::Result<()> {
    let pid = std::process::id();
    if written(file) == Some(pid) {
        return Ok(());
    }
    let line = format!("{pid}\n");
    file.write_all_at(line.as_bytes(), 0)?;
    file.set_len(line.len() as u64)
}

/// The process id in the lock file.
fn written(mut file: &File) -> Option<u32> {
    let mut text = String::new();
    file.by_ref().take(32).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}
