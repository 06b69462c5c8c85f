//! The times and numbers that the verdict judges by.

use std::time::Duration;

/// What the settings say, as far as the verdict needs it. All durations are of the clock of [`Mono`](crate::Mono).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Config {
    /// How often the secret is read while all is well, at the latest; spread over its last fifth.
    pub poll_interval: Duration,
    /// For how long after the first start in this boot nothing is condemned.
    pub startup_grace: Duration,
    /// Unregistered for so long: read the secret again.
    pub recheck_secret_after: Duration,
    /// Unregistered for so long: probe DNS, the edge and the origins.
    pub probe_after: Duration,
    /// Unregistered for so long: restart the connector.
    pub restart_after: Duration,
    /// Unregistered for so long: condemn.
    pub condemn_after: Duration,
    /// Registered for so long without a break: the outage is over.
    pub recovered_after: Duration,
    /// The window in which more than half unregistered is an outage, however often it was registered in between.
    pub flapping_window: Duration,
    /// How often a mark or a read for it is tried again while the answer is "not yet".
    pub ask_again: Duration,
    /// For how long what a group shows may be older than what it was told (seen: a few seconds).
    pub group_lag: Duration,
    /// How often the guard is asked again after it has refused.
    pub refused_again: Duration,
    /// How long it is waited until it is known whether other connectors serve the tunnel.
    pub peers_wait: Duration,
    /// An instance lets each one of its group that has a lower id go ahead of it by so much …
    pub stagger: Duration,
    /// … but waits no longer than this.
    pub longest_stagger: Duration,
    /// How often an outage is probed, and the hold tag read in it.
    pub probe_again: Duration,
    /// What was printed or probed longer ago than this does not decide any more.
    pub evidence_lasts: Duration,
    /// So many exits of a child as make a crash loop, and the time since the last one, lie within this; a loop that has gone
    /// on for long comes to an exit only every 60 s and a short life.
    pub crash_window: Duration,
    /// The pause between the evidence and the mark, in which a log shipper takes the evidence off the host. The CloudWatch agent, as
    /// the image sets it (`force_flush_interval`), sends a batch 5 s after its first line, or 5 s after its call before came to an
    /// end if that is later (its source, `pusher/queue.go`); a second for each of the two calls, and one for the journal.
    pub evidence_pause: Duration,
    /// The period of the datapoints by which instances know of each other.
    pub grain: Duration,
    /// In how many replacements for health causes within an hour the group's budget is used up.
    pub replacements_per_hour: u32,
    /// The same within a day.
    pub replacements_per_day: u32,
    /// How many connections a successor needs.
    pub min_connections: u32,
    /// How long a successor may take to get them.
    pub register_timeout: Duration,
    /// How long it must have held them before its predecessor is drained.
    pub settle: Duration,
    /// For how long a new bundle has to be registered without a break to prove itself: lost in it, the one before comes back.
    pub probation: Duration,
    /// Whether a new file of cloudflared is handed over to.
    pub on_new_binary: bool,
    /// Whether the settings name a launch hook.
    pub launch_hook: bool,
    /// Whether the settings name a terminate hook.
    pub terminate_hook: bool,
    /// How often the metadata service is asked whether this instance is told to go.
    pub notices_every: Duration,
    /// The longest that cloudflared can be silent between two tries, as the agent bounds it with `--retries`: words about a cause
    /// last so long.
    pub longest_silence: Duration,
    /// Whether a connector may be started to say why the one that serves is refused.
    pub second_opinion: bool,
    /// Whether anything is done beside starting, draining and reporting.
    pub mode: Mode,
}

/// What the agent may do by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub enum Mode {
    /// Whatever the verdict calls for.
    #[default]
    Act,
    /// Start, drain and report: no restart, no hand-over, no second opinion, no mark, no hook.
    Observe,
}

impl Default for Config {
    fn default() -> Self {
        Self::paced(Duration::from_secs(120))
    }
}

impl Config {
    /// The defaults of the design, with the pace of an outage as it follows from `condemn_after`: whoever changes that
    /// setting need not know of the times that are no settings.
    pub fn paced(condemn_after: Duration) -> Self {
        let seconds = Duration::from_secs;
        Self {
            poll_interval: seconds(300),
            startup_grace: seconds(180),
            recheck_secret_after: seconds(30),
            probe_after: seconds(60),
            restart_after: seconds(90),
            condemn_after,
            recovered_after: condemn_after / 4,
            flapping_window: condemn_after * 5,
            ask_again: condemn_after / 8,
            group_lag: condemn_after / 40,
            refused_again: condemn_after / 2,
            peers_wait: condemn_after * 3 / 2,
            stagger: condemn_after / 15,
            longest_stagger: condemn_after / 4,
            probe_again: condemn_after / 4,
            evidence_lasts: condemn_after * 3 / 2,
            crash_window: condemn_after * 2,
            evidence_pause: seconds(8),
            grain: seconds(60),
            replacements_per_hour: 2,
            replacements_per_day: 4,
            min_connections: 2,
            register_timeout: seconds(60),
            settle: seconds(10),
            probation: seconds(300),
            on_new_binary: false,
            launch_hook: false,
            terminate_hook: false,
            notices_every: condemn_after / 2,
            // A base of 10 s that is doubled five times, cloudflared's own default (observed, 2026.8.2).
            longest_silence: seconds(320),
            second_opinion: true,
            mode: Mode::Act,
        }
    }
}
