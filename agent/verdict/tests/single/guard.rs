//! Whether it is safe to be replaced.

use crate::world::{FOUR, LOWER, ME, PEER, World, at, group};
use cflared_verdict::{
    Blame, DecisionKind, Event, FailureKind, Group, Health, Hold, Holder, Launch, Mark, Member, Order, Reach, Ready,
    Tries,
};
use std::time::Duration;

fn is_mark(order: &Order) -> bool {
    *order == Order::MarkUnhealthy
}

fn is_peers(order: &Order) -> bool {
    matches!(order, Order::ReadPeers { .. })
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A world whose connector cannot register any more, for `lasting` seconds, after `change`.
fn broken(lasting: u64, change: impl FnOnce(&mut World)) -> World {
    let mut world = World::registered();
    world.ready = Ready::No;
    change(&mut world);
    world.run(lasting);
    world
}

fn of(world: &mut World) -> &mut Group {
    world.group.as_mut().unwrap()
}

#[test]
fn a_healthy_group_with_a_live_peer_lets_it_go() {
    let world = broken(135, |_| {});
    assert_eq!(world.count(is_mark), 1);
    assert_eq!(world.verdict.health(), Health::Condemned);
}

/// How often each kind of that decision was told.
fn told(world: &World, what: &str) -> (usize, usize) {
    let of = |kind| world.decisions.iter().filter(|decision| decision.kind == kind && decision.what == what).count();
    (of(DecisionKind::Delay), of(DecisionKind::Refusal))
}

#[test]
fn what_passes_by_itself_is_a_persons_business_only_when_it_does_not() {
    type Case = (fn(&mut Group), usize);
    let cases: [Case; 3] = [
        (|group| group.refresh = Some("InProgress".into()), 1),
        (|group| group.members[1].lifecycle = "Terminating:Wait".into(), 1),
        (|group| group.suspended = vec!["Launch".into()], 0),
    ];
    for (objection, delays) in cases {
        let world = broken(600, |world| objection(of(world)));
        assert_eq!(told(&world, "not condemned for now"), (delays, 0));
        assert_eq!(told(&world, "not condemned: a person is needed"), (0, 1 - delays));
        let world = broken(3 * 3600, |world| objection(of(world)));
        assert_eq!(told(&world, "not condemned for now"), (delays, 0));
        assert_eq!(told(&world, "not condemned: a person is needed"), (0, 1), "and once only");
    }
}

#[test]
fn each_objection_holds_and_is_told_and_the_mark_is_made_when_it_is_gone() {
    type Case = (&'static str, fn(&mut Group));
    let cases: [Case; 13] = [
        ("does not list this instance", |group| group.me = "i-0fff".into()),
        ("is Standby in its group", |group| group.members[0].lifecycle = "Standby".into()),
        ("is Pending:Wait in its group", |group| group.members[0].lifecycle = "Pending:Wait".into()),
        ("already considers this instance unhealthy", |group| group.members[0].healthy = false),
        ("process Launch is suspended", |group| group.suspended = vec!["Launch".into()]),
        ("process Terminate is suspended", |group| group.suspended = vec!["Terminate".into()]),
        ("process HealthCheck is suspended", |group| group.suspended = vec!["HealthCheck".into()]),
        ("process ReplaceUnhealthy is suspended", |group| group.suspended = vec!["ReplaceUnhealthy".into()]),
        ("refresh of the group is under way (Baking)", |group| group.refresh = Some("Baking".into())),
        ("comes or goes: i-0000000000000007 is InService, unhealthy", |group| group.members[1].healthy = false),
        ("comes or goes: i-0000000000000007 is Pending", |group| group.members[1].lifecycle = "Pending".into()),
        ("2 replaced for health within a hour", |group| group.replaced = vec![seconds(10), seconds(3599)]),
        ("4 replaced for health within a day", |group| group.replaced = vec![seconds(86_399); 4]),
    ];
    for (why, objection) in cases {
        let mut world = broken(300, |world| objection(of(world)));
        assert_eq!(world.count(is_mark), 0, "{why}");
        assert_eq!(world.verdict.health(), Health::Held, "{why}");
        let said = world.verdict.view(world.now).guard.unwrap();
        assert!(said.contains(why), "{why:?} is not in {said:?}");
        world.group = Ok(group(&[ME, PEER]));
        world.run(200);
        assert_eq!(world.count(is_mark), 1, "{why}: it is gone");
    }
}

/// The others were asked for the version before; whoever serves the new one says nothing of that.
#[test]
fn an_answer_for_the_version_before_is_none_for_the_one_that_serves_now() {
    let mut world = broken(100, |world| world.equivalent = true);
    world.is_late = is_peers;
    world.run(25);
    assert_eq!((world.count(is_peers), world.count(is_mark)), (1, 0));
    world.secret = Some("v2");
    world.complain(cflared_verdict::Complaint::Unauthorized);
    world.run(1);
    world.run(400);
    let adopted = world.verdict.view(world.now).installed.unwrap().version.0;
    assert_eq!(adopted, "v2");
    world.answer_late();
    world.run(30);
    let asked: Vec<_> = world.given.iter().filter(|(_, order)| is_peers(order) || is_mark(order)).collect();
    let version = |number: usize| match &asked[number].1 {
        Order::ReadPeers { version: Some(version), .. } => version.0.as_str(),
        other => panic!("{other:?}"),
    };
    assert_eq!((version(0), version(1)), ("v1", "v2"), "they are asked anew before it goes");
    assert!(is_mark(&asked[2].1));
}

/// The agent is restarted in the moment in which its mark arrives, and another instance with a lower id is marked as well. The new
/// agent's connector has had no time to register, which is no reason to leave both marks standing.
#[test]
fn a_new_agent_looks_after_a_mark_of_the_one_before_at_once() {
    let mut world = broken(100, |world| world.is_late = is_mark);
    world.run(60);
    assert_eq!(world.count(is_mark), 1);
    let mut next = World::reborn(world.verdict.carry(), world.now);
    let mut both = group(&[ME, LOWER]);
    both.members.iter_mut().for_each(|member| member.healthy = false);
    (next.group, next.ready) = (Ok(both), Ready::No);
    let began = next.second();
    next.tell(Event::Identified { installed: Some(crate::world::installed(1, "v1")) });
    next.run(30);
    let lifted = next.when(|order| *order == Order::MarkHealthy).expect("it takes its own back");
    assert!(lifted - began <= 5, "after {} s", lifted - began);
    assert_eq!(next.verdict.health(), Health::Held);
}

/// The guard let it go for its network, which needs nobody with the same version; then the network was back, and it was not.
#[test]
fn a_leave_is_for_the_blame_that_it_was_given_for() {
    let mut world = broken(0, |world| (world.edge, world.same_version) = (Some(Reach::Silent), Some(0)));
    world.run(85);
    world.is_late = |order| matches!(order, Order::Probe { .. });
    world.run(40);
    assert_eq!((world.count(is_peers), world.count(is_mark)), (1, 0), "the evidence has its time to leave the host");
    assert_eq!(world.verdict.view(world.now).blame.map(|finding| finding.blame), Some(Blame::HostNetwork));
    world.edge = Some(Reach::Answered);
    world.answer_late();
    world.run(600);
    assert_eq!((world.count(is_mark), world.verdict.health()), (0, Health::Held));
}

#[test]
fn what_does_not_matter_does_not_hold() {
    type Case = (&'static str, fn(&mut Group));
    let cases: [Case; 4] = [
        ("a peer in Standby", |group| group.members[1].lifecycle = "Standby".into()),
        ("other processes", |group| group.suspended = vec!["AZRebalance".into(), "AlarmNotification".into()]),
        ("one replacement an hour ago", |group| group.replaced = vec![seconds(3601), seconds(20)]),
        ("old replacements", |group| group.replaced = vec![seconds(86_401); 9]),
    ];
    for (what, change) in cases {
        let world = broken(135, |world| change(of(world)));
        assert_eq!(world.count(is_mark), 1, "{what}");
    }
}

#[test]
fn what_cannot_be_read_holds() {
    for kind in [FailureKind::Denied, FailureKind::Throttled, FailureKind::Unreachable, FailureKind::Missing] {
        for unreadable in [
            |world: &mut World, kind| world.group = Err(kind),
            |world: &mut World, kind| world.peers = Err(kind),
            |world: &mut World, kind| world.hold_tag = Err(kind),
        ] {
            let world = broken(3600, |world| unreadable(world, kind));
            assert_eq!(world.count(is_mark), 0, "{kind:?}");
            assert_eq!(world.verdict.health(), Health::Held, "{kind:?}");
        }
    }
}

mod peers {
    use super::*;

    #[test]
    fn without_reports_it_is_waited_and_then_held() {
        let mut world = broken(295, |world| world.peers = Ok(None));
        assert_eq!(world.verdict.health(), Health::Remediating, "not known yet");
        assert!(world.count(is_peers) >= 10);
        world.run(30);
        assert_eq!(world.verdict.health(), Health::Held);
        assert!(world.verdict.view(world.now).guard.unwrap().contains("is not known"));
        world.peers = Ok(Some((1, 1)));
        world.run(130);
        assert_eq!(world.count(is_mark), 1);
    }

    #[test]
    fn reports_that_are_late_let_it_go_late() {
        let mut world = broken(200, |world| world.peers = Ok(None));
        assert_eq!(world.count(is_mark), 0);
        world.peers = Ok(Some((1, 1)));
        world.run(20);
        assert_eq!(world.count(is_mark), 1);
    }

    /// It is back for a moment each minute, so that each question ends before its time.
    #[test]
    fn one_that_comes_and_goes_does_not_wait_for_reports_for_ever() {
        let mut world = broken(0, |world| world.peers = Ok(None));
        for back in [10, 45] {
            let mut held = false;
            for _ in 0..20 {
                world.ready = Ready::No;
                world.run(back + 10);
                held |= world.verdict.health() == Health::Held;
                world.ready = FOUR;
                world.run(back);
            }
            assert!(held, "{back} s: {:?}", world.transitions());
            assert_eq!(world.count(is_mark), 0);
        }
    }

    #[test]
    fn peers_that_do_not_report_are_none_after_three_minutes() {
        // Two others are in service and only one reports, as unregistered.
        let world = broken(400, |world| {
            world.group = Ok(group(&[ME, PEER, "i-0000000000000009"]));
            world.peers = Ok(Some((0, 1)));
        });
        let marked = world.when(is_mark).unwrap() - 400;
        assert!((150..=230).contains(&marked), "at the end of the third minute: {marked}");
    }

    #[test]
    fn none_alive_lets_only_the_lowest_id_try_and_once_an_hour() {
        let none = |world: &mut World| world.peers = Ok(Some((0, 1)));
        assert_eq!(broken(300, none).count(is_mark), 1, "the lowest");
        let mut world = broken(3600, |world| {
            none(world);
            world.group = Ok(group(&[ME, LOWER]));
        });
        assert_eq!((world.count(is_mark), world.verdict.health()), (0, Health::Held), "not the lowest");
        world.group = Ok(group(&[ME, PEER]));
        of(&mut world).replaced = vec![seconds(3000)];
        world.run(590);
        assert_eq!(world.count(is_mark), 0, "one was tried within the hour");
        of(&mut world).replaced = vec![seconds(3700)];
        world.run(600);
        assert_eq!(world.count(is_mark), 1);
    }

    #[test]
    fn the_only_instance_is_its_own_canary() {
        let world = broken(300, |world| world.group = Ok(group(&[ME])));
        assert_eq!((world.count(is_mark), world.count(is_peers)), (1, 0));
        let world = broken(300, |world| {
            world.group = Ok(group(&[ME]));
            of(world).replaced = vec![seconds(1800)];
        });
        assert_eq!(world.count(is_mark), 0);
    }

    #[test]
    fn what_may_be_the_version_needs_another_instance_that_is_registered_with_it() {
        for (same_version, words) in [(None, "is not known yet"), (Some(0), "publish one that works")] {
            let mut world = broken(600, |world| world.same_version = same_version);
            assert_eq!((world.count(is_mark), world.verdict.health()), (0, Health::Held), "{same_version:?}");
            let said = world.verdict.view(world.now).guard.unwrap();
            assert!(said.contains(words), "{said}");
            world.same_version = Some(1);
            world.run(600);
            assert_eq!(world.count(is_mark), 1, "{same_version:?} is over");
            let network = broken(135, |world| (world.same_version, world.edge) = (same_version, Some(Reach::Silent)));
            assert_eq!(network.count(is_mark), 1, "a host without a way needs no version: {same_version:?}");
        }
    }

    #[test]
    fn what_cannot_be_read_of_the_connector_condemns_nobody() {
        let mut world = broken(600, |world| world.tries = None);
        assert_eq!((world.count(is_mark), world.verdict.health()), (0, Health::Held));
        assert!(world.verdict.view(world.now).guard.unwrap().contains("/metrics cannot be read"));
        world.tries = Some(Tries::default());
        world.run(600);
        assert_eq!(world.count(is_mark), 1);
    }

    fn zoned(mine: (u32, u32), other: (u32, u32)) -> World {
        broken(300, |world| {
            let mut four = group(&[ME, PEER, "i-0000000000000008", "i-0000000000000009"]);
            for (member, zone) in four.members.iter_mut().zip(["a", "a", "b", "b"]) {
                member.zone = Some(zone.into());
            }
            world.group = Ok(four);
            world.peers = Ok(Some((mine.0 + other.0, mine.1 + other.1)));
            world.zones = [("a".to_string(), mine), ("b".to_string(), other)].into();
        })
    }

    #[test]
    fn a_zone_that_is_out_as_a_whole_replaces_nobody() {
        let world = zoned((0, 1), (2, 2));
        assert_eq!((world.count(is_mark), world.verdict.health()), (0, Health::Held));
        let blame = world.verdict.view(world.now).blame.map(|finding| finding.blame);
        assert_eq!(blame, Some(Blame::Zone));
        assert_eq!(zoned((1, 1), (2, 2)).count(is_mark), 1, "the other one of this zone is registered");
        assert_eq!(zoned((0, 0), (2, 2)).count(is_mark), 1, "of this zone nothing is known");
    }

    #[test]
    fn a_replacement_that_did_not_help_is_not_replaced_for_six_hours() {
        let launched = |age: u64, others: &[&str]| {
            let mut world = World::booted(None);
            world.ready = Ready::No;
            let mut group = group(others);
            group.launch = Some(Launch { age: seconds(age), for_unhealthy: true });
            world.group = Ok(group);
            world.run(900);
            world
        };
        for age in [600, 20_000] {
            let world = launched(age, &[ME, PEER]);
            assert_eq!((world.count(is_mark), world.verdict.health()), (0, Health::Held), "{age} s");
            assert!(world.verdict.view(world.now).guard.unwrap().contains("did not help"));
        }
        assert_eq!(launched(22_000, &[ME, PEER]).count(is_mark), 1, "six hours are over, and another one is alive");
        assert_eq!(launched(22_000, &[ME]).count(is_mark), 0, "a group of one holds");
        let mut hung = World::booted(None);
        hung.ready = Ready::Unanswered { why: "timed out".into() };
        of(&mut hung).launch = Some(Launch { age: seconds(600), for_unhealthy: true });
        hung.run(900);
        assert_eq!(hung.count(is_mark), 1, "its own process is its own");
        let served = broken(300, |world| of(world).launch = Some(Launch { age: seconds(600), for_unhealthy: true }));
        assert_eq!(served.count(is_mark), 1, "it was registered");
    }

    #[test]
    fn a_replacement_that_did_not_help_is_no_canary() {
        let mut world = World::booted(None);
        (world.ready, world.peers) = (Ready::No, Ok(Some((0, 1))));
        of(&mut world).launch = Some(Launch { age: seconds(22_000), for_unhealthy: true });
        world.run(900);
        assert_eq!((world.count(is_mark), world.verdict.health()), (0, Health::Held));
    }

    #[test]
    fn a_version_that_has_not_proven_itself_makes_no_canary() {
        let alone = |edge| {
            let mut world = World::booted(None);
            world.run(200);
            (world.ready, world.group, world.edge) = (Ready::No, Ok(group(&[ME])), Some(edge));
            world.run(300);
            world
        };
        let unproven = alone(Reach::Answered);
        assert_eq!((unproven.count(is_mark), unproven.verdict.health()), (0, Health::Held));
        assert_eq!(alone(Reach::Silent).count(is_mark), 1, "no version is to blame for that");
    }

    #[test]
    fn a_fault_of_the_process_needs_no_peers() {
        let world = broken(135, |world| {
            world.ready = Ready::Unanswered { why: "timed out".into() };
            world.peers = Err(FailureKind::Denied);
        });
        assert_eq!((world.count(is_mark), world.count(is_peers)), (1, 0));
    }

    #[test]
    fn a_higher_id_lets_the_lower_ones_go_ahead_and_asks_once_more() {
        let mut world = broken(122, |world| {
            world.group = Ok(group(&["i-0000000000000009", LOWER, ME, PEER]));
            world.peers = Ok(Some((3, 3)));
        });
        world.run(17);
        assert_eq!(world.count(is_mark), 0, "one goes ahead: 8 s, when the evidence has had its 8 s");
        of(&mut world).members[1].healthy = false;
        world.run(30);
        assert_eq!((world.count(is_mark), world.verdict.health()), (0, Health::Held), "one did");
    }
}

mod mark {
    use super::*;

    #[test]
    fn one_whose_answer_was_lost_is_looked_at_soon() {
        let mut world = broken(132, |_| {});
        world.mark = Err(FailureKind::Unreachable);
        world.run(3);
        assert_eq!(world.count(is_mark), 1);
        // It was taken all the same.
        of(&mut world).members[0].healthy = false;
        world.run(5);
        assert_eq!(world.verdict.view(world.now).mark, Mark::Shown);
    }

    #[test]
    fn of_two_made_at_the_same_time_the_higher_gives_way() {
        let mut world = broken(143, |world| world.group = Ok(group(&[ME, LOWER])));
        assert_eq!(world.count(is_mark), 1);
        assert_eq!(world.verdict.view(world.now).mark, Mark::Shown);
        of(&mut world).members[1].healthy = false;
        world.run(120);
        assert_eq!(world.count(|order| *order == Order::MarkHealthy), 1);
        assert!(of(&mut world).members[0].healthy);
        assert_eq!((world.count(is_mark), world.verdict.health()), (1, Health::Held), "the other one goes");
        of(&mut world).members.pop();
        world.run(600);
        assert_eq!(world.count(is_mark), 2, "it is gone, and this one is still broken");
    }

    #[test]
    fn another_mark_that_was_long_on_its_way_is_seen_soon() {
        let mut world = broken(175, |world| world.group = Ok(group(&[ME, LOWER])));
        assert_eq!(world.verdict.view(world.now).mark, Mark::Shown);
        of(&mut world).members[1].healthy = false;
        world.run(4);
        assert_eq!(world.count(|order| *order == Order::MarkHealthy), 1, "50 s after its own");
    }

    #[test]
    fn the_lower_of_two_stays_marked() {
        let mut world = broken(135, |_| {});
        of(&mut world).members[1].healthy = false;
        world.run(600);
        assert_eq!(world.count(|order| *order == Order::MarkHealthy), 0);
        assert_eq!(world.verdict.health(), Health::Condemned);
    }

    #[test]
    fn one_that_somebody_took_back_is_asked_for_again() {
        let mut world = broken(135, |_| {});
        of(&mut world).members[0].healthy = true;
        world.run(70);
        assert_eq!(world.verdict.health(), Health::Held);
        world.run(70);
        assert_eq!((world.count(is_mark), world.verdict.health()), (2, Health::Condemned));
    }

    #[test]
    fn nobody_elses_mark_is_taken_back() {
        let mut world = broken(300, |world| of(world).members[0].healthy = false);
        world.ready = FOUR;
        world.run(300);
        assert_eq!(world.count(|order| matches!(order, Order::MarkHealthy)), 0);
    }

    #[test]
    fn one_that_did_not_show_is_taken_back_too() {
        let mut world = broken(135, |world| world.mark = Ok(false));
        (world.ready, world.mark) = (FOUR, Ok(true));
        world.run(60);
        assert_eq!(world.count(|order| *order == Order::MarkHealthy), 1, "it may have shown later");
    }

    #[test]
    fn within_the_groups_grace_it_is_asked_for_until_it_shows() {
        let mut world = broken(200, |world| world.mark = Ok(false));
        assert!(world.count(is_mark) >= 4);
        let told = world.decisions.iter().filter(|decision| decision.what.contains("not condemned yet")).count();
        assert_eq!(told, 1, "and said once");
        world.mark = Ok(true);
        world.run(30);
        assert_eq!(world.verdict.health(), Health::Condemned);
    }
}

mod hold {
    use super::*;

    fn operator(until: Option<u64>) -> Event {
        let hold = Hold { until: until.map(at), note: "RDS maintenance".into() };
        Event::Hold { by: Holder::Operator, hold: Some(hold) }
    }

    #[test]
    fn an_operator_holds_until_the_time_is_over() {
        let mut world = broken(1, |world| world.tell(operator(Some(1000 + 400 + 1200))));
        world.run(1190);
        assert_eq!((world.count(is_mark), world.verdict.health()), (0, Health::Held));
        assert_eq!(world.verdict.view(world.now).holds.len(), 1);
        world.run(30);
        assert_eq!(world.count(is_mark), 1, "at the end of the hold, not minutes later");
        assert!(world.verdict.view(world.now).holds.is_empty());
    }

    #[test]
    fn a_lifted_hold_lets_it_go_at_once() {
        let mut world = broken(1, |world| world.tell(operator(None)));
        world.run(1200);
        assert_eq!(world.count(is_mark), 0);
        world.tell(Event::Hold { by: Holder::Operator, hold: None });
        world.run(10);
        assert_eq!(world.count(is_mark), 1);
    }

    #[test]
    fn the_tag_holds_with_any_value_but_a_no() {
        for (value, holds) in
            [("true", true), ("RDS move, Ana", true), ("2h", true), ("off", false), ("", false), ("No", false)]
        {
            let world = broken(300, |world| world.hold_tag = Ok(Some(value)));
            assert_eq!(world.count(is_mark), usize::from(!holds), "{value:?}");
        }
    }

    #[test]
    fn a_tag_that_appears_late_is_seen_before_the_mark() {
        let mut world = broken(85, |_| {});
        world.hold_tag = Ok(Some("yes"));
        world.run(300);
        assert_eq!(world.count(is_mark), 0);
    }

    #[test]
    fn a_hold_bars_a_handover_and_loses_no_version() {
        let mut world = World::registered();
        world.tell(operator(None));
        world.secret = Some("v2");
        world.run(1200);
        assert_eq!(world.count(|order| matches!(order, Order::Install { .. } | Order::ReadSecret { .. })), 0);
        world.tell(Event::Hold { by: Holder::Operator, hold: None });
        world.run(20);
        assert_eq!(world.count(|order| matches!(order, Order::Install { .. })), 1);
    }

    #[test]
    fn a_hold_does_not_bar_a_repair_of_what_is_not_registered() {
        let mut world = broken(1, |world| world.tell(operator(None)));
        world.secret = Some("v2");
        world.ready_of.insert("v2", FOUR);
        world.run(60);
        assert_eq!(world.verdict.health(), Health::Registered);
    }
}

#[test]
fn the_first_mark_needs_the_minute_of_the_connector_that_there_is() {
    let mut world = broken(110, |world| world.edge = Some(Reach::Failed));
    world.secret = Some("v2");
    world.tell(Event::Hold { by: Holder::Operator, hold: Some(Hold { until: Some(world.now), note: "poke".into() }) });
    world.run(40);
    assert_eq!(world.count(|order| matches!(order, Order::Start { .. })), 1, "a new version is tried");
    assert_eq!(world.count(is_mark), 0, "and has its time");
    world.run(40);
    assert_eq!(world.count(is_mark), 1);
}

#[test]
fn an_empty_group_is_no_permission() {
    let world = broken(600, |world| world.group = Ok(Group { me: ME.into(), ..Group::default() }));
    assert_eq!(world.count(is_mark), 0);
    let stranger = Member { id: "i-1".into(), lifecycle: "InService".into(), healthy: true, zone: None };
    let world = broken(600, |world| world.group = Ok(Group { members: vec![stranger], ..Group::default() }));
    assert_eq!(world.count(is_mark), 0);
}
