//! Arrival and departure, each told to the group once.

use crate::world::{FOUR, PEER, World, group, installed};
use cflared_verdict::{
    Config, Event, FailureKind, Health, Hold, Holder, Hook, HookResult, Notices, Order, Place, Reach, Ready, Request,
    Target,
};
use std::time::Duration;

const HOUR: u64 = 3600;

fn hooked() -> Config {
    Config { launch_hook: true, terminate_hook: true, ..Config::default() }
}

fn place(lifecycle: &str, timeout: u64) -> Result<Place, FailureKind> {
    let timeout = Some(Duration::from_secs(timeout));
    Ok(Place { lifecycle: lifecycle.into(), rank: 0, launch_timeout: timeout, terminate_timeout: timeout })
}

fn target(target: Target) -> Event {
    Event::Noticed(Notices { target: Some(target), ..Notices::default() })
}

/// An instance that boots while its group waits for it.
fn arriving(timeout: u64, prepare: impl FnOnce(&mut World)) -> World {
    let mut world = World::configured(hooked());
    world.place = place("Pending:Wait", timeout);
    world.group = Ok(pending());
    prepare(&mut world);
    world.tell(Event::Identified { installed: None });
    world
}

fn pending() -> cflared_verdict::Group {
    let mut group = group(&["i-0000000000000005", PEER]);
    group.members[0].lifecycle = "Pending:Wait".into();
    group
}

fn completed(world: &World) -> Vec<(Hook, HookResult)> {
    let completed = |order: &Order| match order {
        Order::CompleteHook { hook, result } => Some((*hook, *result)),
        _ => None,
    };
    world.given.iter().filter_map(|(_, order)| completed(order)).collect()
}

fn beats(world: &World) -> usize {
    world.count(|order| matches!(order, Order::Heartbeat { .. }))
}

mod arrival {
    use super::*;

    #[test]
    fn the_group_is_told_to_go_on_once_when_it_is_registered_and_settled() {
        let mut world = arriving(HOUR, |_| {});
        world.run(600);
        assert_eq!(completed(&world), [(Hook::Launch, HookResult::Continue)]);
        let at = world.when(|order| matches!(order, Order::CompleteHook { .. })).unwrap();
        assert!((15..=25).contains(&at), "registered after 5 s, settled after 10: {at}");
    }

    #[test]
    fn an_instance_in_service_completes_nothing_and_asks_once() {
        let mut world = arriving(HOUR, |world| world.place = place("InService", HOUR));
        world.run(600);
        assert_eq!(completed(&world), []);
        assert_eq!(world.count(|order| *order == Order::ReadPlace), 1);
    }

    #[test]
    fn a_state_before_the_wait_is_waited_for() {
        let mut world = arriving(HOUR, |world| world.place = place("Pending", HOUR));
        world.run(60);
        assert_eq!(completed(&world), []);
        world.place = place("Pending:Wait", HOUR);
        world.run(60);
        assert_eq!(completed(&world), [(Hook::Launch, HookResult::Continue)]);
    }

    #[test]
    fn what_fails_is_tried_again_until_the_group_waits_no_more() {
        let mut world = arriving(HOUR, |world| world.hook = Err(FailureKind::Throttled));
        world.run(300);
        let tries = completed(&world).len();
        assert!((3..=8).contains(&tries), "{tries}");
        world.place = place("Pending:Proceed", HOUR);
        world.run(600);
        assert_eq!(completed(&world).len(), tries);
        assert!(world.decisions.iter().filter(|decision| decision.what.contains("was not completed")).count() == 1);
    }

    #[test]
    fn a_host_that_is_at_fault_is_given_up_at_the_deadline_only() {
        let mut world = arriving(600, |world| {
            (world.ready, world.edge) = (Ready::No, Some(Reach::Silent));
        });
        world.run(440);
        assert_eq!(completed(&world), []);
        world.run(60);
        assert_eq!(completed(&world), [(Hook::Launch, HookResult::Abandon)]);
    }

    #[test]
    fn an_outage_of_everybody_is_waited_out_with_heartbeats() {
        let mut world = arriving(600, |world| {
            (world.ready, world.edge, world.peers) = (Ready::No, Some(Reach::Silent), Ok(Some((0, 1))));
        });
        world.run(2000);
        assert_eq!(completed(&world), []);
        assert!((3..=5).contains(&beats(&world)), "{}", beats(&world));
        world.ready = FOUR;
        world.run(60);
        assert_eq!(completed(&world), [(Hook::Launch, HookResult::Continue)]);
    }

    #[test]
    fn a_hold_keeps_the_group_waiting() {
        let mut world = arriving(600, |world| {
            let hold = Hold { until: None, note: "debugging".into() };
            world.tell(Event::Hold { by: Holder::Operator, hold: Some(hold) });
        });
        world.run(2000);
        assert_eq!(completed(&world), []);
        assert!(beats(&world) >= 3);
        world.tell(Event::Hold { by: Holder::Operator, hold: None });
        world.run(60);
        assert_eq!(completed(&world), [(Hook::Launch, HookResult::Continue)]);
    }

    #[test]
    fn into_the_warm_pool_it_goes_without_registering_and_registers_when_it_is_taken_out() {
        let mut world = World::configured(hooked());
        world.place = place("Warmed:Pending:Wait", HOUR);
        world.notices.target = Some(Target::Warmed);
        world.tell(target(Target::Warmed));
        world.tell(Event::Identified { installed: Some(installed(1, "v1")) });
        world.run(60);
        assert_eq!(world.count(|order| matches!(order, Order::Start { .. })), 0);
        assert_eq!(completed(&world), [(Hook::Launch, HookResult::Continue)]);
        assert_eq!(world.verdict.health(), Health::Draining);
        assert!(world.verdict.is_up(world.now), "systemd is not kept waiting");
        (world.place, world.notices.target) = (place("Pending:Wait", HOUR), Some(Target::InService));
        world.run(120);
        assert_eq!(completed(&world).len(), 2);
        assert_eq!(world.verdict.health(), Health::Registered);
    }

