//! The log: a bounded queue to a thread of its own, so that a stuck reader costs lines and not the tunnel.
//!
//! An event is taken down as owned values where it happens (`record`), and written by the thread (`queue`) in one of
//! three forms (`write`). Whoever logs never waits; what finds the queue full is counted.
//!
//! It is no stack of `tracing-subscriber` layers, because those write where the event happens; an event cannot be kept
//! and replayed to them later, and they would stamp it with the time of the writing.

mod levels;
mod queue;
mod record;
mod write;

pub use queue::{Guard, Lost};

use crate::settings::LogFormat;
use levels::Levels;
use queue::Queue;
use record::Record;
use std::io;
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id};
use tracing::{Event, Metadata, Subscriber, span, warn};

/// The variable that sets the level of the agent's own targets: `trace`, `debug`, `info`, `warn` or `error`.
pub const LEVEL: &str = "CFLARED_AGENT_LOG";

/// Why nothing is logged.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The thread or its output cannot be had.
    #[error("failed to start the log: {0}; the host is short of processes, memory or files")]
    Start(#[from] io::Error),
    /// A process has one log.
    #[error("failed to start the log: there is one already")]
    Twice,
}

/// Starts the log of this process. What is logged before is lost; keep the guard until the end of `main`.
///
/// [`LogFormat::Auto`] is the journal's own protocol if systemd has connected standard error to the journal, and text on
/// standard error if not.
///
/// # Errors
/// The thread cannot be started, or the process has a log already.
pub fn init(format: LogFormat) -> Result<Guard, Error> {
    let setting = std::env::var(LEVEL).ok();
    let levels = setting.as_deref().map_or(Ok(Levels::default()), str::parse);
    let (queue, guard) = queue::start(write::Form::for_stderr(format)?)?;
    let front = Front { levels: levels.unwrap_or_default(), queue };
    tracing::subscriber::set_global_default(front).map_err(|_| Error::Twice)?;
    if let Err(error) = levels {
        warn!(value = setting, event = "log_level_ignored", "{LEVEL} is not used: {error}");
    }
    Ok(guard)
}

/// Where events arrive.
struct Front {
    levels: Levels,
    queue: Queue,
}

impl Subscriber for Front {
    /// No spans: they are other crates', and hold what those crates consider context.
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && self.levels.allow(metadata.target(), *metadata.level())
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.levels.most())
    }

    fn event(&self, event: &Event<'_>) {
        self.queue.push(Record::of(event));
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

#[cfg(test)]
mod tests;
