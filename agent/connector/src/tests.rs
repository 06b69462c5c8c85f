// These tests measure how long real processes take.
#![allow(clippy::disallowed_methods)]

use super::*;
use cflared_verdict::{Complaint, Ending, Transport};
use cloudflared::Symptom;
use cloudflared::sockets::{Listener, Sockets};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::path::Path;
use std::time::Instant;
use testing::fake::{Dir, alive, state, until};
use testing::{Refusing, ended};

const RUN: RunId = RunId(1);

/// Runs until it is told to end, and says so.
const POLITE: &str = "trap 'echo TERM >> $D/told; exit 0' TERM; echo $$ >> $D/pids; while :; do sleep 0.01; done";
/// Cannot be told anything.
const DEAF: &str = "trap '' TERM; echo $$ >> $D/pids; while :; do sleep 0.01; done";
const EXITS: &str = "echo $$ >> $D/pids; exit 4";

struct Run {
    dir: Dir,
    /// They keep the metrics addresses from everybody else.
    ports: [Refusing; 2],
    facts: mpsc::UnboundedReceiver<(RunId, RunFact)>,
    handle: Handle,
}

fn spec(binary: &Path, ports: &[Refusing; 2]) -> Spec {
    Spec {
        run: RUN,
        purpose: Purpose::Serve,
        binary: binary.into(),
        config: "/etc/cloudflared/generations/1/config.yml".into(),
        credentials: "/etc/cloudflared/generations/1/6ff42ae2-765d-4adf-8112-31c55c1551ef.json".into(),
        ports: Ports::new(ports.each_ref().map(Refusing::address)),
        slot: 0,
        grace: Duration::from_millis(200),
        forbids: Forbids::all(|_| false),
        extra_args: Vec::new(),
        respawn: respawn::Times {
            stable: Duration::from_secs(3600),
            first: Duration::from_millis(10),
            longest: Duration::from_millis(80),
        },
        seed: 7,
        stir: Arc::default(),
    }
}

fn run_with(body: &str, change: impl FnOnce(&mut Spec)) -> Run {
    let dir = Dir::new();
    let ports = [Refusing::new(), Refusing::new()];
    let mut spec = spec(&dir.script(body), &ports);
    change(&mut spec);
    let (sender, facts) = mpsc::unbounded_channel();
    Run { dir, ports, facts, handle: start(spec, sender) }
}

fn run(body: &str) -> Run {
    run_with(body, |_| ())
}

fn is_chat(fact: &RunFact) -> bool {
    matches!(fact, RunFact::Complained { complaint: Complaint::Other, .. })
}

fn by(manner: Manner) -> Deciding {
    Box::pin(async move { manner })
}

impl Run {
    /// The next fact, whatever the script or its shell says beside it.
    async fn fact(&mut self) -> RunFact {
        loop {
            let (run, fact) = ended(self.facts.recv()).await.unwrap();
            assert_eq!(run, RUN);
            if !is_chat(&fact) {
                return fact;
            }
        }
    }

    async fn spawned(&mut self) -> u32 {
        match self.fact().await {
            RunFact::Spawned { pid, .. } => pid,
            other => panic!("{other:?}"),
        }
    }

    /// Until the script of the `count`th child is under way.
    async fn under_way(&self, count: usize) -> u32 {
        until("the script runs", || self.dir.pids("pids").len() >= count).await;
        self.dir.pids("pids")[count - 1]
    }

    fn drain(&self) -> impl Future<Output = ()> + use<> {
        self.handle.drain(by(Manner::Ask))
    }

    fn restart(&self) -> impl Future<Output = Result<Restarted, RestartError>> + use<> {
        self.handle.restart(by(Manner::Ask))
    }

    fn no_more_facts(&mut self) {
        while let Ok((_, fact)) = self.facts.try_recv() {
            assert!(is_chat(&fact), "{fact:?}");
        }
    }
}

fn connector_id(run: &Run) -> Option<uuid::Uuid> {
    run.handle.child()?.connector_id
}

