//! Hand-overs: what is taken, what is refused, who goes first, and the way back.

use crate::world::{FOUR, World, at, installed};
use cflared_verdict::{
    Answer, Complaint, Config, Ended, Event, FailureKind, Generation, Health, Hold, Holder, Order, Place, Reach, Ready,
    Request, RequestId, Verdict,
};
use std::collections::BTreeMap;
use std::time::Duration;

fn is_start(order: &Order) -> bool {
    matches!(order, Order::Start { .. })
}

fn is_install(order: &Order) -> bool {
    matches!(order, Order::Install { .. })
}

fn is_commit(order: &Order) -> bool {
    matches!(order, Order::Commit { .. })
}

fn serves(world: &World) -> String {
    world.verdict.view(world.now).installed.expect("a bundle is in use").version.0
}

fn trouble(world: &World) -> String {
    world.verdict.view(world.now).trouble.unwrap_or_default()
}

fn answers(world: &World) -> Vec<(u64, Ended, String)> {
    let answer = |order: &Order| match order {
        Order::Answer { request, answer: Answer { ended, text } } => Some((request.0, *ended, text.clone())),
        _ => None,
    };
    world.given.iter().filter_map(|(_, order)| answer(order)).collect()
}

/// What a new agent does with a newer version while the bundle that it found has not registered yet.
mod start {
    use super::*;

    /// A host that starts `v0` while the secret has `v1`, after so many seconds.
    fn started(seconds: u64, prepare: impl FnOnce(&mut World)) -> World {
        let mut world = World::booted(Some(installed(1, "v0")));
        world.ready_of.insert("v0", Ready::No);
        prepare(&mut world);
        world.run(seconds);
        world
    }

    #[test]
    fn what_it_found_is_given_its_time_and_the_newer_version_takes_its_turn() {
        let mut world = started(30, |_| {});
        assert_eq!(world.count(is_install), 0);
        world.ready_of.clear();
        world.run(60);
        assert_eq!(world.count(|order| matches!(order, Order::CompareOrigins { .. })), 1);
        assert_eq!(serves(&world), "v1");
    }

    #[test]
    fn what_does_not_register_is_replaced() {
        let world = started(90, |_| {});
        assert!((60..=75).contains(&world.when(is_install).unwrap()), "{:?}", world.when(is_install));
        assert_eq!(serves(&world), "v1");
    }

    #[test]
    fn what_the_edge_refuses_is_replaced_at_once() {
        let world = started(15, |world| world.complain_of("v0", Complaint::Unauthorized));
        assert_eq!(world.count(is_install), 1);
        assert_eq!(serves(&world), "v1");
    }
}

/// A world whose secret has a new version that was read.
fn with_new_version(prepare: impl FnOnce(&mut World)) -> World {
    let mut world = World::registered();
    world.secret = Some("v2");
    prepare(&mut world);
    world.run(400);
    world
}

mod refusal {
    use super::*;

    #[test]
    fn a_version_that_would_lose_an_origin_is_refused_before_a_connector_is_started() {
        let lost = "db.example.com: tcp://10.0.0.9:3306 does not answer";
        let mut world = with_new_version(|world| world.origins_lost = Ok(vec![lost.into()]));
        assert_eq!((world.count(is_start), world.count(is_commit)), (0, 0));
        assert_eq!(world.count(|order| matches!(order, Order::Discard { .. })), 1);
        assert!(trouble(&world).contains(lost), "{}", trouble(&world));
        world.run(3000);
        assert_eq!(world.count(is_install), 1, "refused for good");
        (world.secret, world.origins_lost) = (Some("v3"), Ok(vec![]));
        world.run(400);
        assert_eq!(serves(&world), "v3");
        assert!(world.transitions().is_empty());
    }

    #[test]
    fn origins_that_cannot_be_compared_are_compared_later() {
        let mut world = with_new_version(|world| world.origins_lost = Err(FailureKind::Host));
        assert_eq!(world.count(is_start), 0);
        world.origins_lost = Ok(vec![]);
        world.run(700);
        assert_eq!(serves(&world), "v2");
    }

