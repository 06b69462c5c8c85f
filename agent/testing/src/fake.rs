//! Fake programs for tests: shell scripts in a directory of their own.

pub use crate::until;

use crate::Directory;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A directory for a script and what it writes.
pub struct Dir(Directory);

impl Dir {
    /// Makes it.
    pub fn new() -> Self {
        Self(Directory::new())
    }

    /// The path of that name in it.
    pub fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// An executable script. A process of its own writes it: if this one did, a test that forks at the same time would
    /// hold it open for writing, and executing it would fail with ETXTBSY.
    pub fn script(&self, body: &str) -> PathBuf {
        let (text, script) = (self.join("script.txt"), self.join("cloudflared"));
        std::fs::write(&text, format!("#!/bin/sh\nD={}\n{body}\n", self.0.path().display())).unwrap();
        let copied = Command::new("install").arg("-m755").arg(&text).arg(&script).status().unwrap();
        assert!(copied.success());
        script
    }

    /// What a file of it holds; empty if there is none.
    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.join(name)).unwrap_or_default()
    }

    /// The process ids that a script wrote into a file, one a line.
    pub fn pids(&self, name: &str) -> Vec<u32> {
        self.read(name).lines().map(|line| line.trim().parse().unwrap()).collect()
    }
}

/// What the real program printed: the lines of each log in `tests/recorded/`, by its path in there.
pub fn recordings() -> Vec<(String, Vec<Vec<u8>>)> {
    let home = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/recorded");
    let (mut folders, mut logs) = (vec![home.clone()], vec![]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "log") {
                let text = std::fs::read(&path).unwrap();
                let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
                let name = path.strip_prefix(&home).unwrap().to_str().unwrap().to_owned();
                logs.push((name, lines.map(<[u8]>::to_vec).collect()));
            }
        }
    }
    logs.sort();
    logs
}

/// The state letter of a process: `S`, `T`, `Z` …; none if there is no such process.
pub fn state(pid: u32) -> Option<char> {
    let stat = std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

/// Whether it runs, or could again.
pub fn alive(pid: u32) -> bool {
    !matches!(state(pid), None | Some('Z' | 'X'))
}
