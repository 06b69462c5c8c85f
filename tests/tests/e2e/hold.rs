//! "Hands off": by the command, by the instance's tag, by a file that nobody can read, and by a dry run.

use crate::bad_input::{assert_ended, is_root, said};
use crate::support::{lines_with, nothing_left, registered_pid};
use anyhow::Context;
use cflared_tests::aws::Aws;
use cflared_tests::world::{Agent, Clock, Payload, SECRET, World, eventually};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::time::{Duration, SystemTime};

/// A user that nobody is.
const SOMEBODY: u32 = 65534;

/// Who holds, as the status shows.
fn holders(status: &Value) -> Vec<&str> {
    let holds = status["holds"].as_array().map(Vec::as_slice).unwrap_or_default();
    holds.iter().filter_map(|hold| hold["by"].as_str()).collect()
}

async fn wait_holders(agent: &mut Agent, wanted: &[&str]) -> anyhow::Result<Value> {
    agent.wait_status(&format!("holds by {wanted:?}"), |status| !status.is_null() && holders(status) == wanted).await
}

/// Whether datapoints say that somebody holds.
fn operator_in_metrics(aws: &Aws) -> bool {
    let named = |point: &cflared_tests::aws::Datapoint| {
        point.metric == "cflared_held" && point.dimensions.get("Blame").is_some_and(|blame| blame == "operator")
    };
    aws.datapoints().iter().any(named)
}

/// Whether it was written that many seconds ahead of now, give or take a minute.
fn is_written(status: &Value, ahead: i64) -> bool {
    let since_1970 =
        |at: SystemTime| at.duration_since(SystemTime::UNIX_EPOCH).map(|time| time.as_secs().cast_signed());
    let written = status["written_at"].as_str().and_then(|at| humantime::parse_rfc3339(at).ok());
    let (Some(Ok(written)), Ok(now)) = (written.map(since_1970), since_1970(SystemTime::now())) else { return false };
    (written - now - ahead).abs() < 60
}

#[tokio::test]
async fn a_hold_is_set_shown_first_and_ended() -> anyhow::Result<()> {
    let (world, host) = World::with_host().await?;
    let mut agent = host.start()?;
    registered_pid(&mut agent, None).await?;
    assert_ended(&host.run(["hold"]).await?, 0, &["no hold is active"]);
    assert!(!operator_in_metrics(&world.aws));

    let set = host.run(["hold", "1h", "--reason", "the database is moved"]).await?;
    assert_ended(&set, 0, &["on hold by the operator until 20", ": the database is moved (59m "]);
    let status = agent.status();
    assert_eq!(holders(&status), ["operator"], "the command says so when it is true");
    assert!(status["holds"][0]["note"].to_string().contains("the database is moved"), "{}", status["holds"]);
    let shown = host.run(["hold"]).await?;
    assert_ended(&shown, 1, &["on hold by the operator until 20", "the database is moved"]);
    let shown = host.run(["status"]).await?;
    assert_ended(&shown, 0, &["\nregistered for"]);
    assert!(said(&shown).starts_with("on hold by the operator until 20"), "{}", said(&shown));
    agent.wait_notice("STATUS=on hold by the operator until 20").await?;
    agent.wait_log("held by an operator").await?;
    eventually("the metric", async || operator_in_metrics(&world.aws).then_some(())).await?;

    assert_ended(&host.run(["hold", "2h"]).await?, 0, &["(1h 59m left)"]);
    assert_ended(&host.run(["hold", "off"]).await?, 0, &["no hold of an operator is in force"]);
    assert_eq!(holders(&agent.status()), [""; 0]);
    assert_ended(&host.run(["hold"]).await?, 0, &["no hold is active"]);
    assert_ended(&host.run(["hold", "off"]).await?, 0, &["no hold of an operator is in force"]);
    let left: Vec<_> = fs::read_dir(host.runtime_dir())?.map(|entry| entry.unwrap().file_name()).collect();
    assert!(
        left.iter().all(|name| ["status.json", "state.json", "control.sock"].iter().any(|ours| name == ours)),
        "{left:?}"
    );
    Ok(())
}

