//! The alarms of `packaging/aws`, fed with what an agent really sends: one second of the run is one minute of theirs. When an
//! alarm must change follows from the minutes that the datapoints tell of; how CloudWatch comes to it is evaluated by
//! `tests/aws/alarms.py`, by the documented rules.

use crate::support::{registered_pid, short_outage};
use cflared_tests::aws::{Aws, Datapoint};
use cflared_tests::documents::{Documents, repository};
use cflared_tests::edge::Conduct;
use cflared_tests::world::{Agent, GROUP, Host, World, eventually, venv};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::{Duration, SystemTime};

const REPLICAS: &str = "cflared_replica_count_per_tunnel";
const HELD: &str = "cflared_held";
const RESTARTS: &str = "cflared_systemd_restart_count";
const IMAGE_AGE: &str = "imagebuilder_ami_age_days";
/// Where the evaluation begins: enough minutes before it for the alarm that looks at the most of them at once, and that takes
/// gaps for trouble.
const FIRST: u64 = 6;

/// Alarms by name, with each change of state, and the minute at whose end it was.
type Changes = BTreeMap<String, Vec<(u64, String)>>;

/// For how many minutes an agent that is dead says nothing.
const SILENCE: u64 = 10;

/// The datapoints of a run.
struct Record {
    points: Vec<Datapoint>,
    /// The seconds that have datapoints, each with its minute. A second for which a busy machine let the agent say nothing is none, except
    /// where nobody was there to say anything.
    minutes: BTreeMap<u64, u64>,
}

impl Record {
    /// Where there was an agent all the time.
    fn of(aws: &Aws) -> Self {
        Self::with_silence(aws, None)
    }

    /// Where there was none after the last datapoint of those.
    fn with_silence(aws: &Aws, before: Option<&Self>) -> Self {
        let mut points = aws.datapoints();
        // A busy machine starts an agent late.
        let begun = points.iter().filter(|point| registered(point)).map(second).min();
        points.retain(|point| begun.is_some_and(|begun| second(point) >= begun));
        let seconds: BTreeSet<_> = points.iter().map(second).collect();
        let killed = before.and_then(|before| before.minutes.keys().last().copied());
        let late = |at: u64| if killed.is_some_and(|killed| at > killed) { SILENCE } else { 0 };
        let minutes = seconds.into_iter().zip(0..).map(|(at, minute)| (at, minute + late(at))).collect();
        Self { points, minutes }
    }

    fn minute(&self, point: &Datapoint) -> u64 {
        self.minutes[&second(point)]
    }

    /// The minute of the last datapoint.
    fn last(&self) -> u64 {
        self.minutes.values().last().copied().unwrap_or_default()
    }

    /// The minutes with a datapoint of that metric that is as wanted.
    fn minutes(&self, metric: &str, wanted: impl Fn(&Datapoint) -> bool) -> BTreeSet<u64> {
        let points = self.points.iter().filter(|point| point.metric == metric && wanted(point));
        points.map(|point| self.minute(point)).collect()
    }

    /// What becomes of the alarms up to that minute. Auto Scaling's own metric is added to the agent's: one instance is wanted.
    fn evaluate(&self, last: u64) -> anyhow::Result<Changes> {
        let documents = Documents::render()?;
        let agents = self.points.iter().map(|point| {
            let Datapoint { namespace, metric, dimensions, value, .. } = point;
            json!({"namespace": namespace, "metric": metric, "dimensions": dimensions, "value": value,
                   "timestamp": self.minute(point) * 60})
        });
        let wanted = (0..=last).map(|minute| {
            json!({"namespace": "AWS/AutoScaling", "metric": "GroupDesiredCapacity", "value": 1,
                   "dimensions": {"AutoScalingGroupName": GROUP}, "timestamp": minute * 60})
        });
        let file = documents.directory().join("datapoints.json");
        fs::write(&file, serde_json::to_string(&agents.chain(wanted).collect::<Vec<_>>())?)?;
        let mut evaluator = std::process::Command::new(venv("python"));
        evaluator.arg(repository().join("tests/aws/alarms.py")).arg(documents.directory().join("alarms")).arg(file);
        let output = evaluator.args([FIRST, last].map(|minute| minute.to_string())).output()?;
        anyhow::ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(serde_json::from_slice(&output.stdout)?)
    }
}