#[tokio::test]
async fn the_command_line_is_the_documented_one() {
    let mut run =
        run_with("echo $$ >> $D/pids; for a in \"$@\"; do echo \"$a\"; done > $D/args; exec sleep 100", |spec| {
            spec.extra_args = ["--edge", "127.1.2.3:7844", "--metrics", "0.0.0.0:1"].map(String::from).to_vec();
            spec.grace = Duration::from_secs(30);
        });
    run.spawned().await;
    until("it has written its arguments", || run.dir.read("args").ends_with("run\n")).await;
    let args = run.dir.read("args");
    let metrics = run.handle.child().unwrap().metrics;
    assert_eq!(metrics, run.ports[0].address());
    let expected = format!(
        "tunnel --loglevel info --max-edge-addr-retries 1 --retries 3 --edge 127.1.2.3:7844 --metrics 0.0.0.0:1 \
        --config /etc/cloudflared/generations/1/config.yml \
        --cred-file /etc/cloudflared/generations/1/6ff42ae2-765d-4adf-8112-31c55c1551ef.json \
        --metrics {metrics} --no-autoupdate --output json --grace-period 30s run"
    );
    assert_eq!(args.lines().collect::<Vec<_>>().join(" "), expected);
    run.drain().await;
}

#[tokio::test]
async fn a_crash_loop_is_slowed_down_and_leaves_no_zombie() {
    let mut run = run(EXITS);
    let mut pids = Vec::new();
    for base in [10, 20, 40, 40] {
        pids.push(run.spawned().await);
        let RunFact::Exited { how, respawn_in, .. } = run.fact().await else { panic!("not an exit") };
        assert_eq!(how, "exit status: 4");
        let delay = respawn_in.unwrap().as_millis();
        assert!((base..=2 * base).contains(&delay), "{base}: {delay}");
    }
    run.drain().await;
    assert!(pids.iter().all(|pid| state(*pid).is_none()), "all were reaped");
    // One more may have been spawned in the meantime, and no other.
    while let Ok((_, fact)) = run.facts.try_recv() {
        pids.extend(if let RunFact::Spawned { pid, .. } = fact { Some(pid) } else { None });
    }
    assert!(pids.len() <= 5 && run.dir.pids("pids").len() <= pids.len(), "{pids:?}");
}

#[tokio::test]
async fn a_killed_stable_child_is_replaced_at_once() {
    let mut run = run_with("exec sleep 100", |spec| spec.respawn.stable = Duration::ZERO);
    let mut pid = run.spawned().await;
    let mut times = Vec::new();
    for _ in 0..30 {
        let killed = Instant::now();
        kill(Pid::from_raw(pid.cast_signed()), Signal::SIGKILL).unwrap();
        let RunFact::Exited { how, respawn_in, .. } = run.fact().await else { panic!("not an exit") };
        assert_eq!((how.as_str(), respawn_in), ("signal: 9 (SIGKILL)", Some(Duration::ZERO)));
        let next = run.spawned().await;
        times.push(killed.elapsed());
        assert_ne!(next, pid);
        assert_eq!(state(pid), None, "reaped before its successor was executed");
        pid = next;
    }
    times.sort();
    // How fast it is on an idle host is `make bench`'s to measure; that nothing is waited for is what the facts say.
    println!("SIGKILL to exec of the successor: median {:?}, worst {:?}", times[15], times[29]);
    run.drain().await;
}

#[tokio::test]
async fn a_restart_replaces_a_living_child_and_is_no_exit() {
    let mut run = run_with(POLITE, |spec| spec.grace = Duration::from_secs(9));
    let first = run.spawned().await;
    run.under_way(1).await;
    run.restart().await.unwrap();
    let second = run.spawned().await;
    assert_eq!(state(first), None, "the first is gone before the second is there");
    run.under_way(2).await;
    assert!(alive(second));
    assert_eq!(run.dir.read("told"), "TERM\n");
    run.no_more_facts();
    run.drain().await;
    assert_eq!(run.dir.read("told"), "TERM\nTERM\n", "each was asked exactly once");
    assert_eq!(run.dir.pids("pids"), [first, second]);
}

