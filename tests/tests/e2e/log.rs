//! Whoever should read the log does not, or a name server does not answer: the loop goes on.

use crate::support::{Moment, SILENCE, lines_with, longest_silence, registered_pid, stopped_in, watched};
use anyhow::Context;
use cflared_tests::edge::{Conduct, Edge, Order, Scope};
use cflared_tests::world::{Agent, ENVIRONMENT, Line, TUNNEL, World, eventually, left_out};
use nix::sys::stat::Mode;
use nix::unistd::{geteuid, mkfifo};
use std::fs::{self, OpenOptions};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::net::{UdpSocket, UnixDatagram};

/// The end of a log that is stuck is waited for 1 s; it would be stuck for ever.
const STOP: Duration = Duration::from_secs(10);

/// More lines than may wait anywhere.
fn flood(edge: &Edge) {
    let line = "a line that nobody reads ".repeat(8);
    // Each another one, for those that repeat are not written.
    let lines = (0..3000).map(|number| format!("{number} {line}\n")).collect();
    edge.order(&Scope::default(), &Order::Print { line: lines });
    edge.order(&Scope::default(), &Order::Flood { bytes: 1 << 20 });
}

fn lost(agent: &Agent) -> u64 {
    agent.status()["counters"]["log_lines_lost"].as_u64().unwrap_or(0)
}

/// That the agent looks, decides and tells as ever.
async fn goes_on(agent: &mut Agent, edge: &Edge, from: Moment) -> anyhow::Result<()> {
    edge.outage().await?;
    // An agent that waits for its log would never tell.
    agent.wait_status("the outage", |status| status["connectors"][0]["connections"] == 0).await?;
    edge.set(Conduct::Accept).await?;
    agent.wait_health("registered").await?;
    let silence = longest_silence(agent, from);
    assert!(silence < SILENCE, "{silence:?}");
    Ok(())
}

#[tokio::test]
async fn a_log_that_nobody_reads_costs_lines_which_are_counted_and_nothing_else() -> anyhow::Result<()> {
    if left_out(
        "a_log_that_nobody_reads_costs_lines_which_are_counted_and_nothing_else",
        "it prints what it is ordered to",
    ) {
        return Ok(());
    }
    let (world, mut host) = World::with_host().await?;
    watched(&mut host);
    let pipe = host.directory().join("stderr");
    mkfifo(&pipe, Mode::S_IRWXU)?;
    // Read and write, as a pipe without a reader breaks.
    let _never_read = OpenOptions::new().read(true).write(true).custom_flags(nix::libc::O_NONBLOCK).open(&pipe)?;
    let onto_the_pipe = format!("exec \"$@\" 2>'{}'", pipe.display());
    host.launcher = ["sh", "-c", &onto_the_pipe, "sh"].map(String::from).into();
    let mut agent = host.start()?;
    let pid = registered_pid(&mut agent, None).await?;
    let from = Moment::now(&agent);
    flood(&world.edge);
    agent.wait_status("lost lines", |status| status["counters"]["log_lines_lost"].as_u64() > Some(1000)).await?;
    goes_on(&mut agent, &world.edge, from).await?;
    assert_eq!(agent.connector_pid(), Some(pid));
    let took = stopped_in(&mut agent, &host).await?;
    assert!(took < STOP, "{took:?}");
    assert!(agent.log().is_empty());
    Ok(())
}

/// A journal that reads while it is told to.
struct Journal {
    reading: tokio::sync::watch::Sender<bool>,
    entries: Arc<Mutex<Vec<String>>>,
}

impl Journal {
    fn start(socket: UnixDatagram) -> Self {
        let (reading, mut read) = tokio::sync::watch::channel(true);
        let entries = Arc::<Mutex<Vec<String>>>::default();
        let kept = entries.clone();
        tokio::spawn(async move {
            let mut bytes = vec![0; 1 << 20];
            loop {
                if read.wait_for(|read| *read).await.is_err() {
                    return;
                }
                tokio::select! {
                    received = socket.recv(&mut bytes) => {
                        let Ok(length) = received else { return };
                        kept.lock().unwrap().push(String::from_utf8_lossy(&bytes[..length]).into_owned());
                    }
                    _ = read.changed() => {}
                }
            }
        });
        Self { reading, entries }
    }

