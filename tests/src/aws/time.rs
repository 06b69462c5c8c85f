//! Times as AWS writes them. The stand-ins count milliseconds since 1970.

use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use std::time::{SystemTime, UNIX_EPOCH};

/// The time now, in milliseconds since 1970.
pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// `2026-01-01T00:00:00Z`, to the second.
pub fn iso(ms: u64) -> String {
    format(ms, Format::DateTime)
}

/// `2026-01-01T00:00:00.123Z`; without the fraction when it is 0.
pub fn iso_exact(ms: u64) -> String {
    write(DateTime::from_millis(i64::try_from(ms).unwrap_or(i64::MAX)), Format::DateTime)
}

/// `Thu, 01 Jan 2026 00:00:00 GMT`.
pub fn http_date(ms: u64) -> String {
    format(ms, Format::HttpDate)
}

/// `20260101T000000Z`, as in `X-Amz-Date`.
pub fn basic(ms: u64) -> String {
    iso(ms).replace(['-', ':'], "")
}

/// Reads [`basic`].
pub fn parse_basic(text: &str) -> Option<u64> {
    let cut = |from: usize, to: usize| text.get(from..to);
    let (year, month, day) = (cut(0, 4)?, cut(4, 6)?, cut(6, 8)?);
    let (hour, minute, second) = (cut(9, 11)?, cut(11, 13)?, cut(13, 15)?);
    let iso = format!("{year}-{month}-{day}T{hour}:{minute}:{second}Z");
    let read = DateTime::from_str(&iso, Format::DateTime).ok()?;
    let ms = u64::try_from(read.to_millis().ok()?).ok()?;
    (basic(ms) == text).then_some(ms)
}

/// Reads [`iso`] and [`iso_exact`], with any offset.
pub fn parse_iso(text: &str) -> Option<u64> {
    let read = DateTime::from_str(text, Format::DateTimeWithOffset).ok()?;
    u64::try_from(read.to_millis().ok()?).ok()
}

fn format(ms: u64, format: Format) -> String {
    write(DateTime::from_secs(i64::try_from(ms / 1000).unwrap_or(i64::MAX)), format)
}

fn write(time: DateTime, format: Format) -> String {
    time.fmt(format).unwrap_or_else(|_| "a time past all calendars".to_owned())
}
