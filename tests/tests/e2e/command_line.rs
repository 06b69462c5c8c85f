//! The command line: arguments, output and exit status.

use crate::bad_input::{assert_ended, said};
use cflared_tests::world::{Host, World, agent_binary};
use serde_json::Value;
use std::fs;
use std::process::{Output, Stdio};

/// The agent without any settings file named.
async fn bare(host: &Host, args: &[&str]) -> anyhow::Result<Output> {
    let program = host.program.clone().unwrap_or_else(agent_binary);
    Ok(tokio::process::Command::new(program).env_clear().args(args).stdin(Stdio::null()).output().await?)
}

#[tokio::test]
async fn bad_usage_is_64_and_says_what_there_is() -> anyhow::Result<()> {
    let (_world, host) = World::with_host().await?;
    for (args, told) in [
        (vec![], "Usage: cflared-agent"),
        (vec!["rnu"], "unrecognized subcommand 'rnu'"),
        (vec!["run", "now"], "unexpected argument 'now'"),
        (vec!["status", "--jsno"], "unexpected argument '--jsno'"),
        (vec!["bootstrap", "--timeout", "60"], "invalid value '60' for '--timeout <TIMEOUT>'"),
        (vec!["bootstrap", "--timeout"], "a value is required"),
        (vec!["status", "--settings"], "a value is required"),
        (vec!["wait", "--secret-version="], "a value is required"),
        (vec!["wait", "--timeout", "5"], "invalid value '5' for '--timeout <TIMEOUT>'"),
    ] {
        assert_ended(&bare(&host, &args).await?, 64, &[told]);
    }
    for args in [vec!["--help"], vec!["help"], vec!["bootstrap", "--help"]] {
        assert_ended(&bare(&host, &args).await?, 0, &["Usage: cflared-agent"]);
    }
    let version = bare(&host, &["--version"]).await?;
    assert_ended(&version, 0, &[]);
    assert_eq!(said(&version), format!("cflared-agent {}\n", env!("CARGO_PKG_VERSION")));
    Ok(())
}

#[tokio::test]
async fn wrong_settings_are_78_and_name_the_key() -> anyhow::Result<()> {
    let (_world, host) = World::with_host().await?;
    let file = host.directory().join("wrong.yml");
    let path = file.to_str().unwrap();
    for (text, told) in [
        ("secret: { poll_intervall: 5m }", vec!["secret.poll_intervall: unknown field", "`poll_interval`", path]),
        ("secrets: {}", vec!["secrets", "identity", path]),
        ("secret: { poll_interval: 5 }", vec!["poll_interval", path]),
        ("secret: { poll_interval: 5 parsecs }", vec!["poll_interval", "30s or 5m", path]),
        ("secret: { poll_interval: 100ms }", vec!["secret.poll_interval is `100ms`", "allowed: 1s to 1day", path]),
        ("secret: [", vec!["line 2", path]),
        ("\tsecret: {}", vec!["line 1", path]),
        ("connector: { min_connections: 5 }", vec!["connector.min_connections", "1 to 4", path]),
        ("paths: { config_dir: etc }", vec!["paths.config_dir", "an absolute path", path]),
    ] {
        fs::write(&file, text)?;
        for command in ["run", "bootstrap", "status", "wait"] {
            let output = bare(&host, &["--settings", path, command]).await?;
            assert_ended(&output, 78, &told);
        }
    }
    fs::remove_file(&file)?;
    let missing = bare(&host, &["status", "--settings", path]).await?;
    assert_ended(&missing, 78, &["failed to read the settings", path, "No such file"]);
    fs::write(&file, [0xff, 0xfe])?;
    assert_ended(&bare(&host, &["status", "--settings", path]).await?, 78, &["failed to read the settings", path]);
    Ok(())
}

#[tokio::test]
async fn an_endpoint_that_is_no_url_is_78_and_names_the_variable() -> anyhow::Result<()> {
    let (_world, mut host) = World::with_host().await?;
    let given = host.environment.len();
    for variable in ["AWS_ENDPOINT_URL_SECRETS_MANAGER", "AWS_EC2_METADATA_SERVICE_ENDPOINT"] {
        host.environment.truncate(given);
        host.environment.push((variable.into(), "not a url".into()));
        for command in ["run", "bootstrap"] {
            assert_ended(&host.run([command]).await?, 78, &[variable, "not a url"]);
        }
    }
    Ok(())
}

