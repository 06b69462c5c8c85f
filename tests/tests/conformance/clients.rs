//! Clients' streams through a cloudflared, over both transports: no recording has any.

use crate::FAST;
use crate::world::{DEADLINE, Running, TUNNEL, World, get, is_real};
use cflared_tests::edge::{ClientCounts, Route};
use cflared_tests::load::{Origin, ask};
use cloudflared::{Line, Symptom, classify};
use nix::sys::signal::Signal;
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

/// An origin that greets, and then answers each byte with the next one.
async fn origin(address: SocketAddr) {
    let listener = TcpListener::bind(address).await.unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                stream.write_all(b"hello").await.unwrap();
                while let Ok(byte) = stream.read_u8().await {
                    stream.write_u8(byte + 1).await.unwrap();
                }
            });
        }
    });
}

async fn client(address: SocketAddr) -> TcpStream {
    let mut client = TcpStream::connect(address).await.unwrap();
    let mut greeting = [0; 5];
    timeout(DEADLINE, client.read_exact(&mut greeting)).await.unwrap().unwrap();
    assert_eq!(&greeting, b"hello");
    client
}

async fn answers(client: &mut TcpStream) {
    client.write_u8(41).await.unwrap();
    assert_eq!(timeout(DEADLINE, client.read_u8()).await.unwrap().unwrap(), 42);
}

fn of_the_tunnel() -> Route {
    Route { tunnel: Some(TUNNEL.into()), ..Route::default() }
}

#[tokio::test]
async fn clients_reach_the_origin_and_drain() {
    let world = World::new().await;
    origin(world.origin()).await;
    let clients = world.edge.listen_clients(world.block.address(30, 3306), of_the_tunnel()).await.unwrap();
    let turned_away = TcpStream::connect(clients).await.unwrap().read_u8().await;
    assert!(turned_away.is_err(), "nothing is registered");

    let standin = world.run(FAST);
    world.connections(4).await;
    let (mut one, mut two) = (client(clients).await, client(clients).await);
    answers(&mut one).await;
    standin.signal(Signal::SIGTERM);
    world.connections(0).await;
    answers(&mut one).await;
    answers(&mut two).await;
    assert_eq!(get(world.metrics(), "/ready").await.unwrap().0, 503, "it drains");
    drop(one);
    drop(two);
    assert_eq!(standin.ends().await.0.code(), Some(0));
    let finished = ClientCounts { accepted: 3, refused: 1, forwarded: 2, finished: 2, cut: 0 };
    assert_eq!(world.edge.clients(), finished);
}

#[tokio::test]
async fn no_client_is_lost_when_one_of_two_connectors_stops() {
    let world = World::new().await;
    origin(world.origin()).await;
    let clients = world.edge.listen_clients(world.block.address(30, 3306), of_the_tunnel()).await.unwrap();
    let _stays = world.run(FAST);
    world.connections(4).await;
    // Clients go to each connection in turn, so half of them are on the second one when it stops.
    let mut command = world.command("config.yml", FAST);
    command.args(["--metrics", &world.block.address(10, 2001).to_string(), "run"]);
    let stops = Running::spawn(command);
    world.connections(8).await;
    let stopping = tokio::spawn(async move {
        stops.signal(Signal::SIGTERM);
        stops.ends().await.0
    });
    let mut served = 0;
    while !stopping.is_finished() || served < 50 {
        answers(&mut client(clients).await).await;
        served += 1;
    }
    assert_eq!(stopping.await.unwrap().code(), Some(0));
    let counts = world.edge.clients();
    assert_eq!((counts.forwarded, counts.refused, counts.cut), (served, 0, 0));
}

#[tokio::test]
async fn a_second_signal_or_the_grace_period_cuts_the_drain_short() {
    let world = World::new().await;
    origin(world.origin()).await;
    let clients = world.edge.listen_clients(world.block.address(30, 3306), Route::default()).await.unwrap();
    // The real one waits for the stream when its grace period is over: see the table of differences.
    for grace in if is_real() { vec!["100s"] } else { vec!["100s", "1s"] } {
        let mut command = world.command("config.yml", FAST);
        command.args(["--grace-period", grace, "run"]);
        let standin = Running::spawn(command);
        world.connections(4).await;
        let mut client = client(clients).await;
        let asked = Instant::now();
        standin.signal(Signal::SIGTERM);
        world.connections(0).await;
        answers(&mut client).await;
        if grace == "100s" {
            standin.signal(Signal::SIGTERM);
        }
        let status = standin.ends().await.0;
        // Go listens to the first signal only: the second does what it does to every program.
        let expected = if grace == "100s" { (None, Some(15)) } else { (Some(0), None) };
        assert_eq!((status.code(), status.signal()), expected, "{grace}");
        assert!(client.read_u8().await.is_err(), "the stream is cut");
        let took = asked.elapsed();
        assert!(
            if grace == "100s" { took < Duration::from_secs(50) } else { took >= Duration::from_secs(1) },
            "{took:?}"
        );
    }
}

