//! What is kept of a connector that hangs, for a report: its restart takes the evidence away.

use super::Clock;
use cflared_verdict::RunId;
use connector::Child;
use input::file;
use observe::{Observer, hang};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tracing::{info, warn};

/// How long the look may take, whatever the kernel does not show; clients wait for the restart.
const LIMIT: Duration = Duration::from_secs(4);

/// Keeps it in the runtime directory, in place of what hung before.
#[derive(Debug)]
pub(super) struct Keeper {
    run: RunId,
    path: PathBuf,
    clock: Clock,
}

impl Keeper {
    pub fn new(run: RunId, runtime_dir: &Path, clock: Clock) -> Self {
        Self { run, path: runtime_dir.join(hang::FILE), clock }
    }

    /// Looks at the child, which is alive and does not answer. That something cannot be seen or kept stops no restart.
    pub async fn keep(self, observer: &Observer, child: Child) {
        let Self { run, path, clock } = self;
        let pid = child.pid;
        let Ok(seen) = tokio::time::timeout(LIMIT, hang::look(observer, child.metrics, pid)).await else {
            warn!(%run, pid, event = "hang_not_seen", "connector hangs, and what it does could not be seen in time");
            return;
        };
        let at = humantime::format_rfc3339_seconds(clock.wall());
        let text = format!(
            "{at}: connector {run}, pid {pid}, is alive and does not answer; it is restarted after this\n\n{seen}"
        );
        let shown = path.display().to_string();
        let written = tokio::task::spawn_blocking(move || file::replace(&path, 0o600, text.as_bytes())).await;
        match written.map_err(io::Error::from).flatten() {
            Ok(()) => {
                info!(%run, pid, path = shown, event = "hang_kept", "connector hangs: what it does is kept for a report")
            }
            Err(error) => {
                warn!(%run, pid, path = shown, %error, event = "hang_not_kept", "connector hangs, and what it does could not be kept")
            }
        }
    }
}
