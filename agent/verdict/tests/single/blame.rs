//! Whose fault it is, and what may be done about it.

use crate::world::{FOUR, World};
use cflared_verdict::{
    Blame, Complaint, Condemns, Confidence, DecisionKind, Ending, FailureKind, Health, Order, Reach, Ready, Reason,
    RunFact, RunId,
};
use std::time::Duration;

fn is_mark(order: &Order) -> bool {
    *order == Order::MarkUnhealthy
}

fn is_restart(order: &Order) -> bool {
    matches!(order, Order::Restart { reason: Reason::Unregistered | Reason::EdgeBack, .. })
}

fn blame(world: &World) -> Option<(Blame, Confidence)> {
    world.verdict.view(world.now).blame.map(|finding| (finding.blame, finding.confidence))
}

/// A tunnel that is lost, complaining of each of these every 20 s, after `lasting` seconds.
fn lost(complaints: &[Complaint], lasting: u64, change: impl Fn(&mut World)) -> World {
    let mut world = World::registered();
    world.ready = Ready::No;
    change(&mut world);
    for _ in 0..lasting / 20 {
        for complaint in complaints {
            world.complain(*complaint);
        }
        world.run(20);
    }
    world
}

#[test]
fn each_cause_has_its_blame_and_its_act() {
    use Blame as B;
    use Complaint as C;
    use Confidence::{Certain, Guess, Likely};
    /// Complaints, what the probe of the edge gives, live peers; then the blame, its confidence, restarts, marks.
    type Case = (&'static [Complaint], Option<Reach>, u32, Blame, Confidence, usize, usize);
    let answered = Some(Reach::Answered);
    let cases: [Case; 16] = [
        (&[C::Unauthorized], answered, 1, B::Credentials, Certain, 0, 0),
        (&[C::TunnelGone], answered, 0, B::Credentials, Certain, 0, 0),
        (&[C::ConfigRefused], answered, 1, B::Config, Certain, 0, 0),
        (&[C::CredentialsUnreadable], answered, 1, B::Config, Certain, 0, 0),
        (&[C::Unauthorized, C::ConfigRefused], answered, 1, B::Config, Certain, 0, 0),
        (&[C::Unauthorized, C::EdgeUnreachable], Some(Reach::Failed), 1, B::Credentials, Certain, 0, 0),
        (&[C::PortTaken], answered, 1, B::Port, Certain, 1, 0),
        (&[C::EdgeUnreachable], Some(Reach::Failed), 1, B::HostNetwork, Likely, 0, 1),
        (&[C::DnsFailed], Some(Reach::Silent), 1, B::HostNetwork, Likely, 0, 1),
        (&[C::DnsFailed], None, 1, B::HostNetwork, Likely, 1, 1),
        (&[C::EdgeUnreachable], Some(Reach::Failed), 0, B::Edge, Likely, 0, 1),
        (&[C::EdgeSilent], answered, 0, B::Edge, Likely, 1, 1),
        (&[C::EdgeRejected], answered, 1, B::Refused, Certain, 0, 0),
        (&[C::EdgeRejected], answered, 0, B::Refused, Certain, 0, 0),
        (&[C::Other], answered, 1, B::Unknown, Likely, 1, 1),
        (&[], answered, 1, B::Unknown, Likely, 1, 1),
    ];
    for (complaints, edge, live, expected, confidence, restarts, marks) in cases {
        let world = lost(complaints, 140, |world| {
            world.edge = edge;
            world.peers = Ok(Some((live, 1)));
        });
        let case = format!("{complaints:?}, probe {edge:?}, {live} live");
        assert_eq!(blame(&world), Some((expected, confidence)), "{case}");
        assert_eq!((world.count(is_restart), world.count(is_mark)), (restarts, marks), "{case}");
        let held = expected.may_condemn() == Condemns::Never;
        assert_eq!(world.verdict.health() == Health::Held, held, "{case}");
    }
    let early = lost(&[C::EdgeUnreachable], 80, |_| {});
    assert_eq!(blame(&early), Some((B::Unknown, Guess)), "nobody was asked about the others yet");
}

#[test]
fn evidence_ages() {
    let mut world = lost(&[Complaint::Unauthorized], 20, |_| {});
    assert_eq!(blame(&world).map(|(blame, _)| blame), Some(Blame::Credentials));
    world.run(310);
    assert_eq!(
        blame(&world).map(|(blame, _)| blame),
        Some(Blame::Credentials),
        "cloudflared may be silent for so long"
    );
    world.run(30);
    assert_eq!(blame(&world).map(|(blame, _)| blame), Some(Blame::Unknown), "it would have said it again by now");
}

#[test]
fn a_registration_clears_what_was_said() {
    let mut world = lost(&[Complaint::Unauthorized], 20, |_| {});
    world.ready = FOUR;
    world.run(40);
    assert_eq!(blame(&world), None);
    world.ready = Ready::No;
    world.run(60);
    assert_eq!(blame(&world).map(|(blame, _)| blame), Some(Blame::Unknown));
}

#[test]
fn a_slow_look_or_a_fresh_child_is_nobodys_fault() {
    let mut world = World::registered();
    world.ready = Ready::Unanswered { why: "no complete answer within 2s".into() };
    world.run(10);
    world.ready = FOUR;
    world.run(60);
    assert!(world.decisions.iter().all(|decision| decision.kind != DecisionKind::Finding));
}

#[test]
fn a_crash_loop_is_the_processs_own_unless_it_says_why() {
    let crashing = |complaint: Option<Complaint>| {
        let mut world = World::registered();
        world.ready = Ready::No;
        for _ in 0..14 {
            let (after, respawn_in) = (Duration::from_secs(4), Duration::from_secs(5));
            let exited = RunFact::Exited {
                how: "exit status: 1".into(),
                ending: Ending::Status,
                after,
                respawn_in: Some(respawn_in),
            };
            world.tell(cflared_verdict::Event::Run(RunId(1), exited));
            if let Some(complaint) = complaint {
                world.complain(complaint);
            }
            world.run(5);
            world.tell(cflared_verdict::Event::Run(RunId(1), RunFact::Spawned { pid: 7, pinned: None }));
            world.run(5);
        }
        blame(&world)
    };
    assert_eq!(crashing(None), Some((Blame::Process, Confidence::Likely)));
    assert_eq!(crashing(Some(Complaint::ConfigRefused)), Some((Blame::Config, Confidence::Certain)));
    assert_ne!(crashing(Some(Complaint::EdgeSilent)).map(|(blame, _)| blame), Some(Blame::Process));
}

/// Its last words are read after the exit that they explain.
#[test]
fn an_exit_is_nobodys_fault_before_its_last_words_were_read() {
    let mut world = World::registered();
    world.ready = Ready::No;
    for _ in 0..8 {
        let (after, respawn_in) = (Duration::from_secs(4), Some(Duration::from_secs(20)));
        let how = "exit status: 1".into();
        let exited = RunFact::Exited { how, ending: Ending::Status, after, respawn_in };
        world.tell(cflared_verdict::Event::Run(RunId(1), exited));
        for _ in 0..3 {
            world.look();
            world.run(1);
        }
        world.complain(Complaint::EdgeSilent);
        world.run(17);
        world.tell(cflared_verdict::Event::Run(RunId(1), RunFact::Spawned { pid: 7, pinned: None }));
        world.run(5);
    }
    let blames = |blame| world.decisions.iter().filter(move |decision| decision.blame == Some(blame)).count();
    assert_eq!(blames(Blame::Process), 0);
}

/// Exits that follow each other faster than words may be late are a crash loop all the same.
#[test]
fn fast_exits_without_a_word_are_a_crash_loop() {
    let mut world = World::registered();
    world.ready = Ready::No;
    world.run(20);
    for _ in 0..4 {
        let (after, respawn_in) = (Duration::from_millis(200), Some(Duration::from_secs(1)));
        let how = "exit status: 1".into();
        world.tell(cflared_verdict::Event::Run(
            RunId(1),
            RunFact::Exited { how, ending: Ending::Status, after, respawn_in },
        ));
        world.run(1);
        world.tell(cflared_verdict::Event::Run(RunId(1), RunFact::Spawned { pid: 7, pinned: None }));
    }
    assert_eq!(blame(&world), Some((Blame::Process, Confidence::Likely)));
}

/// What the others report is read when the guard is asked, ever more seldom: between two answers the blame stays what it was.
#[test]
fn the_blame_stands_from_one_answer_of_the_others_to_the_next() {
    let world = lost(&[Complaint::EdgeUnreachable], 3600, |world| {
        world.edge = Some(Reach::Failed);
        world.peers = Ok(Some((0, 1)));
        world.group.as_mut().unwrap().replaced = vec![Duration::from_secs(60)];
    });
    let findings: Vec<&str> = world
        .decisions
        .iter()
        .filter(|decision| decision.kind == DecisionKind::Finding)
        .map(|decision| decision.what.as_str())
        .collect();
    assert_eq!(findings, ["blame: unknown (a guess)", "blame: edge (likely)"]);
}

/// Each child is refused, exits, and is replaced after a pause; each new one complains of a name server while it starts, and does
/// not listen yet. Found with cloudflared over HTTP/2: in that second the instance was marked.
#[test]
fn what_a_child_says_and_does_while_it_starts_is_no_evidence_against_what_the_last_one_was_told() {
    let mut world = World::registered();
    world.peers = Ok(Some((1, 1)));
    world.edge = Some(Reach::Answered);
    world.ready = Ready::No;
    let began = world.second();
    world.complain(Complaint::Unauthorized);
    world.run(10);
    for pause in [2, 4, 8, 16, 30, 50, 50, 50, 50, 50] {
        let (after, respawn_in) = (Duration::from_secs(7), Duration::from_secs(pause));
        let how = "exit status: 1".into();
        let exited = RunFact::Exited { how, ending: Ending::Status, after, respawn_in: Some(respawn_in) };
        world.tell(cflared_verdict::Event::Run(RunId(1), exited));
        world.run(pause);
        world.tell(cflared_verdict::Event::Run(RunId(1), RunFact::Spawned { pid: 7, pinned: None }));
        world.ready = Ready::Unanswered { why: "connection refused".into() };
        world.complain(Complaint::DnsFailed);
        for _ in 0..5 {
            world.look();
            world.run(1);
            assert_eq!(blame(&world), Some((Blame::Credentials, Confidence::Certain)), "at {} s", world.second());
        }
        world.ready = Ready::No;
        world.complain(Complaint::Unauthorized);
        world.run(2);
    }
    assert!(world.second() - began > 370, "longer than the ladder, and the guard's wait");
    assert_eq!(world.count(is_mark), 0);
}

#[test]
fn a_hung_process_is_restarted_and_then_replaced_without_peers() {
    let world = lost(&[], 140, |world| {
        world.ready = Ready::Unanswered { why: "timed out".into() };
        world.peers = Err(FailureKind::Denied);
    });
    assert_eq!((world.count(is_restart), world.count(is_mark)), (1, 1));
}

#[test]
fn no_restart_while_the_edge_is_unreachable_and_one_when_it_is_back() {
    let mut world = lost(&[Complaint::EdgeUnreachable], 3600, |world| {
        world.edge = Some(Reach::Failed);
        world.peers = Ok(Some((0, 1)));
        world.group = Err(FailureKind::Denied);
    });
    assert_eq!(world.count(is_restart), 0);
    world.edge = Some(Reach::Answered);
    world.run(31);
    let reasons: Vec<_> = world
        .given
        .iter()
        .filter_map(|(_, order)| if let Order::Restart { reason, .. } = order { Some(*reason) } else { None })
        .collect();
    assert_eq!(reasons, [Reason::EdgeBack], "it may sleep out a minute of back-off");
    world.run(240);
    assert_eq!(world.count(is_restart), 1, "once");
}

#[test]
fn refused_credentials_have_the_secret_read_at_once_and_at_most_once_a_minute() {
    let mut world = World::registered();
    world.run(65);
    world.given.clear();
    world.complain(Complaint::Unauthorized);
    let read = |order: &Order| matches!(order, Order::ReadSecret { .. });
    assert_eq!(world.count(read), 1, "though it is registered: at its next reconnect it would not be");
    for _ in 0..30 {
        world.complain(Complaint::Unauthorized);
        world.run(10);
    }
    assert!((5..=7).contains(&world.count(read)), "{}", world.count(read));
}

#[test]
fn a_new_version_heals_refused_credentials() {
    let mut world = lost(&[Complaint::Unauthorized], 600, |_| {});
    assert_eq!(world.verdict.health(), Health::Held);
    world.secret = Some("v2");
    world.ready_of.insert("v2", FOUR);
    world.run(330);
    assert_eq!(world.verdict.health(), Health::Registered);
    assert_eq!(world.count(is_mark), 0);
}

#[test]
fn an_origin_that_is_down_is_reported_and_nothing_else() {
    let mut world = World::registered();
    world.complain(Complaint::OriginUnreachable);
    world.run(5);
    assert_eq!(world.count(|order| matches!(order, Order::Probe { .. })), 1);
    assert_eq!(blame(&world), None, "all origins answered the probe");
    world.origin_down = true;
    for _ in 0..60 {
        world.complain(Complaint::OriginUnreachable);
        world.run(20);
    }
    assert_eq!(world.count(|order| matches!(order, Order::Probe { .. })), 3, "every ten minutes at most");
    world.complain(Complaint::OriginUnreachable);
    assert_eq!(blame(&world).map(|(blame, _)| blame), Some(Blame::Origin));
    assert_eq!((world.count(is_restart), world.count(is_mark)), (0, 0));
    assert_eq!(world.verdict.health(), Health::Registered);
}

#[test]
fn an_origin_that_a_probe_spares_is_as_it_was_when_it_was_tried() {
    let mut world = World::registered();
    world.origin_down = true;
    world.complain(Complaint::OriginUnreachable);
    world.run(5);
    assert_eq!(blame(&world), Some((Blame::Origin, Confidence::Certain)));
    (world.origin_spared, world.ready) = (true, Ready::No);
    world.run(65);
    assert_eq!(world.count(|order| matches!(order, Order::Probe { .. })), 2);
    world.ready = FOUR;
    world.look();
    assert_eq!(blame(&world), Some((Blame::Origin, Confidence::Certain)), "it was tried 70 s ago");
}

#[test]
fn each_finding_is_kept_with_its_evidence() {
    let world = lost(&[Complaint::EdgeUnreachable], 140, |world| world.edge = Some(Reach::Failed));
    let findings: Vec<_> = world.decisions.iter().filter(|decision| decision.kind == DecisionKind::Finding).collect();
    let told: Vec<&str> = findings.iter().map(|decision| decision.what.as_str()).collect();
    assert_eq!(told, ["blame: unknown (a guess)", "blame: host network (likely)"]);
    assert!(findings[1].evidence.contains("7844") && findings[1].evidence.contains("other connectors"));
    let mark = world.decisions.iter().find(|decision| decision.what.contains("is condemned"));
    assert_eq!(mark.and_then(|decision| decision.blame), Some(Blame::HostNetwork));
}
