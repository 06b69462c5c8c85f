//! Questions that many tests ask.

use anyhow::Context;
use cflared_tests::world::{Agent, Host, eventually};
use serde_json::Value;
use std::fs;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// What the agent says each time it has executed a child.
pub const STARTED: &str = "connector started";

pub fn lines_with(agent: &Agent, part: &str) -> usize {
    agent.log().iter().filter(|line| line.json.to_string().contains(part)).count()
}

/// Whether a process runs; one that ended and was not reaped does not.
pub fn lives(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

/// The process id of a child that shows as registered, with all of its connections.
pub async fn registered_pid(agent: &mut Agent, not: Option<u32>) -> anyhow::Result<u32> {
    let another = |status: &Value| {
        let connector = &status["connectors"][0];
        connector["connections"] == 4 && connector["pid"].as_u64() != not.map(u64::from)
    };
    let status = agent.wait_status("a registered connector", another).await?;
    status["connectors"][0]["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok()).context("no pid")
}

pub async fn nothing_left(host: &Host) -> anyhow::Result<()> {
    eventually("every process to be gone", async || host.processes().ok()?.is_empty().then_some(())).await
}

/// The longest time between two watchdog notices from `from` on, up to now.
pub fn longest_silence(agent: &Agent, from: Instant) -> Duration {
    let notices = agent.timed_notices().into_iter();
    let fed = notices.filter(|(at, notice)| *at >= from && notice == "WATCHDOG=1").map(|(at, _)| at);
    let moments: Vec<_> = [from].into_iter().chain(fed).chain([Instant::now()]).collect();
    moments.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default()
}

/// Has systemd's watchdog in force, with a notice due every 300 ms.
pub fn watched(host: &mut Host) {
    host.environment.push(("WATCHDOG_USEC".into(), "600000".into()));
}

/// The worst silence that is accepted of a watchdog that is due every 300 ms: the machine may be busy.
pub const SILENCE: Duration = Duration::from_millis(1200);

/// Stops the agent and says how long that took. Nothing of it must be left.
pub async fn stopped_in(agent: &mut Agent, host: &Host) -> anyhow::Result<Duration> {
    let began = Instant::now();
    let status = agent.stop().await?;
    let took = began.elapsed();
    anyhow::ensure!(status.success(), "{status}");
    nothing_left(host).await?;
    Ok(took)
}

/// Tests every case, all at once; the first failure is told.
pub async fn each<T: std::fmt::Debug + Copy + 'static>(
    cases: impl IntoIterator<Item = T>,
    test: impl AsyncFn(T) -> anyhow::Result<()> + Clone + 'static,
) -> anyhow::Result<()> {
    let local = tokio::task::LocalSet::new();
    let mut running = JoinSet::new();
    for case in cases {
        let test = test.clone();
        running.spawn_local_on(async move { test(case).await.with_context(|| format!("{case:?}")) }, &local);
    }
    local
        .run_until(async move {
            while let Some(ended) = running.join_next().await {
                ended??;
            }
            Ok(())
        })
        .await
}

/// Sets the times of an outage as short as they may be.
pub fn short_outage(host: &mut Host) {
    for (key, time) in [
        ("startup_grace", "500ms"),
        ("recheck_secret_after", "500ms"),
        ("restart_after", "1s"),
        ("condemn_after", "2s"),
    ] {
        host.set(&format!("verdict.{key}"), time);
    }
}
