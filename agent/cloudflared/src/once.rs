//! Runs the program for its output, bounded in time and size.

use super::process::{Process, SpawnError};
use std::process::ExitStatus;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;
use tokio::time::timeout;

/// What is kept of each output; the rest is read and forgotten.
const KEPT: usize = 8 * 1024;

/// What it answered.
pub(super) struct Answer {
    pub status: ExitStatus,
    /// The beginning of its standard output.
    pub stdout: String,
    /// The beginning of its standard error.
    pub stderr: String,
}

/// Why there is no answer.
pub(super) enum NoAnswer {
    NotSpawned(SpawnError),
    TimedOut,
    /// Somebody else reaped it.
    Unknown(std::io::Error),
}

/// Runs `command` to its end, or kills it, with its whole group, after `limit`.
pub(super) async fn run(command: Command, limit: Duration) -> Result<Answer, NoAnswer> {
    let mut process = Process::spawn(command).map_err(NoAnswer::NotSpawned)?;
    let (stdout, stderr) = process.take_outputs();
    let outputs = async {
        let exit = async {
            process.exited().await;
            // Else a grandchild that holds an output open would hold us too.
            process.kill();
        };
        let (stdout, stderr, ()) = tokio::join!(beginning(stdout), beginning(stderr), exit);
        (stdout, stderr)
    };
    let outputs = timeout(limit, outputs).await;
    let status = process.reap().await;
    let (stdout, stderr) = outputs.map_err(|_| NoAnswer::TimedOut)?;
    Ok(Answer { status: status.map_err(NoAnswer::Unknown)?, stdout, stderr })
}

/// The first [`KEPT`] bytes of what comes until the end.
async fn beginning(output: Option<impl AsyncRead + Unpin>) -> String {
    let Some(mut output) = output else { return String::new() };
    let mut kept = Vec::new();
    let mut piece = [0; 1024];
    // An output that cannot be read has ended, as far as its answer goes.
    while let Ok(length @ 1..) = output.read(&mut piece).await {
        kept.extend_from_slice(&piece[..length.min(KEPT - kept.len())]);
    }
    String::from_utf8_lossy(&kept).into_owned()
}