    #[test]
    fn credentials_that_the_edge_refuses_are_refused_for_good_after_their_time() {
        let mut world = World::registered();
        (world.secret, world.ready_of) = (Some("v2"), [("v2", Ready::No)].into());
        while world.count(is_start) == 0 {
            world.run(1);
        }
        let begun = world.second();
        world.complain_of("v2", Complaint::Unauthorized);
        world.run(40);
        assert_eq!(world.verdict.view(world.now).refusing, None, "the edge may be behind");
        world.run(40);
        assert!(world.verdict.view(world.now).refusing.is_some(), "after {} s", world.second() - begun);
        world.run(3000);
        assert_eq!(world.count(is_install), 1);
        assert_eq!(serves(&world), "v1");
        assert!(world.transitions().is_empty());
    }

    #[test]
    fn files_that_cloudflared_refuses_are_refused_at_once() {
        let mut world = World::registered();
        (world.secret, world.ready_of) = (Some("v2"), [("v2", Ready::No)].into());
        while world.count(is_start) == 0 {
            world.run(1);
        }
        world.complain_of("v2", Complaint::ConfigRefused);
        world.run(1);
        assert!(trouble(&world).contains("ConfigRefused"), "{}", trouble(&world));
    }

    #[test]
    fn what_was_refused_is_tried_when_nothing_else_is_registered() {
        let mut world = with_new_version(|world| world.origins_lost = Ok(vec!["an origin".into()]));
        assert!(world.verdict.view(world.now).refusing.is_some());
        world.ready_of.insert("v1", Ready::No);
        world.run(60);
        assert_eq!(serves(&world), "v2");
        assert_eq!(world.verdict.health(), Health::Registered);
    }

    /// Its tunnel is lost every three minutes, and the version in the secret is one that cloudflared does not take.
    #[test]
    fn what_was_refused_is_tried_ever_more_seldom_from_one_outage_to_the_next() {
        let mut world = with_new_version(|world| world.origins_lost = Ok(vec!["an origin".into()]));
        world.given.clear();
        for _ in 0..40 {
            world.ready_of = [("v1", Ready::No), ("v2", Ready::No)].into();
            world.run(60);
            if world.verdict.view(world.now).runs.iter().any(|(_, run)| run.installed.version.0 == "v2") {
                world.complain_of("v2", Complaint::ConfigRefused);
            }
            world.run(5);
            world.ready_of = [("v2", Ready::No)].into();
            world.run(115);
        }
        let tried = world.count(is_install);
        assert!((3..=6).contains(&tried), "at once, and after 5, 10, 20 … 60 minutes of two hours: {tried}");
        assert_eq!(serves(&world), "v1");
    }

    #[test]
    fn a_refusal_outlives_the_agent() {
        let world = with_new_version(|world| world.bad_bundle = true);
        let carried = serde_json::to_string(&world.verdict.carry()).unwrap();
        let next = Verdict::new(Config::default(), 7, serde_json::from_str(&carried).unwrap(), world.now);
        assert_eq!(next.view(world.now).refusing, world.verdict.view(world.now).refusing);
    }
}

mod sameness {
    use super::*;

    #[test]
    fn a_version_that_means_the_same_is_made_current_and_the_connector_stays() {
        let mut world = with_new_version(|world| world.equivalent = true);
        assert_eq!((world.count(is_start), world.count(is_commit)), (0, 1));
        assert_eq!(serves(&world), "v2");
        let run = world.verdict.view(world.now).runs[0].1.clone();
        assert_eq!(
            (run.installed.generation.0, run.installed.version.0.as_str()),
            (2, "v2"),
            "what is gone back to is what `current` names"
        );
        world.run(3000);
        assert_eq!(world.count(is_install), 1);
    }

    #[test]
    fn so_it_does_where_the_connector_is_not_registered() {
        let mut world = World::registered();
        (world.secret, world.equivalent, world.ready) = (Some("v2"), true, Ready::No);
        world.run(80);
        assert_eq!((world.count(is_install), world.count(is_start)), (1, 0));
        assert_eq!(serves(&world), "v2");
        world.tell(Event::Operator(Request::Reload(RequestId(1))));
        world.run(10);
        assert_eq!(world.count(is_start), 1, "whoever asks for another connector gets one");
    }

