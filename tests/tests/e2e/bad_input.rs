//! What the tests of bad input share: running `bootstrap`, and looking at what is on the disk.

use bundle::{Found, Store};
use cflared_tests::world::{Agent, ENVIRONMENT, Host, eventually};
use cflared_verdict::Installed;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Output;

/// Everything of a file that changes when somebody writes to it, to its name or to its owner and mode.
#[derive(Debug, PartialEq, Eq)]
pub struct Touched {
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// Every file, directory and link below `dir`, and `dir` itself.
pub fn files(dir: &Path) -> BTreeMap<PathBuf, Touched> {
    let mut found = BTreeMap::new();
    let mut todo = vec![dir.to_owned()];
    while let Some(path) = todo.pop() {
        let metadata = fs::symlink_metadata(&path).unwrap();
        if metadata.is_dir() {
            todo.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
        let touched = Touched {
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        };
        found.insert(path, touched);
    }
    found
}

/// Runs `bootstrap --timeout TIMEOUT`.
pub async fn bootstrap(host: &Host, timeout: &str) -> anyhow::Result<Output> {
    host.run(["bootstrap", "--timeout", timeout]).await
}

/// Holds a finished command against what it should have come to: its exit status, and what it says to a person.
#[track_caller]
pub fn assert_ended(output: &Output, exit: i32, parts: &[&str]) {
    let said = said(output);
    println!("{said}");
    assert_eq!(output.status.code(), Some(exit), "{said}");
    for part in parts {
        assert!(said.contains(part), "`{part}` is not in: {said}");
    }
    assert!(!said.contains("panicked"), "{said}");
}

/// Both outputs of a finished command.
pub fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// What is installed, as the agent itself sees it.
pub fn installed(host: &Host) -> Found {
    Store::open(host.config_dir()).map_or(Found::Nothing, |store| store.installed(&host.id, Some(ENVIRONMENT)))
}

/// What is installed, which must be whole.
#[track_caller]
pub fn whole(host: &Host) -> Installed {
    match installed(host) {
        Found::Whole(installed) => installed,
        other => panic!("nothing whole is installed: {other:?}"),
    }
}

/// Waits until the status and the line for systemd both hold every one of `parts`: the cause, and the next step.
///
/// # Errors
/// They never did.
pub async fn wait_told(agent: &mut Agent, parts: &[&str]) -> anyhow::Result<Value> {
    let holds = |text: &str| parts.iter().all(|part| text.contains(part));
    let what = format!("{parts:?} in the status");
    let status = agent.wait_status(&what, |status| holds(status["trouble"].as_str().unwrap_or_default())).await?;
    eventually(&format!("{parts:?} for systemd"), async || {
        let last = agent.notices().into_iter().rfind(|notice| notice.starts_with("STATUS="))?;
        holds(&last).then_some(())
    })
    .await?;
    println!("STATUS={}", status["trouble"]);
    Ok(status)
}

/// Whether this process is root.
pub fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|metadata| metadata.uid() == 0)
}

/// Every fifth entry of a table, from that number on: most of a life is waiting, so five lives share a table.
pub fn fifth<T>(table: Vec<T>, number: usize) -> impl Iterator<Item = T> {
    table.into_iter().skip(number).step_by(5)
}
