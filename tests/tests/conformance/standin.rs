//! What only the stand-in can do, and always does here, whichever program is under test: to misbehave on order, as an agent
//! has to survive it. And the edge's control, which gives such orders.

use crate::FAST;
use crate::world::{DEADLINE, Running, SECRET, TUNNEL, World, get, post};
use cflared_tests::edge::{Order, Scope, What, control};
use cflared_tests::http;
use nix::sys::signal::Signal;
use std::os::unix::process::ExitStatusExt;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::time::timeout;

/// A connector that registered, and its world.
async fn ordered(order: &Order) -> (World, Running) {
    ordered_over("http2", order).await
}

async fn ordered_over(protocol: &'static str, order: &Order) -> (World, Running) {
    let world = World::over(protocol).await;
    let standin = world.run_the_standin(FAST);
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
    let (_world, standin) = ordered_over("quic", &Order::Exit { status: 8 }).await;
    assert_eq!(standin.ends().await.0.code(), Some(8));
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
    let mut command = world.command_of_the_standin("config.yml", FAST);
    command.arg("run").stderr(std::process::Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().unwrap();
    world.connections(4).await;
    drop(child.stderr.take());
    world.edge.order(&Scope::default(), &Order::Print { line: "to nobody".into() });
    assert!(timeout(DEADLINE, child.wait()).await.unwrap().unwrap().signal().is_some());
}

#[tokio::test]
async fn the_control_shows_and_sets_all_of_it() {
    let world = World::new().await;
    let address = world.block.address(40, 80);
    let listener = TcpListener::bind(address).await.unwrap();
    let edge = world.edge.clone();
    tokio::spawn(http::serve(listener, move |asked| control::answer(edge.clone(), asked)));
    let _standin = world.run_the_standin(FAST);
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
