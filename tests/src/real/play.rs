//! One case from its beginning to the return of the edge.

use super::case::{Case, Start, protocol};
use crate::aws::{Aws, Health};
use crate::edge::{Conduct, Scope};
use crate::world::{Agent, Cloudflared, ENVIRONMENT, Host, SECRET, TUNNEL, World};
use anyhow::ensure;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// How long a case is watched: the ladder's 120 s, the 180 s for which the guard may wait, and a margin.
const WATCH: Duration = Duration::from_secs(330);
/// How long the edge's return is waited for; cloudflared's own back-off may take 64 s and more.
const RETURN: Duration = Duration::from_secs(400);
/// After this time without a break the agent forgets what was before.
const FORGOTTEN: Duration = Duration::from_secs(35);
/// How often the status is looked at.
const LOOK: Duration = Duration::from_millis(100);
/// The grain of the metric: an agent reports once in it.
const PEER_EVERY: Duration = Duration::from_secs(60);

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

/// Plays a case.
///
/// # Errors
/// The world could not be set up, or the connector did not register where the edge accepts.
pub async fn play(case: Case, program: &Cloudflared) -> anyhow::Result<Played> {
    let (mut world, mut host) = World::with_host().await?;
    // It is only listed: its reports are planted.
    let _other = world.host().await?;
    equip(&mut host, &world, case, program);
    let peer = tokio::spawn(report_a_peer(world.aws.clone()));
    let mut agent = match case.start {
        Start::FromTheStart => {
            world.edge.set(case.conduct).await?;
            host.start()?
        }
        Start::Later => {
            let mut agent = host.start()?;
            agent.wait_status("four connections", |status| status["connectors"][0]["connections"] == 4).await?;
            tokio::time::sleep(FORGOTTEN).await;
            world.edge.set(case.conduct).await?;
            ensure!(world.edge.drop_connections(&Scope::default()) == 4, "four connections were to be dropped");
            agent
        }
    };
    let began = Instant::now();
    let mut played = Played::default();
    while began.elapsed() < WATCH {
        look(&mut played, &world, &agent, began.elapsed());
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
    peer.abort();
    Ok(played)
}

/// The agent's own defaults, but for where things are.
fn equip(host: &mut Host, world: &World, case: Case, program: &Cloudflared) {
    for section in ["secret", "observe", "verdict", "handover", "cloudwatch"] {
        if let Some(settings) = host.settings.as_object_mut() {
            settings.remove(section);
        }
    }
    let mut arguments = world.edge.arguments();
    arguments.extend(["--protocol", protocol(case.transport), "--no-prechecks"].map(String::from));
    host.set("connector.binary", program.path().display().to_string());
    host.set("connector.extra_args", arguments);
    host.set("connector.grace_period", "5s");
    host.environment.push(("CFLARED_AGENT_LOG".into(), "debug".into()));
}

/// What the other instance's agent reports: its connector is registered, with the version of the secret that is current.
async fn report_a_peer(aws: Aws) {
    let version = aws.secret(SECRET).and_then(|secret| secret.current().map(|version| version.id.clone()));
    let label: String =
        Sha256::digest(version.unwrap_or_default()).iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    let by_tunnel = [("Environment", ENVIRONMENT), ("TunnelId", TUNNEL)];
    let by_version = [("TunnelId", TUNNEL), ("SecretVersion", label.as_str())];
    loop {
        aws.put_datapoint("cflared_replica_count_per_tunnel", &by_tunnel, 1.0);
        aws.put_datapoint("cflared_registered_by_version", &by_version, 1.0);
        tokio::time::sleep(PEER_EVERY).await;
    }
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
