//! `image.json`: the image's description of itself.

use super::root::Root;
use crate::checks::Found;
use serde::Deserialize;
use std::path::Path;
use std::time::{Duration, SystemTime};

const DAY: Duration = Duration::from_secs(86_400);
/// From this age on an image is a finding: builds are weekly, so three were missed.
const OLD: Duration = Duration::from_secs(21 * 86_400);
/// What two clocks may differ by.
const SKEW: Duration = Duration::from_secs(3600);

/// The file, as written when the image is built. Other keys may be there.
#[derive(Debug, Deserialize)]
pub struct Facts {
    image: String,
    built_at: String,
    agent_version: String,
    /// The release of cloudflared in the image.
    pub cloudflared_version: String,
}

impl Facts {
    /// Reads the file.
    ///
    /// # Errors
    /// It is not there, or it is not such a file, in words.
    pub fn read(root: &Root, path: &Path) -> Result<Self, Found> {
        match root.text(path) {
            Err(error) => Err(Found::not_known(error.to_string())),
            Ok(None) => Err(Found::fail(format!("{} is not there", path.display()))),
            Ok(Some(text)) => serde_json::from_str(&text)
                .map_err(|error| Found::fail(format!("failed to read {}: {error}", path.display()))),
        }
    }

    /// When the image was built.
    pub fn built(&self) -> Option<SystemTime> {
        humantime::parse_rfc3339(&self.built_at).ok()
    }

    /// Holds the file against the time and against what is installed.
    pub fn check(&self, now: SystemTime, agent: Option<&str>, cloudflared: Option<&str>) -> Found {
        let Some(built) = self.built() else {
            return Found::fail(format!("built_at is `{}`, not a time such as 2026-01-31T12:00:00Z", self.built_at));
        };
        let mut wrong = vec![];
        if self.image.trim().is_empty() {
            wrong.push("image is empty".to_owned());
        }
        if built > now + SKEW {
            wrong.push(format!("built_at {} is in the future", self.built_at));
        }
        let versions = [
            ("agent_version", &self.agent_version, agent),
            ("cloudflared_version", &self.cloudflared_version, cloudflared),
        ];
        for (key, said, is) in versions {
            match is {
                Some(is) if is != said => wrong.push(format!("{key} is {said}, but {is} is installed")),
                None if said.trim().is_empty() => wrong.push(format!("{key} is empty")),
                _ => {}
            }
        }
        let age = now.duration_since(built).unwrap_or_default();
        let told = format!("{}, built at {}", self.image, self.built_at);
        if wrong.is_empty() && age > OLD {
            return Found::warn(format!("{told}, {} days ago; images are built weekly", age.as_secs() / DAY.as_secs()));
        }
        Found::from_wrongs(wrong, vec![], told)
    }
}
