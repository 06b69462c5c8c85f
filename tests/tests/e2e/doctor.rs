//! `doctor`: a host that is well, and then with one thing wrong at a time. The first line has to name it.

use crate::bad_input::{files, said};
use crate::support::registered_pid;
use cflared_tests::edge::{Conduct, Scope};
use cflared_tests::http::faults::Trouble;
use cflared_tests::mysql::{Greeting, MySql};
use cflared_tests::world::{Agent, Cloudflared, Host, PATIENCE, Payload, SECRET, TUNNEL, World, eventually};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::{Duration, SystemTime};

/// What systemd says of a unit that is well.
const WELL: &str = "LoadState=loaded\nActiveState=active\nSubState=running\nUnitFileState=enabled\nNRestarts=0\n\
                    Result=success\nExecMainStatus=0\nStatusText=registered\n";
const NO_OTHER: &str = "\nLoadState=not-found\nActiveState=inactive\nSubState=dead\nUnitFileState=\n";

/// A host on which all is well, with an origin and a systemd that says so.
pub struct Patient {
    pub world: World,
    pub host: Host,
    origin: MySql,
}

impl Patient {
    async fn new() -> anyhow::Result<Self> {
        let (world, mut host) = World::with_host().await?;
        // A look that a busy machine cuts short would be a finding more.
        host.set("observe.timeout", "10s");
        let origin = MySql::start(world.block.address(60, 3306), Greeting::Version("8.0.39".into())).await?;
        world.aws.put_secret(SECRET, &payload(1, &origin.address().to_string()).text());
        let now = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
        let image = json!({"image": "cflared 1.0.0", "built_at": now, "agent_version": env!("CARGO_PKG_VERSION"),
            "cloudflared_version": "2026.8.2"});
        fs::write(host.directory().join("image.json"), image.to_string())?;
        let bin = host.directory().join("bin");
        fs::create_dir(&bin)?;
        host.environment.push(("PATH".into(), format!("{}:/usr/bin:/bin", bin.display())));
        let patient = Self { world, host, origin };
        patient.systemctl(&format!("cat <<'END'\n{WELL}{NO_OTHER}END\n"))?;
        Ok(patient)
    }

    /// The same, with an agent whose tunnel is up.
    pub async fn with_agent() -> anyhow::Result<(Self, Agent)> {
        let patient = Self::new().await?;
        let mut agent = patient.host.start()?;
        registered_pid(&mut agent, None).await?;
        Ok((patient, agent))
    }

    /// Has systemctl do that.
    fn systemctl(&self, script: &str) -> anyhow::Result<()> {
        let path = self.host.directory().join("bin/systemctl");
        let text = format!("#!/bin/sh\n{script}");
        let write = "printf %s \"$1\" > \"$0\" && chmod 755 \"$0\"";
        let written = std::process::Command::new("sh").args(["-c", write]).arg(&path).arg(text).status()?;
        anyhow::ensure!(written.success(), "failed to write {}", path.display());
        Ok(())
    }

    /// Runs doctor, and holds it against what is true of every run.
    pub async fn doctor(&self) -> anyhow::Result<Told> {
        let before = files(&self.host.config_dir());
        let output = self.host.run(["doctor"]).await?;
        println!("{}", said(&output));
        let Output { stdout, stderr, status } = output;
        let told = Told { text: String::from_utf8(stdout)?, exit: status.code() };
        assert!(stderr.is_empty(), "no progress but on a terminal");
        assert!(!told.text.contains('\u{1b}'), "no colour but on a terminal");
        assert!(told.text.chars().count() <= 2500, "{} characters", told.text.chars().count());
        assert_eq!(files(&self.host.config_dir()), before, "it changes nothing");
        let secret = cflared_tests::world::tunnel_secret(1);
        assert!(!told.text.contains(&secret));
        Ok(told)
    }

    /// Runs doctor, whose first failure has to be that check, for that cause.
    async fn fails(&self, check: &str, cause: &[&str]) -> anyhow::Result<Told> {
        let told = self.doctor().await?;
        let first = told.text.lines().next().unwrap_or_default();
        assert!(first.starts_with(&format!("NOT FINE: {check}: ")), "{check}: {first}");
        for part in cause {
            assert!(first.contains(part), "`{part}` is not in: {first}");
        }
        assert!(told.text.contains(&format!("; /usr/share/cflared-agent/runbook.md#{check}\n")), "{}", told.text);
        assert_eq!(told.exit, Some(1));
        Ok(told)
    }

