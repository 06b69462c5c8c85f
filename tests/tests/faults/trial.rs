//! One scenario from the break to its end, and what is asserted of it.

use crate::reader::{Act, Ends, Happening, Scenario, What};
use crate::stage::Stage;
use anyhow::{Context, ensure};
use cflared_tests::aws::Health;
use serde_json::Value;
use std::time::{Duration, Instant};

/// How much longer than the table says anything may take: the machine may be busy, and some times are no settings.
const GENEROUS: Duration = Duration::from_secs(60);
/// How long it is watched that nothing more happens, by the design's time.
const AFTERWARDS: Duration = Duration::from_secs(40);
/// How long nothing must happen where that is right, by the design's time: past condemning if the trouble lasts, else past its end …
const NOTHING: Duration = Duration::from_secs(160);
const NOTHING_MORE: Duration = Duration::from_secs(60);
/// … and past the pause for the evidence, which is not scaled.
const EVIDENCE: Duration = Duration::from_secs(9);
/// A look at everything that can be seen from outside.
const LOOK: Duration = Duration::from_millis(20);
/// After this time a crash loop, whose pauses are not scaled, has too few exits to be told from silence.
const TOLD_APART: Duration = Duration::from_secs(150);

/// What was seen so far.
#[derive(Default)]
struct Seen {
    acted: Option<(Duration, Option<String>)>,
    held: bool,
    /// Restarts, and those at once, that agents before this one were seen to order.
    restarts_before: u32,
    blips_before: u32,
    rival: bool,
}

/// Plays a scenario.
///
/// # Errors
/// It came out wrong, or could not be played.
pub async fn run(scenario: &Scenario) -> anyhow::Result<()> {
    let mut stage = Stage::set(scenario).await?;
    let mut seen = Seen::default();
    let played = play(scenario, &mut stage, &mut seen).await;
    played.map_err(|error| {
        let log = stage.agent.as_ref().map(|agent| format!("{:#}\n{}", agent.status(), agent.log_text()));
        anyhow::anyhow!("{error:#}\n{}", log.unwrap_or_default())
    })
}

async fn play(scenario: &Scenario, stage: &mut Stage, seen: &mut Seen) -> anyhow::Result<()> {
    let right = &scenario.right;
    let broke = Instant::now();
    stage.start_clocks(&scenario.world);
    let nothing = scenario.scaled(scenario.well_at().map_or(NOTHING, |well| well + NOTHING_MORE)) + EVIDENCE;
    let within = right.within.map_or(nothing, |within| scenario.scaled(within));
    let mut plan = plan(scenario);
    let deadline = within.max(plan.last().map_or(Duration::ZERO, |(last, ..)| *last)) + GENEROUS;
    loop {
        while plan.first().is_some_and(|(at, ..)| broke.elapsed() >= *at) {
            let (_, it, begins) = plan.remove(0);
            change(stage, seen, it, begins).await?;
        }
        if stage.agent.is_none() {
            stage.agent = Some(stage.host.start()?);
        }
        look(scenario, stage, seen, broke.elapsed())?;
        let over = match right.act {
            Act::Nothing => broke.elapsed() >= nothing,
            _ => seen.acted.is_some(),
        };
        let to_the_end = plan.is_empty() || (right.stop_at_act && seen.acted.is_some());
        if over && to_the_end && settled(scenario, stage)? {
            break;
        }
        ensure!(broke.elapsed() < deadline, "{:?} did not happen, or not all of it", right.act);
        tokio::time::sleep(LOOK).await;
    }
    let settled = Instant::now();
    while settled.elapsed() < scenario.scaled(AFTERWARDS) {
        look(scenario, stage, seen, broke.elapsed())?;
        tokio::time::sleep(LOOK).await;
    }
    check(scenario, stage, seen)
}

/// What begins and ends, in the order of time. What lasts longer than everything else matters is not waited for.
fn plan(scenario: &Scenario) -> Vec<(Duration, &Happening, bool)> {
    let until = scenario.right.watch.min(Duration::from_secs(1200));
    let mut plan = vec![];
    for it in &scenario.happens {
        for at in it.changes(until) {
            let begins = it.holds(at) || it.what == What::AgentRestart;
            let late = it.every.is_some() && at > Duration::from_secs(280) && !scenario.right.stop_at_act;
            if !late {
                plan.push((scenario.scaled(at), it, begins));
            }
        }
    }
    plan.sort_by_key(|(at, ..)| *at);
    plan
}

async fn change(stage: &mut Stage, seen: &mut Seen, it: &Happening, begins: bool) -> anyhow::Result<()> {
    if it.what == What::AgentRestart {
        seen.restarts_before += restarts(stage)?;
        seen.blips_before += ordered(stage, BLIP)?;
    }
    let done = if begins { stage.begins(it).await } else { stage.ends(it).await };
    done.with_context(|| format!("failed to bring about {it:?}"))
}

/// How a restart that takes its time is called in the log, and one at once.
const RESTART: &str = "restart the connector";
const BLIP: &str = "replace the child";