#[tokio::test]
async fn what_is_no_duration_holds_nothing() -> anyhow::Result<()> {
    let (_world, host) = World::with_host().await?;
    for wrong in ["on", "2", "0s", "8d", "forever"] {
        assert_ended(&host.run(["hold", wrong]).await?, 64, &["allowed: 1s to 7d"]);
    }
    assert_ended(&host.run(["hold", "--reason", "why"]).await?, 64, &["required"]);
    assert_ended(&host.run(["hold", "off", "--reason", "why"]).await?, 64, &["--reason is for a new hold"]);
    assert_eq!(fs::read_dir(host.runtime_dir())?.count(), 0);
    Ok(())
}

#[tokio::test]
async fn a_hold_is_there_before_the_agent_and_outlives_it_and_runs_out_whatever_the_time_of_day() -> anyhow::Result<()>
{
    let (_world, mut host) = World::with_host().await?;
    let clock = Clock::of(&mut host)?;
    fs::remove_dir(host.runtime_dir())?;
    assert_ended(&host.run(["hold"]).await?, 0, &["no agent runs", "no hold is active"]);
    let early = host.run(["hold", "1h", "--reason", "before anything"]).await?;
    assert_ended(&early, 0, &["no agent runs; these holds apply from its next start: on hold by the operator"]);
    assert_ended(&host.run(["hold"]).await?, 1, &["no agent runs", "before anything"]);

    let mut agent = host.start()?;
    wait_holders(&mut agent, &["operator"]).await?;
    agent.crash().await?;
    nothing_left(&host).await?;
    assert_ended(&host.run(["hold"]).await?, 1, &["no agent runs", "before anything"]);

    let mut agent = host.start()?;
    wait_holders(&mut agent, &["operator"]).await?;
    agent.wait_health("registered").await?;
    // The time of day is none of its business.
    for ahead in [7 * 24 * 3600, -7 * 24 * 3600, 0] {
        clock.set_wall(ahead)?;
        let status = agent.wait_status("the other time of day", |status| is_written(status, ahead)).await?;
        assert_eq!(holders(&status), ["operator"]);
    }
    clock.set_ahead(Duration::from_secs(3500))?;
    let status = agent.wait_status("a later time", |status| is_written(status, 3500)).await?;
    assert_eq!(holders(&status), ["operator"]);
    clock.set_ahead(Duration::from_secs(3601))?;
    wait_holders(&mut agent, &[]).await?;
    agent.wait_log("the hold has run out").await?;
    assert_ended(&host.run(["hold"]).await?, 0, &["no hold is active"]);
    Ok(())
}

#[tokio::test]
async fn a_file_that_cannot_be_used_holds_until_somebody_ends_it() -> anyhow::Result<()> {
    let (_world, host) = World::with_host().await?;
    let file = host.runtime_dir().join("hold.json");
    fs::write(&file, "{\"schema\":1,")?;
    assert_ended(&host.run(["hold"]).await?, 1, &["hold.json cannot be used, so it holds", "hold off"]);
    let mut agent = host.start()?;
    let status = wait_holders(&mut agent, &["operator"]).await?;
    assert_eq!(status["holds"][0]["until"], Value::Null);
    assert!(status["holds"][0]["note"].to_string().contains("cannot be used, so it holds"), "{}", status["holds"]);
    // It is mended by a good one, broken again, and ended.
    assert_ended(&host.run(["hold", "1h"]).await?, 0, &["on hold by the operator until"]);
    fs::write(&file, vec![b' '; 20_000])?;
    agent.wait_status("the text", |status| status["holds"][0]["note"].to_string().contains("too large")).await?;
    assert_ended(&host.run(["hold", "off"]).await?, 0, &["no hold of an operator is in force"]);
    assert_eq!(holders(&agent.status()), [""; 0]);
    Ok(())
}