    async fn report(&self) -> anyhow::Result<Value> {
        Ok(serde_json::from_slice(&self.host.run(["doctor", "--json"]).await?.stdout)?)
    }

    fn installed(&self, name: &str) -> PathBuf {
        self.host.config_dir().join("generations/1").join(name)
    }
}

/// What doctor said.
pub struct Told {
    pub text: String,
    exit: Option<i32>,
}

impl Told {
    /// Whether that check was skipped for want of the other.
    fn skips(&self, id: &str, need: &str) {
        let end = format!(": needs {need}");
        let line = self.text.lines().find(|line| line.starts_with("SKIP ") && line.ends_with(&end)).unwrap_or_default();
        assert!(
            line[5.min(line.len())..].trim_end_matches(&end).split(", ").any(|one| one == id),
            "{id}: {}",
            self.text
        );
    }

    fn has(&self, line: &str) {
        assert!(self.text.lines().any(|one| one.starts_with(line)), "`{line}` begins no line of\n{}", self.text);
    }
}

fn payload(number: u8, origin: &str) -> Payload {
    let mut payload = Payload::numbered(number);
    payload.config = payload.config.replace("127.0.0.1:3306", origin);
    payload
}

/// What came of one check.
fn outcome<'a>(report: &'a Value, id: &str) -> &'a str {
    let found = report["checks"].as_array().and_then(|checks| checks.iter().find(|check| check["id"] == id));
    found.and_then(|check| check["outcome"].as_str()).unwrap_or("missing")
}

#[tokio::test]
async fn a_host_that_is_well_is_fine_and_nothing_is_written_anywhere() -> anyhow::Result<()> {
    let (patient, mut agent) = Patient::with_agent().await?;
    eventually("a push", async || agent.status()["cloudwatch"]["last_push_at"].is_string().then_some(())).await?;
    let (host, aws) = (&patient.host, &patient.world.aws);
    let told = patient.doctor().await?;
    // The edge has one place only.
    assert!(told.text.starts_with("fine: this host fails none of "), "{}", told.text);
    assert!(told.text.contains("; warnings: ") && told.text.contains("edge-metro"), "{}", told.text);
    assert_eq!((told.exit, patient.origin.connections()), (Some(0), 1));

    let report = patient.report().await?;
    assert_eq!(
        (&report["schema"], &report["command"], &report["verdict"]),
        (&1.into(), &"doctor".into(), &"fine".into())
    );
    let checks = report["checks"].as_array().unwrap();
    let ids: Vec<_> = checks.iter().map(|check| check["id"].as_str().unwrap()).collect();
    let known: Vec<_> = cflared_agent::checks::host::checks().map(|check| check.id).collect();
    assert_eq!(ids, known);
    for id in
        ["ready", "versions", "bundle-installed", "origins", "secret-valid", "clock", "unit-active", "metrics-port"]
    {
        assert_eq!(outcome(&report, id), "pass", "{report:#}");
    }
    let asked = aws.requests().all().into_iter().map(|request| request.what);
    let wrote = asked.filter(|what| !what.contains("GetSecretValue") && !what.contains("PutMetricData"));
    assert_eq!(wrote.collect::<Vec<_>>(), Vec::<String>::new(), "{}", host.id);
    assert_eq!(agent.health(), "registered");
    assert!(agent.stop().await?.success());
    Ok(())
}

#[tokio::test]
async fn what_the_metadata_service_does_not_say_is_named_and_what_needs_it_is_skipped() -> anyhow::Result<()> {
    let (patient, _agent) = Patient::with_agent().await?;
    let imds = &patient.host.imds;
    imds.edit(|instance| instance.tags = None);
    let told = patient.fails("tags-in-metadata", &["shows no tags", "InstanceMetadataTags=enabled"]).await?;
    told.skips("environment-tag", "tags-in-metadata");
    imds.edit(|instance| instance.set_tag("adv:env", "Dev!"));
    patient.fails("environment-tag", &["`Dev!` is not an environment"]).await?;
    imds.edit(|instance| {
        instance.set_tag("adv:env", "dev");
        instance.role = None;
    });
    patient.fails("role-credentials", &["the instance has no role"]).await?;
    imds.plant(Trouble::Denied.everywhere());
    let told = patient.fails("metadata", &["HTTP 403", "HttpEndpoint=enabled"]).await?;
    assert!(!told.text.contains("FAIL tags") && !told.text.contains("FAIL role"), "{}", told.text);
    Ok(())
}