    /// What the connector runs from may be gone, and reports another version than the others after a restart of the agent.
    #[test]
    fn what_is_gone_back_to_is_what_current_named() {
        let mut world = with_new_version(|world| world.equivalent = true);
        (world.secret, world.equivalent) = (Some("v3"), false);
        world.run(330);
        assert_eq!(serves(&world), "v3");
        world.ready_of.insert("v3", Ready::No);
        world.run(80);
        let commits: Vec<_> =
            world.given.iter().filter(|(_, order)| is_commit(order)).map(|(_, order)| order).collect();
        assert_eq!(commits.last(), Some(&&Order::Commit { generation: Generation(2) }));
        assert_eq!(serves(&world), "v2");
    }
}

mod memory {
    use super::*;

    #[test]
    fn without_room_for_two_the_old_one_ends_first_and_it_is_said() {
        let world = with_new_version(|world| world.available = 80);
        let begun = world.when(|order| matches!(order, Order::Drain { .. })).unwrap();
        assert_eq!(world.when(is_start), Some(begun), "the new one is started when the old one has ended");
        assert_eq!(serves(&world), "v2");
        assert_eq!(world.transitions(), ["registered → remediating", "remediating → broken", "broken → registered"]);
        assert!(world.decisions.iter().any(|decision| decision.what == "no room for two connectors"));
    }
}

mod probation {
    use super::*;

    #[test]
    fn lost_within_it_the_bundle_before_comes_back_and_the_version_is_put_off() {
        let mut world = with_new_version(|_| {});
        assert_eq!(serves(&world), "v2");
        let begun = world.second();
        world.ready_of.insert("v2", Ready::No);
        world.run(30);
        assert_eq!(serves(&world), "v1", "after {} s", world.second() - begun);
        assert!(trouble(&world).contains("lost within its probation"), "{}", trouble(&world));
        assert_eq!(world.verdict.health(), Health::Registered);
        world.ready_of.clear();
        world.run(1500);
        assert_eq!(serves(&world), "v2", "it is tried again");
        world.run(400);
        assert_eq!(world.verdict.view(world.now).refusing, None);
    }

    #[test]
    fn in_an_outage_that_neither_bundle_ends_the_way_back_is_tried_ever_more_seldom() {
        let mut world = with_new_version(|_| {});
        world.ready = Ready::No;
        world.run(3 * 3600);
        let returns = world.decisions.iter().filter(|decision| decision.what.starts_with("try the previous bundle"));
        let at: Vec<u64> = returns.map(|decision| decision.at.since_boot().as_secs()).collect();
        let pauses: Vec<u64> = at.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!((6..=9).contains(&at.len()), "{at:?}");
        assert!(pauses.is_sorted() && pauses.iter().all(|pause| *pause < 3700), "{pauses:?}");
        world.ready = FOUR;
        world.run(400);
        assert_eq!(world.verdict.health(), Health::Registered);
    }

    #[test]
    fn lost_where_there_is_no_room_for_two_it_is_put_off_too_and_the_bundle_before_is_no_step_on_the_way_back_to_it() {
        let mut world = with_new_version(|_| {});
        world.available = 80;
        world.ready_of.insert("v2", Ready::No);
        world.run(30);
        assert_eq!(serves(&world), "v1");
        assert!(world.verdict.view(world.now).refusing.is_some());
        assert_eq!(world.verdict.view(world.now).previous, None);
        world.run(200);
        assert_eq!((serves(&world).as_str(), world.count(is_install)), ("v1", 1), "it is not taken again at once");
        assert_eq!(world.verdict.health(), Health::Registered);
    }

    #[test]
    fn what_never_registered_is_no_way_back_and_the_time_of_what_follows_it_is_its_own() {
        let mut world = with_new_version(|_| {});
        world.run(100);
        world.ready = Ready::No;
        for version in ["v3", "v4"] {
            world.secret = Some(version);
            let begun = world.second();
            while serves(&world) != version {
                world.run(5);
                assert!(world.second() - begun < 1000, "{version} is not taken: {:#?}", world.decisions);
            }
        }
        world.ready = FOUR;
        world.run(20);
        let previous = world.verdict.view(world.now).previous.expect("it is on probation");
        assert_eq!((serves(&world).as_str(), previous.version.0.as_str()), ("v4", "v2"));
        let until = world.verdict.view(world.now).changing_until.expect("its time runs");
        assert!(until.since(world.now) > Duration::from_secs(240), "{until:?} at {:?}", world.now);
    }

