//! The verdict through an instance's life, in virtual time and by its public interface only.

use crate::world::{FOUR, World, installed};
use cflared_verdict::{
    Carried, Ending, Event, FailureKind, Health, Mark, Observation, Order, Purpose, Ready, Reason, Request, RunFact,
    RunId, VersionId,
};
use std::time::Duration;

fn is_mark(order: &Order) -> bool {
    *order == Order::MarkUnhealthy
}

fn is_restart(order: &Order) -> bool {
    matches!(order, Order::Restart { reason: Reason::Unregistered | Reason::EdgeBack, .. })
}

fn is_read(order: &Order) -> bool {
    matches!(order, Order::ReadSecret { .. })
}

/// What is given in the calmest hours too.
fn is_routine(order: &Order) -> bool {
    is_read(order) || matches!(order, Order::ReadHoldTag | Order::ReadNotices)
}

mod boot {
    use super::*;

    #[test]
    fn an_empty_disk_is_filled_and_the_connector_started() {
        let mut world = World::booted(None);
        world.run(10);
        let orders: Vec<_> = world
            .given
            .iter()
            .map(|(_, order)| order.clone())
            .filter(|order| is_read(order) || !is_routine(order))
            .collect();
        let installed = installed(1, "v1");
        assert_eq!(
            orders,
            [
                Order::ReadSecret { known: None },
                Order::Install { version: VersionId("v1".into()) },
                Order::Start { run: RunId(1), generation: installed.generation, slot: 0, purpose: Purpose::Serve },
                Order::Commit { generation: installed.generation },
            ]
        );
        assert_eq!(world.transitions(), ["starting → registered"]);
    }

    #[test]
    fn an_installed_bundle_starts_before_the_secret_is_read() {
        let mut world = World::booted(Some(installed(3, "v1")));
        assert!(matches!(world.given[0].1, Order::Start { slot: 0, .. }));
        assert_eq!(world.given[1].1, Order::ReadNotices);
        assert_eq!(world.given[2].1, Order::ReadHoldTag);
        assert_eq!(world.given[3].1, Order::ReadSecret { known: Some(VersionId("v1".into())) });
        world.run(300);
        assert_eq!(world.count(|order| matches!(order, Order::Install { .. })), 0, "nothing new, nothing installed");
    }

    #[test]
    fn an_installed_bundle_serves_while_the_secret_cannot_be_read() {
        let mut world = World::new(Carried::default());
        world.secret = None;
        world.tell(Event::Identified { installed: Some(installed(3, "v1")) });
        world.run(3600);
        assert_eq!(world.verdict.health(), Health::Registered);
        let view = world.verdict.view(world.now);
        assert_eq!(view.trouble.as_deref(), Some("access denied"));
        assert!(world.count(is_read) < 20, "a poll that fails while all is well is not hurried");
    }

    #[test]
    fn without_a_bundle_the_secret_is_asked_for_soon_and_ever_more_seldom_and_nothing_is_condemned() {
        let mut world = World::new(Carried::default());
        world.secret = None;
        world.tell(Event::Identified { installed: None });
        world.run(60);
        assert!((5..=8).contains(&world.count(is_read)), "{}", world.count(is_read));
        world.run(3600);
        assert!((55..=75).contains(&world.count(is_read)), "{}", world.count(is_read));
        assert_eq!(world.verdict.health(), Health::Broken);
        assert_eq!(world.count(is_mark), 0);
        world.secret = Some("v1");
        world.run(80);
        assert_eq!(world.verdict.health(), Health::Registered);
    }

    #[test]
    fn a_bad_bundle_is_refused_once_and_its_repair_is_taken() {
        let mut world = World::new(Carried::default());
        world.bad_bundle = true;
        world.tell(Event::Identified { installed: None });
        world.run(1000);
        assert_eq!(world.count(|order| matches!(order, Order::Install { .. })), 1);
        assert!(world.verdict.view(world.now).trouble.unwrap().contains("catch-all"));
        (world.bad_bundle, world.secret) = (false, Some("v2"));
        world.run(340);
        assert_eq!(world.verdict.health(), Health::Registered);
    }

    #[test]
    fn a_connector_that_never_registers_is_broken_whatever_ha_connections_says() {
        let mut world = World::booted(None);
        world.ready = Ready::No;
        for _ in 0..8 {
            let observation = Observation { ready: Ready::No, ha_connections: Some(1), tries: None, transport: None };
            world.tell(Event::Run(RunId(1), RunFact::Observed(observation)));
            world.run(5);
        }
        assert_eq!(world.verdict.health(), Health::Broken);
        assert!(world.verdict.view(world.now).why.contains("ha_connections shows 1"));
    }

