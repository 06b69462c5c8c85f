//! `status`, and the line that systemd shows.

use crate::bad_input::assert_ended;
use crate::support::registered_pid;
use anyhow::Context;
use cflared_tests::edge::{Conduct, Scope};
use cflared_tests::world::{Host, PATIENCE, World, eventually};
use serde_json::Value;
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout};
use tokio::time::timeout;

#[tokio::test]
async fn it_shows_where_each_connection_ends_and_which_version_runs() -> anyhow::Result<()> {
    let (world, host) = World::with_host().await?;
    let mut agent = host.start()?;
    registered_pid(&mut agent, None).await?;
    let status = agent
        .wait_status("four edges", |status| {
            status["connectors"][0]["edges"].as_array().is_some_and(|all| all.len() == 4)
        })
        .await?;
    let mut places: Vec<_> = world.edge.addresses().iter().map(|address| address.ip().to_string()).collect();
    places.sort();
    let edges = status["connectors"][0]["edges"].as_array().context("no edges")?;
    let mut told: Vec<_> = edges.iter().map(|edge| edge["address"].as_str().unwrap_or_default().to_owned()).collect();
    told.sort();
    told.dedup();
    assert!(!told.is_empty() && told.iter().all(|address| places.contains(address)), "{told:?} of {places:?}");
    assert!(edges.iter().all(|edge| edge["protocol"] == "http2" && edge["location"] != ""), "{edges:?}");
    let version = status["installed"]["version"].as_str().context("no version")?;
    assert_eq!(
        (&status["secret"]["version"], &status["connectors"][0]["secret_version"]),
        (&version.into(), &version.into())
    );
    let location = edges[0]["location"].as_str().context("no location")?;
    let parts = [
        "registered for",
        "secret      version ",
        version,
        "runs generation 1, from that version",
        "over http2: ",
        location,
    ];
    assert_ended(&host.run(["status"]).await?, 0, &parts);

    world.edge.set(Conduct::Refuse).await?;
    world.edge.drop_connections(&Scope { index: Some(1), ..Scope::default() });
    let lost = |status: &Value| {
        let edges = status["connectors"][0]["edges"].as_array().map(Vec::as_slice).unwrap_or_default();
        edges.iter().map(|edge| edge["index"].as_u64()).collect::<Vec<_>>() == [Some(0), Some(2), Some(3)]
    };
    agent.wait_status("the loss of one", lost).await?;

    // An agent that starts anew finds the secret unchanged, and knows its version all the same.
    world.edge.set(Conduct::Accept).await?;
    agent.crash().await?;
    assert_ended(&host.run(["status"]).await?, 2, &["stale: the agent that wrote this (pid ", "systemctl status"]);
    let mut next = host.start()?;
    next.wait_status("the version", |status| status["secret"]["version"] == version).await?;
    Ok(())
}

#[tokio::test]
async fn the_line_for_systemd_says_whose_fault_it_is() -> anyhow::Result<()> {
    let (world, host) = World::with_host().await?;
    let mut agent = host.start()?;
    registered_pid(&mut agent, None).await?;
    world.edge.outage().await?;
    agent.wait_status("a blame", |status| !status["blame"].is_null()).await?;
    let line = eventually("the blame in STATUS=", async || {
        agent.notices().into_iter().find(|notice| notice.starts_with("STATUS=") && notice.contains("; blame: "))
    });
    let line = line.await?;
    assert!(line.contains(" (likely): ") || line.contains(" (certain): ") || line.contains(" (guess): "), "{line}");
    Ok(())
}

/// A `status --watch` whose output is a pipe.
struct Watch {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Watch {
    fn start(host: &Host, more: &[&str]) -> anyhow::Result<Self> {
        let mut command = host.command()?;
        command.args(["status", "--watch"]).args(more).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let lines = BufReader::new(child.stdout.take().context("no stdout")?).lines();
        Ok(Self { child, lines })
    }

