//! What system calls a program makes, and making one of them its last, or fail.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use tempfile::NamedTempFile;

/// One system call of a traced run.
#[derive(Debug, Clone)]
pub struct Call {
    /// Its name, such as `openat`.
    pub name: String,
    /// How many calls of that name the program had made with this one: what strace's `when=` counts.
    pub nth: usize,
    /// The whole line: arguments with the paths of descriptors, and the result.
    pub line: String,
}

impl Call {
    /// Whether all these are in its line.
    pub fn has(&self, parts: &[&str]) -> bool {
        parts.iter().all(|part| self.line.contains(part))
    }
}

fn strace() -> Command {
    let mut command = Command::new("strace");
    command.stdin(Stdio::null()).env_remove("RUST_BACKTRACE");
    command
}

fn run(command: &mut Command) -> Output {
    command.output().expect("strace runs; `apt-get install strace` if it is missing")
}

/// Runs a program that must succeed on one thread, and lists its file-system calls that concern `dir`.
pub fn calls(program: &[&str], dir: &Path) -> Vec<Call> {
    let log = NamedTempFile::new().expect("a temporary file");
    let mut command = strace();
    command.args(["-f", "-y", "-qq", "-s", "200", "-e", "trace=%file,%desc", "-o"]).arg(log.path()).args(program);
    let output = run(&mut command);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = std::fs::read_to_string(log.path()).expect("strace writes its log");
    parse(&text, dir.to_str().expect("test paths are UTF-8"))
}

fn parse(text: &str, dir: &str) -> Vec<Call> {
    let mut seen = std::collections::HashMap::<String, usize>::new();
    let mut threads = std::collections::HashSet::new();
    let mut calls = Vec::new();
    for line in text.lines() {
        let (thread, line) = line.split_once(' ').expect("with -f, a line begins with the thread's id");
        threads.insert(thread);
        let Some((name, _)) = line.trim_start().split_once('(') else { continue };
        let nth = seen.entry(name.to_owned()).and_modify(|n| *n += 1).or_insert(1);
        if line.contains(dir) && name != "execve" {
            calls.push(Call { name: name.into(), nth: *nth, line: line.trim_start().into() });
        }
    }
    assert_eq!(threads.len(), 1, "the order of calls is one order only on one thread");
    calls
}

/// Runs the program and does that to the call: `signal=SIGKILL` kills it in place of the call, `error=EIO` lets the call
/// fail without being made.
pub fn inject(program: &[&str], call: &Call, what: &str) -> Output {
    let (name, nth) = (&call.name, call.nth);
    let mut command = strace();
    command.args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={name}")]);
    command.args(["-e", &format!("inject={name}:{what}:when={nth}")]).args(program);
    run(&mut command)
}