    /// It registers for a while, and is lost, again and again; and the edge does not take the one before any more.
    #[test]
    fn a_way_back_that_was_shown_to_be_none_is_tried_ever_more_seldom() {
        let mut world = with_new_version(|_| {});
        world.ready_of.insert("v1", Ready::No);
        let begun = world.count(is_start);
        for _ in 0..20 {
            world.ready_of.insert("v2", Ready::No);
            world.run(100);
            world.ready_of.insert("v2", FOUR);
            world.run(80);
        }
        let returns = world.count(is_start) - begun;
        assert!((3..=6).contains(&returns), "after 2, 4, 8 … minutes of an hour: {returns}");
    }

    #[test]
    fn lost_by_its_credentials_it_is_refused_for_good() {
        let mut world = with_new_version(|_| {});
        world.ready_of.insert("v2", Ready::No);
        world.look();
        world.complain_of("v2", Complaint::Unauthorized);
        world.run(30);
        assert_eq!(serves(&world), "v1");
        world.run(3000);
        assert_eq!(serves(&world), "v1");
        assert_eq!(world.count(is_install), 1);
    }

    #[test]
    fn lost_together_with_the_edge_nothing_is_refused() {
        let mut world = with_new_version(|_| {});
        world.ready = Ready::No;
        world.run(300);
        assert_eq!(serves(&world), "v2");
        world.ready = FOUR;
        world.run(100);
        assert_eq!(serves(&world), "v2");
        assert_eq!(world.verdict.view(world.now).refusing, None);
        assert_eq!(world.verdict.health(), Health::Registered);
    }

    #[test]
    fn after_it_there_is_no_way_back() {
        let mut world = with_new_version(|_| {});
        world.run(310);
        world.ready_of.insert("v2", Ready::No);
        world.run(100);
        assert_eq!(serves(&world), "v2");
        assert_eq!(world.verdict.view(world.now).changing, None);
    }

    #[test]
    fn a_new_agent_knows_of_it() {
        let mut world = with_new_version(|_| {});
        let mut next = World::reborn(
            serde_json::from_value(serde_json::to_value(world.verdict.carry()).unwrap()).unwrap(),
            world.now,
        );
        next.secret = Some("v2");
        next.ready_of.insert("v2", Ready::No);
        next.knows(&installed(1, "v1"));
        next.tell(Event::Identified { installed: Some(installed(2, "v2")) });
        next.run(40);
        assert_eq!(serves(&next), "v1");
        world.run(1);
    }
}

mod turns {
    use super::*;

    fn rank(rank: u32) -> Result<Place, FailureKind> {
        Ok(Place { lifecycle: "InService".into(), rank, ..Place::default() })
    }

    /// The seconds from the read that found the new version to its installation.
    fn waited(prepare: impl FnOnce(&mut World)) -> Option<u64> {
        let mut world = World::registered();
        world.secret = Some("v2");
        prepare(&mut world);
        world.run(3000);
        let read = world.when(|order| *order == Order::ReadPlace).expect("the rank is asked for");
        world.when(is_install).map(|at| at - read)
    }

    #[test]
    fn the_first_goes_at_once_and_the_others_when_it_has_proven_itself() {
        assert_eq!(waited(|world| world.place = rank(0)), Some(0));
        assert_eq!(waited(|world| world.place = rank(1)), Some(850));
        assert_eq!(waited(|world| world.place = rank(2)), Some(920));
    }

    #[test]
    fn without_a_group_there_is_nobody_to_wait_for_and_an_unknown_rank_is_not_the_first() {
        assert_eq!(waited(|world| world.place = Err(FailureKind::Missing)), Some(0));
        assert_eq!(waited(|world| world.place = Err(FailureKind::Disabled)), Some(0));
        assert_eq!(waited(|world| world.place = Err(FailureKind::Denied)), Some(850));
    }