    #[test]
    fn nothing_is_condemned_within_the_startup_grace_and_systemd_is_released_at_its_end() {
        let mut world = World::booted(None);
        world.ready = Ready::No;
        world.run(179);
        assert_eq!(world.count(is_mark), 0);
        assert_eq!(world.when(is_restart), Some(90), "only condemning is barred");
        assert!(!world.verdict.is_up(world.now));
        world.run(1);
        assert!(world.verdict.is_up(world.now));
        world.run(8);
        assert_eq!(world.when(is_mark), Some(188), "the grace, and the pause for the evidence");
    }
}

mod outage {
    use super::*;

    #[test]
    fn the_ladder_is_climbed_at_its_times_once_each() {
        let mut world = World::registered();
        let begin = world.second();
        world.ready = Ready::No;
        world.run(200);
        let since = |second: Option<u64>| second.map(|second| second - begin);
        // The first bad look is up to one interval after the break.
        assert_eq!(since(world.when(is_read)), Some(35), "recheck");
        assert_eq!(
            since(world.when(is_restart)),
            Some(97),
            "restart: 90 s after the child that replaced the one that lost all"
        );
        assert_eq!(since(world.when(is_mark)), Some(133), "mark");
        assert_eq!((world.count(is_restart), world.count(is_mark)), (1, 1));
        assert_eq!(world.transitions(), ["registered → broken", "broken → remediating", "remediating → condemned"]);
    }

    #[test]
    fn a_child_that_replaced_an_exited_one_has_its_own_time_to_register() {
        let mut world = World::registered();
        let begin = world.second();
        world.ready = Ready::No;
        world.run(80);
        let run = world.verdict.view(world.now).runs[0].0;
        let second = Duration::from_secs(1);
        let exited = RunFact::Exited {
            how: "exit status: 1".into(),
            ending: Ending::Status,
            after: second,
            respawn_in: Some(second),
        };
        world.tell(Event::Run(run, exited));
        world.run(1);
        world.tell(Event::Run(run, RunFact::Spawned { pid: 200, pinned: None }));
        world.run(120);
        assert_eq!(world.when(is_restart).map(|second| second - begin), Some(81 + 90));
    }

    #[test]
    fn a_short_outage_costs_nothing() {
        let mut world = World::registered();
        world.ready = Ready::No;
        world.run(25);
        world.ready = FOUR;
        world.run(600);
        assert_eq!((world.count(is_restart), world.count(is_mark)), (0, 0));
        assert_eq!(world.transitions(), ["registered → broken", "broken → registered"]);
    }

    #[test]
    fn a_recovery_during_the_pause_for_the_evidence_spares_the_instance() {
        let mut world = World::registered();
        world.ready = Ready::No;
        world.run(126);
        assert!(matches!(world.verdict.view(world.now).mark, Mark::Due));
        world.ready = FOUR;
        world.look();
        world.run(100);
        assert_eq!(world.count(is_mark), 0);
        assert_eq!(world.verdict.view(world.now).mark, Mark::None);
    }

    #[test]
    fn a_mark_is_taken_back_once_when_the_tunnel_returns() {
        let mut world = World::registered();
        world.ready = Ready::No;
        world.run(300);
        assert_eq!(world.verdict.health(), Health::Condemned);
        world.ready = FOUR;
        world.run(100);
        assert_eq!(world.count(|order| *order == Order::MarkHealthy), 1);
        assert_eq!(world.verdict.health(), Health::Registered);
    }

    #[test]
    fn a_mark_that_the_group_does_not_show_is_made_again() {
        let mut world = World::registered();
        (world.ready, world.mark) = (Ready::No, Ok(false));
        world.run(200);
        assert!((4..=6).contains(&world.count(is_mark)), "{}", world.count(is_mark));
        world.mark = Ok(true);
        world.run(20);
        assert_eq!(world.verdict.health(), Health::Condemned);
    }

