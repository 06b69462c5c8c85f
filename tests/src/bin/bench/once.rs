//! One run of a program: how long it took, and the most memory that one of its processes had.
//!
//! The program is run by a process of its own, for the kernel sums up the memory of waited-for children for ever. That
//! process is this program again; it does nothing else, so that its own memory, which a child has until it executes,
//! stays below what is measured.

use anyhow::{Context, ensure};
use nix::sys::resource::{UsageWho, getrusage};
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

/// What a run cost.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Cost {
    microseconds: u64,
    /// The most resident memory of the largest process, in KiB.
    peak_kib: i64,
}

impl Cost {
    /// From before the fork until it was reaped.
    pub fn time(self) -> Duration {
        Duration::from_micros(self.microseconds)
    }

    /// The most resident memory of its largest process, in bytes.
    pub fn peak(self) -> u64 {
        self.peak_kib.unsigned_abs() * 1024
    }
}

/// Runs a command to its end.
///
/// # Errors
/// It failed, or could not be run.
pub async fn run(command: &Command) -> anyhow::Result<Cost> {
    let mut once = tokio::process::Command::new(std::env::current_exe()?);
    once.env_clear().arg("once").arg("--").arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            once.env(name, value);
        }
    }
    let output = once.stdin(Stdio::null()).output().await?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{} failed: {said}", command.get_program().display());
    serde_json::from_slice(&output.stdout).context("the measuring process said nothing")
}

/// The measuring process.
pub fn main(command: &[OsString]) -> ExitCode {
    let begun = Instant::now();
    let status = Command::new(&command[0]).args(&command[1..]).stdout(Stdio::null()).process_group(0).status();
    let took = begun.elapsed();
    match (status, getrusage(UsageWho::RUSAGE_CHILDREN)) {
        (Ok(status), Ok(usage)) if status.success() => {
            let microseconds = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
            print!("{}", serde_json::json!(Cost { microseconds, peak_kib: usage.max_rss() }));
            ExitCode::SUCCESS
        }
        (result, _) => {
            eprintln!("{result:?}");
            ExitCode::FAILURE
        }
    }
}
