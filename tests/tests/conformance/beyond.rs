//! What no recording shows: the page of observations' facts about signals and commands, and what both ends do together.

use crate::FAST;
use crate::world::{DEADLINE, Running, SECRET, TUNNEL, World, get, patience, program};
use cflared_tests::edge::{Conduct, Event, Scope, What};
use nix::sys::signal::Signal;
use std::process::Output;
use std::time::Duration;
use tokio::net::{TcpStream, UnixDatagram};
use tokio::process::Command;
use tokio::time::timeout;

async fn run_once(arguments: &[&str]) -> Output {
    timeout(DEADLINE, Command::new(program()).args(arguments).output()).await.unwrap().unwrap()
}

#[tokio::test]
async fn it_has_a_version_and_refuses_unknown_flags() {
    let version = run_once(&["--version"]).await;
    let said = String::from_utf8_lossy(&version.stdout).into_owned();
    assert!(said.starts_with("cloudflared version 20") && said.contains(" (built 20"), "{said}");
    // With status 0, and on standard output.
    for (flags, why) in [
        (vec!["tunnel", "--nonsense", "run"], "flag provided but not defined: -nonsense"),
        (vec!["tunnel", "--retries", "x", "run"], "invalid value \"x\" for flag -retries: parse error"),
    ] {
        let refused = run_once(&flags).await;
        assert_eq!(refused.status.code(), Some(0));
        let first = String::from_utf8_lossy(&refused.stdout).lines().next().unwrap_or_default().to_owned();
        assert_eq!(first, format!("Incorrect Usage. {why}"));
    }
}

#[tokio::test]
async fn the_config_can_silence_it_and_the_command_line_wins() {
    let world = World::new().await;
    world.write(
        "quiet.yml",
        &(world.config(TUNNEL, "http_status:404") + "loglevel: warn\nretries: 3\nprotocol: quic\n"),
    );
    let standin = world.run_config("quiet.yml", FAST);
    world.connections(4).await;
    let log = standin.kill().await;
    assert!(!log.contains("Connector ID") && !log.contains("\"info\""), "{log}");
    let mut command = world.command("quiet.yml", FAST);
    command.args(["--loglevel", "info", "--retries", "2", "--max-edge-addr-retries", "1"]);
    command.args(["--edge-ip-version", "4", "--label", "blue", "run"]);
    let mut standin = Running::spawn(command);
    standin.says(|log| log.contains("Generated Connector ID")).await;
    let log = standin.kill().await;
    for set in
        ["loglevel:info", "retries:2", "max-edge-addr-retries:1", "edge-ip-version:4", "label:blue", "protocol:http2"]
    {
        assert!(log.contains(set), "{set} in {log}");
    }
}

/// R7: a connection that waits for its round is not told of a signal, and so the process lives until its grace is over, or
/// until the round begins.
#[tokio::test]
async fn sigterm_is_ignored_in_a_back_off_until_the_grace_period_ends() {
    let world = World::new().await;
    let mut running = world.run_with("config.yml", 0.5, &["--grace-period", "4s"]);
    running.registers().await;
    world.edge.set(Conduct::Permanent).await.unwrap();
    world.edge.drop_connections(&Scope::default());
    running.says(|log| log.matches("Connection terminated").count() >= 4).await;
    let told = std::time::Instant::now();
    running.signal(Signal::SIGTERM);
    let (status, log) = running.ends().await;
    assert_eq!(status.code(), Some(0));
    let behind = log.split("Initiating graceful shutdown").nth(1).unwrap_or_default();
    let next_round = behind.contains("curve preferences");
    assert!(next_round || told.elapsed() >= Duration::from_secs(3), "{:?}: {behind}", told.elapsed());
}

