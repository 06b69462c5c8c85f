//! The agent's own metrics in Prometheus' text format, served on loopback.
//!
//! The loop only leaves the newest numbers here. Asking costs the loop nothing but the making of a page: see `server`
//! for how little a client can do.

mod families;
mod page;
mod server;

use aws::cloudwatch::Durations;
use cflared_verdict::Health;
use status::Status;
use std::net::SocketAddr;
use tokio::sync::watch;

/// What is shown.
#[derive(Debug, Clone)]
pub struct Numbers {
    /// How things are.
    pub status: Status,
    /// What the status does not hold.
    pub counts: Counts,
}

/// What is counted for nobody but the reader of metrics, since the agent's start if nothing else is said.
#[derive(Debug, Clone, Default)]
pub struct Counts {
    /// How often the health became each of [`Health::ALL`].
    pub transitions: [u64; Health::ALL.len()],
    /// Looks at a connector's `/ready`.
    pub looks: Durations,
    /// Those that nobody answered.
    pub looks_failed: u64,
    /// Pushes to CloudWatch.
    pub pushes: Durations,
    /// Those that were not accepted.
    pub pushes_failed: u64,
    /// Unplanned restarts of the agent in this boot.
    pub agent_restarts: u64,
}

impl Counts {
    /// The health has become another one.
    pub fn became(&mut self, health: Health) {
        let place = Health::ALL.iter().position(|one| *one == health);
        self.transitions[place.expect("it is one of all")] += 1;
    }
}

/// The metrics' server.
#[derive(Debug)]
pub struct Exposition {
    numbers: watch::Sender<Option<Numbers>>,
}

impl Exposition {
    /// Starts it on the current runtime. It listens as soon as the address is free, and ends with the runtime.
    pub fn start(listen: SocketAddr) -> Self {
        let (numbers, newest) = watch::channel(None);
        tokio::spawn(server::serve(listen, newest));
        Self { numbers }
    }

    /// These are the numbers from now on.
    pub fn show(&self, numbers: Numbers) {
        self.numbers.send_replace(Some(numbers));
    }
}

#[cfg(test)]
mod tests;