    #[test]
    fn while_another_one_refuses_a_version_nobody_follows() {
        assert_eq!(waited(|world| (world.place, world.refusals) = (rank(1), Ok(1))), None);
        let unreadable = |world: &mut World| (world.place, world.refusals) = (rank(1), Err(FailureKind::Throttled));
        assert_eq!(waited(unreadable), Some(850 + 5 * 60), "what cannot be read does not keep an old secret for ever");
    }

    #[test]
    fn the_first_waits_only_while_another_one_is_seen_to_refuse_what_it_has_not_tried_itself() {
        assert_eq!(waited(|world| (world.place, world.refusals) = (rank(0), Ok(1))), None, "it came back into service");
        assert_eq!(waited(|world| (world.place, world.refusals) = (rank(0), Err(FailureKind::Throttled))), Some(0));
        let mut world = with_new_version(|world| _ = world.ready_of.insert("v2", Ready::No));
        assert_eq!((serves(&world).as_str(), world.count(is_install)), ("v1", 1));
        (world.ready_of, world.refusals) = (BTreeMap::new(), Ok(1));
        world.run(1000);
        assert_eq!(serves(&world), "v2", "or nobody of a group that put it off would ever try it again");
    }

    /// As after an outage of the edge in which each of them tried it: none of them would ever begin.
    #[test]
    fn instances_that_put_off_the_same_version_do_not_wait_for_each_other_for_ever() {
        let mut world = World::registered();
        (world.secret, world.place, world.refusals) = (Some("v2"), rank(2), Ok(2));
        (world.ready, world.edge) = (Ready::No, Some(Reach::Failed));
        world.run(120);
        (world.ready, world.edge) = (FOUR, Some(Reach::Answered));
        world.ready_of.insert("v2", Ready::No);
        world.run(200);
        assert_eq!(serves(&world), "v1");
        (world.ready_of, world.given) = (BTreeMap::new(), vec![]);
        world.run(2 * 3600);
        assert_eq!(world.count(is_install), 0, "those before it go first");
        world.run(1800);
        assert_eq!((serves(&world).as_str(), world.count(is_install)), ("v2", 1));
    }

    #[test]
    fn who_is_not_registered_does_not_wait() {
        let mut world = World::registered();
        (world.secret, world.place) = (Some("v2"), rank(1));
        while world.verdict.view(world.now).changing.is_none() {
            world.run(1);
        }
        world.ready_of.insert("v1", Ready::No);
        world.run(10);
        assert_eq!(serves(&world), "v2");
    }

    #[test]
    fn a_version_that_is_taken_back_before_its_turn_is_never_installed() {
        let mut world = World::registered();
        (world.secret, world.place) = (Some("v2"), rank(1));
        world.run(330);
        assert!(world.verdict.view(world.now).changing.unwrap().contains("v2"));
        world.secret = Some("v1");
        world.run(2000);
        assert_eq!(world.count(is_install), 0);
    }

    #[test]
    fn a_new_binary_is_handed_over_to_only_when_the_settings_say_so() {
        for (wanted, starts) in [(false, 0), (true, 1)] {
            let mut world = World::with(Config { on_new_binary: wanted, ..Config::default() });
            world.tell(Event::NewBinary { version: "2026.9.0".into() });
            world.run(100);
            assert_eq!(world.count(is_start), starts);
            assert_eq!(world.count(is_install), 0);
            assert!(world.transitions().is_empty());
        }
    }
}

mod reload {
    use super::*;

    fn reload(world: &mut World, id: u64) {
        world.tell(Event::Operator(Request::Reload(RequestId(id))));
    }

    #[test]
    fn without_anything_new_it_is_a_new_connector_from_the_same_bundle() {
        let mut world = World::registered();
        reload(&mut world, 1);
        world.run(20);
        assert_eq!((world.count(is_install), world.count(is_start)), (0, 1));
        let [(1, Ended::Done, text)] = &answers(&world)[..] else { panic!("{:?}", answers(&world)) };
        assert_eq!(text, "secret version v1 serves now (generation 1)");
        assert!(world.transitions().is_empty());
        assert_eq!(world.verdict.view(world.now).changing, None, "there is no other bundle to go back to");
    }