#[tokio::test]
async fn only_root_and_the_agents_user_may_hold() -> anyhow::Result<()> {
    let (_world, mut host) = World::with_host().await?;
    if !is_root() {
        // Root's: another user cannot give anything away.
        host.set("paths.runtime_dir", "/usr/share");
        assert_ended(&host.run(["hold", "1h"]).await?, 75, &["only root and the agent's user may", "sudo"]);
        return Ok(());
    }
    fs::set_permissions(host.directory(), fs::Permissions::from_mode(0o755))?;
    let file = host.runtime_dir().join("hold.json");
    host.launcher = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"].map(String::from).into();
    for wish in ["1h", "off"] {
        assert_ended(&host.run(["hold", wish]).await?, 75, &["only root and the agent's user may", "sudo"]);
    }
    assert!(!file.exists());
    assert_ended(&host.run(["hold"]).await?, 0, &["no hold is active"]);

    // The agent's user itself, and root in its place.
    chown(host.runtime_dir(), Some(SOMEBODY), Some(SOMEBODY))?;
    assert_ended(&host.run(["hold", "1h"]).await?, 0, &["on hold by the operator", ": nobody"]);
    host.launcher.clear();
    host.environment.push(("SUDO_USER".into(), "alice".into()));
    for _ in 0..2 {
        assert_ended(&host.run(["hold", "1h"]).await?, 0, &["on hold by the operator", ": alice"]);
        let metadata = fs::metadata(&file)?;
        assert_eq!((metadata.uid(), metadata.mode() & 0o777), (SOMEBODY, 0o644));
        assert_ended(&host.run(["hold", "off"]).await?, 0, &["no hold"]);
        assert!(!file.exists());
        // Before the first agent of a boot there is no directory; it is made for whoever owns the bundles.
        fs::remove_dir(host.runtime_dir())?;
        chown(host.config_dir(), Some(SOMEBODY), Some(SOMEBODY))?;
    }
    Ok(())
}

#[tokio::test]
async fn the_tag_holds_live_and_a_new_version_waits_for_its_end() -> anyhow::Result<()> {
    let (world, host) = World::with_host().await?;
    let mut agent = host.start()?;
    registered_pid(&mut agent, None).await?;
    let tag = "adv:cflared-hold";
    host.imds.edit(|instance| instance.set_tag(tag, "ticket 42"));
    let status = wait_holders(&mut agent, &["tag"]).await?;
    assert_eq!(status["holds"][0], json!({"by": "tag", "until": null, "note": "ticket 42"}));
    agent.wait_notice("STATUS=on hold by the tag: ticket 42; registered: ").await?;
    assert_ended(&host.run(["hold"]).await?, 1, &["on hold by the tag: ticket 42"]);

    world.aws.put_secret(SECRET, &Payload::numbered(1).text());
    // Two reads of the tag later, each at a time at which the secret would have been read.
    let asked = || host.imds.requests().count("/latest/meta-data/tags/instance/adv:cflared-hold");
    let before = asked();
    eventually("more reads of the tag", async || (asked() >= before + 2).then_some(())).await?;
    assert_eq!(agent.status()["installed"]["generation"], 1);
    // Both hold; one is not the other's end.
    assert_ended(&host.run(["hold", "1h"]).await?, 0, &["by the operator", "by the tag: ticket 42"]);
    host.imds.edit(|instance| instance.set_tag(tag, " Off "));
    wait_holders(&mut agent, &["operator"]).await?;
    assert_eq!(agent.status()["installed"]["generation"], 1);
    assert_ended(&host.run(["hold", "off"]).await?, 0, &["no hold"]);
    agent.wait_status("the new version", |status| status["installed"]["generation"] == 2).await?;
    Ok(())
}

#[tokio::test]
async fn a_dry_run_says_what_it_would_do_and_marks_nothing() -> anyhow::Result<()> {
    let (world, mut host) = World::with_host().await?;
    host.launcher = ["sh", "-c", "exec \"$@\" --dry-run", "sh"].map(String::from).into();
    for (key, time) in [("startup_grace", "500ms"), ("restart_after", "1s"), ("condemn_after", "2s")] {
        host.set(&format!("verdict.{key}"), time);
    }
    host.script("exec sleep 1000")?;
    let mut agent = host.start()?;
    agent.wait_log("dry run: the agent never marks this instance unhealthy").await?;
    agent.wait_log("dry run: the instance would be marked now").await?;
    let status = agent.wait_health("held").await?;
    assert_eq!(status["dry_run"], true);
    assert!(status["health"]["why"].to_string().contains("dry run"), "{}", status["health"]);
    host.launcher.clear();
    assert_ended(&host.run(["status"]).await?, 1, &["dry run: this instance is never marked unhealthy"]);
    assert!(world.aws.marks().is_empty() && world.aws.requests().count("SetInstanceHealth") == 0);
    assert!(agent.stop().await?.success());
    Ok(())
}

