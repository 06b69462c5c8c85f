//! What the counts of a connector say where cloudflared says nothing: refused or unanswered, and what comes of it.

use crate::world::{FOUR, World};
use cflared_verdict::{
    Blame, Complaint, Ending, Event, Health, Order, Purpose, Reach, Ready, Reason, Request, RequestId, RunFact, RunId,
    Transport, Tries,
};
use std::time::Duration;

fn is_mark(order: &Order) -> bool {
    *order == Order::MarkUnhealthy
}

fn is_opinion(order: &Order) -> bool {
    matches!(order, Order::Start { purpose: Purpose::Opinion, .. })
}

fn blame(world: &World) -> Option<Blame> {
    world.verdict.view(world.now).blame.map(|finding| finding.blame)
}

/// A tunnel over QUIC that is lost, whose connector tries again every 10 s, to that end.
fn lost(seconds: u64, refused: u64, unanswered: u64) -> World {
    let mut world = World::registered();
    world.transport = Some(Transport::Quic);
    world.run(5);
    world.ready = Ready::No;
    try_again(&mut world, seconds, refused, unanswered);
    world
}

fn try_again(world: &mut World, seconds: u64, refused: u64, unanswered: u64) {
    for _ in 0..seconds / 10 {
        let tries = world.tries.get_or_insert_default();
        (tries.refused, tries.unanswered) = (tries.refused + refused, tries.unanswered + unanswered);
        tries.dialled = Some(tries.dialled.unwrap_or_default() + refused + unanswered);
        world.run(10);
    }
}

#[test]
fn a_refusal_without_words_is_held_at_once_and_never_marked() {
    let mut world = lost(40, 1, 0);
    assert_eq!((blame(&world), world.verdict.health()), (Some(Blame::Refused), Health::Held));
    try_again(&mut world, 7200, 1, 0);
    assert_eq!((blame(&world), world.count(is_mark)), (Some(Blame::Refused), 0));
    let unregistered = |order: &Order| matches!(order, Order::Restart { reason: Reason::Unregistered, .. });
    let first = world.when(unregistered).unwrap();
    assert!(first >= world.second() - 7240 + 300, "the first after five minutes");
    assert!((4..=6).contains(&world.count(unregistered)), "{}", world.count(unregistered));
}

#[test]
fn tries_that_nobody_answers_are_this_hosts_if_others_are_registered() {
    let world = lost(140, 0, 1);
    assert_eq!((blame(&world), world.count(is_mark)), (Some(Blame::Unknown), 1));
    assert!(world.verdict.view(world.now).blame.unwrap().evidence.contains("not answered"));
}

#[test]
fn a_mark_for_what_turns_out_to_be_refused_is_taken_back() {
    let mut world = lost(140, 0, 1);
    assert_eq!(world.verdict.health(), Health::Condemned);
    try_again(&mut world, 60, 1, 0);
    assert_eq!(world.count(|order| *order == Order::MarkHealthy), 1);
    assert_eq!((blame(&world), world.verdict.health()), (Some(Blame::Refused), Health::Held));
    try_again(&mut world, 3600, 1, 0);
    assert_eq!((world.count(is_mark), world.verdict.health()), (1, Health::Held));
}

#[test]
fn later_tries_that_do_not_get_so_far_end_a_refusal() {
    let mut dialled = lost(40, 1, 0);
    dialled.tries.as_mut().unwrap().dialled = Some(100);
    dialled.run(5);
    assert_ne!(blame(&dialled), Some(Blame::Refused), "a hundred were dialled, and none got as far");
    let mut probed = lost(60, 1, 0);
    probed.edge = Some(Reach::Silent);
    probed.run(100);
    assert_eq!((blame(&probed), probed.count(is_mark)), (Some(Blame::HostNetwork), 1));
    let mut said = lost(40, 1, 0);
    said.run(1);
    said.complain(Complaint::EdgeUnreachable);
    said.run(5);
    assert_ne!(blame(&said), Some(Blame::Refused));
}

#[test]
fn a_new_child_that_is_refused_goes_on_with_the_count() {
    let mut world = lost(40, 1, 0);
    world.tell(Event::Run(RunId(1), RunFact::Spawned { pid: 9, pinned: None }));
    world.tries = Some(Tries { refused: 1, dialled: Some(1), ..Tries::default() });
    world.run(10);
    assert_eq!(blame(&world), Some(Blame::Refused));
}

