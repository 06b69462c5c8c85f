//! How long a tunnel is without its connector's process after SIGKILL.

use super::setting;
use super::table::{Table, short};
use anyhow::{Context, ensure};
use cflared_tests::world::{Agent, Cloudflared, PATIENCE, World};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A child that ran so long is stable, and replaced at once; a second to spare.
const STABLE: Duration = Duration::from_secs(31);
/// How many agents wait for their children to become stable at one time.
const AGENTS: usize = 10;

/// Kills connectors one by one.
///
/// # Errors
/// A connector did not come back.
pub async fn measure(agent: &Path, kills: usize, table: &mut Table) -> anyhow::Result<()> {
    let mut world = World::new().await?;
    let program = Cloudflared::chosen().path();
    let mut hosts = Vec::new();
    let mut agents = Vec::new();
    for _ in 0..AGENTS.min(kills) {
        let mut host = world.host().await?;
        setting::with_defaults(&mut host, agent);
        agents.push(host.start()?);
        hosts.push(host);
    }
    for agent in &mut agents {
        agent.wait_health("registered").await?;
    }
    let mut times = Vec::new();
    while times.len() < kills {
        tokio::time::sleep(STABLE).await;
        for agent in agents.iter_mut().take(kills - times.len()) {
            times.push(kill_one(agent, &program).await?);
        }
    }
    for agent in &mut agents {
        agent.stop().await?;
    }
    times.sort_unstable();
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    let median = ms(times[times.len() / 2]);
    table.at_most("SIGKILL of a stable connector → exec of its successor", median, 10.0, "ms");
    let worst = times.last().copied().unwrap_or_default();
    table.plain(format!("the slowest of {} such kills", times.len()), format!("{} ms", short(ms(worst))));
    Ok(())
}

/// From kill(2) to the moment in which the kernel opens the program for the successor's execve(2), as inotify(7) tells.
async fn kill_one(agent: &mut Agent, program: &Path) -> anyhow::Result<Duration> {
    let old = agent.connector_pid().context("there is no connector")?;
    let program: PathBuf = program.into();
    let killed = tokio::task::spawn_blocking(move || {
        let watch = Inotify::init(InitFlags::IN_CLOEXEC)?;
        watch.add_watch(&program, AddWatchFlags::IN_OPEN)?;
        let begun = Instant::now();
        kill(Pid::from_raw(i32::try_from(old)?), Signal::SIGKILL)?;
        watch.read_events()?;
        anyhow::Ok(begun.elapsed())
    });
    let took = tokio::time::timeout(PATIENCE, killed).await.context("no connector was executed again")???;
    let replaced = |status: &serde_json::Value| {
        let connector = &status["connectors"][0];
        connector["state"] == "registered" && connector["pid"].as_u64().is_some_and(|pid| pid != u64::from(old))
    };
    agent.wait_status("the successor to register", replaced).await?;
    ensure!(!Path::new(&format!("/proc/{old}")).exists(), "the killed connector was not reaped");
    Ok(took)
}
