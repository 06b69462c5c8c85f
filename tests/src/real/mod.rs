//! What cloudflared does in each conduct of the edge, and what the agent concludes and does: what `make real` runs.
//!
//! Each [`Case`] is a world of its own: one instance in a group of two, the agent with its default times, cloudflared with its
//! own, and another connector of the tunnel that reports itself registered with the same version of the secret. That is the
//! world in which a wrong judgement replaces an instance. All cases run side by side, for nearly all of their time is waiting.

mod case;
mod page;
mod play;

pub use case::{Case, Start};
pub use play::Played;

use crate::world::Cloudflared;
use anyhow::{Context, ensure};
use std::fs;
use std::path::Path;
use std::process::Command;
use tokio::task::JoinSet;

/// Plays every case with the real program and with the stand-in, and writes the page. Within a [`tokio::task::LocalSet`].
///
/// # Errors
/// The real program does not run, a case could not be played, or the page cannot be written.
pub async fn run(real: &Path, page: &Path, only: &str) -> anyhow::Result<()> {
    ensure_alone()?;
    let version = version(real)?;
    let mut playing = JoinSet::new();
    let cases: Vec<Case> = Case::all().into_iter().filter(|case| case.to_string().contains(only)).collect();
    ensure!(!cases.is_empty(), "no case has a name that holds {only:?}");
    for (index, case) in cases.iter().enumerate() {
        for program in [Cloudflared::Real(real.to_owned()), Cloudflared::Standin] {
            let case = *case;
            playing.spawn_local(async move {
                let played = play::play(case, &program).await;
                (index, program, played.with_context(|| format!("failed to play {case}")))
            });
        }
    }
    let mut played: Vec<(Option<Played>, Option<Played>)> = cases.iter().map(|_| (None, None)).collect();
    while let Some(done) = playing.join_next().await {
        let (index, program, result) = done?;
        let slot = match program {
            Cloudflared::Real(_) => &mut played[index].0,
            Cloudflared::Standin => &mut played[index].1,
        };
        *slot = Some(result?);
    }
    let rows: Option<Vec<_>> =
        cases.into_iter().zip(played).map(|(case, (real, standin))| Some((case, real?, standin?))).collect();
    let rows = rows.context("a case was not played")?;
    fs::write(page, page::render(&version, &rows)).with_context(|| format!("failed to write {}", page.display()))?;
    page::judge(&rows)
}

/// A real cloudflared looks for Cloudflare, so it runs only where nothing but loopback can be reached.
fn ensure_alone() -> anyhow::Result<()> {
    // What /sys shows may be another namespace's.
    let devices = fs::read_to_string("/proc/self/net/dev").context("failed to list the network interfaces")?;
    let names: Vec<&str> = devices.lines().filter_map(|line| Some(line.split_once(':')?.0.trim())).collect();
    ensure!(
        names.iter().all(|name| *name == "lo"),
        "this network has {names:?}: run it in a network namespace that has only lo, as `make real` does"
    );
    Ok(())
}

fn version(real: &Path) -> anyhow::Result<String> {
    let printed = Command::new(real).arg("--version").output();
    let printed = printed.with_context(|| format!("failed to execute {}", real.display()))?;
    Ok(String::from_utf8_lossy(&printed.stdout).trim().to_owned())
}
