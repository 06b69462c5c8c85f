//! A moment of the wall clock as files show it.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// 9999-12-31T23:59:59.999Z, the last moment that RFC 3339 can write, in milliseconds since 1970.
const LAST: u64 = 253_402_300_799_999;

/// A moment of the wall clock to the millisecond, written as RFC 3339 in UTC: `2026-01-31T12:00:00.000Z`.
///
/// A clock that is far off is shown at the nearest moment that can be written (1970 to 9999).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

impl Timestamp {
    /// How long ago this was at `now`; zero if it lies in the future.
    pub fn age(self, now: SystemTime) -> Duration {
        Duration::from_millis(Self::from(now).0.saturating_sub(self.0))
    }
}

impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        let since_1970 = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(u64::try_from(since_1970.as_millis()).unwrap_or(LAST).min(LAST))
    }
}

impl From<Timestamp> for SystemTime {
    fn from(Timestamp(milliseconds): Timestamp) -> Self {
        UNIX_EPOCH + Duration::from_millis(milliseconds)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_rfc3339_millis((*self).into()).fmt(f)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        humantime::parse_rfc3339(&text).map(Self::from).map_err(de::Error::custom)
    }
}
