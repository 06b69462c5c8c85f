use super::*;
use crate::Process;
use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use testing::fake::{Dir, alive, until};
use tokio::io::AsyncReadExt;

/// What a script prints when it is executed as the program is.
async fn printed(body: &str) -> String {
    let dir = Dir::new();
    let mut process = Process::spawn(command(&dir.script(body))).unwrap();
    let (stdout, _) = process.take_outputs();
    let mut text = String::new();
    stdout.unwrap().read_to_string(&mut text).await.unwrap();
    process.exited().await;
    assert!(process.reap().await.unwrap().success());
    text
}

#[tokio::test]
async fn the_environment_holds_what_is_listed_and_nothing_else() {
    let env = printed("exec cat /proc/self/environ").await;
    let env: BTreeMap<_, _> = env.split_terminator('\0').map(|pair| pair.split_once('=').unwrap()).collect();
    // What this test process has of the list, and what the shell itself exports.
    let mut expected: BTreeMap<_, _> =
        PASSED_ON.iter().filter_map(|name| Some((*name, std::env::var(name).ok()?))).collect();
    let pwd = env.get("PWD").map(|pwd| (*pwd).to_owned());
    expected.extend(pwd.map(|pwd| ("PWD", pwd)));
    assert_eq!(env.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    assert!(env.iter().all(|(name, value)| expected[name] == *value));
    assert!(std::env::vars().count() > env.len(), "cargo sets variables that the child must not get");
}

#[tokio::test]
async fn only_the_first_three_descriptors_are_open() {
    // Two that our parent left open without the mark, as a careless supervisor would.
    let leaked: Vec<_> = (0..2).map(|_| std::fs::File::open("/dev/null").unwrap()).collect();
    for file in &leaked {
        nix::fcntl::fcntl(file, nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::empty())).unwrap();
    }
    // The shell itself holds its script open on a descriptor that it marks close-on-exec.
    let listed = printed("exec ls -l /proc/self/fd").await;
    let open: Vec<_> = listed.lines().filter_map(|line| line.split_once(" -> ")).collect();
    let named: Vec<_> = open.iter().filter(|(_, target)| !target.starts_with("/proc/")).collect();
    assert_eq!(named.len(), 3, "{listed}");
    assert!(named[0].0.ends_with(" 0") && named[0].1 == "/dev/null", "{listed}");
    assert!(named[1..].iter().all(|(_, target)| target.starts_with("pipe:")), "{listed}");
}

/// Signals 32 and 33, which no program can handle.
const THE_C_LIBRARYS_OWN: u64 = 0b11 << 31;

#[tokio::test]
async fn signals_limits_umask_and_group_are_its_own() {
    let text = printed(
        "umask; grep -E '^(SigBlk|SigIgn)' /proc/self/status; grep core /proc/self/limits; exec cat /proc/self/stat",
    )
    .await;
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines[0], "0077");
    for line in &lines[1..3] {
        let mask = u64::from_str_radix(line.split_whitespace().nth(1).unwrap(), 16).unwrap();
        assert_eq!(mask & !THE_C_LIBRARYS_OWN, 0, "{line}: SIGPIPE too is back to its default");
    }
    let limits: Vec<_> = lines[3].split_whitespace().collect();
    assert!(limits[4..6] == ["1", "1"] || limits[4..6] == ["0", "0"], "{}", lines[3]);
    let after_name = lines[4].rsplit_once(") ").unwrap().1;
    let (pid, group) = (lines[4].split_once(' ').unwrap().0, after_name.split(' ').nth(2).unwrap());
    assert_eq!(pid, group, "a group of its own");
}

#[tokio::test]
async fn no_core_is_written() {
    let dir = Dir::new();
    let mut process = Process::spawn(command(&dir.script("cd $D && kill -QUIT $$"))).unwrap();
    process.exited().await;
    let status = process.reap().await.unwrap();
    assert_eq!((status.signal(), status.core_dumped()), (Some(3), false));
    assert!(!dir.join("core").exists());
}

const AGENT: &str = "CFLARED_TEST_AGENT";

/// Plays the agent for the test below: spawns the program and waits to be killed.
#[tokio::test]
#[ignore = "is executed by the test below"]
async fn agent() {
    let Some(script) = std::env::var_os(AGENT) else { return };
    let mut process = Process::spawn(command(Path::new(&script))).unwrap();
    process.exited().await;
}

#[tokio::test]
async fn the_program_gets_nothing_of_the_agents_and_dies_with_it() {
    let dir = Dir::new();
    // Not exec: SIGTERM must reach this very process, and be seen.
    let script = dir
        .script("trap 'echo TERM > $D/told; exit' TERM; env > $D/env; echo $$ > $D/pid; while :; do sleep 0.01; done");
    let mut agent = tokio::process::Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "command::tests::agent"])
        .env(AGENT, &script)
        .envs(
            ["NOTIFY_SOCKET", "WATCHDOG_USEC", "HTTPS_PROXY", "AWS_ACCESS_KEY_ID", "TUNNEL_TOKEN"]
                .map(|name| (name, "x")),
        )
        .env("GOMEMLIMIT", "64MiB")
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    until("the program runs", || !dir.read("pid").is_empty()).await;
    let pid = dir.pids("pid")[0];
    assert!(alive(pid));
    let env = dir.read("env");
    assert!(env.contains("GOMEMLIMIT=64MiB\n") && !env.contains("=x\n") && !env.contains(AGENT), "{env}");
    agent.kill().await.unwrap();
    until("the program is gone", || !alive(pid)).await;
    assert_eq!(dir.read("told"), "TERM\n", "it was asked, not killed: it may still serve its last requests");
}
