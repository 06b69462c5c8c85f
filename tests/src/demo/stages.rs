//! The stages, in the order of the main job.

use super::report;
use super::scene::Scene;
use super::show::{self, Much, REPLICAS};
use super::voice::Voice;
use crate::aws::Health;
use crate::edge::{Conduct, Event, What};
use crate::http::requests::Requests;
use crate::world::{Agent, GROUP, Line, Payload, SECRET, TUNNEL, World};
use anyhow::{Context, ensure};
use std::fs;
use std::path::PathBuf;
use std::time::Instant;

/// After so many seconds without a break the agent no longer counts what was before: a quarter of `condemn_after`.
const RECOVERED: f64 = 3.0;
/// The steps of an outage, in seconds since it began, as the demo's settings have them.
const RECHECK: f64 = 3.0;
const PROBE: f64 = 6.0;
const CONDEMN: f64 = 12.0;
/// How much later than that a step may be on a busy machine, in seconds.
const LATE: f64 = 10.0;
/// How many characters of a line of the log are shown.
const LOG_LINE: usize = 210;

const READ_SECRET: &str = "secretsmanager.GetSecretValue";
const READY: &str = "READY=1";

/// What one has to know before.
pub fn opening(scene: &Scene) -> Vec<String> {
    let (net, directory) = (scene.host.metrics[0].ip(), scene.host.directory().display());
    [
        "cflared-agent runs a Cloudflare Tunnel on an EC2 instance, and has the instance replaced if the tunnel stays down. \
         This is the real agent. Everything around it is a stand-in: instance metadata, Secrets Manager, CloudWatch, Auto Scaling, \
         cloudflared, and Cloudflare's edge.",
        &format!("They are on loopback, near {net}; nothing leaves this machine. The files are in {directory}."),
        "Most times are a tenth of the real ones: 3 s here are 30 s on an instance.",
    ]
    .map(str::to_owned)
    .into()
}

/// Tells all of it, and gives the page of the report.
///
/// # Errors
/// Something was not seen.
pub async fn tell(scene: &mut Scene, voice: &mut Voice) -> anyhow::Result<PathBuf> {
    boot(scene, voice).await?;
    let registered = register(scene, voice).await?;
    push(scene, voice, registered).await?;
    let broke = outage(scene, voice).await?;
    condemn(scene, voice, broke).await?;
    recover(scene, voice).await?;
    let page = make_report(scene, voice).await?;
    stop(scene, voice).await?;
    Ok(page)
}

async fn boot(scene: &mut Scene, voice: &mut Voice) -> anyhow::Result<()> {
    voice.stage("Boot: from the instance's tag to an installed bundle")?;
    scene.world.edge.set(Conduct::Refuse).await?;
    scene.agent = Some(scene.host.start()?);
    voice.fact(&format!("the agent starts (pid {}); the edge is still closed", scene.agent()?.pid()))?;
    scene.until("cloudflared to be looked at", is_unregistered).await?;
    let metadata = scene.host.imds.requests();
    let asked = once(metadata, "PUT /latest/api/token")?;
    voice.fact_at(voice.at_us(asked), "instance metadata: the agent asks for one session token (IMDSv2)")?;
    let asked = once(metadata, "tags/instance/adv:env")?;
    voice.fact_at(voice.at_us(asked), &format!("instance metadata: {} has the tag adv:env = dev", scene.host.id))?;
    let asked = once(scene.world.aws.requests(), READ_SECRET)?;
    let text = format!("Secrets Manager: one read of {SECRET} gives config and credentials");
    voice.fact_at(voice.at_us(asked), &text)?;
    check_bundle(scene)?;
    voice.fact("the agent checks both and installs them as generation 1; /etc/cloudflared then holds:")?;
    voice.quote(&show::tree(&scene.host.config_dir())?)?;
    let pid = scene.agent()?.connector_pid().context("the status shows no process of cloudflared")?;
    voice.fact(&format!("cloudflared runs from it (pid {pid}), but does not reach the edge yet"))?;
    ensure!(!scene.agent()?.notices().contains(&READY.into()), "systemd was told {READY} before the tunnel was up");
    show_status(scene, voice, "starting", 1, Much::Head).await
}

