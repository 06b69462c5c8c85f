//! The way out.

use super::Agent;
use std::time::Duration;
use tracing::{info, warn};

/// How long the last datapoints may take at the end.
pub(super) const FLUSH: Duration = Duration::from_secs(3);
/// How long the last status may take at the end.
pub(super) const LAST_WRITES: Duration = Duration::from_secs(1);

impl Agent {
    /// Gives away the last datapoints and the last status.
    pub(super) async fn exit(mut self) {
        // Who may be started again a moment later has said nothing of this grain; who is sent away has.
        let for_good = self.verdict.view(self.clock.mono()).off_duty.is_some();
        if let Some(flushed) = self.flush(for_good)
            && tokio::time::timeout(FLUSH, flushed).await.is_err()
        {
            warn!(event = "last_datapoints_not_taken", "the last datapoints were not queued in time");
        }
        self.requests.close().await;
        let now = self.clock.mono();
        self.told.stopped = true;
        let carried = self.save();
        let stopped = self.state.save(now, |state| state.running = false);
        if let Some(json) = self.publisher.offer(now, self.status(now)) {
            self.writer.status(json);
        }
        let last = async {
            // The later save includes the earlier one.
            drop(carried);
            let stopped = stopped.await;
            self.writer.close().await;
            stopped
        };
        match tokio::time::timeout(LAST_WRITES, last).await {
            Ok(Ok(())) => info!(event = "agent_stopped", "stopped"),
            Ok(Err(error)) => {
                warn!(%error, event = "last_state_not_written", "stopped, but the last state was not written")
            }
            Err(_) => warn!(event = "last_status_late", "stopped, but the last status was not written in time"),
        }
    }
}