#[test]
fn the_exits_of_a_child_that_was_refused_are_no_riddle() {
    let mut world = World::registered();
    world.ready = Ready::No;
    for _ in 0..8 {
        world.tries = Some(Tries { refused: 1, ..Tries::default() });
        world.run(10);
        let after = Duration::from_secs(9);
        let exited =
            RunFact::Exited { how: "exit status: 1".into(), ending: Ending::Status, after, respawn_in: Some(after) };
        world.tell(Event::Run(RunId(1), exited));
        world.tries = Some(Tries::default());
        world.run(5);
        world.tell(Event::Run(RunId(1), RunFact::Spawned { pid: 9, pinned: None }));
    }
    assert_eq!((blame(&world), world.count(is_mark)), (Some(Blame::Refused), 0));
}

#[test]
fn while_it_is_refused_the_secret_is_read_whole() {
    let world = lost(40, 1, 0);
    assert!(world.count(|order| *order == Order::ReadSecret { known: None }) >= 1);
    let calm = World::with(cflared_verdict::Config::default());
    assert_eq!(calm.count(|order| *order == Order::ReadSecret { known: None }), 0);
}

/// What is heard late, twice, or not for minutes, as by a loop that stalls.
mod late {
    use super::*;

    const STALLS: [u64; 5] = [0, 20, 100, 300, 1800];

    /// Nothing is heard for so long.
    fn stall(world: &mut World, seconds: u64) {
        world.now = world.now + Duration::from_secs(seconds);
        world.tell(Event::Wake);
    }

    fn fact(world: &mut World, fact: RunFact) {
        world.tell(Event::Run(RunId(1), fact));
    }

    fn says(complaint: Complaint) -> RunFact {
        RunFact::Complained { complaint, text: format!("{complaint:?}") }
    }

    #[test]
    fn a_refusal_that_was_counted_stands_until_something_contradicts_it() {
        for seconds in STALLS {
            let mut world = lost(40, 1, 0);
            for _ in 0..5 {
                stall(&mut world, seconds);
                assert_eq!(blame(&world), Some(Blame::Refused), "after {seconds} s");
                world.look();
                world.look();
                world.run(60);
                assert_eq!(blame(&world), Some(Blame::Refused), "{seconds} s, with what was counted before");
                try_again(&mut world, 10, 1, 0);
            }
            assert_eq!((world.count(is_mark), world.verdict.health()), (0, Health::Held), "{seconds} s");
            try_again(&mut world, 900, 0, 1);
            assert_eq!(blame(&world), Some(Blame::Unknown), "{seconds} s: later tries were not answered");
        }
    }

    /// Over HTTP/2 each child is refused, says so, exits, and is replaced; each new one complains of a name server while it starts and
    /// does not listen yet. A stall of each length lies before each of the events in turn, and words come before the exit or after it.
    #[test]
    fn children_that_are_refused_one_after_the_other_are_refused_whatever_is_late() {
        let exited = || RunFact::Exited {
            how: "exit status: 1".into(),
            ending: Ending::Status,
            after: Duration::from_secs(4),
            respawn_in: Some(Duration::from_secs(20)),
        };
        for (seconds, place) in STALLS.into_iter().flat_map(|seconds| (0..7).map(move |place| (seconds, place))) {
            for late_words in [false, true] {
                let mut world = World::registered();
                world.transport = Some(Transport::Http2);
                world.run(5);
                world.ready = Ready::No;
                world.tries = Some(Tries { refused: 1, ..Tries::default() });
                fact(&mut world, says(Complaint::EdgeRejected));
                world.run(5);
                for round in 0..12 {
                    let case = format!("{seconds} s before {place}, round {round}, late words: {late_words}");
                    let mut words = vec![exited(), says(Complaint::EdgeRejected)];
                    if !late_words {
                        words.reverse();
                    }
                    let mut facts = words.into_iter();
                    for step in 0..7 {
                        if step == place && round % 3 == 1 {
                            stall(&mut world, seconds);
                        }
                        match step {
                            0 | 1 => fact(&mut world, facts.next().unwrap()),
                            2 => world.run(20),
                            3 => {
                                world.tries = Some(Tries::default());
                                fact(&mut world, RunFact::Spawned { pid: 9, pinned: None });
                            }
                            4 => {
                                fact(&mut world, says(Complaint::DnsFailed));
                                // By the end of a stall it listens.
                                if place != 4 || round % 3 != 1 {
                                    world.ready = Ready::Unanswered { why: "connection refused".into() };
                                }
                                world.look();
                                world.ready = Ready::No;
                            }
                            5 => world.look(),
                            _ => {
                                world.run(4);
                                world.tries = Some(Tries { refused: 1, ..Tries::default() });
                                world.look();
                            }
                        }
                        // What it said at its start is heard so late that it might be of a try.
                        let misheard = place == 4 && round % 3 == 1 && (4..6).contains(&step);
                        assert!(misheard || blame(&world) == Some(Blame::Refused), "{case}, after {step}");
                    }
                }
                assert_eq!(world.count(is_mark), 0, "{seconds} s before {place}, late words: {late_words}");
            }
        }
    }

