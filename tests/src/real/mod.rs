//! Lives with the real cloudflared: what `make real` runs.
//!
//! Each life is a world of its own (`scene.rs`): one instance in a group of two, the agent with its default times, cloudflared with
//! its own, and another connector of the tunnel that reports itself registered with the same version of the secret. Lives
//! run side by side, for nearly all of their time is waiting.
//!
//! A [`Case`] is a conduct of the edge: the page says what cloudflared does in it, and what the agent concludes and does. A [`Hard`]
//! case is one for which it is promised what must come of it, and in what time.

mod case;
mod hard;
mod page;
mod play;
mod scene;

pub use case::{Case, Start};
pub use hard::{Hard, Measure, Pace, play as play_hard};
pub use play::Played;

use crate::world::Cloudflared;
use anyhow::{Context, ensure};
use page::Part;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// How many lives are played at once: two cores do not carry all of them at their starts.
const AT_ONCE: usize = 36;
/// And these do not begin in one moment.
const STAGGER: Duration = Duration::from_millis(400);

/// Plays every case with the real program and with the stand-in, and writes its part of the page, and the agents' logs to the
/// directory `logs`. Within a [`tokio::task::LocalSet`].
///
/// # Errors
/// The real program does not run, a case could not be played, or the page cannot be written.
pub async fn conducts(real: &Path, page: &Path, logs: &Path, only: &str) -> anyhow::Result<()> {
    ensure_alone()?;
    let version = version(real)?;
    fs::create_dir_all(logs).with_context(|| format!("failed to make {}", logs.display()))?;
    let began = Instant::now();
    let cases: Vec<Case> = Case::all().into_iter().filter(|case| case.to_string().contains(only)).collect();
    ensure!(!cases.is_empty(), "no case has a name that holds {only:?}");
    let programs = [Cloudflared::Real(real.to_owned()), Cloudflared::Standin];
    let lives = cases.iter().flat_map(|case| programs.clone().map(|program| (*case, program)));
    let lives = lives.map(|(case, program)| {
        let log = logs.join(log_name(case, &program));
        async move { play::play(case, &program, &log).await.with_context(|| format!("failed to play {case}")) }
    });
    let mut played = side_by_side(lives, AT_ONCE).await.into_iter();
    let mut rows = vec![];
    for case in cases {
        let (real, standin) = played.next().zip(played.next()).context("a case was not played")?;
        rows.push((case, real?, standin?));
    }
    page::write(page, Part::Conducts, &page::conducts(&version, began.elapsed(), &rows))?;
    page::judge(&rows)
}

/// Plays every hard case with the real program, and writes its part of the page. Within a [`tokio::task::LocalSet`].
///
/// # Errors
/// A case went wrong or took too long, or the page cannot be written.
pub async fn hard_cases(real: &Path, page: &Path, only: &str) -> anyhow::Result<()> {
    ensure_alone()?;
    let version = version(real)?;
    let program = Cloudflared::Real(real.to_owned());
    let cases: Vec<Hard> = Hard::all().into_iter().filter(|case| case.to_string().contains(only)).collect();
    ensure!(!cases.is_empty(), "no hard case has a name that holds {only:?}");
    let lives = cases.clone().into_iter().map(|case| {
        let program = program.clone();
        async move { hard::play(case, &program, Pace::LONG).await }
    });
    let rows: Vec<_> = cases.into_iter().zip(side_by_side(lives, HARD_AT_ONCE).await).collect();
    page::write(page, Part::Hard, &page::hard_cases(&version, &rows))?;
    page::judge_hard(&rows)
}

/// Where a time is measured, the machine should have little else to do.
const HARD_AT_ONCE: usize = 12;

/// Plays lives, no more than `at_once` at any time. What came of them is in their order.
async fn side_by_side<T: 'static>(
    lives: impl IntoIterator<Item = impl Future<Output = T> + 'static>,
    at_once: usize,
) -> Vec<T> {
    let places = Arc::new(Semaphore::new(at_once));
    let mut playing = JoinSet::new();
    for (number, life) in lives.into_iter().enumerate() {
        let places = places.clone();
        playing.spawn_local(async move {
            let _place = places.acquire().await;
            tokio::time::sleep(STAGGER * u32::try_from(number % at_once).unwrap_or_default()).await;
            (number, life.await)
        });
    }
    let mut played = playing.join_all().await;
    played.sort_by_key(|(number, _)| *number);
    played.into_iter().map(|(_, played)| played).collect()
}

fn log_name(case: Case, program: &Cloudflared) -> String {
    let whose = match program {
        Cloudflared::Real(_) => "real",
        Cloudflared::Standin => "standin",
    };
    format!("{}-{whose}.log", case.to_string().replace('/', "-"))
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