#[tokio::test]
async fn what_is_wrong_with_the_secret_is_named() -> anyhow::Result<()> {
    let (patient, _agent) = Patient::with_agent().await?;
    let aws = &patient.world.aws;
    aws.plant(Trouble::Denied.on("GetSecretValue"));
    patient
        .fails("secret-readable", &["access denied: the role needs secretsmanager:GetSecretValue on", SECRET])
        .await?;
    aws.clear_faults();
    let good = aws.secret(SECRET).unwrap().versions.last().unwrap().id.clone();
    aws.put_secret(SECRET, r#"{"config_yaml": 1}"#);
    patient.fails("secret-valid", &["failed to use the secret", "config_yaml"]).await?;
    assert!(aws.make_current(SECRET, &good));
    aws.delete_secret(SECRET);
    patient.fails("secret-readable", &["scheduled for deletion"]).await?;
    Ok(())
}

#[tokio::test]
async fn a_clock_that_is_off_explains_what_aws_refuses() -> anyhow::Result<()> {
    let (patient, _agent) = Patient::with_agent().await?;
    patient.world.aws.set_clock_ahead(600);
    let told = patient.fails("clock", &["this host's clock is ", " behind AWS's"]).await?;
    told.skips("secret-readable", "clock");
    assert!(!told.text.contains("FAIL secret"), "{}", told.text);
    Ok(())
}

#[tokio::test]
async fn versions_that_drifted_are_named_three_ways() -> anyhow::Result<()> {
    let (patient, agent) = Patient::with_agent().await?;
    assert_eq!(outcome(&patient.report().await?, "versions"), "pass");
    // One that looks alive and does nothing about it.
    agent.signal(Signal::SIGSTOP)?;
    let origin = patient.origin.address().to_string();
    let new = patient.world.aws.put_secret(SECRET, &payload(2, &origin).text());
    // For as long as the agent may not have read it, it is only new.
    let drifted = async || (outcome(&patient.report().await.ok()?, "versions") == "fail").then_some(());
    eventually("the drift", drifted).await?;
    let wanted = format!("the secret's current version is {new}; ");
    patient.fails("versions", &[&wanted, " is installed; ", " runs"]).await?;
    Ok(())
}

#[tokio::test]
async fn files_that_others_may_read_are_named() -> anyhow::Result<()> {
    let (patient, _agent) = Patient::with_agent().await?;
    let name = format!("{TUNNEL}.json");
    fs::set_permissions(patient.installed(&name), fs::Permissions::from_mode(0o644))?;
    let told = patient
        .fails("credentials-private", &[&name, "is accessible to users other than its owner: mode 0644"])
        .await?;
    told.skips("bundle-installed", "credentials-private");
    Ok(())
}

/// What releases and other builds print of themselves, and what a new one may.
#[tokio::test]
async fn whatever_cloudflared_says_of_its_build_a_host_that_is_well_is_fine() -> anyhow::Result<()> {
    let (mut patient, _agent) = Patient::with_agent().await?;
    for (said, version, age) in [
        ("2026.8.2 (built 2026-08-20-09:54 UTC)", "pass", "pass"),
        ("2026.8.2 (built 2026-08-14-1122 UTC)", "pass", "pass"),
        ("2026.8.2 (built 2026-08-20T09:54 UTC)", "pass", "pass"),
        ("2026.8.2 (built 2026-08-20-09:54 UTC with FIPS)", "pass", "pass"),
        ("2026.8.2 (built unknown)", "pass", "pass"),
        ("2026.8.2 (built in a form that is new)", "pass", "pass"),
        ("2026.8.2", "pass", "pass"),
        ("DEV (built 2026-08-20T09:54 UTC)", "warn", "pass"),
        ("DEV (built unknown)", "warn", "warn"),
    ] {
        patient.host.script(&format!(
            "case \"$*\" in --version) echo 'cloudflared version {said}'; exit;; esac; exec \"$CLOUDFLARED\" \"$@\""
        ))?;
        let report = patient.report().await?;
        let found = (outcome(&report, "cloudflared-version"), outcome(&report, "cloudflared-age"));
        assert_eq!(found, (version, age), "{said}");
        assert_eq!(report["verdict"], "fine", "{said}: {report:#}");
    }
    Ok(())
}

#[tokio::test]
async fn a_cloudflared_that_is_old_or_missing_is_named() -> anyhow::Result<()> {
    let (mut patient, _agent) = Patient::with_agent().await?;
    patient.host.script(
        "case \"$*\" in --version) echo 'cloudflared version 2024.2.1 (built 2024-02-13-1200 UTC)'; exit;; esac",
    )?;
    patient.fails("cloudflared-version", &["2024.2.1", "validate.min_cloudflared is 2025.1.0"]).await?;
    patient.host.set("validate.min_cloudflared", "2024.1.0");
    patient.fails("cloudflared-age", &["days old"]).await?;
    patient.host.set("connector.binary", "/nowhere/cloudflared");
    patient.fails("cloudflared-present", &["/nowhere/cloudflared is not there"]).await?;
    Ok(())
}

#[tokio::test]
async fn an_edge_that_does_not_answer_is_named_by_transport() -> anyhow::Result<()> {
    let (mut patient, mut agent) = Patient::with_agent().await?;
    let edge = &patient.world.edge;
    edge.set_udp(Some(Conduct::BlackHole)).await?;
    assert_eq!(outcome(&patient.report().await?, "edge-udp"), "pass", "--protocol http2 does not need it");
    patient.host.set("connector.extra_args", edge.arguments());
    let blocked = ["egress UDP 7844 is blocked: allow TCP and UDP 7844 outbound in the security group"];
    patient.fails("edge-udp", &blocked).await?;
    edge.set(Conduct::BlackHole).await?;
    edge.drop_connections(&Scope::default());
    agent.wait_status("the outage", |status| status["connectors"][0]["state"] == "unregistered").await?;
    // Connections are taken, so no security group is in their way.
    let blocked = ["checks: edge-tcp, edge-udp, ready", "the edge, or what stands in its place, refuses TCP 7844"];
    let told = patient.fails("edge-tcp", &blocked).await?;
    told.has("FAIL ready");
    told.has("FAIL edge-udp: egress UDP 7844 is blocked");
    Ok(())
}

#[tokio::test]
async fn names_that_do_not_resolve_explain_the_edge_and_aws() -> anyhow::Result<()> {
    let (mut patient, _agent) = Patient::with_agent().await?;
    // A label of 64 characters is no name (RFC 1035): no name server is asked, and the answer is no.
    let name = format!("{}.invalid", "x".repeat(64));
    patient.host.set("connector.extra_args", vec!["--edge".to_owned(), format!("{name}:7844")]);
    patient.host.environment.push(("AWS_ENDPOINT_URL".into(), format!("http://{name}")));
    let told = patient.fails("dns", &[]).await?;
    assert!(told.text.contains("edge-tcp, edge-udp: needs dns"), "{}", told.text);
    assert!(!told.text.contains("FAIL aws") && told.text.contains("aws-reachable"), "{}", told.text);
    Ok(())
}

#[tokio::test]
async fn an_origin_that_is_down_is_named() -> anyhow::Result<()> {
    let patient = Patient::new().await?;
    let nobody = patient.world.block.address(61, 3306).to_string();
    patient.world.aws.put_secret(SECRET, &payload(1, &nobody).text());
    let mut agent = patient.host.start()?;
    registered_pid(&mut agent, None).await?;
    patient.fails("origins", &[&format!("tcp://{nobody} does not answer: {nobody}: connection refused")]).await?;
    Ok(())
}

#[tokio::test]
async fn an_agent_that_is_stopped_or_hangs_or_never_was_is_named() -> anyhow::Result<()> {
    let patient = Patient::new().await?;
    let told = patient.fails("agent-alive", &["the agent has not run since this host booted"]).await?;
    told.skips("bundle-installed", "agent-alive");
    let not_there = format!("cat <<'END'\nLoadState=not-found\nActiveState=inactive\nSubState=dead\n{NO_OTHER}END\n");
    patient.systemctl(&not_there)?;
    let told = patient.fails("units-enabled", &["the package cflared-agent is not installed"]).await?;
    for id in ["unit-active", "agent-alive", "bundle-installed"] {
        told.skips(id, "units-enabled");
    }

    let mut agent = patient.host.start()?;
    registered_pid(&mut agent, None).await?;
    assert_eq!(patient.doctor().await?.exit, Some(0), "without its unit it does as well");
    agent.signal(Signal::SIGSTOP)?;
    let path = patient.host.runtime_dir().join("status.json");
    let mut status = agent.status();
    let long_ago = SystemTime::now() - Duration::from_secs(200);
    status["written_at"] = humantime::format_rfc3339_millis(long_ago).to_string().into();
    fs::write(&path, status.to_string())?;
    let pid = agent.pid().to_string();
    patient.fails("agent-alive", &["the agent hangs: process", &pid, "has not written its status for 3m"]).await?;
    agent.signal(Signal::SIGCONT)?;
    assert!(agent.stop().await?.success());
    let stopped = WELL.replace("=active", "=inactive").replace("=running", "=dead");
    patient.systemctl(&format!("cat <<'END'\n{stopped}{NO_OTHER}END\n"))?;
    let told = patient.fails("unit-active", &["cflared-agent.service is stopped (inactive)"]).await?;
    told.skips("agent-alive", "unit-active");
    patient.systemctl(&format!("cat <<'END'\n{WELL}{NO_OTHER}END\n"))?;
    patient.fails("agent-alive", &["has been gone for", "the agent has stopped"]).await?;
    Ok(())
}

#[tokio::test]
async fn a_unit_that_is_masked_is_named_though_the_tunnel_is_up() -> anyhow::Result<()> {
    let (patient, _agent) = Patient::with_agent().await?;
    let masked = WELL.replace("LoadState=loaded", "LoadState=masked").replace("=enabled", "=masked");
    patient.systemctl(&format!("cat <<'END'\n{masked}{NO_OTHER}END\n"))?;
    patient.fails("units-enabled", &["cflared-agent.service is masked"]).await?;
    Ok(())
}

#[tokio::test]
async fn another_cloudflared_on_the_port_is_named() -> anyhow::Result<()> {
    let patient = Patient::new().await?;
    let directory = patient.host.directory();
    let (config, credentials) = (directory.join("other.yml"), directory.join("other.json"));
    let other = Payload::default();
    fs::write(&config, other.config)?;
    fs::write(&credentials, other.credentials)?;
    let metrics = patient.host.metrics[0];
    let mut command = tokio::process::Command::new(Cloudflared::chosen().path());
    command.arg("tunnel").arg("--config").arg(&config).arg("--cred-file").arg(&credentials);
    command.args(patient.world.edge.arguments()).args(["--protocol", "http2", "--no-prechecks", "--output", "json"]);
    command.args(["--metrics", &metrics.to_string(), "run"]).kill_on_drop(true);
    command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    let child = command.spawn()?;
    let pid = child.id().unwrap();
    eventually("it listens", async || tokio::net::TcpStream::connect(metrics).await.ok()).await?;
    let mut agent = patient.host.start()?;
    // A stranger on one port costs nothing but the port.
    agent.wait_health("registered").await?;
    patient.fails("metrics-port", &[&format!("{metrics} is "), &format!("process {pid}")]).await?;
    Ok(())
}

#[tokio::test]
async fn a_hold_is_told_and_is_no_failure() -> anyhow::Result<()> {
    let (patient, _agent) = Patient::with_agent().await?;
    patient.host.imds.edit(|instance| instance.set_tag("adv:cflared-hold", "alice: migration"));
    assert!(patient.host.run(["hold", "2h", "--reason", "disk"]).await?.status.success());
    let told = patient.doctor().await?;
    assert!(told.text.starts_with("fine: this host fails none of "), "{}", told.text);
    told.has("WARN hold");
    assert!(told.text.contains("the tag adv:cflared-hold is alice: migration"), "{}", told.text);
    assert!(told.text.contains("by somebody on this host, for 1h 59m"), "{}", told.text);
    assert_eq!(told.exit, Some(0));
    Ok(())
}

#[tokio::test]
async fn wrong_settings_are_a_finding_and_the_rest_is_looked_at_all_the_same() -> anyhow::Result<()> {
    let (mut patient, _agent) = Patient::with_agent().await?;
    patient.host.set("secret.poll_intervall", "5m");
    let told = patient.doctor().await?;
    let first = told.text.lines().next().unwrap_or_default();
    assert!(first.starts_with("NOT FINE: settings: ") && first.contains("poll_intervall"), "{first}");
    assert_eq!(told.exit, Some(1));
    Ok(())
}

#[tokio::test]
async fn nothing_that_does_not_answer_keeps_it() -> anyhow::Result<()> {
    let (mut patient, _agent) = Patient::with_agent().await?;
    patient.systemctl("exec sleep 1000\n")?;
    patient.host.imds.plant(Trouble::BlackHole.everywhere());
    patient.world.edge.set(Conduct::BlackHole).await?;
    let binary = patient.host.script("exec sleep 1000")?;
    let text = fs::read_to_string(&binary)?.replace("exit 0", "exec sleep 1000");
    fs::write(&binary, text)?;
    for name in ["run/status.json", "image.json"] {
        let path = patient.host.directory().join(name);
        fs::remove_file(&path)?;
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU)?;
    }
    // What it asks never answers: that there is a report at all shows that it does not wait for it.
    let report = tokio::time::timeout(PATIENCE, patient.report()).await??;
    assert_eq!(report["verdict"], "not_fine");
    assert_eq!(report["checks"].as_array().map(Vec::len), Some(cflared_agent::checks::host::checks().count()));
    for (id, expected) in [("metadata", "fail"), ("edge-tcp", "fail"), ("unit-active", "skip"), ("agent-alive", "fail")]
    {
        assert_eq!(outcome(&report, id), expected, "{id}: {report:#}");
    }
    Ok(())
}

