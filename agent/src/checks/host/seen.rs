//! Looks that end in time, whatever does not answer.

use std::time::Duration;

/// What was seen, or why it is not known, in words.
pub type Seen<T> = Result<T, String>;

/// How long a look at files may take: they are small, and a disk that answers does so in milliseconds.
pub const DISK: Duration = Duration::from_secs(2);

/// Looks for as long as `limit`.
pub async fn within<T>(what: &str, limit: Duration, look: impl Future<Output = T>) -> Seen<T> {
    let late = |_| format!("failed to look at {what}: no answer within {}", humantime::format_duration(limit));
    tokio::time::timeout(limit, look).await.map_err(late)
}

/// The same for a look that blocks; one that does not end is left behind.
pub async fn aside<T: Send + 'static>(
    what: &str,
    limit: Duration,
    look: impl FnOnce() -> T + Send + 'static,
) -> Seen<T> {
    match within(what, limit, tokio::task::spawn_blocking(look)).await? {
        Ok(seen) => Ok(seen),
        Err(error) => Err(format!("failed to look at {what}: {error}")),
    }
}
