//! How old and how new a cloudflared may be.

use super::Found;
use cloudflared::{Release, Version};
use std::path::Path;
use std::time::{Duration, SystemTime};

/// Cloudflare supports the releases of the last year.
const YEAR: Duration = Duration::from_secs(365 * 86_400);

/// What is known of a cloudflared.
#[derive(Debug, Clone)]
pub struct Known {
    /// Its version; none if it does not say one of the form of a release.
    pub version: Option<Version>,
    /// When it was built, and how that is known; none if it does not say.
    pub built: Option<(SystemTime, &'static str)>,
    /// Who says so.
    pub told: String,
}

impl Known {
    /// What the program says of itself.
    pub fn told_by(binary: &Path, release: Release) -> Self {
        let told = match release.version {
            Some(version) => format!("{} reports version {version}", binary.display()),
            None => format!("{} does not report its release", binary.display()),
        };
        let built = release.built.map(|built| (built, "by its build time"));
        Self { version: release.version, built: built.or_else(|| Self::by_month(release.version?)), told }
    }

    /// What an image says of the one in it.
    pub fn told_by_image(version: Version) -> Self {
        let told = format!("image.json gives version {version}");
        Self { version: Some(version), built: Self::by_month(version), told }
    }

    fn by_month(version: Version) -> Option<(SystemTime, &'static str)> {
        Some((version.month()?, "by the month of its version"))
    }
}

/// At least `min`. One that does not say is nobody's fault: whoever builds his own knows which it is.
pub fn new_enough(known: &Known, min: Version) -> Found {
    let told = &known.told;
    match known.version {
        None => Found::warn(format!("{told}; validate.min_cloudflared is {min}")),
        Some(version) if version < min => Found::fail(format!("{told}; validate.min_cloudflared is {min}")),
        Some(_) => Found::pass(format!("{told}, at least {min}")),
    }
}

/// Less than a year old.
pub fn young_enough(known: Option<&Known>, now: SystemTime) -> Found {
    let Some(known) = known else { return Found::not_known("cloudflared's version is not known") };
    let Some((built, how)) = known.built else {
        return Found::warn("cloudflared does not report its build time");
    };
    let age = now.duration_since(built).unwrap_or_default();
    let told = format!("it is {} days old, {how}", age.as_secs() / 86_400);
    if age > YEAR { Found::fail(told) } else { Found::pass(told) }
}

#[cfg(test)]
mod tests;