#[tokio::test]
async fn the_journal_outlives_an_agent_that_is_killed() -> anyhow::Result<()> {
    let (world, host) = World::with_host().await?;
    let mut agent = host.start()?;
    registered_pid(&mut agent, None).await?;
    world.edge.outage().await?;
    agent.wait_health("broken").await?;
    // What was decided last came with no order.
    let told = |status: &Value| status["journal"].as_array().cloned().unwrap_or_default();
    let before = told(&agent.status());
    eventually("it to be saved", async || {
        let saved = agent.state()["carried"]["journal"]["kept"].as_array()?.len();
        (saved >= before.len()).then_some(())
    })
    .await?;
    agent.crash().await?;
    let mut agent = host.start()?;
    let status = agent.wait_status("a journal", |status| told(status).len() > before.len()).await?;
    let what = |entry: &Value| (entry["what"].clone(), entry["evidence"].clone(), entry["kind"].clone());
    let after = told(&status);
    let (kept, new) = after.split_at(before.len());
    assert_eq!(kept.iter().map(what).collect::<Vec<_>>(), before.iter().map(what).collect::<Vec<_>>());
    assert!(new.iter().any(|entry| entry["what"] == "start the installed bundle"), "{new:?}");
    Ok(())
}

/// The most memory that it ever had resident, in bytes.
fn peak_memory(pid: u32) -> anyhow::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM")?;
    Ok(line.trim().trim_end_matches("kB").trim().parse::<u64>()? * 1024)
}

/// How many bytes it has written.
fn written(pid: u32) -> Option<u64> {
    let io = fs::read_to_string(format!("/proc/{pid}/io")).ok()?;
    io.lines().find_map(|line| line.strip_prefix("wchar: ")?.parse().ok())
}

#[tokio::test]
async fn a_child_that_complains_without_end_costs_no_memory_and_is_heard() -> anyhow::Result<()> {
    let (_world, mut host) = World::with_host().await?;
    for key in ["restart_after", "condemn_after"] {
        host.set(&format!("verdict.{key}"), "10m");
    }
    host.script(
        "exec yes '{\"level\":\"error\",\"error\":\"Unauthorized: Invalid tunnel secret\",\"connIndex\":0,\
         \"message\":\"Register tunnel error from server side\"}'",
    )?;
    // What is measured is the agent, and not who keeps its log.
    host.launcher = ["sh", "-c", "exec \"$@\" 2>/dev/null", "sh"].map(String::from).into();
    crate::support::watched(&mut host);
    let mut agent = host.start()?;
    let status = agent.wait_status("the blame", |status| status["blame"]["blame"] == "credentials").await?;
    assert!(status["blame"]["evidence"].to_string().contains("Unauthorized: Invalid tunnel secret"), "{status:#}");
    let child = agent.connector_pid().context("no child")?;
    let (began, from) = (std::time::Instant::now(), crate::support::Moment::now(&agent));
    let before = peak_memory(agent.pid())?;
    let begun = written(child).context("no /proc/PID/io")?;
    let flooded = async || (written(child)? - begun > 16_000_000).then_some(());
    eventually("a flood of more than 100,000 lines", flooded).await?;
    let (silence, after) = (crate::support::longest_silence(&agent, from), peak_memory(agent.pid())?);
    let lines = 16_000_000 / 130;
    let (more, took) = ((after - before) / 1024, began.elapsed());
    println!("{lines} lines in {took:?}: {more} KiB more, {} MiB in all, silence {silence:?}", after >> 20);
    // The log's queue is bounded, and takes most of the whole.
    assert!(after - before < 8 << 20 && after < 96 << 20, "{before} → {after}");
    assert!(silence < crate::support::SILENCE, "{silence:?}");
    let blamed = agent.status()["journal"]
        .as_array()
        .context("no journal")?
        .iter()
        .fold(0, |count, entry| count + u32::from(entry["what"].to_string().contains("blame: credentials")));
    assert_eq!(blamed, 1, "said once, however often it is complained of");
    assert_eq!(lines_with(&agent, "panicked"), 0);
    assert!(agent.stop().await?.success());
    nothing_left(&host).await
}
