//! Durations as people write them: `250ms`, `30s`, `5m`, `24h`.

use serde::{Deserialize, Deserializer};
use std::time::Duration;

/// Reads `30s`. A bare number has no unit and is an error.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    humantime::parse_duration(&text).map_err(|error| {
        serde::de::Error::custom(format!("`{text}` is not a duration such as 250ms, 30s or 5m: {error}"))
    })
}