    #[test]
    fn what_cannot_be_marked_is_held_and_asked_for_ever_more_seldom() {
        let mut world = World::registered();
        (world.ready, world.mark) = (Ready::No, Err(FailureKind::Denied));
        world.run(130 + 600);
        assert_eq!(world.verdict.health(), Health::Held);
        assert_eq!(world.count(is_mark), 4, "and 60, 180 and 420 s later");
        assert!(world.verdict.view(world.now).why.contains("the group says no"));
        world.ready = FOUR;
        world.run(60);
        assert_eq!(world.count(|order| *order == Order::MarkHealthy), 0, "a denied mark does not stand");
    }

    #[test]
    fn a_mark_without_an_answer_is_taken_back_too() {
        let mut world = World::registered();
        (world.ready, world.mark) = (Ready::No, Err(FailureKind::Unreachable));
        world.run(150);
        (world.ready, world.mark) = (FOUR, Ok(true));
        world.run(60);
        assert_eq!(world.count(|order| *order == Order::MarkHealthy), 1);
    }

    #[test]
    fn restarts_become_rare_in_a_long_outage() {
        let mut world = World::registered();
        (world.ready, world.mark) = (Ready::No, Err(FailureKind::Missing));
        world.run(24 * 3600);
        assert!((24..=30).contains(&world.count(is_restart)), "{}", world.count(is_restart));
        let reason = |order: &Order| matches!(order, Order::Restart { reason: Reason::Unregistered, .. });
        assert_eq!(world.count(reason), world.count(is_restart));
    }

    #[test]
    fn a_dead_child_is_not_restarted_by_order() {
        let mut world = World::registered();
        world.ready = Ready::Unanswered { why: "connection refused".into() };
        let gone = RunFact::Exited {
            how: "signal: 9 (SIGKILL)".into(),
            ending: Ending::Crash,
            after: Duration::from_secs(400),
            respawn_in: Some(Duration::from_secs(60)),
        };
        world.tell(Event::Run(RunId(1), gone));
        world.run(120);
        assert_eq!(world.count(is_restart), 0, "the connector room respawns it");
        assert!(world.verdict.view(world.now).why.contains("SIGKILL"));
    }

    #[test]
    fn fewer_connections_than_before_is_degraded() {
        let mut world = World::registered();
        world.ready = Ready::Yes { connections: 1 };
        world.run(600);
        assert_eq!(world.transitions(), ["registered → degraded"]);
        assert_eq!(world.given.len(), world.count(is_routine), "nothing is done about it");
    }

    #[test]
    fn flapping_is_broken() {
        let mut world = World::registered();
        for _ in 0..30 {
            world.ready = Ready::No;
            world.run(20);
            world.ready = FOUR;
            world.run(10);
        }
        assert_eq!(world.verdict.health(), Health::Broken);
        assert!(world.verdict.view(world.now).why.contains("most of the last minutes"));
    }

    #[test]
    fn another_cloudflared_on_the_port_is_no_registration() {
        let mut world = World::registered();
        world.ready = Ready::Foreign { owner: "someone".into() };
        world.run(10);
        assert_eq!(world.verdict.health(), Health::Broken);
        assert!(world.verdict.view(world.now).why.contains("someone"));
    }
}

mod rotation {
    use super::*;

    #[test]
    fn a_new_version_takes_over_beside_the_old_one() {
        let mut world = World::registered();
        world.secret = Some("v2");
        world.run(400);
        let orders: Vec<_> =
            world.given.iter().map(|(_, order)| order.clone()).filter(|order| !is_routine(order)).collect();
        let generation = installed(2, "v2").generation;
        assert_eq!(
            orders,
            [
                Order::ReadPlace,
                Order::ReadRefusals,
                Order::Install { version: VersionId("v2".into()) },
                Order::CompareOrigins { old: installed(1, "v1").generation, new: generation },
                Order::MeasureMemory { like: RunId(1) },
                Order::Start { run: RunId(2), generation, slot: 1, purpose: Purpose::Serve },
                Order::Commit { generation },
                Order::Drain { run: RunId(1) },
            ]
        );
        assert!(world.transitions().is_empty(), "the tunnel was never anything but registered");
    }

    #[test]
    fn a_version_that_does_not_register_is_dropped_and_tried_again() {
        let mut world = World::registered();
        world.secret = Some("v2");
        world.ready_of.insert("v2", Ready::No);
        world.run(1500);
        let starts = world.count(|order| matches!(order, Order::Start { .. }));
        assert!((2..=3).contains(&starts), "ever more seldom: {starts}");
        assert_eq!(world.count(|order| matches!(order, Order::Commit { .. })), 0);
        let discards = world.count(|order| matches!(order, Order::Discard { .. }));
        assert!(starts - discards <= 1, "one may be on trial");
        assert!(world.transitions().is_empty());
        world.ready_of.clear();
        world.run(1800);
        assert_eq!(world.verdict.view(world.now).installed.unwrap().version.0, "v2");
    }