/// Gives the second at which the tunnel was registered.
async fn register(scene: &mut Scene, voice: &mut Voice) -> anyhow::Result<f64> {
    voice.stage("Registered: the tunnel carries traffic")?;
    scene.world.edge.set(Conduct::Accept).await?;
    voice.fact("the edge opens")?;
    let told = |_: &World, agent: &Agent| agent.timed_notices().into_iter().find(|notice| notice.text == READY);
    let ready = scene.until(READY, told).await?.at;
    let all = |world: &World, _: &Agent| (world.edge.registered_now(TUNNEL).connections == 4).then_some(());
    scene.until("4 connections", all).await?;
    let events = events(&scene.world, &What::Registered);
    let (first, last) = (voice.at_us(events[0].wall), voice.at_us(events[3].wall));
    let id = &events[0].who.connector;
    voice.fact_at(first, &format!("edge: connector {id} registers its first connection"))?;
    let mut facts = [
        (voice.at(ready), "the agent notifies systemd: READY=1; units that wait for the tunnel may start"),
        (last, "edge: the fourth connection is registered"),
    ];
    facts.sort_by(|(one, _), (other, _)| one.total_cmp(other));
    facts.iter().try_for_each(|(at, text)| voice.fact_at(*at, text))?;
    ensure!(voice.at(ready) >= first, "systemd was told {READY} before the tunnel was up");
    let four = |_: &World, agent: &Agent| {
        let connector = &agent.status()["connectors"][0];
        (connector["connections"] == 4).then(|| connector["connector_id"].clone())
    };
    let shown = scene.until("a status with 4 connections", four).await?;
    ensure!(shown == id.as_str(), "the status shows connector {shown}, the edge {id}");
    show_status(scene, voice, "registered", 0, Much::Whole).await?;
    Ok(first)
}

async fn push(scene: &mut Scene, voice: &mut Voice, registered: f64) -> anyhow::Result<()> {
    voice.stage("Metrics: one datapoint a period")?;
    let up = |world: &World, _: &Agent| show::sums(world, REPLICAS).into_iter().find(|(_, sum)| *sum == 1.0);
    let (mut stamp, _) = scene.until("a datapoint that counts this connector", up).await?;
    voice.fact("CloudWatch: the state at the end of a period, which is 5 s here and a minute on an instance:")?;
    voice.quote(&show::series(&scene.world, stamp))?;
    voice.fact(&format!("the Sum of {REPLICAS} over all instances is the number of live connectors"))?;
    while voice.at(Instant::now()) < registered + RECOVERED + 1.0 {
        let next = |world: &World, _: &Agent| show::sums(world, REPLICAS).into_iter().find(|(at, _)| *at > stamp);
        let (at, sum) = scene.until("the next datapoint", next).await?;
        ensure!(sum == 1.0, "CloudWatch counts {sum} live connectors, there is 1");
        voice.fact(&format!("{}  Sum {sum}", show::time(at)))?;
        stamp = at;
    }
    voice.fact("3 s without a loss: earlier outages no longer count")?;
    Ok(())
}

/// Gives the second at which it began.
async fn outage(scene: &mut Scene, voice: &mut Voice) -> anyhow::Result<f64> {
    voice.stage("Outage: the agent waits, acts, and reports")?;
    let broke = voice.at(Instant::now());
    let dropped = scene.world.edge.outage().await?;
    ensure!(dropped == 4, "the edge dropped {dropped} connections instead of 4");
    voice.fact("the edge drops all 4 connections and refuses new ones")?;
    scene.until("health broken", |_, agent| (agent.health() == "broken").then_some(())).await?;
    show_status(scene, voice, "broken", 1, Much::Head).await?;

    let again = |world: &World, _: &Agent| world.aws.requests().of(READ_SECRET).get(1).cloned();
    let asked = voice.at_us(scene.until("a second read of the secret", again).await?.began_us);
    let into = in_time(asked - broke, RECHECK)?;
    voice.fact_at(
        asked,
        &format!(
            "{into}: the agent reads the secret again; a new version might help, but there is \
            none"
        ),
    )?;

    let probed = |_: &World, agent: &Agent| {
        let evidence = agent.status()["blame"]["evidence"].as_str()?.to_owned();
        evidence.starts_with("TCP 7844").then_some(evidence)
    };
    let evidence = scene.until("a probe of the edge", probed).await?;
    let now = voice.at(Instant::now());
    let into = in_time(now - broke, PROBE)?;
    voice.fact_at(now, &format!("{into}: the agent probes the edge itself, over TCP and UDP:"))?;
    voice.quote(&[evidence])?;
    voice.fact("a restart of cloudflared could not help, so there is none; meanwhile `systemctl status` shows:")?;
    let told =
        scene.agent()?.notices().into_iter().rev().find_map(|told| Some(told.strip_prefix("STATUS=")?.to_owned()));
    voice.quote(&[format!("Status: \"{}\"", told.context("systemd was told no STATUS")?)])?;
    ensure!(scene.world.aws.marks().is_empty(), "the instance was marked before its time");
    let restarts = &scene.agent()?.status()["counters"]["connector_restarts"];
    ensure!(restarts == 0, "the connector was restarted {restarts} times");
    Ok(broke)
}