/// Over QUIC the first connection never waits for a round, and ends the process with itself.
#[tokio::test]
async fn sigterm_ends_a_back_off_over_quic() {
    let world = World::over("quic").await;
    let mut running = world.run_with("config.yml", 0.5, &["--grace-period", "100s"]);
    running.registers().await;
    world.edge.set(Conduct::Permanent).await.unwrap();
    world.edge.drop_connections(&Scope::default());
    running.says(|log| log.matches("Connection terminated").count() >= 3).await;
    let told = std::time::Instant::now();
    running.signal(Signal::SIGTERM);
    assert_eq!(running.ends().await.0.code(), Some(0));
    assert!(told.elapsed() < Duration::from_secs(90), "{:?}", told.elapsed());
}

/// The edge says when to come back, in nanoseconds: nobody looks at it.
#[tokio::test]
async fn the_time_of_a_retryable_refusal_is_ignored() {
    let world = World::over("quic").await;
    world.edge.set(Conduct::Retry).await.unwrap();
    let _running = world.run(1.0);
    let tries = || {
        let events = world.edge.events();
        let refused = events.iter().filter(|event| matches!(event.what, What::Rejected(_)));
        Some(refused.map(|event| event.at).collect::<Vec<_>>()).filter(|at| at.len() >= 3)
    };
    let at = world.edge.wait_for(patience(), tries).await.expect("it tries again and again");
    // It asked for 60 s, twice; the waits are of up to 2 s and 4 s.
    assert!(at[2] - at[0] < 30_000_000, "{at:?}");
}

#[tokio::test]
async fn it_validates_rules_and_nothing_else() {
    let world = World::new().await;
    let validate = async |name: &str, text: &str| {
        let path = world.write(name, text);
        let output = run_once(&["tunnel", "--config", path.to_str().unwrap(), "ingress", "validate"]).await;
        let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        (output.status.code(), said.into_owned())
    };
    let good = "credentials-file: /no/such/file\nno-such-key: 1\ningress:\n  - service: http_status:404\n";
    let (status, said) = validate("good.yml", good).await;
    assert_eq!(status, Some(0));
    assert!(said.ends_with("OK\n"), "{said}");
    let bad = [
        ("ingress:\n  - hostname: a.example\n    service: tcp://127.0.0.1:1\n", "The last ingress rule must match all"),
        ("ingress:\n  - service: tpc//x\n", "tpc//x is an invalid address"),
        ("ingress: a: b\n", "error parsing YAML in config file"),
        ("tunnel: x\n", "doesn't contain any ingress rules"),
    ];
    for (text, reason) in bad {
        let (status, said) = validate("bad.yml", text).await;
        assert_eq!(status, Some(1), "{text}");
        assert!(said.contains(reason), "{said}");
    }
}

#[tokio::test]
async fn it_tells_whether_another_is_ready() {
    let world = World::new().await;
    let metrics = world.metrics().to_string();
    let ready = ["tunnel", "--metrics", &metrics, "ready"];
    assert_eq!(run_once(&ready).await.status.code(), Some(1), "nobody there");
    world.edge.set(Conduct::Refuse).await.unwrap();
    let mut standin = world.run(FAST);
    standin.says(|log| log.contains("Starting metrics server")).await;
    assert_eq!(run_once(&ready).await.status.code(), Some(1), "not registered");
    world.edge.set(Conduct::Accept).await.unwrap();
    world.connections(4).await;
    assert_eq!(run_once(&ready).await.status.code(), Some(0));
}

#[tokio::test]
async fn it_notifies_once_and_survives_sigusr1_and_dies_of_sigquit_with_2() {
    let world = World::new().await;
    let path = world.directory.join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    let mut command = world.command("config.yml", FAST);
    command.arg("run").env("NOTIFY_SOCKET", &path);
    let standin = Running::spawn(command);
    let mut message = [0; 64];
    let length = timeout(DEADLINE, socket.recv(&mut message)).await.unwrap().unwrap();
    assert_eq!(&message[..length], b"READY=1");
    world.connections(4).await;
    assert!(socket.try_recv(&mut message).is_err(), "only once");
    standin.signal(Signal::SIGUSR1);
    assert_eq!(get(world.metrics(), "/ready").await.unwrap().0, 200);
    standin.signal(Signal::SIGQUIT);
    let (status, log) = standin.ends().await;
    assert_eq!(status.code(), Some(2));
    assert!(log.contains("SIGQUIT: quit") && log.contains("goroutine"));
}