#[tokio::test]
async fn a_deaf_child_is_restarted_by_force() {
    let mut run = run(DEAF);
    let first = run.spawned().await;
    run.under_way(1).await;
    run.restart().await.unwrap();
    assert_eq!(state(first), None);
    let second = run.spawned().await;
    run.drain().await;
    assert_eq!(state(second), None);
}

#[tokio::test]
async fn a_restart_cuts_the_wait_after_an_exit_short() {
    let mut run = run_with(EXITS, |spec| spec.respawn.first = Duration::from_secs(3600));
    run.spawned().await;
    assert!(matches!(run.fact().await, RunFact::Exited { .. }));
    run.restart().await.unwrap();
    run.spawned().await;
    assert!(matches!(run.fact().await, RunFact::Exited { .. }));
    assert_eq!(run.dir.pids("pids").len(), 2);
    run.drain().await;
    assert_eq!(run.restart().await, Err(RestartError::Drained));
    run.no_more_facts();
}

#[tokio::test]
async fn a_drain_lets_the_child_finish() {
    let mut run = run_with(
        "trap 'sleep 0.3; echo finished > $D/told; exit 0' TERM; echo $$ >> $D/pids; while :; do sleep 0.01; done",
        |spec| spec.grace = Duration::from_secs(9),
    );
    let pid = run.spawned().await;
    run.under_way(1).await;
    run.drain().await;
    assert_eq!(run.dir.read("told"), "finished\n");
    assert_eq!(state(pid), None);
    run.no_more_facts();
}

#[tokio::test]
async fn a_drain_ends_a_deaf_child_and_what_it_forked() {
    let mut run =
        run("trap '' TERM; sleep 100 & echo $! > $D/forked; echo $$ >> $D/pids; while :; do sleep 0.01; done");
    let pid = run.spawned().await;
    run.under_way(1).await;
    let forked = run.dir.pids("forked")[0];
    assert!(alive(forked));
    run.drain().await;
    assert_eq!(state(pid), None);
    until("what it forked is gone", || !alive(forked)).await;
}

#[tokio::test]
async fn a_frozen_child_is_drained_too() {
    let mut run = run(DEAF);
    let pid = run.spawned().await;
    run.under_way(1).await;
    kill(Pid::from_raw(pid.cast_signed()), Signal::SIGSTOP).unwrap();
    until("it is frozen", || state(pid) == Some('T')).await;
    let begun = Instant::now();
    run.drain().await;
    assert_eq!(state(pid), None);
    assert!(begun.elapsed() >= Duration::from_millis(1200), "it had its grace, and the margin");
}

#[tokio::test]
async fn what_has_nothing_to_finish_is_killed_and_not_asked() {
    let mut run = run_with(POLITE, |spec| spec.grace = Duration::from_secs(3600));
    let first = run.spawned().await;
    run.under_way(1).await;
    assert_eq!(run.handle.restart(by(Manner::Kill)).await, Ok(Restarted::NewChild));
    assert_eq!(state(first), None);
    let second = run.spawned().await;
    run.under_way(2).await;
    run.handle.drain(by(Manner::Kill)).await;
    assert_eq!(state(second), None);
    assert!(!run.dir.join("told").exists(), "nothing was asked");
    run.no_more_facts();
}

#[tokio::test]
async fn what_may_have_registered_since_the_last_look_is_asked_and_not_waited_for() {
    for (body, told) in [(POLITE, true), (DEAF, false)] {
        let mut run = run_with(body, |spec| spec.grace = Duration::from_secs(3600));
        let pid = run.spawned().await;
        run.under_way(1).await;
        ended(run.handle.drain(by(Manner::Hurry))).await;
        assert_eq!((state(pid), run.dir.join("told").exists()), (None, told));
        run.no_more_facts();
    }
}

#[tokio::test]
async fn what_is_registered_at_the_last_look_is_not_restarted() {
    let mut run = run(POLITE);
    let pid = run.spawned().await;
    run.under_way(1).await;
    assert_eq!(run.handle.restart(by(Manner::Spare)).await, Ok(Restarted::Spared));
    assert!(alive(pid));
    run.no_more_facts();
    run.handle.drain(by(Manner::Spare)).await;
    assert_eq!((state(pid), run.dir.read("told").as_str()), (None, "TERM\n"));
}