    async fn wait_for(&self, part: &str) -> anyhow::Result<String> {
        let find = async || self.entries.lock().unwrap().iter().find(|entry| entry.contains(part)).cloned();
        eventually(&format!("`{part}` in the journal"), find).await
    }
}

/// Executes what follows in a mount namespace of its own, after `mounts`; none if this host does not allow it.
fn in_own_namespace(mounts: &str) -> Option<Vec<String>> {
    let mut words = ["unshare", "-m", "sh", "-c", ""].map(String::from);
    if !geteuid().is_root() {
        words[1] = "-rm".into();
    }
    let probe =
        std::process::Command::new("unshare").args([&words[1], "mount", "-t", "tmpfs", "none", "/run"]).status();
    if !probe.is_ok_and(|status| status.success()) {
        eprintln!("left out: this host allows no mount namespace");
        return None;
    }
    words[4] = format!("set -e; {mounts}; exec \"$0\" \"$@\"");
    Some(words.into())
}

#[tokio::test]
async fn a_journal_that_stops_reading_for_a_while_costs_lines_and_is_written_to_again() -> anyhow::Result<()> {
    if left_out(
        "a_journal_that_stops_reading_for_a_while_costs_lines_and_is_written_to_again",
        "it prints what it is ordered to",
    ) {
        return Ok(());
    }
    let (world, mut host) = World::with_host().await?;
    watched(&mut host);
    host.set("log.format", "auto");
    let directory = host.directory().join("journal");
    fs::create_dir(&directory)?;
    let journal = Journal::start(UnixDatagram::bind(directory.join("socket"))?);
    let mounts = format!(
        "mount -t tmpfs none /run; mkdir -p /run/systemd/journal; mount --bind '{}' /run/systemd/journal; \
         JOURNAL_STREAM=$(stat -Lc %d:%i /proc/self/fd/2); export JOURNAL_STREAM",
        directory.display()
    );
    let Some(launcher) = in_own_namespace(&mounts) else { return Ok(()) };
    host.launcher = launcher;
    let mut agent = host.start()?;
    registered_pid(&mut agent, None).await?;
    let entry = journal.wait_for("MESSAGE=connector started").await?;
    assert!(entry.contains("SYSLOG_IDENTIFIER=cflared-agent") && entry.contains("PRIORITY=6"), "{entry}");
    assert!(journal.wait_for("SYSLOG_IDENTIFIER=cloudflared").await?.contains("CFLARED_RUN=1"));

    journal.reading.send(false)?;
    let stopped = Instant::now();
    let from = Moment::now(&agent);
    flood(&world.edge);
    agent.wait_status("lost lines", |status| status["counters"]["log_lines_lost"].as_u64() > Some(100)).await?;
    goes_on(&mut agent, &world.edge, from).await?;
    // 30 s of a stopped journald, in the scale of the other times.
    tokio::time::sleep_until((stopped + Duration::from_secs(2)).into()).await;
    let silence = longest_silence(&agent, from);
    assert!(silence < SILENCE, "{silence:?}");

    journal.reading.send(true)?;
    journal.wait_for("log lines lost").await?;
    let before = lost(&agent);
    world.edge.order(&Scope::default(), &Order::Print { line: "read again".into() });
    journal.wait_for("MESSAGE=read again").await?;
    assert_eq!(lost(&agent), before, "all is read again");

    journal.reading.send(false)?;
    flood(&world.edge);
    agent.wait_status("more", |status| status["counters"]["log_lines_lost"].as_u64() > Some(before + 100)).await?;
    let took = stopped_in(&mut agent, &host).await?;
    assert!(took < STOP, "{took:?}");
    Ok(())
}