#[tokio::test]
async fn streams_end_with_their_connection_and_with_a_dead_origin() {
    let world = World::new().await;
    let clients = world.edge.listen_clients(world.block.address(30, 3306), Route::default()).await.unwrap();
    let mut standin = world.run(FAST);
    world.connections(4).await;
    let mut unlucky = TcpStream::connect(clients).await.unwrap();
    assert!(timeout(DEADLINE, unlucky.read_u8()).await.unwrap().is_err(), "no origin yet");
    // The agent takes the line of the rule for what it is.
    let complaints = |log: &str| {
        let lines = log.lines().map(|line| classify(&Line::parse(line.as_bytes())).symptom);
        lines.filter(|symptom| *symptom == Symptom::OriginUnreachable).count()
    };
    standin.says(|log| complaints(log) >= 1 && log.contains("\"Failed to proxy HTTP: dial tcp")).await;
    drop(unlucky);
    origin(world.origin()).await;
    let mut client = client(clients).await;
    answers(&mut client).await;
    world.edge.outage().await.unwrap();
    assert!(timeout(DEADLINE, client.read_u8()).await.unwrap().is_err());
    let counts = world.edge.clients();
    assert_eq!(counts, ClientCounts { accepted: 2, refused: 0, forwarded: 2, finished: 1, cut: 1 });
}

#[tokio::test]
async fn clients_go_where_their_hostname_leads() {
    let world = World::new().await;
    let (named, any) = (world.block.address(21, 3306), world.block.address(22, 3306));
    let rules = format!(
        "tunnel: {TUNNEL}\ncredentials-file: {}\ningress:\n  - hostname: db.example.dev\n    service: tcp://{named}\n  \
         - hostname: '*.eu.example.dev'\n    service: tcp://{any}\n  - service: http_status:404\n",
        world.directory.join(format!("{TUNNEL}.json")).display()
    );
    world.write("config.yml", &rules);
    let _standin = world.run(FAST);
    world.connections(4).await;
    let clients_of = async |number, hostname: &str| {
        let route = Route { hostname: Some(hostname.into()), ..Route::default() };
        world.edge.listen_clients(world.block.address(number, 3306), route).await.unwrap()
    };
    let database = clients_of(31, "db.example.dev").await;
    let europe = clients_of(32, "db.eu.example.dev").await;
    let nobody = clients_of(33, "eu.example.dev").await;
    let _origin = Origin::start(named).await.unwrap();
    ask(database, 1).await.unwrap();
    assert!(ask(europe, 2).await.is_err(), "its origin does not listen");
    let _origin = Origin::start(any).await.unwrap();
    ask(europe, 3).await.unwrap();
    assert!(ask(nobody, 4).await.is_err(), "its rule has no origin");
    counted(&world, |counts| counts.finished == 4).await;
    assert_eq!(world.edge.broken_off().len(), 2, "by the far side");
}

#[tokio::test]
async fn clients_take_turns_and_are_lost_with_a_connector_that_dies() {
    let world = World::new().await;
    let _origin = Origin::start(world.origin()).await.unwrap();
    let clients = world.edge.listen_clients(world.block.address(30, 3306), of_the_tunnel()).await.unwrap();
    let _first = world.run(FAST);
    world.connections(4).await;
    let mut command = world.command("config.yml", FAST);
    command.args(["--metrics", &world.block.address(10, 2001).to_string(), "run"]);
    let second = Running::spawn(command);
    world.connections(8).await;
    // A frozen connector is registered, and answers nobody: of eight clients in turn, half are its.
    second.signal(Signal::SIGSTOP);
    second.is_frozen().await;
    let asked: Vec<_> = (0..8).map(|number| tokio::spawn(ask(clients, number))).collect();
    counted(&world, |counts| counts.accepted == 8 && counts.finished == 4).await;
    // What dies now has lost them, at once: they are not handed to the other one.
    second.kill().await;
    let mut served = 0;
    for asked in asked {
        served += u32::from(asked.await.unwrap().is_ok());
    }
    assert_eq!(served, 4);
    assert_eq!(world.edge.clients().refused, 4);
}

/// Waits until the edge has counted its clients so.
async fn counted(world: &World, fits: impl Fn(ClientCounts) -> bool) {
    let counted = async {
        while !fits(world.edge.clients()) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(DEADLINE, counted).await.unwrap_or_else(|_| panic!("{:?}", world.edge.clients()));
}