#[tokio::test]
async fn one_child_falls_back_sooner_where_udp_is_known_to_be_shut() {
    let mut run = run("echo $5 >> $D/redials; trap 'exit 0' TERM; echo $$ >> $D/pids; while :; do sleep 0.01; done");
    run.spawned().await;
    run.under_way(1).await;
    run.handle.hasten_fallback();
    for children in 2..=3 {
        run.restart().await.unwrap();
        run.under_way(children).await;
    }
    assert_eq!(run.dir.read("redials"), "1\n0\n1\n");
    run.drain().await;
}

#[tokio::test]
async fn a_child_that_ends_during_the_last_look_is_not_waited_for() {
    let mut run = run(POLITE);
    let first = run.spawned().await;
    run.under_way(1).await;
    let (looking, looks) = oneshot::channel();
    let restarted = run.handle.restart(Box::pin(async {
        looking.send(()).unwrap();
        std::future::pending().await
    }));
    ended(looks).await.unwrap();
    kill(Pid::from_raw(first.cast_signed()), Signal::SIGKILL).unwrap();
    assert_eq!(restarted.await, Ok(Restarted::NewChild));
    run.spawned().await;
    run.no_more_facts();
    run.drain().await;
}

#[tokio::test]
async fn each_child_gets_a_port_that_is_free() {
    let dir = Dir::new();
    let ports = [Refusing::new(), Refusing::new()];
    let [first, second] = ports.each_ref().map(Refusing::address);
    let mut spec = spec(&dir.script(EXITS), &ports);
    let stranger = std::net::TcpListener::bind(first).unwrap();
    spec.respawn.first = Duration::from_secs(3600);
    let (sender, facts) = mpsc::unbounded_channel();
    let mut run = Run { dir, ports, facts, handle: start(spec, sender) };
    run.spawned().await;
    assert_eq!(run.handle.child().unwrap().metrics, second);
    assert_eq!(run.handle.seen().taken[0].address, first);
    assert!(matches!(run.fact().await, RunFact::Exited { .. }));
    drop(stranger);
    // A child that another test has just forked keeps a copy until it executes its program.
    until("the port is free", || Sockets::default().listener(first, None) == Listener::Nobody).await;
    run.restart().await.unwrap();
    assert_eq!((run.handle.child().unwrap().metrics, run.handle.seen().taken), (first, vec![]));
    run.drain().await;
}

const SECOND_OPINION: &str = "case $* in *--protocol*) echo opinion;; *) echo serves;; esac >> $D/roles; exit 1";

#[tokio::test]
async fn a_second_opinion_is_asked_over_http2_and_not_respawned() {
    let mut run = run_with(SECOND_OPINION, |spec| spec.purpose = Purpose::Opinion);
    assert_eq!(
        run.fact().await,
        RunFact::Spawned { pid: run.handle.child().unwrap().pid, pinned: Some(Transport::Http2) }
    );
    let RunFact::Exited { respawn_in: None, ending: Ending::Status, .. } = run.fact().await else {
        panic!("not an exit")
    };
    run.drain().await;
    run.no_more_facts();
    assert_eq!(run.dir.read("roles"), "opinion\n");
}

#[tokio::test]
async fn an_adopted_second_opinion_is_respawned_as_any_other() {
    let mut run = run_with(SECOND_OPINION, |spec| spec.purpose = Purpose::Opinion);
    run.spawned().await;
    assert!(matches!(run.fact().await, RunFact::Exited { respawn_in: None, .. }));
    run.handle.adopt();
    run.spawned().await;
    assert!(matches!(run.fact().await, RunFact::Exited { respawn_in: Some(_), .. }));
    run.drain().await;
    assert!(run.dir.read("roles").starts_with("opinion\nserves\n"));
}

