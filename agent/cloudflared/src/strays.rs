//! Processes that the program left behind: they left its group and session, and outlive it.
//!
//! The agent is made the reaper of its descendants (prctl(2), `PR_SET_CHILD_SUBREAPER`), so that what loses its parent becomes the
//! agent's own child. A child of the agent that nobody attends to is a stray, and is ended. When the agent itself is killed, systemd
//! ends what is left in the unit.

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;
use std::collections::BTreeSet;
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How often it is looked for more, and what is waited in between for those that were killed.
const ROUNDS: u32 = 100;
const PAUSE: Duration = Duration::from_millis(10);

static ADOPTING: AtomicBool = AtomicBool::new(false);
static ATTENDED: Mutex<BTreeSet<Pid>> = Mutex::new(BTreeSet::new());

/// Makes this process the one that ends strays. For the agent alone: other commands have children of other kinds.
///
/// # Errors
/// A sandbox forbids the call.
pub fn adopt_strays() -> nix::Result<()> {
    nix::sys::prctl::set_child_subreaper(true)?;
    ADOPTING.store(true, Ordering::Relaxed);
    Ok(())
}

/// The children that somebody attends to. While it is held none is spawned and no stray is ended, so that no new child is taken for
/// one.
pub(super) fn attended() -> MutexGuard<'static, BTreeSet<Pid>> {
    // Each change leaves it whole.
    ATTENDED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Ends every stray, with what it has forked. It reads files of the kernel: not for the loop's own thread.
pub(super) fn end_strays() {
    if !ADOPTING.load(Ordering::Relaxed) {
        return;
    }
    for _ in 0..ROUNDS {
        let strays = {
            let attended = attended();
            let strays: Vec<Pid> = children().into_iter().filter(|child| !attended.contains(child)).collect();
            // One that has ended by itself only waits to be reaped.
            for stray in &strays {
                let _ = kill(*stray, Signal::SIGKILL);
            }
            strays
        };
        if strays.is_empty() {
            return;
        }
        // What it has forked becomes ours now.
        std::thread::sleep(PAUSE);
        for stray in strays {
            // Whoever else waits for any child may have been first.
            let _ = waitpid(stray, Some(WaitPidFlag::WNOHANG));
        }
    }
}

/// The children of this process, whichever of its threads spawned them.
fn children() -> Vec<Pid> {
    let own = Pid::this();
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok().map(Pid::from_raw));
    pids.filter(|pid| parent(*pid) == Some(own)).collect()
}

/// The fourth field of `stat` (proc(5)), behind a name in brackets that may hold anything.
fn parent(pid: Pid) -> Option<Pid> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_ascii_whitespace().nth(1)?.parse().ok().map(Pid::from_raw)
}
