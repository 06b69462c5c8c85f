//! Questions that many tests ask.

use anyhow::Context;
use cflared_tests::world::{Agent, Host, eventually};
use serde_json::Value;
use std::fs;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// What the agent says each time it has executed a child.
pub const STARTED: &str = "connector started";

/// How many lines of its log hold `part`; evidence that quotes one counts no line.
pub fn lines_with(agent: &Agent, part: &str) -> usize {
    let log = agent.log();
    let own = log.iter().filter(|line| line.json["fields"]["event"] != "evidence");
    own.filter(|line| line.json.to_string().contains(part)).count()
}

/// The state letter of a process, as proc(5) has it; none if there is no such process.
pub fn state(pid: u32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ")?.1.chars().next()
}

/// Whether a process runs; one that ended and was not reaped does not.
pub fn lives(pid: u32) -> bool {
    !matches!(state(pid), None | Some('Z' | 'X'))
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

/// A moment, and how busy the agent had been until then.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    at: Instant,
    busy: Duration,
}

impl Moment {
    pub fn now(agent: &Agent) -> Self {
        Self { at: Instant::now(), busy: agent.busy() }
    }

    /// The first notice.
    pub fn of_the_first_notice(agent: &Agent) -> anyhow::Result<Self> {
        let notice = agent.timed_notices().into_iter().next().context("nothing was told")?;
        Ok(Self { at: notice.at, busy: notice.busy })
    }

    /// How long the agent has waited since then for something else than a core.
    fn waited_until(self, later: Self) -> Duration {
        (later.at - self.at).saturating_sub(later.busy.saturating_sub(self.busy))
    }
}

/// The longest time that the agent waited for something between two watchdog notices, from `from` on up to now.
pub fn longest_silence(agent: &Agent, from: Moment) -> Duration {
    let notices = agent.timed_notices().into_iter();
    let fed = notices.filter(|notice| notice.at >= from.at && notice.text == "WATCHDOG=1");
    let fed = fed.map(|notice| Moment { at: notice.at, busy: notice.busy });
    let moments: Vec<_> = [from].into_iter().chain(fed).chain([Moment::now(agent)]).collect();
    moments.windows(2).map(|pair| pair[0].waited_until(pair[1])).max().unwrap_or_default()
}

/// Has systemd's watchdog in force, with a notice due every 300 ms.
pub fn watched(host: &mut Host) {
    host.environment.push(("WATCHDOG_USEC".into(), "600000".into()));
}

/// The worst silence that is accepted of a watchdog that is due every 300 ms. What a busy machine takes does not count.
pub const SILENCE: Duration = Duration::from_millis(1200);

/// Stops the agent and says for how long it waited for something until it ended. Nothing of it must be left.
pub async fn stopped_in(agent: &mut Agent, host: &Host) -> anyhow::Result<Duration> {
    let began = Moment::now(agent);
    agent.signal(nix::sys::signal::Signal::SIGTERM)?;
    // The last look before it is gone is what the kernel counted.
    let mut last = began;
    let looked = async || {
        last = Moment::now(agent);
        agent.ended()
    };
    let status = eventually("the agent to end", looked).await.with_context(|| agent.log_text())?;
    let took = began.waited_until(last);
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
