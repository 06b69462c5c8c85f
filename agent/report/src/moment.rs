//! A moment of the wall clock.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The last moment that RFC 3339 can write (the year 9999), in milliseconds since 1970.
const LAST: u64 = 253_402_300_799_999;

/// Milliseconds since 1970, UTC; shown as `2026-01-31 12:00:00`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Moment(u64);

impl Moment {
    /// That many milliseconds after 1970 began; what lies beyond the year 9999 is its end.
    pub fn from_ms(ms: u64) -> Self {
        Self(ms.min(LAST))
    }

    /// Milliseconds since 1970.
    pub fn ms(self) -> u64 {
        self.0
    }

    /// How long it is from `earlier` to this; zero if that lies later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// So much earlier.
    #[must_use]
    pub fn before(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(u64::try_from(span.as_millis()).unwrap_or(u64::MAX)))
    }

    /// The time of day alone, to the second.
    pub(crate) fn clock(self) -> String {
        self.text()[11..].to_owned()
    }

    /// Day and month, `11-27`.
    pub(crate) fn day(self) -> String {
        self.text()[5..10].to_owned()
    }

    fn text(self) -> String {
        let time = UNIX_EPOCH + Duration::from_millis(self.0);
        humantime::format_rfc3339_seconds(time).to_string().replace('T', " ").replace('Z', "")
    }
}

impl From<SystemTime> for Moment {
    fn from(time: SystemTime) -> Self {
        let since_1970 = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self::from_ms(u64::try_from(since_1970.as_millis()).unwrap_or(LAST))
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

/// A span as a person says it: its two largest units.
pub(crate) fn span(span: Duration) -> String {
    let whole = if span >= Duration::from_secs(1) { Duration::from_secs(span.as_secs()) } else { span };
    let text = humantime::format_duration(whole).to_string();
    text.split(' ').take(2).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_shown_to_the_second_and_a_span_by_two_units() {
        let moment = Moment::from_ms(1_795_788_645_678);
        assert_eq!(moment.to_string(), "2026-11-27 14:10:45");
        assert_eq!((moment.clock().as_str(), moment.day().as_str()), ("14:10:45", "11-27"));
        assert_eq!(moment.before(Duration::from_secs(45)).clock(), "14:10:00");
        assert_eq!(Moment::from_ms(u64::MAX).to_string(), "9999-12-31 23:59:59");
        assert_eq!(span(Duration::from_millis(7_384_678)), "2h 3m");
        assert_eq!(span(Duration::from_millis(640)), "640ms");
    }
}
