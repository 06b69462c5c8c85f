//! One case from its beginning to the return of the edge.

use super::case::{Case, Start};
use super::scene::Scene;
use crate::aws::Health;
use crate::edge::{Conduct, Scope};
use crate::world::{Agent, Cloudflared, TUNNEL, World};
use anyhow::{Context, ensure};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long a case is watched: the ladder's 120 s, the 180 s for which the guard may wait, and a margin.
const WATCH: Duration = Duration::from_secs(330);
/// How long the edge's return is waited for; cloudflared's own back-off may take 64 s and more.
const RETURN: Duration = Duration::from_secs(400);
/// How long a busy machine may take until a connector is registered for the first time, which nothing here is about.
const CALM: Duration = Duration::from_secs(300);
/// After this time without a break the agent forgets what was before.
const FORGOTTEN: Duration = Duration::from_secs(35);
/// How often the status is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// What was seen.
#[derive(Debug, Default)]
pub struct Played {
    /// The events of cloudflared's lines, with the number of each.
    pub said: BTreeMap<String, u32>,
    /// Those of them that are at warning level or above.
    pub complained: BTreeSet<String>,
    /// Lines without a meaning.
    pub other: Vec<String>,
    /// How it exited by itself, and after what time, each time.
    pub exits: Vec<String>,
    /// When the agent's judgement changed: health and blame.
    pub story: Vec<(Duration, String, String)>,
    /// Restarts that the agent ordered.
    pub restarts: u64,
    /// When the instance was marked unhealthy.
    pub marked: Option<Duration>,
    /// How long after the edge's return the connector was registered again; none: not in the time for which that was watched.
    pub back: Option<Duration>,
}

/// Plays a case, and writes the agent's log to `log`.
///
/// # Errors
/// The world could not be set up, or the connector did not register where the edge accepts.
pub async fn play(case: Case, program: &Cloudflared, log: &Path) -> anyhow::Result<Played> {
    let mut scene = Scene::set(program, Some(case.transport)).await?;
    scene.arguments(|arguments| arguments.extend(program.bare_host().iter().map(ToString::to_string)));
    let Scene { world, host, .. } = &scene;
    let mut agent = match case.start {
        Start::FromTheStart => {
            world.edge.set(case.conduct).await?;
            host.start()?
        }
        Start::Later => {
            let agent = host.start()?;
            four_connections(world, &agent).await?;
            tokio::time::sleep(FORGOTTEN).await;
            // On a busy machine one may have been lost meanwhile.
            four_connections(world, &agent).await?;
            world.edge.set(case.conduct).await?;
            ensure!(world.edge.drop_connections(&Scope::default()) > 0, "there was nothing to be dropped");
            agent
        }
    };
    let began = Instant::now();
    let mut played = Played::default();
    while began.elapsed() < WATCH {
        look(&mut played, world, &agent, began.elapsed());
        ensure!(agent.ended().is_none(), "the agent ended: {}", agent.log_text());
        tokio::time::sleep(LOOK).await;
    }
    world.edge.set(Conduct::Accept).await?;
    let returned = Instant::now();
    while returned.elapsed() < RETURN && played.back.is_none() {
        let registered = ["registered", "degraded"].contains(&agent.health().as_str());
        played.back = registered.then(|| returned.elapsed());
        tokio::time::sleep(LOOK).await;
    }
    listen(&mut played, &agent);
    agent.stop().await?;
    fs::write(log, agent.log_text()).with_context(|| format!("failed to write {}", log.display()))?;
    Ok(played)
}

async fn four_connections(world: &World, agent: &Agent) -> anyhow::Result<()> {
    let four = world.edge.wait_registered(TUNNEL, CALM, |now| now.connections == 4).await;
    four.map(drop)
        .map_err(|now| anyhow::anyhow!("four connections were to be registered: {now:?}\n{}", agent.log_text()))
}

fn look(played: &mut Played, world: &World, agent: &Agent, at: Duration) {
    let status = agent.status();
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let now = (text(&status["health"]["state"]), text(&status["blame"]["blame"]));
    if !status.is_null() && played.story.last().is_none_or(|(_, health, blame)| (health, blame) != (&now.0, &now.1)) {
        played.story.push((at, now.0, now.1));
    }
    played.restarts = status["counters"]["connector_restarts"].as_u64().unwrap_or(played.restarts);
    if played.marked.is_none() && world.aws.marks().iter().any(|mark| mark.health == Health::Unhealthy) {
        played.marked = Some(at);
    }
}

fn listen(played: &mut Played, agent: &Agent) {
    for line in agent.log() {
        let (fields, event) = (&line.json["fields"], line.json["fields"]["event"].as_str().unwrap_or_default());
        if line.json["target"] == "cloudflared" {
            *played.said.entry(event.to_owned()).or_default() += 1;
            if ["warn", "error"].contains(&line.json["level"].as_str().unwrap_or_default()) {
                played.complained.insert(event.to_owned());
            }
            if event == "other" {
                played.other.push(format!("{} {}", line.json["message"], fields["error"]));
            }
        } else if event == "connector_exited" {
            let [how, after] = ["how", "after"].map(|name| fields[name].as_str().unwrap_or_default().to_owned());
            played.exits.push(format!("{how} after {after}"));
        }
    }
}
