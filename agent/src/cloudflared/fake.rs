//! Fake programs for tests: shell scripts in a directory of their own.

#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// A directory that is removed with its contents.
pub(crate) struct Dir(PathBuf);

impl Dir {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("cflared-test-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// An executable script. A process of its own writes it: if this one did, a test that forks at the same time would
    /// hold it open for writing, and executing it would fail with ETXTBSY.
    pub(crate) fn script(&self, body: &str) -> PathBuf {
        let (text, script) = (self.join("script.txt"), self.join("cloudflared"));
        std::fs::write(&text, format!("#!/bin/sh\nD={}\n{body}\n", self.0.display())).unwrap();
        let copied = Command::new("install").arg("-m755").arg(&text).arg(&script).status().unwrap();
        assert!(copied.success());
        script
    }

    /// What a file of it holds; empty if there is none.
    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.join(name)).unwrap_or_default()
    }

    /// The process ids that a script wrote into a file, one a line.
    pub(crate) fn pids(&self, name: &str) -> Vec<u32> {
        self.read(name).lines().map(|line| line.trim().parse().unwrap()).collect()
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Waits until it is so; gives up after 10 s.
pub(crate) async fn until(what: &str, mut so: impl FnMut() -> bool) {
    for _ in 0..5000 {
        if so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    panic!("never: {what}");
}

/// The state letter of a process: `S`, `T`, `Z` …; none if there is no such process.
pub(crate) fn state(pid: u32) -> Option<char> {
    let stat = std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

/// Whether it runs, or could again.
pub(crate) fn alive(pid: u32) -> bool {
    !matches!(state(pid), None | Some('Z' | 'X'))
}