/// Answers every question for a name with `address`, if it has one. (RFC 1035)
async fn name_server(socket: UdpSocket, answers: tokio::sync::watch::Receiver<Option<SocketAddr>>) {
    let mut bytes = [0; 512];
    while let Ok((length, from)) = socket.recv_from(&mut bytes).await {
        let (question, address) = (&bytes[..length], *answers.borrow());
        let Some(SocketAddr::V4(address)) = address else { continue };
        let Some(name) = question[12..].iter().position(|byte| *byte == 0) else { continue };
        let end = 12 + name + 5;
        let is_a = question[end - 4..end - 2] == [0, 1];
        // The same id; an answer, recursion wanted and available; one question, and one answer if it is for an A.
        let head = [question[0], question[1], 0x81, 0x80, 0, 1, 0, u8::from(is_a), 0, 0, 0, 0];
        let mut answer = [&head[..], &question[12..end]].concat();
        if is_a {
            answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4]);
            answer.extend(address.ip().octets());
        }
        // Who asked may have given up.
        let _ = socket.send_to(&answer, from).await;
    }
}

#[tokio::test]
async fn a_name_server_that_never_answers_does_not_stall_the_loop() -> anyhow::Result<()> {
    let (world, mut host) = World::with_host().await?;
    let address = world.block.address(53, 53);
    let Ok(socket) = UdpSocket::bind(address).await else {
        eprintln!("left out: port 53 is root's");
        return Ok(());
    };
    let (answers, answered) = tokio::sync::watch::channel(None);
    tokio::spawn(name_server(socket, answered));
    let resolv_conf = host.directory().join("resolv.conf");
    fs::write(&resolv_conf, format!("nameserver {}\n", address.ip()))?;
    let mounts = format!("mount --bind '{}' /etc/resolv.conf", resolv_conf.display());
    let Some(launcher) = in_own_namespace(&mounts) else { return Ok(()) };
    host.launcher = launcher;
    watched(&mut host);
    let by_name = format!("http://aws.example.test:{}", world.aws_address().port());
    host.environment.push(("AWS_ENDPOINT_URL".into(), by_name));

    let mut agent = host.start()?;
    agent.wait_status("the trouble", |status| status["trouble"].to_string().contains("GetSecretValue")).await?;
    let began = Moment::of_the_first_notice(&agent)?;
    assert!(longest_silence(&agent, began) < SILENCE, "{:?}", longest_silence(&agent, began));
    answers.send(Some(world.aws_address()))?;
    registered_pid(&mut agent, None).await?;

    answers.send(None)?;
    let from = Moment::now(&agent);
    goes_on(&mut agent, &world.edge, from).await?;
    let took = stopped_in(&mut agent, &host).await?;
    assert!(took < Duration::from_secs(7), "{took:?}");
    Ok(())
}

#[tokio::test]
async fn every_line_says_when_who_and_of_which_tunnel() -> anyhow::Result<()> {
    let (world, host) = World::with_host().await?;
    let mut agent = host.start()?;
    registered_pid(&mut agent, None).await?;
    let from = agent.log().len();
    world.edge.outage().await?;
    let broken = agent.wait_log("→ broken").await?;
    assert_eq!((&broken.json["state"], &broken.json["environment"]), (&"broken".into(), &ENVIRONMENT.into()));
    assert!(agent.stop().await?.success());
    for (number, line) in agent.log().iter().enumerate() {
        let json = &line.json;
        assert!(humantime::parse_rfc3339(json["timestamp"].as_str().unwrap_or_default()).is_ok(), "{json}");
        assert_eq!((&json["service"], &json["version"]), (&"cflared-agent".into(), &env!("CARGO_PKG_VERSION").into()));
        assert!(json["level"].is_string() && json["message"].is_string(), "{json}");
        assert!(number < from || json["tunnel"] == TUNNEL && json["state"].is_string(), "{json}");
    }
    let child = agent.log().into_iter().find(|line| line.json["fields"]["event"] == "registered");
    let fields = child.context("no registration")?.json["fields"].clone();
    assert!(
        fields["conn_index"].is_u64() && fields["protocol"] == "http2" && fields["location"].is_string(),
        "{fields}"
    );
    Ok(())
}