/// The agent's user, whoever it is.
const SOMEBODY: u32 = 54321;

#[tokio::test]
async fn root_looks_as_the_agents_user_and_says_where_root_differs() -> anyhow::Result<()> {
    if !crate::bad_input::is_root() {
        println!("skipped: only root becomes somebody else");
        return Ok(());
    }
    let patient = Patient::new().await?;
    let etc = patient.host.config_dir();
    std::os::unix::fs::chown(&etc, Some(SOMEBODY), Some(SOMEBODY))?;
    fs::set_permissions(patient.host.directory(), fs::Permissions::from_mode(0o755))?;
    std::os::unix::fs::chown(patient.host.runtime_dir(), Some(SOMEBODY), Some(SOMEBODY))?;
    let image = patient.host.directory().join("image.json");
    fs::set_permissions(&image, fs::Permissions::from_mode(0o600))?;
    let report = patient.report().await?;
    let found = report["checks"].as_array().unwrap().iter().find(|check| check["id"] == "agent-access").unwrap();
    let evidence = found["evidence"].to_string();
    assert_eq!(found["outcome"], "fail", "{report:#}");
    let wanted = format!("user number {SOMEBODY} may not read {}", image.display());
    assert!(evidence.contains(&wanted) && evidence.contains("root may"), "{evidence}");
    assert!(Path::new(&etc).exists());
    Ok(())
}

/// A service that answers is reachable, whatever it says (F13).
#[tokio::test]
async fn an_answer_of_secrets_manager_is_an_answer() -> anyhow::Result<()> {
    let (patient, _agent) = Patient::with_agent().await?;
    for (status, code) in [
        (400, "ThrottlingException"),
        (500, "InternalServiceError"),
        (503, "ServiceUnavailable"),
        (400, "AccessDeniedException"),
    ] {
        let refusal = Trouble::Error { status, code: code.into(), message: "Rate exceeded".into() };
        patient.world.aws.clear_faults();
        patient.world.aws.plant(refusal.on("GetSecretValue"));
        let report = patient.report().await?;
        assert_eq!(outcome(&report, "aws-reachable"), "pass", "{code}: {report:#}");
        assert_ne!(outcome(&report, "secret-readable"), "pass", "{code}");
        let headline = report["headline"].as_str().unwrap_or_default();
        assert!(!headline.contains("443"), "{code}: {headline}");
    }
    Ok(())
}