    /// The probe finds the edge out of reach, and the connector is answered all the same.
    #[test]
    fn a_probe_that_was_shown_to_be_wrong_ends_no_refusal() {
        let mut world = World::registered();
        (world.transport, world.edge) = (Some(Transport::Quic), Some(Reach::Failed));
        world.run(5);
        world.ready = Ready::No;
        for _ in 0..40 {
            try_again(&mut world, 10, 1, 0);
            world.run(35);
        }
        let blames = world.decisions.iter().filter(|decision| decision.what.starts_with("blame"));
        assert!(blames.count() <= 4, "the first probe that fails, and never again");
        assert_eq!((blame(&world), world.count(is_mark)), (Some(Blame::Refused), 0));
        world.tries.as_mut().unwrap().dialled = Some(1000);
        world.run(60);
        assert_eq!(blame(&world), Some(Blame::HostNetwork), "but it does not stand against its own tries");
    }

    /// A child that is stopped for another one does not answer: that is no hung process.
    #[test]
    fn a_child_that_makes_room_is_not_hung() {
        let mut world = lost(40, 1, 0);
        world.is_late = |order| matches!(order, Order::Restart { .. });
        while !world.given.iter().any(|(_, order)| matches!(order, Order::Restart { .. })) {
            try_again(&mut world, 10, 1, 0);
        }
        world.ready = Ready::Unanswered { why: "connection refused".into() };
        for _ in 0..30 {
            world.run(1);
            world.look();
            assert_eq!(blame(&world), Some(Blame::Refused));
        }
        world.ready = Ready::No;
        world.answer_late();
        world.run(10);
        assert_eq!(blame(&world), Some(Blame::Refused));
    }
}

mod opinion {
    use super::*;

    fn opinions(world: &World) -> usize {
        world.count(is_opinion)
    }

    /// The connector that was asked last.
    fn asked(world: &World) -> RunId {
        let start = world.given.iter().rev().find(|(_, order)| is_opinion(order)).unwrap();
        let Order::Start { run, .. } = &start.1 else { unreachable!("it is one") };
        *run
    }

    fn says(world: &mut World, complaint: Complaint) {
        let run = asked(world);
        world.tell(Event::Run(
            run,
            RunFact::Complained { complaint, text: "Unauthorized: Invalid tunnel secret".into() },
        ));
    }

    #[test]
    fn it_names_the_cause_within_45_seconds_and_ends() {
        let mut world = lost(30, 1, 0);
        assert_eq!(opinions(&world), 1, "two refusals, 12 s and a spread of 5 s");
        says(&mut world, Complaint::Unauthorized);
        world.run(1);
        assert_eq!(blame(&world), Some(Blame::Credentials));
        assert_eq!(world.count(|order| *order == Order::Drain { run: asked(&world) }), 1);
        try_again(&mut world, 200, 1, 0);
        assert_eq!((blame(&world), opinions(&world)), (Some(Blame::Credentials), 1), "as long as it is refused");
    }

    #[test]
    fn it_ends_after_20_seconds_and_is_asked_again_ever_more_seldom() {
        let mut world = lost(60, 1, 0);
        assert_eq!(world.count(|order| *order == Order::Drain { run: asked(&world) }), 1);
        try_again(&mut world, 3600, 1, 0);
        assert!((3..=5).contains(&opinions(&world)), "after 5, 10, 20 minutes: {}", opinions(&world));
    }

