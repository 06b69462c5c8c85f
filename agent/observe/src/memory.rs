//! How much memory there is for a second connector, as the kernel counts it.
//!
//! The unit's sandbox hides `/proc/meminfo` (`ProcSubset=pid`), so that without it the free memory comes from sysinfo(2), and the
//! page cache from the root control group, which the sandbox shows. Every limit counts that a control group on the way from
//! the root to this process has. Control groups of version 1 are not read: there the host alone counts.

use cflared_verdict::{Failure, FailureKind, Memory};
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::{Component, Path, PathBuf};

/// The most that is read of a file, in bytes; the longest, `memory.stat`, has some 1,500.
const MOST: u64 = 64 * 1024;

/// Where the kernel tells.
#[derive(Debug, Clone)]
pub struct Kernel {
    /// procfs.
    pub proc: PathBuf,
    /// The root of the control groups.
    pub cgroup: PathBuf,
    /// Bytes that nobody uses: `freeram` of sysinfo(2).
    pub free: fn() -> io::Result<u64>,
    /// The size of a page, in bytes.
    pub page: u64,
}

impl Default for Kernel {
    /// The kernel of this host.
    fn default() -> Self {
        let page = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE).ok().flatten();
        Self {
            proc: "/proc".into(),
            cgroup: "/sys/fs/cgroup".into(),
            free: || Ok(nix::sys::sysinfo::sysinfo()?.ram_unused()),
            page: page.and_then(|page| u64::try_from(page).ok()).unwrap_or(4096),
        }
    }
}

/// Why it is not known.
#[derive(Debug, thiserror::Error)]
pub enum MemoryError {
    /// A file is not there, or not to be read.
    #[error("failed to read {}: {cause}; the process may have ended, or a sandbox hides it", path.display())]
    Unread {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// A file says something else than the kernel's documentation.
    #[error("failed to understand {}: {why}; please report this with the kernel's version", path.display())]
    Strange {
        /// The file.
        path: PathBuf,
        /// What is missing.
        why: &'static str,
    },
    /// The kernel does not tell.
    #[error("failed to ask the kernel for its free memory: {0}; a sandbox may forbid sysinfo(2)")]
    Free(io::Error),
}

impl From<MemoryError> for Failure {
    fn from(error: MemoryError) -> Self {
        Failure::new(FailureKind::Host, error.to_string())
    }
}

/// What there is for another connector, and what the one of that process id takes.
///
/// # Errors
/// The kernel does not say, or the process is gone.
pub fn measure(kernel: &Kernel, pid: u32) -> Result<Memory, MemoryError> {
    let available = kernel.host()?;
    let limits = kernel.limits()?;
    Ok(Memory { available: limits.into_iter().fold(available, u64::min), connector: kernel.resident(pid)? })
}

impl Kernel {
    /// What the whole host has.
    fn host(&self) -> Result<u64, MemoryError> {
        // The kernel's own estimate (proc(5)): what can be had without swapping.
        let meminfo = self.proc.join("meminfo");
        if let Some(text) = read(&meminfo)? {
            let kib = field(&text, "MemAvailable:").ok_or(strange(&meminfo, "it has no MemAvailable"))?;
            return Ok(kib.saturating_mul(1024));
        }
        let free = (self.free)().map_err(MemoryError::Free)?;
        // Of what is in use the cache can be had, if not all of it without harm: the kernel keeps some, and reads again what it
        // dropped too early.
        let stat = read(&self.cgroup.join("memory.stat"))?.unwrap_or_default();
        let of = |name| field(&stat, name).unwrap_or(0);
        Ok(free + of("inactive_file") + (of("active_file") + of("slab_reclaimable")) / 2)
    }

    /// What each control group on the way up from ours has left.
    fn limits(&self) -> Result<Vec<u64>, MemoryError> {
        let path = self.proc.join("self/cgroup");
        let text = read(&path)?.unwrap_or_default();
        // The line of version 2 (cgroups(7)).
        let Some(ours) = text.lines().find_map(|line| line.strip_prefix("0::/")) else { return Ok(vec![]) };
        // Outside of the namespace's root nothing can be read.
        let plain = |part: &Component<'_>| matches!(part, Component::Normal(_));
        let ours: PathBuf = Path::new(ours).components().filter(plain).collect();
        let groups = ours.ancestors().map(|group| self.cgroup.join(group));
        groups.filter_map(|group| self.left(&group).transpose()).collect()
    }

    /// What a control group has left under its limit, if it has one.
    fn left(&self, group: &Path) -> Result<Option<u64>, MemoryError> {
        let (max, current) = (group.join("memory.max"), group.join("memory.current"));
        let Some(limit) = read(&max)?.filter(|limit| limit.trim() != "max") else { return Ok(None) };
        let limit: u64 = limit.trim().parse().map_err(|_| strange(&max, "it is neither a number nor max"))?;
        let used = read(&current)?.unwrap_or_default();
        let used: u64 = used.trim().parse().map_err(|_| strange(&current, "it is no number"))?;
        // What was read from files and is not in use counts as used, and goes first when the limit is met.
        let stat = read(&group.join("memory.stat"))?.unwrap_or_default();
        let left = limit.saturating_sub(used).saturating_add(field(&stat, "inactive_file").unwrap_or(0));
        Ok(Some(left.min(limit)))
    }

    /// The memory of a process that is in RAM (`/proc/PID/statm`, proc(5)): the program itself counts, too, though two
    /// connectors share it.
    fn resident(&self, pid: u32) -> Result<u64, MemoryError> {
        let path = self.proc.join(pid.to_string()).join("statm");
        let text = read(&path)?.ok_or_else(|| unread(&path, ErrorKind::NotFound.into()))?;
        let pages: u64 = text
            .split(' ')
            .nth(1)
            .and_then(|pages| pages.parse().ok())
            .ok_or(strange(&path, "its second field is no number"))?;
        Ok(pages.saturating_mul(self.page))
    }
}

/// The number that follows that name at the beginning of a line.
fn field(text: &str, name: &str) -> Option<u64> {
    let mut fields = text.lines().map(str::split_whitespace);
    fields.find_map(|mut words| (words.next()? == name).then(|| words.next()?.parse().ok())?)
}

/// The beginning of a file; `None` if there is none.
fn read(path: &Path) -> Result<Option<String>, MemoryError> {
    let mut text = String::new();
    match File::open(path).and_then(|file| file.take(MOST).read_to_string(&mut text)) {
        Ok(_) => Ok(Some(text)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(cause) => Err(unread(path, cause)),
    }
}

fn unread(path: &Path, cause: io::Error) -> MemoryError {
    MemoryError::Unread { path: path.into(), cause }
}

fn strange(path: &Path, why: &'static str) -> MemoryError {
    MemoryError::Strange { path: path.into(), why }
}

#[cfg(test)]
mod tests;