#[tokio::test]
async fn an_exit_is_a_crash_by_a_signal_or_by_the_words_of_the_runtime() {
    for (body, expected) in [
        ("exit 1", Ending::Status),
        ("echo 'it is no panic: nor a fatal error: ' >&2; exit 2", Ending::Status),
        ("echo '{\"level\":\"error\",\"message\":\"panic: as a message\"}' >&2; exit 1", Ending::Status),
        ("echo 'panic: runtime error: invalid memory address' >&2; exit 2", Ending::Crash),
        ("echo 'fatal error: out of memory' >&2; exit 2", Ending::Crash),
        ("kill -SEGV $$", Ending::Crash),
        ("kill -KILL $$", Ending::Crash),
    ] {
        let mut run = run_with(body, |spec| spec.respawn.first = Duration::from_secs(3600));
        run.spawned().await;
        let RunFact::Exited { ending, .. } = run.fact().await else { panic!("not an exit") };
        assert_eq!(ending, expected, "{body}");
        run.drain().await;
    }
}

#[tokio::test]
async fn a_connection_that_comes_or_goes_wakes_once_until_it_is_asked() {
    let line = "{\"connIndex\":0,\"level\":\"info\",\"message\":\"Registered tunnel connection\"}";
    let mut stir = Arc::default();
    let mut run = run_with(&format!("exec yes '{line}'"), |spec| stir = spec.stir.clone());
    run.spawned().await;
    for _ in 0..3 {
        ended(stir.notified()).await;
        let lines = || run.handle.seen().symptoms.get(&Symptom::Registered).copied().unwrap_or_default();
        let before = lines();
        until("it goes on", || lines() > before + 1000).await;
        assert!(tokio::time::timeout(Duration::from_millis(1), stir.notified()).await.is_err());
        assert!(run.handle.take_stirred());
    }
    run.drain().await;
}

#[tokio::test]
async fn a_drain_between_two_children_spawns_no_other() {
    let mut run = run_with(EXITS, |spec| spec.respawn.first = Duration::from_secs(3600));
    run.spawned().await;
    assert!(matches!(run.fact().await, RunFact::Exited { .. }));
    run.drain().await;
    run.drain().await;
    assert_eq!(run.dir.pids("pids").len(), 1);
    run.no_more_facts();
}

#[tokio::test]
async fn a_drain_overtakes_a_restart() {
    let mut run = run(DEAF);
    let pid = run.spawned().await;
    run.under_way(1).await;
    let restart = run.restart();
    run.drain().await;
    assert_eq!(restart.await, Err(RestartError::Drained));
    assert_eq!((state(pid), run.dir.pids("pids").len()), (None, 1));
    run.no_more_facts();
}

#[tokio::test]
async fn a_dropped_handle_leaves_no_orphan() {
    let mut run = run(DEAF);
    let pid = run.spawned().await;
    run.under_way(1).await;
    drop(run.handle);
    until("the child is gone", || state(pid).is_none()).await;
}

#[test]
fn a_dropped_runtime_leaves_no_orphan() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let first = runtime();
    let (run, pid) = first.block_on(async {
        let mut run = run(DEAF);
        let pid = run.spawned().await;
        run.under_way(1).await;
        (run, pid)
    });
    drop(first);
    runtime().block_on(until("the child is dead", || !alive(pid)));
    drop(run);
}

#[tokio::test]
async fn a_missing_program_is_tried_again_until_it_is_there() {
    let dir = Dir::new();
    let (sender, facts) = mpsc::unbounded_channel();
    let ports = [Refusing::new(), Refusing::new()];
    let handle = start(spec(&dir.join("cloudflared"), &ports), sender);
    let mut run = Run { dir, ports, facts, handle };
    let RunFact::NotSpawned { why, respawn_in } = run.fact().await else { panic!("spawned") };
    assert!(why.contains("there is no such file; install cloudflared there"), "{why}");
    assert!(respawn_in.unwrap() >= Duration::from_millis(10));
    let error = run.restart().await.unwrap_err();
    assert_eq!(error, RestartError::NotSpawned { why });
    run.dir.script(POLITE);
    while !matches!(run.fact().await, RunFact::Spawned { .. }) {}
    run.drain().await;
}