    #[test]
    fn it_takes_the_newest_version_without_waiting_for_its_turn() {
        let mut world = World::registered();
        world.secret = Some("v2");
        world.place = Ok(Place { lifecycle: "InService".into(), rank: 3, ..Place::default() });
        reload(&mut world, 1);
        world.run(20);
        assert_eq!(serves(&world), "v2");
        assert!(matches!(&answers(&world)[..], [(1, Ended::Done, text)] if text.contains("v2")));
    }

    #[test]
    fn a_refused_version_is_tried_anew() {
        let mut world = with_new_version(|world| world.origins_lost = Ok(vec!["an origin".into()]));
        reload(&mut world, 1);
        world.run(20);
        assert!(matches!(&answers(&world)[..], [(1, Ended::Refused, text)] if text.contains("an origin")));
        world.origins_lost = Ok(vec![]);
        reload(&mut world, 2);
        world.run(20);
        assert!(matches!(answers(&world)[1], (2, Ended::Done, _)));
        assert_eq!(serves(&world), "v2");
    }

    #[test]
    fn each_that_comes_during_one_is_done_after_it() {
        let mut world = World::registered();
        reload(&mut world, 1);
        reload(&mut world, 2);
        reload(&mut world, 3);
        world.run(60);
        let ids: Vec<_> = answers(&world).iter().map(|(id, ended, _)| (*id, *ended)).collect();
        assert_eq!(ids, [(1, Ended::Done), (2, Ended::Done), (3, Ended::Done)]);
        assert_eq!(world.count(is_start), 2, "the second and the third share a hand-over");
    }

    #[test]
    fn what_fails_is_told_and_what_serves_stays() {
        for (prepare, ended) in [
            ((|world| world.secret = None) as fn(&mut World), Ended::Failed),
            (|world| (world.secret, world.bad_bundle) = (Some("v2"), true), Ended::Refused),
            (|world| (world.secret, world.bad_disk) = (Some("v2"), true), Ended::Failed),
            (|world| (world.secret, world.ready_of) = (Some("v2"), [("v2", Ready::No)].into()), Ended::Failed),
        ] {
            let mut world = World::registered();
            prepare(&mut world);
            reload(&mut world, 1);
            world.run(100);
            assert!(matches!(answers(&world)[..], [(1, found, _)] if found == ended), "{:?}", answers(&world));
            assert_eq!(serves(&world), "v1");
            assert!(world.transitions().is_empty());
        }
    }

    #[test]
    fn it_is_refused_at_once_while_a_hold_is_in_force_or_nothing_is_known() {
        let mut world = World::registered();
        let hold = Hold { until: None, note: "maintenance".into() };
        world.tell(Event::Hold { by: Holder::Operator, hold: Some(hold) });
        reload(&mut world, 1);
        assert!(matches!(&answers(&world)[..], [(1, Ended::Refused, text)] if text.contains("maintenance")));
        let mut world = World::new(Default::default());
        reload(&mut world, 2);
        assert!(matches!(answers(&world)[..], [(2, Ended::Failed, _)]));
    }

    #[test]
    fn a_stop_answers_it() {
        let mut world = World::registered();
        reload(&mut world, 1);
        world.tell(Event::Operator(Request::Stop));
        assert!(matches!(answers(&world)[..], [(1, Ended::Failed, _)]));
    }

    #[test]
    fn where_nothing_is_registered_the_answer_is_whether_the_new_connector_registers() {
        for (later, ended) in [(FOUR, Ended::Done), (Ready::No, Ended::Failed)] {
            let mut world = World::registered();
            world.ready = Ready::No;
            world.run(10);
            world.secret = Some("v2");
            reload(&mut world, 1);
            world.ready = later;
            world.run(70);
            assert!(matches!(answers(&world)[..], [(1, found, _)] if found == ended), "{:?}", answers(&world));
        }
    }
}

#[test]
fn the_seconds_of_these_worlds_start_at_1000() {
    assert_eq!(World::new(Default::default()).now, at(1000));
    assert!(Duration::from_secs(1000) > Config::default().startup_grace);
}
