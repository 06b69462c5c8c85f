//! The socket's name in the runtime directory.

use input::file;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use tokio::net::UnixListener;

/// Which file a name leads to: device and inode.
pub type Place = (u64, u64);

/// Why there is no socket.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error(
        "failed to listen on {}: another process does, or may do so; end that process, or remove the \
         file (the agent tries again each minute)",
        path.display()
    )]
    Taken {
        /// The socket.
        path: PathBuf,
    },
    /// The file system, or the length of the name, is in the way.
    #[error(
        "failed to listen on {}: {cause}; the directory must belong to the agent's user and have a path of less than 90 bytes \
         (the agent tries again each minute)",
        path.display()
    )]
    Host {
        /// The socket.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
}

/// Listens at `path`, for us and root alone, in place of what a dead process left there. Whoever comes sees the old file or
/// the new socket, and never one with another mode.
pub fn open(path: &Path) -> Result<(UnixListener, Place), OpenError> {
    if is_alive(path) {
        return Err(OpenError::Taken { path: path.into() });
    }
    listen(path).map_err(|cause| OpenError::Host { path: path.into(), cause })
}

fn listen(path: &Path) -> io::Result<(UnixListener, Place)> {
    let temporary = path.with_added_extension("new");
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    file::make_directory_of(path)?;
    let listener = UnixListener::bind(&temporary)?;
    let named = fs::set_permissions(&temporary, Permissions::from_mode(0o600))
        .and_then(|()| fs::rename(&temporary, path))
        .and_then(|()| fs::symlink_metadata(path));
    match named {
        Ok(metadata) => Ok((listener, place(&metadata))),
        Err(error) => {
            // The cause that is reported is the first one; what is left over is removed by the next attempt.
            let _ = fs::remove_file(&temporary);
            Err(error)
        }
    }
}

/// Whether the name leads to that file.
pub fn is_at(path: &Path, wanted: Place) -> bool {
    fs::symlink_metadata(path).is_ok_and(|metadata| place(&metadata) == wanted)
}

fn place(metadata: &fs::Metadata) -> Place {
    (metadata.dev(), metadata.ino())
}

/// Whether a process holds the socket of that name; if that cannot be told, yes.
fn is_alive(path: &Path) -> bool {
    // A datagram socket cannot be connected to a stream socket. The kernel finds out after it has found the process that
    // holds it (`unix_find_other` in `net/unix/af_unix.c`), so this asks, never waits, and leaves nobody a client.
    let asked = UnixDatagram::unbound().and_then(|socket| socket.connect(path));
    // Nobody can have a name that is too long, or lies below a file.
    let dead = |error: &io::Error| {
        use io::ErrorKind::{ConnectionRefused, InvalidInput, NotADirectory, NotFound};
        matches!(error.kind(), ConnectionRefused | InvalidInput | NotADirectory | NotFound)
    };
    !asked.is_err_and(|error| dead(&error))
}