fn second(point: &Datapoint) -> u64 {
    point.timestamp_ms / 1000
}

/// Minutes that follow each other: the first and the last.
fn run_of(minutes: &BTreeSet<u64>) -> (u64, u64) {
    let (first, last) = (minutes.first().copied().unwrap(), minutes.last().copied().unwrap());
    assert_eq!(minutes.len() as u64, last - first + 1, "there is a gap in {minutes:?}");
    (first, last)
}

fn changes(told: &[(u64, &str)]) -> Vec<(u64, String)> {
    let first = std::iter::once((FIRST, "OK".to_owned()));
    first.chain(told.iter().map(|(minute, state)| (*minute, (*state).to_owned()))).collect()
}

/// Waits for so many more minutes with a datapoint that is as wanted.
async fn more(aws: &Aws, count: usize, wanted: impl Fn(&Datapoint) -> bool) -> anyhow::Result<()> {
    let there = || aws.datapoints().iter().filter(|point| wanted(point)).count();
    let before = there();
    eventually("datapoints", async || (there() >= before + count).then_some(())).await
}

fn registered(point: &Datapoint) -> bool {
    point.metric == REPLICAS && point.value > 0.0
}

fn held_by_the_agent(point: &Datapoint) -> bool {
    point.metric == HELD && point.dimensions.get("Blame").is_some_and(|blame| blame != "operator")
}

#[tokio::test]
async fn an_outage_and_a_dead_agent_page_at_the_right_minute_and_clear() -> anyhow::Result<()> {
    let (world, mut host) = World::with_host().await?;
    short_outage(&mut host);
    // A look that a busy machine cuts short would be an outage more.
    host.set("observe.timeout", "10s");
    // So the guard may not have it replaced.
    world.aws.edit_group(GROUP, |group| group.suspended = ["ReplaceUnhealthy".to_owned()].into());
    let mut agent = host.start()?;
    more(&world.aws, 8, registered).await?;

    let lost_at = Record::of(&world.aws).last();
    world.edge.outage().await?;
    agent.wait_health("held").await?;
    more(&world.aws, 4, held_by_the_agent).await?;
    world.edge.set(Conduct::Accept).await?;
    agent.wait_health("registered").await?;
    let back_at = Record::of(&world.aws).last();
    more(&world.aws, 8, registered).await?;

    agent.crash().await?;
    let before = Record::of(&world.aws);
    let killed_at = before.last();
    let mut agent = host.start()?;
    registered_pid(&mut agent, None).await?;
    more(&world.aws, 8, registered).await?;
    let record = Record::with_silence(&world.aws, Some(&before));
    assert!(agent.stop().await?.success());

    let up = record.minutes(REPLICAS, registered);
    let last = *up.last().unwrap();
    let down: BTreeSet<u64> = (FIRST..last).filter(|minute| !up.contains(minute)).collect();
    let silent: BTreeSet<u64> =
        (FIRST..last).filter(|minute| !record.minutes(REPLICAS, |_| true).contains(minute)).collect();
    let outage = run_of(&down.iter().copied().filter(|minute| *minute <= killed_at).collect());
    let dead = run_of(&down.iter().copied().filter(|minute| *minute > killed_at).collect());
    let (held, silent) = (run_of(&record.minutes(HELD, held_by_the_agent)), run_of(&silent));
    println!("minutes: down {outage:?}, held {held:?}, dead {dead:?}, silent {silent:?}");
    assert!(lost_at <= outage.0 && outage.1 <= back_at + 1, "{lost_at} to {back_at}");
    assert_eq!(silent, (killed_at + 1, killed_at + SILENCE));
    assert_eq!(silent.0, dead.0);

    let told = record.evaluate(last)?;
    let expected = |told: &[(u64, &str)]| changes(told);
    // Two minutes below; where nothing is told at all, four minutes are looked at before gaps count.
    let replicas = [(outage.0 + 2, "ALARM"), (outage.1 + 2, "OK"), (dead.0 + 4, "ALARM"), (dead.1 + 2, "OK")];
    assert_eq!(told["replicas"], expected(&replicas));
    // Two minutes held; it is told while it lasts only, and four minutes are looked at.
    assert_eq!(told["held"], expected(&[(held.0 + 2, "ALARM"), (held.1 + 4, "OK")]));
    // Five minutes, of seven that are looked at.
    assert_eq!(told["silent"], expected(&[(silent.0 + 7, "ALARM"), (silent.1 + 2, "OK")]));
    // How many restarts an outage takes hangs on how long it lasts.
    for quiet in ["image-age", "hold-forgotten", "refused", "cpu"] {
        assert_eq!(told[quiet], expected(&[]), "{quiet}");
    }
    Ok(())
}

