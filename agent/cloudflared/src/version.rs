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
    /// Its version; none if it does not say one of the form of a release, as builds of its source do not.
    pub version: Option<Version>,
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
    #[error("failed to read the version of {}: it printed {said:?}; check that it is a released cloudflared", path.display())]
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
/// As [`release`], or it does not say a version.
pub async fn version(binary: &Path) -> Result<Version, VersionError> {
    let (release, said) = ask(binary).await?;
    release.version.ok_or_else(|| unreadable(binary, &said))
}

/// Asks `binary` for its version and the time of its build.
///
/// # Errors
/// It cannot be executed, does not answer within 5 s, or does not answer
/// `cloudflared version 2026.8.2 (built 2026-08-20-09:54 UTC)` (observed, 2026.8.2). When it was built may stand there in a
/// form that is new.
pub async fn release(binary: &Path) -> Result<Release, VersionError> {
    ask(binary).await.map(|(release, _)| release)
}

/// What it says, read and as it came.
async fn ask(binary: &Path) -> Result<(Release, String), VersionError> {
    let mut command = super::command(binary);
    command.arg("--version");
    match once::run(command, LIMIT).await {
        Ok(answer) => match parse(&answer.stdout) {
            Some(release) => Ok((release, answer.stdout)),
            None => Err(unreadable(binary, &answer.stdout)),
        },
        Err(NoAnswer::NotSpawned(error)) => Err(error.into()),
        Err(NoAnswer::TimedOut) => Err(VersionError::TimedOut { path: binary.into() }),
        Err(NoAnswer::Unknown(error)) => Err(unreadable(binary, &error.to_string())),
    }
}

fn unreadable(binary: &Path, said: &str) -> VersionError {
    let first = said.lines().next().unwrap_or_default();
    VersionError::Unreadable { path: binary.into(), said: first.chars().take(80).collect() }
}

fn parse(output: &str) -> Option<Release> {
    let (first, rest) = output.split_once("cloudflared version ").map(|(before, rest)| (before.trim(), rest))?;
    let version = rest.split_whitespace().next()?;
    let built = rest.lines().next().and_then(|line| line.split_once("(built ")).and_then(|(_, when)| built(when));
    first.is_empty().then_some(Release { version: version.parse().ok(), built })
}

/// The minute that a text begins with, in UTC. Releases print `2026-08-20-09:54 UTC` since 2025-09 and printed
/// `2026-08-14-1122 UTC` before; other builds print `2026-08-20T09:54 UTC`, with or without seconds, and more words behind
/// it. What is none of these does not say when it was built.
fn built(when: &str) -> Option<SystemTime> {
    let (day, rest) = when.split_at_checked(DAY.len())?;
    let time = rest.strip_prefix(['-', 'T', 't', ' ', '_'])?;
    let digits = |text: &str| text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
    let (hour, rest) = time.split_at_checked(2).filter(|(hour, _)| digits(hour))?;
    let (minute, rest) =
        rest.strip_prefix(':').unwrap_or(rest).split_at_checked(2).filter(|(minute, _)| digits(minute))?;
    let seconds = rest.strip_prefix(':').unwrap_or(rest);
    let zone = seconds.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.').trim_start();
    let utc = ["UTC", "Z", "GMT", "+00:00", "+0000"].iter().find_map(|name| zone.strip_prefix(name));
    utc.filter(|rest| !rest.starts_with(|c: char| c.is_ascii_alphanumeric()))?;
    humantime::parse_rfc3339(&format!("{day}T{hour}:{minute}:00Z")).ok()
}

/// The form of a day.
const DAY: &str = "2026-08-20";

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
