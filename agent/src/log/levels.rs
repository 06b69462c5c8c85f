//! The levels of the log.

use cloudflared::LOG_TARGET;
use std::str::FromStr;
use tracing::Level;
use tracing::level_filters::LevelFilter;

/// From which level on events are logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Levels {
    ours: LevelFilter,
}

/// The most that other crates may say, always: the finer logs of an HTTP stack or an SDK hold tokens and bodies.
const OTHERS: LevelFilter = LevelFilter::WARN;

/// A text is no level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("allowed: trace, debug, info, warn, error")]
pub(super) struct NotALevel;

impl Default for Levels {
    fn default() -> Self {
        Self { ours: LevelFilter::INFO }
    }
}

impl FromStr for Levels {
    type Err = NotALevel;

    fn from_str(name: &str) -> Result<Self, NotALevel> {
        let ours = match name {
            "trace" => LevelFilter::TRACE,
            "debug" => LevelFilter::DEBUG,
            "info" => LevelFilter::INFO,
            "warn" => LevelFilter::WARN,
            "error" => LevelFilter::ERROR,
            _ => return Err(NotALevel),
        };
        Ok(Self { ours })
    }
}

impl Levels {
    /// Whether an event of that target and level is logged.
    pub fn allow(self, target: &str, level: Level) -> bool {
        let package = target.split("::").next().unwrap_or(target);
        let ours = package.starts_with("cflared_") || package == LOG_TARGET;
        level <= if ours { self.ours } else { self.ours.min(OTHERS) }
    }

    /// The level beyond which nothing is logged.
    pub fn most(self) -> LevelFilter {
        self.ours
    }
}

#[cfg(test)]
mod tests;
