//! The log: a bounded queue to a thread of its own, so that a stuck reader costs lines and not the tunnel.
//!
//! An event is taken down as owned values where it happens (`record`), and written by the thread (`queue`) in one of
//! three forms (`write`), unless it only repeats what was said (`repeats`). Whoever logs never waits; what finds the queue
//! full is counted.
//!
//! It does not use `tracing-subscriber` layers, because those write where the event happens; an event cannot be kept
//! and replayed to them later, and they would stamp it with the time of the writing.

mod context;
mod first;
mod levels;
mod queue;
mod record;
mod repeats;
mod write;

pub use context::Context;
pub use write::split;

use first::First;
use levels::Levels;
use queue::{Guard, Lost, Queue};
use record::Record;
use settings::LogFormat;
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
    #[error("failed to start the log: {0}; the host is out of processes, memory or files")]
    Start(#[from] io::Error),
    /// A process has one log.
    #[error("failed to start the log: another one is already running")]
    Twice,
}

/// The log of this process. To be dropped last: it waits, for 1 s at most, until all is written.
#[derive(Debug)]
pub struct Log {
    guard: Guard,
    context: context::Shared,
    first: First,
}

/// What the agent tells the log and learns from it.
#[derive(Debug, Clone)]
pub struct Handle {
    lost: Lost,
    context: context::Shared,
    first: First,
}

impl Log {
    /// A handle.
    pub fn handle(&self) -> Handle {
        Handle { lost: self.guard.lost(), context: self.context.clone(), first: self.first.clone() }
    }
}

impl Handle {
    /// The lines that were lost so far: the queue was full, or they could not be written.
    pub fn lines_lost(&self) -> u64 {
        self.lost.get()
    }

    /// The agent's own first lines, oldest first; bounded in number and length.
    pub fn first_lines(&self) -> Vec<String> {
        self.first.lines()
    }

    /// From now on this is what every line carries.
    pub fn describe(&self, context: Context) {
        self.context.set(context);
    }
}

/// Starts the log of this process. What is logged before is lost; keep it until the end of `main`.
///
/// [`LogFormat::Auto`] is the journal's own protocol if systemd has connected standard error to the journal, and text on
/// standard error if not.
///
/// # Errors
/// The thread cannot be started, or the process has a log already.
pub fn init(format: LogFormat) -> Result<Log, Error> {
    let setting = std::env::var(LEVEL).ok();
    let levels = setting.as_deref().map_or(Ok(Levels::default()), str::parse);
    let (queue, guard) = queue::start(write::Form::for_stderr(format)?)?;
    let (context, first) = (context::Shared::default(), First::default());
    let front = Front { levels: levels.unwrap_or_default(), queue, context: context.clone(), first: first.clone() };
    tracing::subscriber::set_global_default(front).map_err(|_| Error::Twice)?;
    if let Err(error) = levels {
        warn!(value = setting, event = "log_level_ignored", "{LEVEL} is not used: {error}");
    }
    Ok(Log { guard, context, first })
}

/// Where events arrive.
struct Front {
    levels: Levels,
    queue: Queue,
    context: context::Shared,
    first: First,
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
        let record = Record::of(event, self.context.get());
        self.first.keep(&record);
        self.queue.push(record);
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
