//! Which release the program is.

use super::once::{self, NoAnswer};
use super::process::SpawnError;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::{Duration, SystemTime};

/// How long it may take to say its version. It takes 0.05 s; a cold disk on a small instance takes a second or two.
const LIMIT: Duration = Duration::from_secs(5);

/// A release of cloudflared: `2026.8.2`. A later release is greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    year: u32,
    month: u32,
    patch: u32,
}

/// What the program says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Release {
    /// Its version.
    pub version: Version,
    /// When it was built, to the minute; none if it does not say.
    pub built: Option<SystemTime>,
}

/// Why a version is not known.
#[derive(Debug, thiserror::Error)]
pub enum VersionError {
    /// The program cannot be executed.
    #[error(transparent)]
    NotSpawned(#[from] SpawnError),
    /// It does not answer.
    #[error("failed to read the version of {}: no answer within {} s; check that it is cloudflared", path.display(), LIMIT.as_secs())]
    TimedOut {
        /// The program.
        path: PathBuf,
    },
    /// It answers something else.
    #[error("failed to read the version of {}: it says {said:?}; check that it is a released cloudflared", path.display())]
    Unreadable {
        /// The program.
        path: PathBuf,
        /// The beginning of its first line.
        said: String,
    },
}

/// Asks `binary` for its version.
///
/// # Errors
/// As [`release`].
pub async fn version(binary: &Path) -> Result<Version, VersionError> {
    Ok(release(binary).await?.version)
}

/// Asks `binary` for its version and the time of its build.
///
/// # Errors
/// It cannot be executed, does not answer within 5 s, or does not answer
/// `cloudflared version 2026.8.2 (built 2026-08-14-1122 UTC)` (observed, 2026.8.2).
pub async fn release(binary: &Path) -> Result<Release, VersionError> {
    let mut command = super::command(binary);
    command.arg("--version");
    let unreadable = |said: &str| {
        let first = said.lines().next().unwrap_or_default();
        VersionError::Unreadable { path: binary.into(), said: first.chars().take(80).collect() }
    };
    match once::run(command, LIMIT).await {
        Ok(answer) => parse(&answer.stdout).ok_or_else(|| unreadable(&answer.stdout)),
        Err(NoAnswer::NotSpawned(error)) => Err(error.into()),
        Err(NoAnswer::TimedOut) => Err(VersionError::TimedOut { path: binary.into() }),
        Err(NoAnswer::Unknown(error)) => Err(unreadable(&error.to_string())),
    }
}

fn parse(output: &str) -> Option<Release> {
    let mut words = output.split_whitespace();
    let ("cloudflared", "version", version) = (words.next()?, words.next()?, words.next()?) else { return None };
    let built = match (words.next(), words.next(), words.next()) {
        (Some("(built"), Some(minute), Some("UTC)")) => built(minute),
        _ => None,
    };
    Some(Release { version: version.parse().ok()?, built })
}

/// The time that `2026-08-14-1122` names.
fn built(minute: &str) -> Option<SystemTime> {
    let (day, time) = minute.rsplit_once('-')?;
    let (hour, minute) = time.split_at_checked(2)?;
    humantime::parse_rfc3339(&format!("{day}T{hour}:{minute}:00Z")).ok()
}

impl Version {
    /// The beginning of the month that the version names: it was not released before.
    pub fn month(self) -> Option<SystemTime> {
        humantime::parse_rfc3339(&format!("{:04}-{:02}-01T00:00:00Z", self.year, self.month)).ok()
    }
}

/// A text is no version: three numbers with dots between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a version such as 2026.8.2")]
pub struct NotAVersion;

impl FromStr for Version {
    type Err = NotAVersion;

    fn from_str(text: &str) -> Result<Self, NotAVersion> {
        let mut numbers = text.split('.').map(|number| number.parse().map_err(|_| NotAVersion));
        let mut next = || numbers.next().ok_or(NotAVersion)?;
        let version = Version { year: next()?, month: next()?, patch: next()? };
        numbers.next().map_or(Ok(version), |_| Err(NotAVersion))
    }
}

impl From<[u32; 3]> for Version {
    fn from([year, month, patch]: [u32; 3]) -> Self {
        Self { year, month, patch }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.year, self.month, self.patch)
    }
}

#[cfg(test)]
mod tests;