/// Restarts that the judgement of this agent ordered.
fn restarts(stage: &Stage) -> anyhow::Result<u32> {
    ordered(stage, RESTART)
}

fn ordered(stage: &Stage, what: &str) -> anyhow::Result<u32> {
    Ok(u32::try_from(stage.agent()?.log().iter().filter(|line| line.json["fields"]["what"] == what).count())?)
}

/// The blame that the act was decided on. A restart may have helped before the status is read, so its own decision tells.
fn blame(act: Act, stage: &Stage, status: &Value) -> anyhow::Result<Option<String>> {
    let log = stage.agent()?.log();
    let decided = log.iter().find(|line| act == Act::Restart && line.json["fields"]["what"] == RESTART);
    let blame = decided.map_or(&status["blame"]["blame"], |line| &line.json["fields"]["blame"]);
    Ok(blame.as_str().map(String::from))
}

/// Marks and un-marks that took effect.
fn marks(stage: &Stage) -> (u32, u32) {
    let count = |health| {
        let marks = stage.world.aws.marks();
        marks.iter().filter(|mark| mark.took_effect && mark.health == health).count() as u32
    };
    (count(Health::Unhealthy), count(Health::Healthy))
}

fn look(scenario: &Scenario, stage: &Stage, seen: &mut Seen, time: Duration) -> anyhow::Result<()> {
    let (marked, _) = marks(stage);
    let rival = scenario.happens.iter().find(|it| it.what == What::MarkedAtOnce);
    if let (Some(rival), true, false) = (rival, marked > 0, seen.rival) {
        stage.rival(rival)?;
        seen.rival = true;
    }
    let status = stage.agent()?.status();
    let state = status["health"]["state"].as_str().unwrap_or_default();
    let registered = ["registered", "degraded"].contains(&state);
    seen.held |= state == "held";
    let acts = match scenario.right.act {
        Act::Nothing => false,
        Act::Restart => restarts(stage)? > 0,
        Act::HandOver => {
            let version = status["installed"]["version"].as_str();
            registered && version == Some(&stage.newest) && version != stage.first.as_deref()
        }
        Act::Refuse => status["trouble"].to_string().contains("refused"),
        Act::Condemn => marked > 0 && state == "condemned",
        Act::Hold => state == "held",
        Act::Report => registered && status["blame"]["blame"] == "origin",
    };
    if acts && seen.acted.is_none() {
        seen.acted = Some((time, blame(scenario.right.act, stage, &status)?));
    }
    Ok(())
}

/// Whether it is as it is to end: the counts come after.
fn settled(scenario: &Scenario, stage: &Stage) -> anyhow::Result<bool> {
    let right = &scenario.right;
    let state = stage.agent()?.health();
    let registered = ["registered", "degraded"].contains(&state.as_str());
    let ended = match right.ends {
        Some(Ends::Registered) => registered,
        Some(Ends::Unregistered) if right.act == Act::Hold => state == "held",
        _ => true,
    };
    Ok(ended && marks(stage).1 >= right.unmarks)
}

fn check(scenario: &Scenario, stage: &Stage, seen: &Seen) -> anyhow::Result<()> {
    let right = &scenario.right;
    if let Some((at, blame)) = &seen.acted {
        let after = scenario.scaled(right.after);
        ensure!(*at >= after, "{:?} after {at:?}, not only after {after:?}", right.act);
        let loops = scenario.happens.iter().any(|it| it.what == What::CrashLoop);
        let told = right.blame.filter(|_| !loops || right.after < TOLD_APART).map(|blame| blame.name().to_owned());
        ensure!(told.is_none() || *blame == told, "blame {blame:?}, not {told:?}");
    }
    ensure!(right.act != Act::Nothing || !seen.held, "it was held");
    let restarts = seen.restarts_before + restarts(stage)?;
    // cloudflared's pauses are scaled, so after trouble it may be back before a restart can help it; probes are not, so
    // that the edge is out of reach may be known only after the first restart.
    let least = if scenario.well_at().is_some() { 0 } else { right.restarts_least };
    let slow = scenario.happens.iter().any(|it| matches!(it.what, What::EdgeBlackHole | What::EdgeRefused));
    let allowed = least..=right.restarts + u32::from(slow);
    ensure!(allowed.contains(&restarts), "{restarts} restarts, not {allowed:?}");
    if let Some(most) = right.blips {
        let least = if scenario.well_at().is_some() { 0 } else { most };
        let blips = seen.blips_before + ordered(stage, BLIP)?;
        ensure!((least..=most).contains(&blips), "{blips} restarts at once, not {least} to {most}");
    }
    let counted = marks(stage);
    ensure!(
        counted == (right.marks, right.unmarks),
        "{counted:?} marks and un-marks, not {:?}",
        (right.marks, right.unmarks)
    );
    ensure!(settled(scenario, stage)?, "it did not stay {:?}", right.ends);
    Ok(())
}
