//! Limits how often the agent connects to an origin that may be a MySQL server.
//!
//! Such a server counts each connection without a login, and after `max_connect_errors` of them (100 by default) with no
//! login between refuses the host until somebody flushes its host cache. In an outage there are no logins, and a probe
//! every 30 s would get there within the hour: the tunnel would be back, and its clients still refused.

use cflared_verdict::Mono;
use std::time::Duration;

/// How many may follow each other at once.
const BURST: u32 = 4;
/// How long it takes to earn another one. So 100 are reached after a day in which nobody logged in at all.
const EARNED: Duration = Duration::from_secs(15 * 60);

/// What is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowance {
    left: u32,
    /// When the next one was, or will be, earned.
    next: Mono,
}

impl Allowance {
    /// A full one.
    pub fn new(now: Mono) -> Self {
        Self { left: BURST, next: now + EARNED }
    }

    /// Takes one; false if there is none.
    pub fn take(&mut self, now: Mono) -> bool {
        while now >= self.next && self.left < BURST {
            self.left += 1;
            self.next = self.next + EARNED;
        }
        if self.left == BURST {
            // Nothing is earned by a full one.
            self.next = now + EARNED;
        }
        let taken = self.left > 0;
        self.left = self.left.saturating_sub(1);
        taken
    }
}
