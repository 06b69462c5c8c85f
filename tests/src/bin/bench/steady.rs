//! An agent whose tunnel is up and well, over some minutes.

use super::machine::{Usage, memory};
use super::table::Table;
use super::{megabytes, setting};
use cflared_tests::world::World;
use std::path::Path;
use std::time::{Duration, Instant};

/// Long enough for tokio's threads for blocking work to end (10 s of idleness).
const CALM: Duration = Duration::from_secs(15);
/// The systemd unit's watchdog, in microseconds.
const WATCHDOG: &str = "60000000";

/// Measures it with the default settings and AWS over TLS.
///
/// # Errors
/// The agent did not come up, or ended.
pub async fn measure(agent: &Path, seconds: u64, table: &mut Table) -> anyhow::Result<()> {
    let (world, mut host) = World::with_host().await?;
    setting::with_defaults(&mut host, agent);
    setting::over_tls(&world, &mut host).await?;
    host.environment.push(("WATCHDOG_USEC".into(), WATCHDOG.into()));
    let mut running = host.start()?;
    running.wait_status("four connections", |status| status["connectors"][0]["connections"] == 4).await?;
    tokio::time::sleep(CALM).await;

    let pid = running.pid();
    let mut before = Usage::default();
    before.update(pid)?;
    let mut after = before.clone();
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(seconds) {
        tokio::time::sleep(Duration::from_secs(1)).await;
        after.update(pid)?;
    }
    let took = begun.elapsed().as_secs_f64();
    let (resident, anonymous) = memory(pid)?;
    let pushes = world.aws.requests().count("PutMetricData");
    running.stop().await?;

    let switches = after.switches.values().sum::<u64>() - before.switches.values().sum::<u64>();
    let nanoseconds = after.nanoseconds.values().sum::<u64>() - before.nanoseconds.values().sum::<u64>();
    let what = |what: &str| format!("steady, {seconds} s, {pushes} pushes over TLS: {what}");
    table.at_most(what("resident memory"), megabytes(resident), 9.0, "MB");
    table.at_most(what("anonymous memory"), megabytes(anonymous), 4.0, "MB");
    table.at_most(what("wake-ups a minute"), switches as f64 * 60.0 / took, 40.0, "");
    table.at_most(what("processor time"), nanoseconds as f64 / took / 1e9 * 100.0, 0.05, "%");
    Ok(())
}