#[tokio::test]
async fn a_line_that_repeats_is_written_ten_times_and_counted() -> anyhow::Result<()> {
    if left_out("a_line_that_repeats_is_written_ten_times_and_counted", "it prints what it is ordered to") {
        return Ok(());
    }
    let (world, host) = World::with_host().await?;
    let mut agent = host.start()?;
    registered_pid(&mut agent, None).await?;
    // So few at a time that none is lost, however late the log's thread gets a core.
    for number in 0..10 {
        let line = format!("{}another one, {number}", "the same again\n".repeat(500));
        world.edge.order(&Scope::default(), &Order::Print { line });
        agent.wait_log(&format!("another one, {number}")).await?;
    }
    assert_eq!(lines_with(&agent, "the same again"), 10);
    // What is held back is told at the end at the latest.
    assert!(agent.stop().await?.success());
    let of = |line: &Line| line.json["message"] == "the same again";
    let told: Vec<_> = agent.log().into_iter().filter(of).collect();
    assert_eq!((told.len(), &told[10].json["fields"]["repeated"]), (11, &4990.into()));
    assert_eq!(lost(&agent), 0);
    Ok(())
}

#[tokio::test]
async fn a_secret_that_the_child_prints_stays_with_it() -> anyhow::Result<()> {
    if left_out("a_secret_that_the_child_prints_stays_with_it", "it prints what it is ordered to") {
        return Ok(());
    }
    const KEY: &str = "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LTEyMzQ=";
    let (world, host) = World::with_host().await?;
    let mut agent = host.start()?;
    registered_pid(&mut agent, None).await?;
    for line in [
        format!("Cannot decode {KEY}"),
        format!("{{\"level\":\"error\",\"message\":\"bad\",\"error\":\"token {KEY}\",\"token\":\"{KEY}\"}}"),
        "the last one".into(),
    ] {
        world.edge.order(&Scope::default(), &Order::Print { line });
    }
    agent.wait_log("the last one").await?;
    // The evidence before a mark has the last lines in it.
    world.edge.outage().await?;
    agent.wait_health("condemned").await?;
    agent.wait_log("\"kind\":\"line of 1\"").await?;
    assert!(agent.stop().await?.success());
    assert!(lines_with(&agent, "[redacted]") >= 2);
    let files = [agent.log_text(), agent.status().to_string(), agent.state().to_string(), agent.notices().join("\n")];
    assert!(files.iter().all(|text| !text.contains(&KEY[..16])), "{files:?}");
    Ok(())
}

#[tokio::test]
async fn a_child_that_prints_without_end_costs_lines_and_bounded_memory() -> anyhow::Result<()> {
    /// The agent as a test builds it has 20 MB and more of pages of its own program.
    const MOST: u64 = 64 << 10;
    let (_world, mut host) = World::with_host().await?;
    watched(&mut host);
    // As many different lines as a core makes.
    host.script("seq -f '{\"level\":\"error\",\"message\":\"line %.0f of a flood\",\"connIndex\":1}' inf >&2 & exec \"$CLOUDFLARED\" \"$@\"")?;
    let mut agent = host.start()?;
    agent.wait_health("registered").await?;
    let (began, from) = (Instant::now(), Moment::now(&agent));
    agent.wait_status("lost lines", |status| status["counters"]["log_lines_lost"].as_u64() > Some(20_000)).await?;
    let took = began.elapsed();
    let silence = longest_silence(&agent, from);
    let status = fs::read_to_string(format!("/proc/{}/status", agent.pid()))?;
    let peak =
        status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    let peak = peak.context("no peak")?;
    println!(
        "20000 lines lost in {took:?}, {} written, longest silence {silence:?}, {peak} kB at most",
        agent.log().len()
    );
    assert!(peak < MOST, "{peak} kB");
    assert!(silence < SILENCE, "{silence:?}");
    stopped_in(&mut agent, &host).await?;
    Ok(())
}