    /// The next line that holds `part`.
    async fn wait_for(&mut self, part: &str) -> anyhow::Result<String> {
        let find = async {
            while let Some(line) = self.lines.next_line().await? {
                if line.contains(part) {
                    return Ok(line);
                }
            }
            anyhow::bail!("it ended")
        };
        timeout(PATIENCE, find).await.with_context(|| format!("waited for `{part}`"))?
    }
}

#[tokio::test]
async fn it_is_watched_through_an_outage_and_another_agent_until_nobody_reads() -> anyhow::Result<()> {
    let (world, host) = World::with_host().await?;
    let mut watch = Watch::start(&host, &[])?;
    let mut objects = Watch::start(&host, &["--json"])?;
    watch.wait_for("failed to read the status").await?;
    assert!(objects.wait_for("failed to read the status").await?.starts_with("{\"error\":"));
    let mut agent = host.start()?;
    watch.wait_for("registered for ").await?;
    agent.wait_health("registered").await?;
    world.edge.outage().await?;
    watch.wait_for("broken for ").await?;
    agent.crash().await?;
    watch.wait_for("stale: the agent that wrote this").await?;
    world.edge.set(Conduct::Accept).await?;
    let mut next = host.start()?;
    watch.wait_for("registered for ").await?;
    let wanted = format!("\"pid\":{},", next.pid());
    let object: Value = serde_json::from_str(&objects.wait_for(&wanted).await?)?;
    assert_eq!(object["schema"], 1);

    // Nothing changes, so that nothing is written: it notices all the same that nobody reads.
    next.wait_health("registered").await?;
    drop((watch.lines, objects.lines));
    for mut child in [watch.child, objects.child] {
        timeout(PATIENCE, child.wait()).await.context("it goes on for nobody")??;
    }
    assert!(next.stop().await?.success());
    Ok(())
}

/// What a child, or whoever wrote the file, put into it reaches no terminal as it is.
#[tokio::test]
async fn a_hostile_status_is_shown_harmlessly_by_every_command() -> anyhow::Result<()> {
    let (_world, host) = World::with_host().await?;
    let mut agent = host.start()?;
    agent.wait_health("registered").await?;
    let mut status = agent.status();
    anyhow::ensure!(agent.stop().await?.success());
    let hostile = "\u{1b}]0;owned\u{7}\u{1b}[2J\u{9b}31m\u{202e}desrever\u{2066}\u{200b}\r\u{8}\u{7f}";
    status["agent"]["pid"] = std::process::id().into();
    for pointer in
        ["/health/why", "/trouble", "/guard", "/tunnel", "/instance/id", "/connectors/0/connector_id", "/agent/version"]
    {
        if let Some(value) = status.pointer_mut(pointer) {
            *value = hostile.into();
        }
    }
    status["trouble"] = format!("{hostile}{}", "long ".repeat(20_000)).into();
    status["holds"] = serde_json::json!([{ "by": hostile, "until": null, "note": hostile }]);
    status["journal"] =
        serde_json::json!([{ "at": status["written_at"], "kind": hostile, "what": hostile, "evidence": hostile }]);
    std::fs::write(host.runtime_dir().join("status.json"), status.to_string())?;
    for command in [
        &["status"][..],
        &["status", "--json"],
        &["hold"],
        &["wait", "--timeout", "1s"],
        &["reload"],
        &["doctor"],
        &["doctor", "--json"],
    ] {
        let output = host.run(command).await?;
        let said = String::from_utf8([output.stdout, output.stderr].concat())?;
        let obeyed = |c: char| {
            c.is_control() && c != '\n'
                || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
        };
        assert!(!said.contains(obeyed), "{command:?}: {said:?}");
        assert!(command.contains(&"--json") || said.lines().all(|line| line.chars().count() <= 4100), "{command:?}");
    }
    Ok(())
}
