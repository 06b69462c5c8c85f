//! The way out.

use super::Agent;
use std::time::Duration;
use tracing::{info, warn};

/// How long the last datapoints may take at the end.
const FLUSH: Duration = Duration::from_secs(3);
/// How long the last status may take at the end.
const LAST_WRITES: Duration = Duration::from_secs(1);

impl Agent {
    /// Gives away the last datapoints and the last status.
    pub(super) async fn exit(mut self) {
        if let Some(cloudwatch) = self.host.as_ref().and_then(|host| host.cloudwatch.as_ref())
            && tokio::time::timeout(FLUSH, cloudwatch.flush(self.clock.wall())).await.is_err()
        {
            warn!(event = "last_datapoints_not_taken", "the last datapoints were not taken in time");
        }
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
                warn!(%error, event = "last_state_not_written", "stopped, and the last state was not written")
            }
            Err(_) => warn!(event = "last_status_late", "stopped, and the last status was not written in time"),
        }
    }
}
