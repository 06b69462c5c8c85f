//! The signals that end the agent.

use super::Error;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that are listened to.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    /// The terminal of somebody who runs the agent by hand is gone.
    hangup: Signal,
}

impl Signals {
    pub fn new() -> Result<Self, Error> {
        let listen = |kind| signal(kind).map_err(|source| Error::Host { doing: "listen to signals", source });
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            hangup: listen(SignalKind::hangup())?,
        })
    }

    pub async fn stop(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => (),
            _ = self.interrupt.recv() => (),
            _ = self.hangup.recv() => (),
        }
    }
}
