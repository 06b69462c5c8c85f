//! The errors of an installation, and the reasons not to use an installed bundle.

use super::broken::RuleBroken;
use cflared_verdict::Generation;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// Why the store did not do what it was asked. Whatever was installed is still installed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The directory is not there.
    #[error(
        "failed to open {}: it does not exist; create it for the agent's user (`install -d -o USER {0}`)",
        path.display()
    )]
    NoDirectory {
        /// The directory.
        path: PathBuf,
    },
    /// A directory is expected, and something else is there: a file, or a symbolic link, which is never followed.
    #[error("failed to use {}: it is {found}, not a directory; move it aside, and make a directory", path.display())]
    NotADirectory {
        /// Where.
        path: PathBuf,
        /// What is there.
        found: &'static str,
    },
    /// The directory is somebody else's, who could change an installed bundle.
    #[error(
        "failed to use {}: it belongs to user {owner}, and the agent runs as user {agent}; run `chown -R {agent} {0}`, \
         or run as user {owner}",
        path.display()
    )]
    ForeignOwner {
        /// The directory.
        path: PathBuf,
        /// Its owner's user id.
        owner: u32,
        /// Our effective user id.
        agent: u32,
    },
    /// Others than its owner may write to the directory, and so could change an installed bundle.
    #[error("failed to use {}: others may write to it (mode {mode:04o}); run `chmod go-w {0}`", path.display())]
    WritableByOthers {
        /// The directory.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Another process installs, or is the agent.
    #[error(
        "failed to lock {}: {} holds it; a running agent installs a new version by itself, so leave it, or wait \
            until that process has ended",
        path.display(),
        holder.map_or("another process".to_owned(), |pid| format!("process {pid}"))
    )]
    Busy {
        /// The lock file.
        path: PathBuf,
        /// The holder's process id, if it has written one yet.
        holder: Option<u32>,
    },
    /// The generation is not whole, so it is not committed.
    #[error("failed to commit generation {generation}: {why}")]
    NotWhole {
        /// The generation.
        generation: Generation,
        /// What is wrong with it.
        why: Unusable,
    },
    /// The ingress rules of the generation cannot be read.
    #[error("failed to read the ingress rules of generation {generation}: {why}")]
    Rules {
        /// The generation.
        generation: Generation,
        /// What is wrong, and the next step.
        why: String,
    },
    /// The generation is the one that serves, so it is not removed.
    #[error("failed to discard generation {generation}: `current` names it; commit another one first")]
    Current {
        /// The generation.
        generation: Generation,
    },
    /// The file system refused.
    #[error("failed to {verb} {}: {cause}; {}", path.display(), next_step(cause))]
    Io {
        /// What was tried.
        verb: &'static str,
        /// With what.
        path: PathBuf,
        /// Why not. It is in the message, so it is not told again as the error's source.
        cause: io::Error,
    },
}

impl Error {
    /// An [`Error::Io`] from the cause that is still to come.
    pub(super) fn io(verb: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |cause| Self::Io { verb, path: path.into(), cause }
    }
}

/// What a person does about it.
fn next_step(error: &io::Error) -> &'static str {
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "free space on that file system (see `df -h` and `df -i`)",
        ErrorKind::FileTooLarge => "raise the limit on file sizes that the agent runs under (LimitFSIZE=)",
        ErrorKind::ReadOnlyFilesystem => {
            "make that file system writable: remount it, or allow it in the unit (ReadWritePaths=)"
        }
        ErrorKind::PermissionDenied => "let the agent's user read and write there",
        ErrorKind::IsADirectory
        | ErrorKind::NotADirectory
        | ErrorKind::AlreadyExists
        | ErrorKind::DirectoryNotEmpty => "move what is there aside",
        _ if error.raw_os_error() == Some(nix::libc::ELOOP) => "remove the symbolic link: none is followed here",
        _ => "see the kernel's log (`dmesg`) for the disk, and what is there with `ls -la`",
    }
}

/// Why an installed bundle is not used. The next step is the agent's own: it fetches the secret and installs it anew.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// `current` is not a link to a generation.
    #[error("`current` is not a link to generations/<n>; the secret will be installed again")]
    Current,
    /// A file of it is missing, or not a plain file that is ours alone.
    #[error("its {file} {why}; the secret will be installed again")]
    File {
        /// The file's name.
        file: String,
        /// What is wrong with it.
        why: String,
    },
    /// It breaks a rule: one that the agent did not have when it was installed, or that its settings have made stricter since.
    #[error("{0}")]
    Rule(Box<RuleBroken>),
    /// It was made by another instance: this disk is a copy of that one's.
    #[error("it was installed by {instance}, not by this instance; the secret will be installed again")]
    OtherInstance {
        /// The other instance's id.
        instance: String,
    },
    /// It was made for another environment.
    #[error("it was installed for the environment {environment}; the secret will be installed again")]
    OtherEnvironment {
        /// That environment.
        environment: String,
    },
}