async fn condemn(scene: &mut Scene, voice: &mut Voice, broke: f64) -> anyhow::Result<()> {
    voice.stage("Condemned: the instance marks itself unhealthy")?;
    let line = decision(scene, "condemn this instance, if the guard agrees").await?;
    let into = in_time(voice.at(line.at) - broke, CONDEMN)?;
    voice.fact_at(
        voice.at(line.at),
        &format!("{into}: the agent wants this instance replaced; first it logs the evidence:"),
    )?;
    let logged = |_: &World, agent: &Agent| Some(evidence(agent)).filter(|lines| lines.len() >= 2);
    let lines = scene.until("the evidence in the log", logged).await?;
    let shown = [&lines[0], &lines[lines.len() - 1]].map(|line| show::log_line(line, LOG_LINE));
    voice.quote(&shown)?;
    voice.quote(&[format!(
        "({} pieces: the status, the decisions, cloudflared's last lines, and the agent's first lines)",
        lines.len()
    )])?;
    show_status(scene, voice, "remediating", 1, Much::Head).await?;

    let mark = scene.until("a mark", |world, _| world.aws.marks().first().cloned()).await?;
    let ours = mark.instance == scene.host.id && mark.health == Health::Unhealthy && mark.took_effect;
    ensure!(ours, "another mark was expected: {mark:?}");
    let at = voice.at_us(mark.at_ms * 1000);
    ensure!(at > voice.at(lines[0].at), "the mark came before the evidence");
    let group = ["DescribeAutoScalingGroups", "DescribeScalingActivities", "DescribeInstanceRefreshes"];
    ensure!(group.iter().all(|asked| scene.world.aws.requests().count(asked) > 0), "the group was not asked before");
    voice.fact(
        "the agent asks the group: it is complete, nothing was replaced lately, no refresh runs; nobody in \
        the tunnel is registered, and",
    )?;
    voice.fact("this instance has the lowest id, so it may try a replacement: once an hour at most")?;
    voice.fact_at(at, "the log shipper had 5 s; Auto Scaling is told: SetInstanceHealth Unhealthy")?;
    ensure!(group_view(scene)? == Health::Unhealthy, "the group does not show the mark");
    let text = format!("the group {GROUP} shows {} Unhealthy, and would now replace it", scene.host.id);
    voice.fact(&text)?;
    scene.until("health condemned", |_, agent| (agent.health() == "condemned").then_some(())).await?;
    show_status(scene, voice, "condemned", 1, Much::Whole).await
}

async fn recover(scene: &mut Scene, voice: &mut Voice) -> anyhow::Result<()> {
    voice.stage("Back: the edge returns before the group has acted")?;
    scene.world.edge.set(Conduct::Accept).await?;
    voice.fact("the edge opens again")?;
    scene.until("health registered", |_, agent| (agent.health() == "registered").then_some(())).await?;
    voice.fact("cloudflared has registered again")?;
    let mark = scene.until("the mark to be taken back", |world, _| world.aws.marks().get(1).cloned()).await?;
    let lifted = mark.health == Health::Healthy && group_view(scene)? == Health::Healthy;
    ensure!(lifted, "the mark still stands: {mark:?}");
    voice
        .fact_at(voice.at_us(mark.at_ms * 1000), "Auto Scaling is told: SetInstanceHealth Healthy; the mark is off")?;
    let shown = |_: &World, agent: &Agent| (agent.status()["autoscaling"]["marked"] == false).then_some(());
    scene.until("a status without a mark", shown).await?;
    show_status(scene, voice, "registered", 0, Much::Head).await
}

