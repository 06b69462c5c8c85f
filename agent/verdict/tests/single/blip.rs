//! A short loss of all connections.

use crate::world::{FOUR, World};
use cflared_verdict::{Complaint, Config, Mode, Observation, Order, Reach, Ready, Reason, RunFact, Stop, Transport};

fn blips(world: &World) -> Vec<(u64, Reason)> {
    let restart = |(second, order): &(u64, Order)| match order {
        Order::Restart { reason: reason @ (Reason::Blip | Reason::Transport), stop, .. } => {
            assert_eq!(*stop, Stop::AtOnce);
            Some((*second, *reason))
        }
        _ => None,
    };
    world.given.iter().filter_map(restart).collect()
}

/// A tunnel that was registered over that transport and is lost now.
fn lost(transport: Transport) -> (World, u64) {
    let mut world = World::registered();
    world.transport = Some(transport);
    world.run(5);
    world.ready = Ready::No;
    world.look();
    let began = world.second();
    (world, began)
}

#[test]
fn the_child_is_replaced_after_two_seconds_over_http2_and_seven_over_quic() {
    for (transport, from, to) in [(Transport::Http2, 2, 3), (Transport::Quic, 7, 8)] {
        let (mut world, began) = lost(transport);
        assert!(world.verdict.looks_closely(world.now));
        world.run(10);
        let [(at, Reason::Blip)] = blips(&world)[..] else { panic!("{:?}", blips(&world)) };
        assert!((from..=to).contains(&(at - began)), "{transport}: after {} s", at - began);
    }
}

#[test]
fn one_that_comes_back_by_itself_or_keeps_a_connection_is_left_alone() {
    let (mut world, _) = lost(Transport::Quic);
    world.run(4);
    world.ready = FOUR;
    world.run(60);
    assert_eq!(blips(&world), []);
    let mut world = World::registered();
    world.ready = Ready::Yes { connections: 1 };
    world.run(600);
    assert_eq!(blips(&world), []);
}

#[test]
fn it_waits_for_an_edge_that_answers() {
    let (mut world, began) = lost(Transport::Http2);
    world.edge = Some(Reach::Failed);
    world.run(50);
    let tried = world.count(|order| matches!(order, Order::ProbeEdge { transport: Transport::Http2, .. }));
    assert!((30..=36).contains(&tried), "every second for 30 s, then every five: {tried}");
    assert!(!world.verdict.looks_closely(world.now));
    world.edge = Some(Reach::Answered);
    world.run(20);
    let [(at, Reason::Blip)] = blips(&world)[..] else { panic!("{:?}", blips(&world)) };
    assert!((50..=66).contains(&(at - began)), "within 5 s, and a spread of 10 s");
}

#[test]
fn once_in_five_minutes_and_six_times_an_hour() {
    let (mut world, _) = lost(Transport::Http2);
    for _ in 0..120 {
        world.run(6);
        world.ready = FOUR;
        world.run(24);
        world.ready = Ready::No;
    }
    let made: Vec<u64> = blips(&world).iter().map(|(at, _)| *at).collect();
    assert!(made.windows(2).all(|two| two[1] - two[0] >= 300), "{made:?}");
    assert_eq!(made.len(), 6, "{made:?}");
}

#[test]
fn udp_that_is_shut_replaces_a_child_that_was_connected_over_quic() {
    let (mut world, began) = lost(Transport::Quic);
    world.udp = Some(Reach::Silent);
    world.run(10);
    let [(at, Reason::Transport)] = blips(&world)[..] else { panic!("{:?}", blips(&world)) };
    assert!(at - began <= 6, "after {} s", at - began);
    let (mut world, _) = lost(Transport::Quic);
    let run = world.verdict.view(world.now).runs[0].0;
    world.tell(cflared_verdict::Event::Run(run, RunFact::Spawned { pid: 8, pinned: Some(Transport::Quic) }));
    for ready in [FOUR, Ready::No] {
        let seen = Observation { ready, ha_connections: None, tries: None, transport: Some(Transport::Quic) };
        world.tell(cflared_verdict::Event::Run(run, RunFact::Observed(seen)));
    }
    world.udp = Some(Reach::Silent);
    world.run(60);
    assert_eq!(blips(&world), [], "one that may use nothing else");
}

#[test]
fn what_is_refused_is_not_replaced() {
    let (mut world, _) = lost(Transport::Http2);
    world.complain(Complaint::Unauthorized);
    world.run(300);
    assert_eq!(blips(&world), []);
}

#[test]
fn where_it_only_observes_nothing_is_done() {
    let mut world = World::with(Config { mode: Mode::Observe, ..Config::default() });
    world.ready = Ready::No;
    world.secret = Some("v2");
    world.run(3600);
    let acts = |order: &Order| {
        matches!(
            order,
            Order::Restart { .. }
                | Order::Install { .. }
                | Order::MarkUnhealthy
                | Order::Start { .. }
                | Order::Drain { .. }
        )
    };
    assert_eq!(world.count(acts), 0);
    assert!(world.verdict.view(world.now).guard.unwrap().contains("mode: observe"));
    assert!(world.decisions.iter().any(|decision| decision.what.contains("blame")), "it reports");
}
