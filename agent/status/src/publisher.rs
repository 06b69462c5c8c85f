//! When the status file is rewritten.

use super::{HEARTBEAT, JOURNAL, Status};
use cflared_verdict::Mono;

/// Decides when the status file is rewritten: on a change at once, else at the heartbeat.
#[derive(Debug, Default)]
pub struct Publisher {
    last: Option<(Mono, Status)>,
}

impl Publisher {
    /// The bytes to write at `now`, if any are due. `status` is what holds now; its `written_at` is not compared.
    pub fn offer(&mut self, now: Mono, mut status: Status) -> Option<Vec<u8>> {
        status.journal.drain(..status.journal.len().saturating_sub(JOURNAL));
        if let Some((at, last)) = &self.last {
            let written_at = std::mem::replace(&mut status.written_at, last.written_at);
            if *last == status && now.since(*at) < HEARTBEAT {
                return None;
            }
            status.written_at = written_at;
        }
        let json = serde_json::to_vec(&status).expect("the status has string keys only, so it is always JSON");
        self.last = Some((now, status));
        Some(json)
    }

    /// When the next heartbeat is due: at once if nothing was written yet.
    pub fn due(&self) -> Mono {
        self.last.as_ref().map_or(Mono::default(), |(at, _)| *at + HEARTBEAT)
    }
}