async fn make_report(scene: &mut Scene, voice: &mut Voice) -> anyhow::Result<PathBuf> {
    voice.stage("Report: one file for the ticket")?;
    let agent = scene.agent.as_ref().context("no agent was started")?;
    let report::Made { page, told } = report::make(&scene.host, agent).await?;
    voice.fact(
        "without keys and tokens; in it a page that shows what is wrong, whose fault it is, and what happened:",
    )?;
    voice.quote(&told)?;
    voice.fact("(there is no database behind this tunnel, which is what doctor finds)")?;
    voice.fact(&format!("the page alone is kept, too: {}", show::path(&page)))?;
    Ok(page)
}

async fn stop(scene: &mut Scene, voice: &mut Voice) -> anyhow::Result<()> {
    voice.stage("Stop: as systemd does it")?;
    let before = events(&scene.world, &What::Unregistered).len();
    let held = scene.world.edge.registered_now(TUNNEL).connections;
    let status = scene.agent()?.stop().await?;
    ensure!(status.success(), "the agent ended with {status}");
    let unregistered = events(&scene.world, &What::Unregistered).len() - before;
    ensure!(unregistered >= held, "of {held} connections, {unregistered} were unregistered");
    voice.fact(&format!("SIGTERM: {unregistered} connections are unregistered, none is cut off; the agent exits 0"))?;
    let sums = show::sums(&scene.world, REPLICAS);
    ensure!(sums.values().all(|sum| *sum <= 1.0), "CloudWatch counts more connectors than there were: {sums:?}");
    ensure!(sums.values().any(|sum| *sum == 0.0), "CloudWatch did not hear of the outage: {sums:?}");
    let (marks, reads) = (scene.world.aws.marks().len(), scene.world.aws.requests().count(READ_SECRET));
    // The third read is doctor's, for the report.
    ensure!((marks, reads) == (2, 3), "2 marks and 3 reads of the secret were expected: {marks} and {reads}");
    let row: Vec<_> = sums.values().map(ToString::to_string).collect();
    voice.fact(&format!("CloudWatch: live connectors every 5 s: {}", row.join(" ")))?;
    Ok(())
}

async fn show_status(scene: &Scene, voice: &Voice, state: &str, exit: i32, much: Much) -> anyhow::Result<()> {
    let lines = show::status(&scene.host, state, exit, much).await?;
    Ok(voice.quote(&lines)?)
}

/// How far into the outage something was, in words. It must not have been earlier than `due`, nor much later.
fn in_time(into: f64, due: f64) -> anyhow::Result<String> {
    ensure!((due..due + LATE).contains(&into), "this was due {due} s into the outage, and done after {into:.1} s");
    Ok(format!("{into:.0} s into it"))
}

/// When the one request of that kind was made, in microseconds since 1970.
fn once(requests: &Requests, what: &str) -> anyhow::Result<u64> {
    let made = requests.of(what);
    ensure!(made.len() == 1 && made[0].status == Some(200), "one good request was expected: {what}: {made:?}");
    Ok(made[0].began_us)
}

/// What is installed is what the secret holds.
fn check_bundle(scene: &Scene) -> anyhow::Result<()> {
    let Payload { config, credentials } = Payload::default();
    for (name, wanted) in [("config.yml".to_owned(), config), (format!("{TUNNEL}.json"), credentials)] {
        let path = scene.host.config_dir().join(&name);
        let found = fs::read_to_string(&path).with_context(|| format!("failed to read {}", path.display()))?;
        // Without a word about what differs: one of them is secret.
        ensure!(found == wanted, "{name} is not what the secret holds");
    }
    Ok(())
}

fn is_unregistered(_: &World, agent: &Agent) -> Option<()> {
    (agent.status()["connectors"][0]["state"] == "unregistered").then_some(())
}

/// Waits for a decision in the agent's log.
async fn decision(scene: &mut Scene, what: &str) -> anyhow::Result<Line> {
    let logged = |_: &World, agent: &Agent| agent.log().into_iter().find(|line| line.json["fields"]["what"] == what);
    scene.until(&format!("the decision `{what}`"), logged).await
}

fn evidence(agent: &Agent) -> Vec<Line> {
    agent.log().into_iter().filter(|line| line.json["fields"]["event"] == "evidence").collect()
}

fn events(world: &World, what: &What) -> Vec<Event> {
    world.edge.events().into_iter().filter(|event| event.what == *what).collect()
}

/// The health of the instance, as its group sees it.
fn group_view(scene: &Scene) -> anyhow::Result<Health> {
    let group = scene.world.aws.group(GROUP).context("the group is gone")?;
    Ok(group.instances.get(&scene.host.id).context("the group has lost the instance")?.health)
}
