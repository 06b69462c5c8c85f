//! One child process with everything it may have forked: its process group.

use super::strays::{attended, end_strays};
use nix::errno::Errno;
use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;
use std::io::{self, PipeWriter};
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;
use tokio::process::{Child, ChildStderr, ChildStdout, Command};
use tokio::signal::unix::{self, SignalKind};
use tokio::time::sleep;

/// How long what is left of a killed group may take to disappear: it is reaped by whoever adopted it, not by us.
const GROUP_GONE_POLLS: u32 = 100;
const GROUP_GONE_POLL: Duration = Duration::from_millis(5);

/// A living or exited child that was not reaped yet, so that its process id is still its own: as long as there is a
/// `Process`, it and its group can be signalled without hitting a stranger. Dropping it kills the group.
#[derive(Debug)]
pub struct Process {
    child: Child,
    group: Pid,
    changes: unix::Signal,
    /// Closed with it, for whoever waits for its end at the other end.
    held: Option<PipeWriter>,
}

/// Why a program could not be executed, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    /// There is no such file.
    #[error("failed to execute {}: there is no such file; install cloudflared there, or set connector.binary", path.display())]
    Missing {
        /// The program.
        path: PathBuf,
    },
    /// The file is not a program for us and this machine.
    #[error("failed to execute {}: {source}; check its mode and that it is built for this machine", path.display())]
    NotExecutable {
        /// The program.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Something else, such as a host without memory or process ids left.
    #[error("failed to execute {}: {source}; the host is out of resources, or the file is being written", path.display())]
    Host {
        /// The program.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl Process {
    /// Executes a command that [`command`](super::command()) made.
    ///
    /// # Errors
    /// The program is missing, cannot be executed, or the host cannot start one.
    pub fn spawn(mut command: Command) -> Result<Self, SpawnError> {
        let path = PathBuf::from(command.as_std().get_program());
        let error = |source: io::Error| match source.raw_os_error().map(Errno::from_raw) {
            Some(Errno::ENOENT | Errno::ENOTDIR) => SpawnError::Missing { path: path.clone() },
            Some(Errno::EACCES | Errno::EPERM | Errno::ENOEXEC | Errno::EISDIR) => {
                SpawnError::NotExecutable { path: path.clone(), source }
            }
            _ => SpawnError::Host { path: path.clone(), source },
        };
        // Listening starts before there is anything to hear, so that no exit is missed.
        let changes = unix::signal(SignalKind::child()).map_err(error)?;
        let mut attended = attended();
        let child = command.spawn().map_err(error)?;
        let group = child.id().map(|pid| Pid::from_raw(pid.cast_signed()));
        let group = group.expect("a child that was never waited for has its id");
        attended.insert(group);
        Ok(Self { child, group, changes, held: None })
    }

    /// Keeps `held` open until the child was reaped or dropped.
    pub(super) fn holding(mut self, held: PipeWriter) -> Self {
        self.held = Some(held);
        self
    }

    /// Its process id, which is its group's too.
    pub fn pid(&self) -> u32 {
        self.group.as_raw().cast_unsigned()
    }

    /// The reading ends of its outputs; once.
    pub fn take_outputs(&mut self) -> (Option<ChildStdout>, Option<ChildStderr>) {
        (self.child.stdout.take(), self.child.stderr.take())
    }

    /// Resolves when the child has exited; it is not reaped by that. Can be cancelled and repeated.
    pub async fn exited(&mut self) {
        let look = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
        while let Ok(WaitStatus::StillAlive) | Err(Errno::EINTR) = waitid(Id::Pid(self.group), look) {
            self.changes.recv().await;
        }
    }

    /// Asks the group to end; a stopped one is woken for it. What is asked may be ignored.
    pub fn terminate(&self) {
        // No such group: it has ended by itself, which is what was wanted.
        let _ = killpg(self.group, Signal::SIGTERM);
        let _ = killpg(self.group, Signal::SIGCONT);
    }

    /// Kills the group, which cannot be ignored. An exited leader keeps the group's id from being given away.
    pub fn kill(&self) {
        let _ = killpg(self.group, Signal::SIGKILL);
    }

    /// Kills what is alive of the group, reaps the child, and resolves when the group is no more, nor what had left it.
    ///
    /// # Errors
    /// Somebody else reaped the child: how it ended is not known.
    pub async fn reap(mut self) -> io::Result<ExitStatus> {
        self.kill();
        let status = self.child.wait().await;
        for _ in 0..GROUP_GONE_POLLS {
            // Signal 0 is only a question, so that here a reused id does no harm.
            if killpg(self.group, None) == Err(Errno::ESRCH) {
                break;
            }
            sleep(GROUP_GONE_POLL).await;
        }
        attended().remove(&self.group);
        // What is not ended now is ended after the next child.
        let _ = tokio::task::spawn_blocking(end_strays).await;
        status
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The id is gone once the child was reaped.
        if self.child.id().is_some() {
            self.kill();
        }
        attended().remove(&self.group);
    }
}

#[cfg(test)]
mod tests;