#[tokio::test]
async fn sigterm_ends_it_before_its_first_registration() {
    let world = World::new().await;
    for conduct in [Conduct::Refuse, Conduct::BlackHole, Conduct::Hang] {
        world.edge.set(conduct).await.unwrap();
        let mut standin = world.run(1.0);
        standin.says(|log| log.contains("curve preferences")).await;
        standin.signal(Signal::SIGTERM);
        assert_eq!(standin.ends().await.0.code(), Some(0), "{conduct:?}");
    }
}

#[tokio::test]
async fn a_rotated_secret_rejects_new_registrations_and_spares_old_ones() {
    let world = World::new().await;
    world.edge.require_secret(TUNNEL, SECRET);
    let mut standin = world.run(FAST);
    world.connections(4).await;
    world.edge.require_secret(TUNNEL, "cm90YXRlZA==");
    let from = world.edge.now();
    assert_eq!(world.edge.drop_connections(&Scope { index: Some(2), ..Scope::default() }), 1);
    let rejected = || {
        let events = world.edge.events();
        let unauthorized =
            |event: &&Event| matches!(&event.what, What::Rejected(error) if error.starts_with("Unauthorized"));
        (events.iter().filter(unauthorized).count() >= 4).then_some(())
    };
    world.edge.wait_for(patience(), rejected).await.expect("the lost connection is rejected again and again");
    assert!(standin.runs(), "once registered, a rejection never ends it");
    assert_eq!(world.edge.registered_now(TUNNEL).connections, 3);
    assert_eq!(world.edge.never_zero_between(TUNNEL, from, world.edge.now()), Ok(()));
    world.edge.accept_any_secret(TUNNEL);
    world.connections(4).await;
}

#[tokio::test]
async fn two_connectors_register_side_by_side() {
    let world = World::new().await;
    let first = world.run(FAST);
    world.connections(4).await;
    let from = world.edge.now();
    let mut command = world.command("config.yml", FAST);
    command.args(["--metrics", &world.block.address(10, 2001).to_string(), "run"]);
    let _second = Running::spawn(command);
    world.connections(8).await;
    assert_eq!(world.edge.registered_now(TUNNEL).connectors, 2);
    first.signal(Signal::SIGTERM);
    assert_eq!(first.ends().await.0.code(), Some(0));
    assert_eq!(world.edge.registered_now(TUNNEL).connections, 4, "unregistered by the time it has ended");
    assert_eq!(world.edge.registered_now(TUNNEL).connectors, 1);
    assert_eq!(world.edge.never_zero_between(TUNNEL, from, world.edge.now()), Ok(()));
    let gap = world.edge.never_zero_between(TUNNEL, 0, world.edge.now()).unwrap_err();
    assert_eq!(gap.from, 0, "nothing before the first");
}

#[tokio::test]
async fn one_address_can_be_set_by_itself() {
    let world = World::new().await;
    let [good, bad, ..] = world.edge.addresses()[..] else { panic!("four addresses") };
    world.edge.set(Conduct::Refuse).await.unwrap();
    assert!(TcpStream::connect(bad).await.is_err());
    world.edge.set_at(good, Conduct::Accept).await.unwrap();
    let _standin = world.run(FAST);
    let registered = || world.edge.events().into_iter().find(|event| event.what == What::Registered);
    let event = world.edge.wait_for(patience(), registered).await.expect("it finds the one that accepts");
    assert_eq!(event.edge, good);
    assert!(world.edge.set_at(world.metrics(), Conduct::Accept).await.is_err());
}
