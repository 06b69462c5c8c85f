//! The times and numbers that the verdict judges by.

use std::time::Duration;

/// What the settings say, as far as the verdict needs it. All durations are of the clock of [`Mono`](crate::Mono).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// How often the secret is read while all is well; jittered by a tenth.
    pub poll_interval: Duration,
    /// For how long after the first start in this boot nothing is condemned.
    pub startup_grace: Duration,
    /// Unregistered for so long: read the secret again.
    pub recheck_secret_after: Duration,
    /// Unregistered for so long: restart the connector.
    pub restart_after: Duration,
    /// Unregistered for so long: condemn.
    pub condemn_after: Duration,
    /// Registered for so long without a break: the outage is over.
    pub recovered_after: Duration,
    /// The window in which more than half unregistered is an outage, however often it was registered in between.
    pub flapping_window: Duration,
    /// The pause between the evidence and the mark, in which a log shipper takes the evidence off the host.
    pub evidence_pause: Duration,
    /// How many connections a successor needs.
    pub min_connections: u32,
    /// How long a successor may take to get them.
    pub register_timeout: Duration,
    /// How long it must have held them before its predecessor is drained.
    pub settle: Duration,
}

impl Default for Config {
    /// The defaults of the design; the agent overrides those that can be set.
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            poll_interval: seconds(300),
            startup_grace: seconds(180),
            recheck_secret_after: seconds(30),
            restart_after: seconds(90),
            condemn_after: seconds(120),
            recovered_after: seconds(30),
            flapping_window: seconds(600),
            evidence_pause: seconds(5),
            min_connections: 2,
            register_timeout: seconds(60),
            settle: seconds(10),
        }
    }
}