    #[test]
    fn bundles_that_cannot_be_made_current_do_not_pile_up() {
        let mut world = World::new(Carried::default());
        world.bad_disk = true;
        world.tell(Event::Identified { installed: None });
        world.run(1500);
        let installs = world.count(|order| matches!(order, Order::Install { .. }));
        assert!((3..=8).contains(&installs), "{installs}");
        let discards = world.count(|order| matches!(order, Order::Discard { .. }));
        // Those that were replaced before they had time to register wait for the next commit's clearing up.
        assert!(installs - discards <= 3, "{installs} installed, {discards} discarded");
        assert_eq!(world.verdict.health(), Health::Registered);
        world.bad_disk = false;
        world.run(400);
        assert_eq!(world.verdict.view(world.now).trouble, None);
    }

    #[test]
    fn an_unregistered_connector_is_replaced_at_once() {
        let mut world = World::registered();
        world.ready_of.insert("v1", Ready::No);
        world.secret = Some("v2");
        let begin = world.second();
        world.run(60);
        assert!(world.when(|order| matches!(order, Order::Drain { .. })).unwrap() - begin <= 35);
        assert_eq!(world.verdict.health(), Health::Registered);
        assert_eq!(world.count(is_restart), 0);
    }

    #[test]
    fn going_back_to_the_running_version_installs_nothing() {
        let mut world = World::registered();
        (world.secret, world.bad_bundle) = (Some("v2"), true);
        world.run(400);
        assert!(world.verdict.view(world.now).trouble.is_some());
        world.secret = Some("v1");
        world.run(400);
        assert_eq!(world.verdict.view(world.now).trouble, None);
        assert_eq!(world.count(|order| matches!(order, Order::Install { .. })), 1);
    }
}

mod restart_of_the_agent {
    use super::*;

    #[test]
    fn an_outage_goes_on_where_it_was() {
        let mut world = World::registered();
        world.ready = Ready::No;
        world.run(100);
        let mut next = World::reborn(world.verdict.carry(), world.now);
        next.ready = Ready::No;
        next.tell(Event::Identified { installed: Some(installed(1, "v1")) });
        next.run(59);
        assert_eq!(next.count(is_mark), 0, "its own connector has a minute to register, or to say why it cannot");
        next.run(10);
        assert_eq!(next.count(is_mark), 1, "120 s of outage, of which the new agent saw 65");
        assert_eq!(next.count(is_restart), 0, "it was restarted before");
    }

    #[test]
    fn a_mark_is_remembered_and_taken_back() {
        let mut world = World::registered();
        world.ready = Ready::No;
        world.run(200);
        let carried = serde_json::to_string(&world.verdict.carry()).unwrap();
        let mut next = World::reborn(serde_json::from_str(&carried).unwrap(), world.now);
        next.tell(Event::Identified { installed: Some(installed(1, "v1")) });
        next.run(10);
        assert_eq!(next.count(|order| *order == Order::MarkHealthy), 1);
        let view = next.verdict.view(next.now);
        assert!(view.journal.iter().any(|decision| decision.what.contains("condemn")), "the journal came along");
    }
}

mod stop {
    use super::*;

    #[test]
    fn every_connector_is_drained_before_the_exit() {
        let mut world = World::registered();
        world.secret = Some("v2");
        world.ready_of.insert("v2", Ready::No);
        while world.count(|order| matches!(order, Order::Start { .. })) == 0 {
            world.run(5);
        }
        world.given.clear();
        world.tell(Event::Operator(Request::Stop));
        let orders: Vec<_> = world.given.iter().map(|(_, order)| order.clone()).collect();
        assert_eq!(orders, [Order::Drain { run: RunId(1) }, Order::Drain { run: RunId(2) }, Order::Exit]);
        assert_eq!(world.verdict.health(), Health::Draining);
        world.tell(Event::Operator(Request::Stop));
        assert_eq!(world.count(|order| *order == Order::Exit), 1);
    }

    #[test]
    fn a_stop_before_anything_is_known_exits_at_once() {
        let mut world = World::new(Carried::default());
        world.tell(Event::Operator(Request::Stop));
        assert_eq!(world.given.len(), 1);
    }
}
