//! The end: nothing is left running, and no file.

use super::scene::Scene;
use crate::world::Agent;
use anyhow::{Context, ensure};
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use std::fs;
use std::time::{Duration, Instant};

/// How long processes may take to end by themselves.
const PATIENCE: Duration = Duration::from_secs(10);
/// How soon after a kill a process must be gone.
const KILLED: Duration = Duration::from_secs(5);

/// Ends whatever runs still, removes the files, and says so.
///
/// # Errors
/// Something is left.
pub async fn end(scene: Scene) -> anyhow::Result<String> {
    let Scene { world: _world, host, agent } = scene;
    if let Some(agent) = agent {
        stop(agent).await?;
    }
    none_left().await?;
    let directory = host.directory().to_owned();
    drop(host);
    ensure!(!directory.exists(), "{} could not be removed; remove it by hand", directory.display());
    Ok(format!("nothing is left: no process, and {} is removed", directory.display()))
}

async fn stop(mut agent: Agent) -> anyhow::Result<()> {
    if agent.ended().is_some() {
        return Ok(());
    }
    agent.signal(Signal::SIGTERM)?;
    if tokio::time::timeout(PATIENCE, agent.wait()).await.is_err() {
        agent.crash().await?;
    }
    Ok(())
}

/// Waits for the end of what the agent left to us, and kills what does not end. A process whose parent is gone is ours,
/// because we said so to the kernel.
async fn none_left() -> anyhow::Result<()> {
    let begun = Instant::now();
    let mut killing = false;
    loop {
        match waitpid(None::<Pid>, Some(WaitPidFlag::WNOHANG)) {
            Err(Errno::ECHILD) => break,
            Ok(WaitStatus::StillAlive) => {}
            // One more was reaped.
            Ok(_) => continue,
            Err(error) => return Err(error).context("failed to wait for processes"),
        }
        if begun.elapsed() > PATIENCE && !killing {
            killing = true;
            for child in children() {
                // One that is gone by now is as good as killed.
                let _ = kill(child, Signal::SIGKILL);
            }
        }
        ensure!(begun.elapsed() < PATIENCE + KILLED, "these processes cannot be ended: {:?}", children());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    ensure!(!killing, "a process outlived the agent, and was killed");
    Ok(())
}

/// The living children of this process.
fn children() -> Vec<Pid> {
    let me = std::process::id().to_string();
    let numbers = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = numbers.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let is_ours = |pid: &i32| {
        // Behind the name, which may hold anything: the state, then the parent (proc_pid_stat(5)).
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let parent = stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(1).map(str::to_owned));
        parent.is_some_and(|parent| parent == me)
    };
    pids.filter(is_ours).map(Pid::from_raw).collect()
}
