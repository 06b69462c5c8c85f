//! Notices that the file of cloudflared is another one than the serving connector runs.

use super::Agent;
use cflared_verdict::{Event, Mono, Role};
use cloudflared::{Stamp, Version, VersionError};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::task::JoinSet;
use tracing::{info, warn};

/// Every so many intervals of the looks at a connector the file is looked at: with the defaults, once a minute.
const INTERVALS: u32 = 12;

/// The file, and what was seen of it.
#[derive(Debug)]
pub(super) struct Binary {
    path: PathBuf,
    every: Duration,
    next: Mono,
    /// Another one than runs, as the last look found it: an upgrade may be under way.
    candidate: Option<Stamp>,
    /// The one that was told of.
    told: Option<Stamp>,
    /// Why the candidate is not told of, as it was logged.
    trouble: Option<String>,
    looks: JoinSet<Seen>,
}

/// What a look, off the loop, has seen.
#[derive(Debug)]
pub(super) enum Seen {
    /// This is there.
    File(Option<Stamp>),
    /// The file, which is there still, says that of itself.
    Version(Stamp, Result<Version, VersionError>),
}

impl Binary {
    pub fn new(path: &Path, interval: Duration) -> Self {
        Self {
            path: path.into(),
            every: interval * INTERVALS,
            next: Mono::default(),
            candidate: None,
            told: None,
            trouble: None,
            looks: JoinSet::new(),
        }
    }

    /// Begins the look that is due; it rides on the ticks.
    pub fn look(&mut self, now: Mono) {
        if now >= self.next && self.looks.is_empty() {
            self.next = now + self.every;
            let path = self.path.clone();
            self.looks.spawn(async move { Seen::File(stamp(path).await) });
        }
    }

    /// What was seen; `None`: nobody looks.
    pub async fn seen(&mut self) -> Option<Seen> {
        self.looks.join_next().await.map(|seen| seen.expect("a look does not panic"))
    }

    /// Takes a look, with the file that the serving child was executed from; the version to tell of, if there is one. A file
    /// counts when two looks in a row saw it and it says which version it is; then once.
    fn take(&mut self, seen: Seen, executed: Option<Stamp>) -> Option<Version> {
        match seen {
            Seen::File(found) => {
                let another = found.filter(|found| executed.is_some_and(|executed| executed != *found));
                if another.is_none() {
                    (self.told, self.trouble) = (None, None);
                } else if another == self.candidate && another != self.told {
                    self.ask(another);
                }
                self.candidate = another;
                None
            }
            Seen::Version(stamp, Ok(version)) => {
                (self.told, self.trouble) = (Some(stamp), None);
                Some(version)
            }
            Seen::Version(_, Err(error)) => {
                let cause = error.to_string();
                if self.trouble.as_ref() != Some(&cause) {
                    warn!(cause, event = "new_binary_unfit", "the new file of cloudflared cannot be run");
                }
                self.trouble = Some(cause);
                None
            }
        }
    }

    fn ask(&mut self, candidate: Option<Stamp>) {
        let (path, Some(candidate)) = (self.path.clone(), candidate) else { return };
        self.looks.spawn(async move {
            let says = cloudflared::version(&path).await;
            match stamp(path).await {
                Some(still) if still == candidate => Seen::Version(candidate, says),
                other => Seen::File(other),
            }
        });
    }
}

/// The disk may hang: nobody waits for it.
async fn stamp(path: PathBuf) -> Option<Stamp> {
    tokio::task::spawn_blocking(move || Stamp::of(&path)).await.ok().flatten()
}

impl Agent {
    pub(super) fn binary_seen(&mut self, seen: Seen) {
        let view = self.verdict.view(self.clock.mono());
        let serving = view.runs.iter().find(|(_, run)| run.role == Role::Serving).map(|(id, _)| id);
        let executed = serving.and_then(|run| self.connectors.get(run)).and_then(|one| one.handle.child()?.executed);
        if let Some(version) = self.binary.take(seen, executed) {
            let path = self.settings.connector.binary.display();
            info!(%path, %version, event = "new_binary", "a new file of cloudflared is installed; the connector runs the old one");
            self.tell(Event::NewBinary { version: version.to_string() });
        }
    }
}

#[cfg(test)]
mod tests;
