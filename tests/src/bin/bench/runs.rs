//! One run of a program: how long it takes, or how much memory it needs. Not both at once, for looking at the memory
//! takes time.

use super::machine::field;
use anyhow::ensure;
use std::fs;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How many looks at the leader come on one at the whole group.
const LOOKS: usize = 50;

/// From before the fork until it was reaped.
///
/// # Errors
/// It failed, or could not be run.
pub async fn time(command: Command) -> anyhow::Result<Duration> {
    blocking(command, |mut command| {
        let begun = Instant::now();
        let status = command.status()?;
        let took = begun.elapsed();
        ensure!(status.success(), "{} failed: {status}", command.get_program().display());
        Ok(took)
    })
    .await
}

/// The most resident memory that one of its processes ever had, in bytes: the kernel's own high-water mark, read until
/// the end. (What wait4(2) tells of a child counts the memory of whoever forked it.)
///
/// # Errors
/// It failed, or could not be run.
pub async fn peak(command: Command) -> anyhow::Result<u64> {
    blocking(command, |mut command| {
        let mut child = command.process_group(0).spawn()?;
        let mut peak = 0;
        for look in 0.. {
            peak = peak.max(high_water(&child.id().to_string()));
            if look % LOOKS == 0 {
                peak = peak.max(group(child.id())?);
            }
            if let Some(status) = child.try_wait()? {
                ensure!(status.success(), "{} failed: {status}", command.get_program().display());
                break;
            }
        }
        Ok(peak)
    })
    .await
}

async fn blocking<T: Send + 'static>(
    mut command: Command,
    run: impl FnOnce(Command) -> anyhow::Result<T> + Send + 'static,
) -> anyhow::Result<T> {
    command.stdin(Stdio::null()).stdout(Stdio::null());
    tokio::task::spawn_blocking(|| run(command)).await?
}

/// Of one process; 0 if it is gone.
fn high_water(process: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    field(&status, "VmHWM").unwrap_or_default() * 1024
}

/// The most of one process in that process group.
fn group(id: u32) -> anyhow::Result<u64> {
    let mut peak = 0;
    for process in fs::read_dir("/proc")? {
        let name = process?.file_name().to_string_lossy().into_owned();
        // `pid (name) state parent group …`; a name may hold anything.
        let stat = fs::read_to_string(format!("/proc/{name}/stat")).unwrap_or_default();
        let of_group = stat.rsplit(')').next().and_then(|rest| rest.split(' ').nth(3)) == Some(&id.to_string());
        if of_group {
            peak = peak.max(high_water(&name));
        }
    }
    Ok(peak)
}