    #[test]
    fn its_exits_are_nobodys_fault() {
        let mut world = lost(30, 1, 0);
        let run = asked(&world);
        let after = Duration::from_secs(1);
        let exited = RunFact::Exited { how: "signal: 9".into(), ending: Ending::Crash, after, respawn_in: None };
        world.tell(Event::Run(run, exited));
        world.run(5);
        assert_eq!((blame(&world), world.count(|order| *order == Order::Drain { run })), (Some(Blame::Refused), 1));
    }

    #[test]
    fn if_it_registers_it_serves() {
        let mut world = lost(30, 1, 0);
        let run = asked(&world);
        let seen = cflared_verdict::Observation {
            ready: FOUR,
            ha_connections: None,
            tries: None,
            transport: Some(Transport::Http2),
        };
        world.tell(Event::Run(run, RunFact::Observed(seen)));
        assert_eq!(world.count(|order| *order == Order::Adopt { run }), 1);
        assert_eq!(world.count(|order| *order == Order::Drain { run: RunId(1) }), 1);
        assert_eq!(world.verdict.health(), Health::Registered);
    }

    #[test]
    fn without_room_or_where_tcp_is_shut_it_is_left_out() {
        for shut in [true, false] {
            let mut world = World::registered();
            world.transport = Some(Transport::Quic);
            world.run(5);
            (world.ready, world.available) = (Ready::No, 10);
            if shut {
                (world.edge, world.available) = (Some(Reach::Failed), 600);
            }
            try_again(&mut world, 50, 1, 0);
            assert_eq!(opinions(&world), 0, "TCP is shut: {shut}");
        }
    }

    #[test]
    fn over_http2_it_is_not_needed() {
        let mut world = World::registered();
        world.transport = Some(Transport::Http2);
        world.run(5);
        world.ready = Ready::No;
        try_again(&mut world, 100, 1, 0);
        assert_eq!((blame(&world), opinions(&world)), (Some(Blame::Refused), 0));
    }

    #[test]
    fn a_reload_takes_its_place_and_is_told_the_refusal() {
        let mut world = lost(30, 1, 0);
        let run = asked(&world);
        world.tell(Event::Operator(Request::Reload(RequestId(1))));
        assert_eq!(world.count(|order| *order == Order::Drain { run }), 1);
        try_again(&mut world, 70, 1, 0);
        let refused = |order: &Order| matches!(order, Order::Answer { answer, .. } if answer.ended == cflared_verdict::Ended::Refused);
        assert_eq!(world.count(refused), 1);
    }

    /// A new version whose successor the edge refuses over QUIC without a word.
    fn refused_on_trial() -> World {
        let mut world = World::registered();
        world.transport = Some(Transport::Quic);
        world.run(5);
        world.ready_of.insert("v2", Ready::No);
        world.secret = Some("v2");
        world.tell(Event::Operator(Request::Reload(RequestId(1))));
        world.tries = Some(Tries { refused: 3, dialled: Some(3), ..Tries::default() });
        world.run(70);
        world
    }

    fn answered(world: &World, ended: cflared_verdict::Ended) -> usize {
        world.count(|order| matches!(order, Order::Answer { answer, .. } if answer.ended == ended))
    }

    #[test]
    fn a_successor_that_is_refused_gives_its_place_to_one_that_says_why() {
        let mut world = refused_on_trial();
        assert_eq!(opinions(&world), 1);
        says(&mut world, Complaint::Unauthorized);
        assert_eq!(answered(&world, cflared_verdict::Ended::Refused), 1, "and whoever asked knows it");
        assert_eq!(world.count(|order| *order == Order::Drain { run: asked(&world) }), 1);
        assert_eq!(world.verdict.health(), Health::Registered);
        assert!(world.verdict.view(world.now).refusing.is_some());
        let mut world = refused_on_trial();
        world.run(30);
        assert_eq!(answered(&world, cflared_verdict::Ended::Failed), 1, "nobody said why: it is tried again");
    }

    #[test]
    fn a_successor_that_is_taken_over_http2_goes_on_trial_with_it() {
        let mut world = refused_on_trial();
        world.ready_of.insert("v2", FOUR);
        world.run(30);
        assert_eq!(world.count(|order| *order == Order::Adopt { run: asked(&world) }), 1);
        assert_eq!(answered(&world, cflared_verdict::Ended::Done), 1);
        assert_eq!(world.verdict.view(world.now).installed.unwrap().version.0, "v2");
    }
}