#[tokio::test]
async fn a_megabyte_without_a_line_end_does_no_harm() {
    let mut run = run(
        "head -c 1000000 /dev/zero; echo; echo '{\"level\":\"info\",\"message\":\"Registered tunnel connection\"}' >&2; exec sleep 100",
    );
    let pid = run.spawned().await;
    until("both outputs were read", || run.handle.seen().symptoms.len() == 2).await;
    let seen = run.handle.seen();
    assert_eq!(seen.symptoms, [(Symptom::Registered, 1), (Symptom::Unknown, 1)].into());
    assert_eq!(seen.discarded_bytes, 1_000_000 - 16 * 1024);
    assert!(alive(pid));
    run.no_more_facts();
    run.drain().await;
}

#[tokio::test]
async fn a_child_may_close_its_outputs() {
    let mut run = run("echo last words; exec >&- 2>&-; echo $$ >> $D/pids; exec sleep 100");
    let pid = run.spawned().await;
    run.under_way(1).await;
    until("its words were read", || run.handle.seen().last_lines == ["last words"]).await;
    assert!(alive(pid));
    run.no_more_facts();
    run.drain().await;
}

#[tokio::test]
async fn last_words_are_there_when_the_exit_is_told() {
    let mut run = run("echo one; echo two >&2; printf 'no line end'; exit 1");
    run.spawned().await;
    assert!(matches!(run.fact().await, RunFact::Exited { .. }));
    let mut words: Vec<_> = run.handle.seen().last_lines.into();
    words.truncate(3);
    words.sort();
    assert_eq!(words, ["no line end", "one", "two"]);
    run.drain().await;
}

#[tokio::test]
async fn a_successor_has_a_connector_id_of_its_own() {
    let id = "dfbd57bc-3608-4c49-853c-a9e9f7cbcc5c";
    let named = format!("[ -e $D/pids ] || echo 'Generated Connector ID: {id}'; echo $$ >> $D/pids; exec sleep 100");
    let mut run = run(&named);
    run.spawned().await;
    until("it names itself", || connector_id(&run).is_some()).await;
    assert_eq!(connector_id(&run).unwrap().to_string(), id);
    // Until it has left its mark, another one would name itself, too.
    run.under_way(1).await;
    run.restart().await.unwrap();
    run.under_way(2).await;
    assert_eq!(connector_id(&run), None);
    run.drain().await;
}

#[tokio::test]
async fn words_in_no_row_are_told_as_words() {
    let error = r#"{"level":"fatal","message":"a new way to fail"}"#;
    let chat = r#"{"level":"warn","message":"a new way to talk"}"#;
    for (said, told) in [(error, Some("a new way to fail")), (chat, None), ("plain words", Some("plain words"))] {
        let mut run =
            run_with(&format!("echo '{said}'; exit 1"), |spec| spec.respawn.first = Duration::from_secs(3600));
        run.spawned().await;
        let mut words = None;
        while let (_, RunFact::Complained { complaint, text }) = ended(run.facts.recv()).await.unwrap() {
            assert_eq!(complaint, Complaint::Other);
            words = Some(text);
        }
        assert_eq!(words.as_deref(), told);
        run.drain().await;
    }
}

#[tokio::test]
async fn a_child_that_complains_without_end_is_told_of_once_each_time_it_may_be() {
    let line = r#"{"level":"error","error":"Unauthorized: Invalid tunnel secret","message":"Register tunnel error from server side"}"#;
    let mut run = run(&format!("exec yes '{line}'"));
    run.spawned().await;
    let text = "Unauthorized: Invalid tunnel secret".to_owned();
    let told = RunFact::Complained { complaint: Complaint::Unauthorized, text };
    for _ in 0..3 {
        assert_eq!(run.fact().await, told);
        let lines = || run.handle.seen().symptoms.get(&Symptom::Unauthorized).copied().unwrap_or_default();
        let before = lines();
        until("it goes on", || lines() > before + 1000).await;
        run.no_more_facts();
        run.handle.complain_again();
    }
    run.drain().await;
}
