//! The machine that is measured on, and what `/proc` says of a process.

use anyhow::Context;
use std::collections::BTreeMap;
use std::fs;

/// Processor, kernel and memory in a line.
///
/// # Errors
/// `/proc` is not there.
pub fn describe() -> anyhow::Result<String> {
    let cpus = fs::read_to_string("/proc/cpuinfo")?;
    let models: Vec<_> = cpus.lines().filter_map(|line| line.strip_prefix("model name")).collect();
    let model = models.first().map_or("a processor without a name", |line| line.trim_start_matches(['\t', ' ', ':']));
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    Ok(format!("Measured on {} × {model}, Linux {}, files on a tmpfs.", models.len().max(1), kernel.trim()))
}

/// What a process has used since it began.
#[derive(Debug, Default, Clone)]
pub struct Usage {
    /// The voluntary context switches of each of its threads, also of those that have ended: every one is a wake-up
    /// later on.
    pub switches: BTreeMap<u32, u64>,
    /// Processor time of its threads, in nanoseconds.
    pub nanoseconds: BTreeMap<u32, u64>,
}

impl Usage {
    /// Takes the present counts; those of threads that ended since the last time stay as they were.
    ///
    /// # Errors
    /// The process is gone.
    pub fn update(&mut self, pid: u32) -> anyhow::Result<()> {
        for task in fs::read_dir(format!("/proc/{pid}/task")).context("the agent is gone")? {
            let name = task?.file_name().to_string_lossy().into_owned();
            let id = name.parse()?;
            let task = format!("/proc/{pid}/task/{name}");
            // A thread may end between the listing and the reading.
            let Ok(status) = fs::read_to_string(format!("{task}/status")) else { continue };
            let Ok(schedule) = fs::read_to_string(format!("{task}/schedstat")) else { continue };
            self.switches.insert(id, field(&status, "voluntary_ctxt_switches").context("no count of switches")?);
            let ran = schedule.split(' ').next().and_then(|first| first.parse().ok());
            self.nanoseconds.insert(id, ran.context("no schedstat")?);
        }
        Ok(())
    }
}

/// Resident memory in bytes: all of it, and the anonymous part.
///
/// # Errors
/// The process is gone.
pub fn memory(pid: u32) -> anyhow::Result<(u64, u64)> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).context("the agent is gone")?;
    let bytes = |name| field(&status, name).map(|kib| kib * 1024).with_context(|| format!("no {name}"));
    Ok((bytes("VmRSS")?, bytes("RssAnon")?))
}

/// A number of `/proc/…/status`.
pub fn field(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}
