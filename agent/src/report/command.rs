//! Programs of this host that are asked for what they know: bounded in time and in what is kept.

use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;

/// The most that is kept of what a program complains of, in bytes.
const COMPLAINT: u64 = 4096;

/// What a program said.
#[derive(Debug)]
pub struct Said {
    /// How it ended.
    pub status: ExitStatus,
    /// Its standard output.
    pub stdout: String,
    /// The beginning of its standard error.
    pub stderr: String,
}

/// Runs a program to its end, for as long as `limit`; then it is killed. Of its output the first `most` bytes are kept.
///
/// # Errors
/// There is no such program, it cannot be executed, or it did not end in time.
pub async fn run(command: &mut Command, limit: Duration, most: u64) -> Result<Said, String> {
    let name = command.as_std().get_program().to_string_lossy().into_owned();
    let spawned = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true).spawn();
    let mut child = spawned.map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => format!("there is no {name} on this host"),
        _ => format!("failed to run {name}: {error}"),
    })?;
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let ended = async { tokio::join!(beginning(out, most), beginning(err, COMPLAINT), child.wait()) };
    match tokio::time::timeout(limit, ended).await {
        Ok((stdout, stderr, Ok(status))) => Ok(Said { status, stdout, stderr }),
        Ok((_, _, Err(error))) => Err(format!("failed to run {name}: {error}")),
        Err(_) => Err(format!("failed to ask {name}: no end within {}", humantime::format_duration(limit))),
    }
}

async fn beginning(output: Option<impl AsyncRead + Unpin>, most: u64) -> String {
    let Some(mut output) = output else { return String::new() };
    let mut kept = vec![];
    // An output that cannot be read has ended, as far as what it says goes.
    let _ = (&mut output).take(most).read_to_end(&mut kept).await;
    let _ = tokio::io::copy(&mut output, &mut tokio::io::sink()).await;
    String::from_utf8_lossy(&kept).into_owned()
}