    #[test]
    fn without_a_named_hook_nothing_is_asked() {
        let mut world = World::booted(None);
        world.place = place("Pending:Wait", HOUR);
        world.run(600);
        assert_eq!(world.count(|order| *order == Order::ReadPlace), 0);
        assert_eq!(completed(&world), []);
    }
}

mod departure {
    use super::*;

    /// A registered instance with hooks.
    fn serving() -> World {
        let mut world = World::configured(hooked());
        world.tell(Event::Identified { installed: None });
        world.run(400);
        world.given.clear();
        world.decisions.clear();
        world
    }

    #[test]
    fn told_to_go_it_drains_tells_the_group_once_and_stays_until_it_is_stopped() {
        let mut world = serving();
        (world.notices.target, world.place) = (Some(Target::Terminated), place("Terminating:Wait", HOUR));
        world.run(120);
        assert_eq!(world.count(|order| matches!(order, Order::Drain { .. })), 1);
        assert_eq!(completed(&world), [(Hook::Terminate, HookResult::Continue)]);
        world.run(600);
        assert_eq!(completed(&world).len(), 1);
        assert_eq!((world.verdict.health(), world.count(|order| *order == Order::Exit)), (Health::Draining, 0));
        assert_eq!(world.count(|order| matches!(order, Order::Start { .. })), 0, "it never comes back");
        world.tell(Event::Operator(Request::Stop));
        assert_eq!(world.count(|order| *order == Order::Exit), 1);
    }

    #[test]
    fn a_hold_lets_it_drain_and_keeps_the_host() {
        let mut world = serving();
        let hold = Hold { until: None, note: "post-mortem".into() };
        world.tell(Event::Hold { by: Holder::Operator, hold: Some(hold) });
        (world.notices.target, world.place) = (Some(Target::Terminated), place("Terminating:Wait", 300));
        world.run(1000);
        assert_eq!(completed(&world), []);
        assert!(beats(&world) >= 3, "{}", beats(&world));
        assert_eq!(world.verdict.view(world.now).runs.len(), 0);
    }

    #[test]
    fn a_spot_instance_that_is_taken_away_drains() {
        let mut world = serving();
        world.notices = Notices { spot: Some("terminate".into()), ..Notices::default() };
        world.run(120);
        assert_eq!(world.count(|order| matches!(order, Order::Drain { .. })), 1);
        assert_eq!(completed(&world), []);
        assert!(world.verdict.view(world.now).off_duty.unwrap().contains("spot"));
    }

    #[test]
    fn a_rebalance_is_said_once_and_not_obeyed() {
        let mut world = serving();
        world.notices = Notices { rebalance: true, ..Notices::default() };
        world.run(600);
        assert_eq!(world.verdict.health(), Health::Registered);
        assert_eq!(world.decisions.iter().filter(|decision| decision.what.contains("rebalance")).count(), 1);
    }

    #[test]
    fn from_standby_it_comes_back() {
        let mut world = serving();
        world.notices.target = Some(Target::Standby);
        world.run(120);
        assert_eq!((world.verdict.health(), world.verdict.view(world.now).runs.len()), (Health::Draining, 0));
        world.run(3000);
        world.notices.target = Some(Target::InService);
        world.run(120);
        assert_eq!(world.verdict.health(), Health::Registered);
        assert_eq!(world.transitions(), ["registered → draining", "draining → starting", "starting → registered"]);
    }

    #[test]
    fn away_nothing_is_judged_or_condemned() {
        let mut world = serving();
        world.notices.target = Some(Target::Standby);
        world.ready = Ready::No;
        world.run(2000);
        assert_eq!(world.count(|order| *order == Order::MarkUnhealthy), 0);
        assert_eq!(world.count(|order| matches!(order, Order::Probe { .. })), 0);
    }
}

/// What was under way as the instance was told to go comes into use no more, whenever its answer comes.
#[test]
fn what_is_answered_after_it_was_told_to_go_starts_nothing() {
    type Late = fn(&Order) -> bool;
    let late: [Late; 5] = [
        |order| matches!(order, Order::ReadSecret { .. }),
        |order| matches!(order, Order::Install { .. }),
        |order| matches!(order, Order::CompareOrigins { .. }),
        |order| matches!(order, Order::MeasureMemory { .. }),
        |order| matches!(order, Order::Commit { .. }),
    ];
    for (number, is_late) in late.into_iter().enumerate() {
        for told in [target(Target::Terminated), target(Target::Standby), Event::Operator(Request::Stop)] {
            let mut world = World::registered();
            (world.secret, world.is_late) = (Some("v2"), is_late);
            world.run(400);
            world.is_late = |_| false;
            if let Event::Noticed(notices) = &told {
                world.notices = notices.clone();
            }
            world.tell(told.clone());
            let starts = |order: &Order| matches!(order, Order::Start { .. } | Order::Install { .. });
            let before = world.count(starts);
            world.answer_late();
            world.run(600);
            assert_eq!(world.count(starts), before, "{number}, {told:?}");
            assert!(world.verdict.view(world.now).runs.is_empty(), "{number}, {told:?}");
        }
    }
}
