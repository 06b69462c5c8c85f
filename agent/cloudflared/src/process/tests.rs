use crate::{Process, SpawnError, command};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use testing::fake::{Dir, alive, state, until};
use testing::missing;

#[tokio::test]
async fn an_exit_is_seen_before_it_is_reaped() {
    let dir = Dir::new();
    let mut process = Process::spawn(command(&dir.script("exit 7"))).unwrap();
    let pid = process.pid();
    process.exited().await;
    process.exited().await;
    assert_eq!(state(pid), Some('Z'), "its id is still its own");
    assert_eq!(process.reap().await.unwrap().code(), Some(7));
    assert_eq!(state(pid), None);
}

#[tokio::test]
async fn what_the_program_forked_goes_with_it() {
    let dir = Dir::new();
    let script = dir.script("sleep 100 & echo $! > $D/forked; exit 1");
    let mut process = Process::spawn(command(&script)).unwrap();
    process.exited().await;
    let forked = dir.pids("forked")[0];
    assert!(alive(forked));
    assert_eq!(process.reap().await.unwrap().code(), Some(1), "its own status, not that of our signal");
    until("what it forked is gone", || !alive(forked)).await;
}

#[tokio::test]
async fn a_stopped_program_hears_the_request_to_end() {
    let dir = Dir::new();
    let script = dir.script("trap 'exit 3' TERM; echo $$ > $D/pid; while :; do sleep 0.01; done");
    let mut process = Process::spawn(command(&script)).unwrap();
    until("it runs", || !dir.read("pid").is_empty()).await;
    nix::sys::signal::kill(process.group, nix::sys::signal::Signal::SIGSTOP).unwrap();
    until("it is stopped", || state(process.pid()) == Some('T')).await;
    process.terminate();
    process.exited().await;
    assert_eq!(process.reap().await.unwrap().code(), Some(3));
}

#[tokio::test]
async fn dropping_it_kills_the_group() {
    let dir = Dir::new();
    let process = Process::spawn(command(&dir.script("sleep 100 & echo $! > $D/forked; wait"))).unwrap();
    let pid = process.pid();
    until("it has forked", || !dir.read("forked").is_empty()).await;
    drop(process);
    until("all are gone", || !alive(pid) && !alive(dir.pids("forked")[0])).await;
}

#[tokio::test]
async fn a_program_that_ignores_requests_is_killed() {
    let dir = Dir::new();
    let script = dir.script("trap '' TERM; echo $$ > $D/pid; while :; do sleep 0.01; done");
    let process = Process::spawn(command(&script)).unwrap();
    until("it runs", || !dir.read("pid").is_empty()).await;
    process.terminate();
    assert_eq!(process.reap().await.unwrap().signal(), Some(9));
}

#[tokio::test]
async fn a_program_that_cannot_be_executed_is_told_apart() {
    let dir = Dir::new();
    let missing = missing("cloudflared");
    let error = Process::spawn(command(&missing)).unwrap_err();
    assert!(matches!(error, SpawnError::Missing { .. }), "{error}");
    let expected = format!("{}: there is no such file; install", missing.display());
    assert!(error.to_string().contains(&expected), "{error}");

    let script = dir.script("exit 0");
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o644)).unwrap();
    let error = Process::spawn(command(&script)).unwrap_err();
    assert!(matches!(error, SpawnError::NotExecutable { .. }), "{error}");
}
