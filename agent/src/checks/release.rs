//! How old and how new a cloudflared may be.

use super::Found;
use crate::cloudflared::{Release, Version};
use std::path::Path;
use std::time::{Duration, SystemTime};

/// Cloudflare supports the releases of the last year.
const YEAR: Duration = Duration::from_secs(365 * 86_400);

/// What is known of a cloudflared.
#[derive(Debug, Clone)]
pub struct Known {
    /// Its version.
    pub version: Version,
    /// When it was built, and how that is known.
    pub built: Option<(SystemTime, String)>,
    /// Who says so.
    pub told: String,
}

impl Known {
    /// What the program says of itself.
    pub fn told_by(binary: &Path, release: Release) -> Self {
        let told = format!("{} says that it is {}", binary.display(), release.version);
        let built = release.built.map(|built| (built, "by what it says".to_owned()));
        Self { version: release.version, built, told }
    }
}

/// At least `min`.
pub fn new_enough(known: &Known, min: Version) -> Found {
    let told = &known.told;
    if known.version < min {
        Found::fail(format!("{told}; validate.min_cloudflared is {min}"))
    } else {
        Found::pass(format!("{told}, at least {min}"))
    }
}

/// Less than a year old.
pub fn young_enough(known: Option<&Known>, now: SystemTime) -> Found {
    let Some((built, how)) = known.and_then(|known| known.built.as_ref()) else {
        return Found::not_known("cloudflared does not say when it was built");
    };
    let age = now.duration_since(*built).unwrap_or_default();
    let told = format!("it is {} days old, {how}", age.as_secs() / 86_400);
    if age > YEAR { Found::fail(told) } else { Found::pass(told) }
}