/// Has the image built so many days ago.
fn build_image(host: &Host, days: u64) -> anyhow::Result<()> {
    let built = SystemTime::now() - Duration::from_secs(days * 86_400);
    let image = json!({"image": "made-up", "built_at": humantime::format_rfc3339_seconds(built).to_string(),
                       "agent_version": "0.0.0", "cloudflared_version": "2026.1.0"});
    Ok(fs::write(host.directory().join("image.json"), image.to_string())?)
}

async fn killed_and_started(mut agent: Agent, host: &Host, aws: &Aws) -> anyhow::Result<Agent> {
    agent.crash().await?;
    let mut agent = host.start()?;
    registered_pid(&mut agent, None).await?;
    more(aws, 1, registered).await?;
    Ok(agent)
}

#[tokio::test]
async fn restarts_and_an_old_image_are_told_at_the_right_minute_and_a_person_s_hold_pages_nobody() -> anyhow::Result<()>
{
    let (world, mut host) = World::with_host().await?;
    // As above.
    host.set("observe.timeout", "10s");
    build_image(&host, 20)?;
    let mut agent = host.start()?;
    more(&world.aws, 8, registered).await?;
    // The image is looked at when an agent starts; an instance that replaces this one would bring another.
    for days in [22, 22, 22, 0] {
        build_image(&host, days)?;
        agent = killed_and_started(agent, &host, &world.aws).await?;
    }

    assert!(host.run(["hold", "1h"]).await?.status.success());
    let by_operator =
        |point: &Datapoint| point.metric == HELD && point.dimensions.get("Blame").is_some_and(|by| by == "operator");
    more(&world.aws, 6, by_operator).await?;
    let record = Record::of(&world.aws);
    assert!(agent.stop().await?.success());

    let count: f64 = record.points.iter().filter(|point| point.metric == RESTARTS).map(|point| point.value).sum();
    assert_eq!(count, 4.0);
    let restarts: Vec<u64> = record.minutes(RESTARTS, |point| point.value > 0.0).into_iter().collect();
    let old = record.minutes(IMAGE_AGE, |point| point.value > 21.0);
    let old = (*old.first().unwrap(), *old.last().unwrap());
    println!("minutes: restarts {restarts:?}, old {old:?}");
    // Not much longer: of who tells nothing for an hour, the hour before counts.
    let told = record.evaluate(restarts[0] + 63)?;
    // The fourth within an hour, until the first of them was an hour ago.
    let [first, .., fourth] = restarts.as_slice() else { anyhow::bail!("{restarts:?}") };
    assert_eq!(told["restarts"], changes(&[(fourth + 1, "ALARM"), (first + 61, "OK")]));
    // Five minutes are looked at together.
    assert_eq!(told["image-age"], changes(&[(old.0 + 1, "ALARM"), (old.1 + 6, "OK")]));
    for quiet in ["held", "hold-forgotten", "refused", "cpu"] {
        assert_eq!(told[quiet], changes(&[]), "{quiet}");
    }
    Ok(())
}