#[tokio::test]
async fn status_tells_registered_from_not_registered_from_not_known() -> anyhow::Result<()> {
    let (world, host) = World::with_host().await?;
    let none = host.run(["status"]).await?;
    assert_ended(&none, 2, &["the file does not exist; is cflared-agent running?", "systemctl status cflared-agent"]);
    assert_ended(&host.run(["status", "--json"]).await?, 2, &["the file does not exist"]);

    world.edge.set(cflared_tests::edge::Conduct::Refuse).await?;
    let mut agent = host.start()?;
    agent
        .wait_status("a connector that is not registered", |status| status["connectors"][0]["state"] == "unregistered")
        .await?;
    assert_ended(&host.run(["status"]).await?, 1, &["/ready: not registered with the edge", &host.id]);
    let json: Value = serde_json::from_slice(&host.run(["status", "--json"]).await?.stdout)?;
    assert_eq!((&json["schema"], &json["instance"]["id"]), (&1.into(), &host.id.as_str().into()));

    world.edge.set(cflared_tests::edge::Conduct::Accept).await?;
    agent.wait_health("registered").await?;
    let output = host.run(["status"]).await?;
    assert_ended(&output, 0, &["registered for", "generation 1", &format!("pid {}", agent.pid())]);
    assert!(said(&output).starts_with("registered for"), "what matters comes first: {}", said(&output));
    let json = host.run(["status", "--json"]).await?;
    assert_ended(&json, 0, &[]);
    assert_eq!(serde_json::from_slice::<Value>(&json.stdout)?["health"]["state"], "registered");
    for args in ["status", "status --json", "--help"] {
        assert_eq!(into_a_closed_pipe(&host, args).await?, Some(0), "{args}");
    }

    // A frozen agent writes nothing more: an old status is worth nothing, whatever it says. This process stands for it.
    agent.crash().await?;
    assert_ended(&host.run(["status"]).await?, 2, &["stale: the agent that wrote this", "is gone"]);
    let path = host.runtime_dir().join("status.json");
    let mut status: Value = serde_json::from_slice(&fs::read(&path)?)?;
    status["written_at"] = "2026-01-01T00:00:00Z".into();
    status["agent"]["pid"] = std::process::id().into();
    fs::write(&path, status.to_string())?;
    let stale = host.run(["status"]).await?;
    assert_ended(
        &stale,
        2,
        &["stale: the agent stopped writing", "ago it was registered", "journalctl -u cflared-agent"],
    );
    fs::write(&path, "{")?;
    let told = ["failed to read the status", path.to_str().unwrap(), "systemctl status cflared-agent"];
    assert_ended(&host.run(["status"]).await?, 2, &told);
    Ok(())
}

#[tokio::test]
async fn a_stopped_agent_leaves_a_status_that_says_so() -> anyhow::Result<()> {
    let (_world, host) = World::with_host().await?;
    let mut agent = host.start()?;
    agent.wait_health("registered").await?;
    assert!(agent.stop().await?.success());
    assert_ended(&host.run(["status"]).await?, 1, &["the agent has stopped"]);
    Ok(())
}

#[tokio::test]
async fn a_bootstrap_whose_reader_has_gone_installs_all_the_same() -> anyhow::Result<()> {
    let (_world, host) = World::with_host().await?;
    assert_eq!(into_a_closed_pipe(&host, "bootstrap").await?, Some(0));
    crate::bad_input::whole(&host);
    Ok(())
}

/// The exit status of the agent when both of its outputs lead into a pipe that nobody reads, as of `| head -0`.
async fn into_a_closed_pipe(host: &Host, args: &str) -> anyhow::Result<Option<i32>> {
    let closed = || -> std::io::Result<Stdio> {
        let (reader, writer) = std::io::pipe()?;
        drop(reader);
        Ok(writer.into())
    };
    let mut command = host.command()?;
    command.args(args.split(' ')).stdin(Stdio::null()).stdout(closed()?).stderr(closed()?);
    Ok(command.status().await?.code())
}
