//! Rotations under constant traffic: what clients notice. A program of its own, for it needs the machine to itself.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)] // a test may fail, and measures time
#![allow(clippy::print_stdout)] // it tells what it counted

mod stage;
mod versions;

use anyhow::{bail, ensure};
use cflared_tests::edge::What;
use cflared_tests::load::{Counts, Load, Plan};
use cflared_tests::world::{Cloudflared, TUNNEL};
use stage::{GRACE, Stage};
use std::net::SocketAddr;
use std::time::Duration;
use versions::Change;

const PLAN: Plan = Plan {
    per_second: 220,
    long: 50,
    heartbeat: Duration::from_millis(250),
    // Some of these end within a grace period, some within one connector's life.
    life: Duration::from_secs(4),
};
const ROTATIONS: u8 = 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_never_notices() -> anyhow::Result<()> {
    let mut stage = Stage::set().await?;
    wait_for_a_calm_machine(stage.clients).await?;
    let began = stage.world.edge.now();
    let load = Load::start(stage.clients, PLAN);
    for number in 0..ROTATIONS {
        stage.rotate(Change::numbered(number)).await?;
        if number == 6 {
            let bad = stage.with_a_bad_secret();
            stage.refuse(bad).await?;
        }
        if number == 13 {
            let dead = stage.with_a_dead_origin();
            stage.refuse(dead).await?;
        }
        let counts = load.counts();
        println!("rotation {number}: {} tried, {} failed, {} cut", counts.tried, counts.failed, counts.cut.len());
        let Counts { failed, slowest, failures, .. } = counts;
        ensure!(failed == 0, "clients noticed rotation {number}; the slowest answer took {slowest:?}: {failures:#?}");
    }
    let counts = load.stop().await?;
    let ended = stage.world.edge.now();
    stage.world.edge.never_zero_between(TUNNEL, began, ended).map_err(|gap| anyhow::anyhow!("{gap:?}"))?;
    let lost = stage.world.edge.events().into_iter().filter(|event| matches!(event.what, What::Lost | What::Dropped));
    ensure!(lost.count() == 0, "a connection went away without being unregistered");
    hold(&stage, &counts)?;
    ensure!(stage.agent.stop().await?.success());
    Ok(())
}

/// Nothing is shown by rotations where the traffic alone is too much, as beside a build. It has five minutes to end.
async fn wait_for_a_calm_machine(clients: SocketAddr) -> anyhow::Result<()> {
    let mut slowest = Duration::MAX;
    for _ in 0..60 {
        let load = Load::start(clients, PLAN);
        tokio::time::sleep(Duration::from_secs(5)).await;
        let counts = load.stop().await?;
        slowest = counts.slowest;
        if counts.failed == 0 && slowest < Duration::from_millis(500) {
            return Ok(());
        }
        println!("the machine is busy: without any rotation, the slowest answer took {slowest:?}");
    }
    bail!("this machine cannot carry the traffic: without any rotation, the slowest answer took {slowest:?}")
}

/// A connector counts its grace from the signal; the edge hears of it later, by what a busy machine takes.
const HEARD_LATE: Duration = Duration::from_secs(1);

/// Holds what the clients counted against what is asked for, and against what the edge counted.
fn hold(stage: &Stage, counts: &Counts) -> anyhow::Result<()> {
    println!(
        "{:.0} s, {:.0} new streams/s: {} tried, {} failed, the slowest took {:?}; {} long: {} ended themselves, {} at the \
         end of the grace",
        counts.time.as_secs_f64(),
        counts.rate(),
        counts.tried,
        counts.failed,
        counts.slowest,
        counts.long,
        counts.ended,
        counts.cut.len(),
    );
    ensure!(counts.failed == 0, "{:#?}", counts.failures);
    if !counts.garbled.is_empty() {
        println!("after their own end, {} clients got: {:#?}", counts.garbled.len(), counts.garbled);
    }
    // The real one answers the end of a WebSocket while it may still write, and over HTTP/2 the two mix (2026.8.2).
    let mixes = matches!(Cloudflared::chosen(), Cloudflared::Real(_));
    ensure!(mixes || counts.garbled.is_empty(), "a stand-in's stream ends cleanly");
    ensure!(counts.rate() >= 200.0, "{:.1} new streams a second are not what was to be shown", counts.rate());
    ensure!(counts.tried == counts.short + counts.long && counts.long == counts.ended + counts.cut.len() as u64);
    ensure!(counts.ended > 0 && !counts.cut.is_empty(), "no stream ended itself, or none outlived its connector");
    let edge = &stage.world.edge;
    ensure!(edge.clients().refused == 0, "{:?}", edge.clients());
    let broken_off = edge.broken_off();
    // More than clients know of: one may end its stream at the very moment.
    ensure!(broken_off.len() >= counts.cut.len(), "the edge broke {} off: {:#?}", broken_off.len(), counts.cut);
    let events = edge.events();
    for stream in broken_off {
        let of_it = |what: &What| *what == What::Unregistered;
        let unregistered = events.iter().find(|event| event.connection == stream.connection && of_it(&event.what));
        let after = unregistered.and_then(|event| stream.at.checked_sub(event.at)).map(Duration::from_micros);
        ensure!(
            after.is_some_and(|after| after + HEARD_LATE >= GRACE),
            "{stream:?} was cut {after:?} after it was unregistered"
        );
    }
    Ok(())
}
