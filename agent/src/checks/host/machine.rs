//! The host itself: disk, memory, network card, age.

use super::Facts;
use super::seen::{DISK, Seen, aside};
use crate::checks::image::{Root, facts};
use crate::checks::{Found, Outcome, program};
use nix::sys::statvfs::statvfs;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

const MIB: u64 = 1 << 20;
/// With less than this, a bundle or a status may not fit; with less than the second, soon.
const FULL: u64 = 8 * MIB;
const NEARLY_FULL: u64 = 256 * MIB;
/// With less available than this, cloudflared (40 MB idle) cannot be started beside another one.
const SHORT: u64 = 64 * MIB;
/// How long ethtool may take.
const ETHTOOL: Duration = Duration::from_secs(2);
/// The counters of what EC2 dropped (EC2 user guide, "metrics for the ENA driver").
const COUNTERS: [&str; 5] = [
    "linklocal_allowance_exceeded",
    "conntrack_allowance_exceeded",
    "pps_allowance_exceeded",
    "bw_in_allowance_exceeded",
    "bw_out_allowance_exceeded",
];

/// What was seen.
#[derive(Debug)]
pub struct Machine {
    /// The file systems in use.
    pub disks: Seen<Vec<Room>>,
    /// Memory.
    pub memory: Seen<Memory>,
    /// The counters of the ENA cards that are not zero; none: there is no such card, or they cannot be seen.
    pub dropped: Seen<Option<Vec<(String, u64)>>>,
    /// What image.json says.
    pub image: Seen<Found>,
}

/// What is free of a file system.
#[derive(Debug, Clone)]
pub struct Room {
    /// A directory on it.
    pub path: PathBuf,
    /// Free for anybody, in bytes.
    pub free: u64,
    /// Free inodes; none where there is no such number.
    pub inodes: Option<u64>,
}

/// Memory of the host.
#[derive(Debug, Clone, Copy, Default)]
pub struct Memory {
    /// In bytes.
    pub total: u64,
    /// In bytes.
    pub available: u64,
    /// How often the kernel killed for want of it since the boot.
    pub kills: u64,
}

impl Machine {
    /// Looks at the file systems of `paths`, and at the rest.
    pub async fn look(paths: Vec<PathBuf>, image_file: PathBuf, now: SystemTime) -> Self {
        let (disks, memory, dropped, image) = tokio::join!(
            aside("the disk", DISK, move || paths.iter().filter_map(|path| room(path)).collect()),
            aside("/proc/meminfo", DISK, memory),
            aside("the network card", ETHTOOL + DISK, dropped),
            aside("image.json", DISK, move || image(&image_file, now)),
        );
        Self { disks, memory, dropped, image }
    }
}

fn room(path: &Path) -> Option<Room> {
    let found = statvfs(path).ok()?;
    let inodes = (found.files() > 0).then(|| found.files_available());
    Some(Room { path: path.into(), free: found.blocks_available() * found.fragment_size(), inodes })
}

fn memory() -> Memory {
    let number = |file: &str, key: &str| -> u64 {
        let text = fs::read_to_string(file).unwrap_or_default();
        let of = |line: &str| line.strip_prefix(key)?.split_whitespace().next()?.parse().ok();
        text.lines().find_map(of).unwrap_or_default()
    };
    Memory {
        total: number("/proc/meminfo", "MemTotal:") * 1024,
        available: number("/proc/meminfo", "MemAvailable:") * 1024,
        kills: number("/proc/vmstat", "oom_kill "),
    }
}

/// What the ENA cards dropped.
fn dropped() -> Option<Vec<(String, u64)>> {
    let mut counters = None;
    for entry in fs::read_dir("/sys/class/net").ok()?.flatten() {
        let driver = fs::read_link(entry.path().join("device/driver")).unwrap_or_default();
        if driver.file_name().is_none_or(|name| name != "ena") {
            continue;
        }
        let said = program::run(Command::new("ethtool").arg("-S").arg(entry.file_name()), ETHTOOL).ok()??;
        counters.get_or_insert_with(Vec::new).extend(exceeded(&said.stdout));
    }
    counters
}

/// The counters of interest that are not zero.
fn exceeded(statistics: &str) -> Vec<(String, u64)> {
    let counter = |line: &str| {
        let (name, value) = line.trim().split_once(':')?;
        let value = value.trim().parse().ok().filter(|value| *value > 0)?;
        COUNTERS.contains(&name).then(|| (name.to_owned(), value))
    };
    statistics.lines().filter_map(counter).collect()
}

fn image(path: &Path, now: SystemTime) -> Found {
    match Root::open(Path::new("/")) {
        Ok(root) => facts::Facts::read(&root, path).map_or_else(|found| found, |facts| facts.check(now, None, None)),
        Err(error) => Found::not_known(error.to_string()),
    }
}

/// Room for what is written.
pub fn disk(facts: &Facts) -> Found {
    let disks = match &facts.machine.disks {
        Ok(disks) => disks,
        Err(why) => return Found::fail(why).and("a disk that does not answer is worse than a full one"),
    };
    let told = |room: &Room| {
        let inodes = room.inodes.map(|inodes| format!(", {inodes} inodes")).unwrap_or_default();
        format!("{}: {} MiB{inodes} free", room.path.display(), room.free / MIB)
    };
    let full = |room: &&Room| room.free < FULL || room.inodes.is_some_and(|inodes| inodes < 16);
    let wrong: Vec<_> = disks.iter().filter(full).map(told).collect();
    match disks.iter().find(|room| room.free < NEARLY_FULL) {
        Some(room) if wrong.is_empty() && !is_small(room) => Found::warn(told(room)),
        _ => Found::from_wrongs(wrong, vec![], disks.iter().map(told).collect::<Vec<_>>().join("; ")),
    }
}

/// A tmpfs such as /run has little room from the beginning.
fn is_small(room: &Room) -> bool {
    room.path.starts_with("/run")
}

/// Memory for what runs.
pub fn memory_left(facts: &Facts) -> Found {
    let Memory { total, available, kills } = match &facts.machine.memory {
        Ok(memory) => *memory,
        Err(why) => return Found::not_known(why),
    };
    let told = format!("{} of {} MiB available", available / MIB, total / MIB);
    match kills {
        _ if total == 0 => Found::not_known("/proc/meminfo cannot be read"),
        _ if available < SHORT => Found::warn(told),
        0 => Found::pass(told),
        kills => {
            Found::warn(format!("the kernel killed {kills} processes for lack of memory since the boot; now {told}"))
        }
    }
}

/// Nothing dropped by EC2.
pub fn allowances(facts: &Facts) -> Found {
    match &facts.machine.dropped {
        Err(why) => Found::not_known(why),
        Ok(None) => Found::not_applicable("there is no ENA card, or no ethtool to ask it with"),
        Ok(Some(counters)) if counters.is_empty() => Found::pass("nothing since the boot"),
        Ok(Some(counters)) => {
            let told: Vec<_> = counters.iter().map(|(name, value)| format!("{name} {value}")).collect();
            Found::warn(format!("packets dropped since the boot: {}", told.join(", ")))
        }
    }
}

/// The image is young. A host without the file is no image of ours, which costs only that.
pub fn image_age(facts: &Facts) -> Found {
    match &facts.machine.image {
        Ok(found) if found.outcome == Outcome::Fail => Found { outcome: Outcome::Warn, ..found.clone() },
        Ok(found) => found.clone(),
        Err(why) => Found::not_known(why),
    }
}
