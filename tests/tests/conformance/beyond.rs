//! What the recordings do not show: the page of observations' facts about signals and commands, and what the pair of
//! stand-ins has of its own.

use crate::FAST;
use crate::world::{DEADLINE, PROGRAM, SECRET, Standin, TUNNEL, World, get, post};
use cflared_tests::cloudflared::orders;
use cflared_tests::edge::{Conduct, Event, Order, Scope, What, control};
use cflared_tests::http;
use nix::sys::signal::Signal;
use std::os::unix::process::ExitStatusExt;
use std::process::Output;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream, UnixDatagram};
use tokio::process::Command;
use tokio::time::timeout;

async fn run_once(arguments: &[&str]) -> Output {
    timeout(DEADLINE, Command::new(PROGRAM).args(arguments).output()).await.unwrap().unwrap()
}

#[tokio::test]
async fn it_has_a_version_and_refuses_unknown_flags() {
    let version = run_once(&["--version"]).await;
    assert_eq!(String::from_utf8_lossy(&version.stdout), "cloudflared version 2026.8.2 (built 2026-08-14-1122 UTC)\n");
    let unknown = run_once(&["tunnel", "--no-such-flag", "run"]).await;
    assert_eq!(unknown.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("--no-such-flag"));
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
    command.args(["--cacert", "/etc/cloudflared/ca.pem", "--edge-ip-version", "4", "--label", "blue", "run"]);
    let mut standin = Standin::spawn(command);
    standin.says(|log| log.contains("Generated Connector ID")).await;
    let log = standin.kill().await;
    for set in
        ["loglevel:info", "retries:2", "max-edge-addr-retries:1", "edge-ip-version:4", "label:blue", "protocol:http2"]
    {
        assert!(log.contains(set), "{set} in {log}");
    }
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
    let standin = Standin::spawn(command);
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
async fn sigterm_ends_it_when_nothing_is_registered() {
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
    world.edge.wait_for(DEADLINE, rejected).await.expect("the lost connection is rejected again and again");
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
    let _second = Standin::spawn(command);
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

/// A connector that registered, and its world.
async fn ordered(order: &Order) -> (World, Standin) {
    let world = World::new().await;
    let standin = world.run(FAST);
    world.connections(4).await;
    assert_eq!(world.edge.order(&Scope::default(), order), 1, "one order a connector");
    (world, standin)
}

#[tokio::test]
async fn it_exits_and_crashes_on_order() {
    let (world, standin) = ordered(&Order::Exit { status: 7 }).await;
    assert_eq!(standin.ends().await.0.code(), Some(7));
    world.connections(0).await;
    let lost = world.edge.events().into_iter().filter(|event| event.what == What::Lost).count();
    assert_eq!(lost, 4, "without unregistering");
    let (_world, standin) = ordered(&Order::Crash).await;
    assert_eq!(standin.ends().await.0.signal(), Some(9));
}

#[tokio::test]
async fn it_takes_orders_without_an_edge_too() {
    let world = World::new().await;
    let mut standin = world.run(FAST);
    world.connections(4).await;
    let connector = world.edge.events()[0].who.connector.clone();
    assert_eq!(orders::pid(&connector), Some(standin.pid().as_raw()));
    orders::give(&connector, &Order::Print { line: "as ordered".into() }).unwrap();
    standin.says(|log| log.contains("as ordered\n")).await;
    orders::give(&connector, &Order::Exit { status: 9 }).unwrap();
    assert_eq!(standin.ends().await.0.code(), Some(9));
    assert_eq!(orders::pid(&connector), None);
    assert!(orders::give(&connector, &Order::Crash).is_err(), "it is gone");
}

#[tokio::test]
async fn it_freezes_on_order_and_thaws() {
    let (world, mut standin) = ordered(&Order::Freeze).await;
    standin.is_frozen().await;
    let unanswered = timeout(Duration::from_millis(200), get(world.metrics(), "/ready")).await;
    assert!(unanswered.is_err(), "it listens and does not answer");
    assert_eq!(world.edge.registered_now(TUNNEL).connections, 4, "the edge cannot tell");
    assert!(standin.runs());
    assert_eq!(world.edge.thaw(&Scope::default()), 1);
    assert_eq!(timeout(DEADLINE, get(world.metrics(), "/ready")).await.unwrap().unwrap().0, 200);
}

#[tokio::test]
async fn it_misuses_its_output_on_order() {
    let (world, mut standin) = ordered(&Order::Flood { bytes: 1 << 20 }).await;
    standin.says(|log| log.bytes().filter(|byte| *byte == b'#').count() == 1 << 20).await;
    let line = "no JSON at all".to_owned();
    world.edge.order(&Scope::default(), &Order::Print { line });
    standin.says(|log| log.ends_with("#no JSON at all\n")).await;
    world.edge.order(&Scope::default(), &Order::CloseOutput);
    standin.output_ends().await;
    assert_eq!(get(world.metrics(), "/ready").await.unwrap().0, 200, "it works on");
    standin.signal(Signal::SIGTERM);
    assert_eq!(standin.ends().await.0.code(), Some(0));
}

#[tokio::test]
async fn it_shows_a_foreign_id_on_order() {
    let foreign = "00000000-0000-4000-8000-000000000000".to_owned();
    let (world, _standin) = ordered(&Order::ForeignId { connector: foreign.clone() }).await;
    let shown = async { while !get(world.metrics(), "/ready").await.unwrap().1.contains(&foreign) {} };
    timeout(DEADLINE, shown).await.unwrap();
    assert_eq!(get(world.metrics(), "/ready").await.unwrap().0, 200);
}

#[tokio::test]
async fn it_dies_when_nobody_reads_its_log_any_more() {
    let world = World::new().await;
    let mut command = world.command("config.yml", FAST);
    command.arg("run").stderr(std::process::Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().unwrap();
    world.connections(4).await;
    drop(child.stderr.take());
    world.edge.order(&Scope::default(), &Order::Print { line: "to nobody".into() });
    assert!(timeout(DEADLINE, child.wait()).await.unwrap().unwrap().signal().is_some());
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
    let event = world.edge.wait_for(DEADLINE, registered).await.expect("it finds the one that accepts");
    assert_eq!(event.edge, good);
    assert!(world.edge.set_at(world.metrics(), Conduct::Accept).await.is_err());
}

#[tokio::test]
async fn the_control_shows_and_sets_all_of_it() {
    let world = World::new().await;
    let address = world.block.address(40, 80);
    let listener = TcpListener::bind(address).await.unwrap();
    let edge = world.edge.clone();
    tokio::spawn(http::serve(listener, move |asked| control::answer(edge.clone(), asked)));
    let _standin = world.run(FAST);
    world.connections(4).await;

    let (status, state) = get(address, "/_control/state").await.unwrap();
    assert_eq!((status, state.matches(TUNNEL).count()), (200, 4));
    let (_, registered) = get(address, &format!("/_control/registered?tunnel={TUNNEL}")).await.unwrap();
    assert_eq!(registered, "{\"connectors\":1,\"connections\":4}");
    let (_, then) = get(address, &format!("/_control/registered?tunnel={TUNNEL}&at=1")).await.unwrap();
    assert_eq!(then, "{\"connectors\":0,\"connections\":0}");
    let (_, events) = get(address, "/_control/events").await.unwrap();
    assert_eq!(events.matches("\"what\":\"registered\"").count(), 4);
    let (_, held) = get(address, &format!("/_control/never-zero?tunnel={TUNNEL}")).await.unwrap();
    assert!(held.contains("\"held\":false"), "{held}");

    let secret = format!("{{\"tunnel\": \"{TUNNEL}\", \"secret\": \"{SECRET}\"}}");
    let (_, state) = post(address, "/_control/secret", &secret).await.unwrap();
    assert!(state.contains("guarded_tunnels") && !state.contains(SECRET));
    let (_, state) = post(address, "/_control/conduct", "{\"conduct\": \"black-hole\"}").await.unwrap();
    assert_eq!(state.matches("\"black-hole\"").count(), 4);
    let (_, dropped) = post(address, "/_control/drop", "{\"index\": 3}").await.unwrap();
    assert_eq!(dropped, "{\"count\":1}");
    let order = "{\"order\": {\"do\": \"exit\", \"status\": 3}}";
    assert_eq!(post(address, "/_control/order", order).await.unwrap().1, "{\"count\":1}");
    world.connections(0).await;
    assert_eq!(post(address, "/_control/outage", "").await.unwrap(), (200, "{\"count\":0}".into()));
    assert_eq!(post(address, "/_control/drop", "{\"indx\": 3}").await.unwrap().0, 400);
    assert_eq!(get(address, "/_control/nothing").await.unwrap().0, 404);
}
