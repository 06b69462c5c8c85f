//! `meta.json`: the description of a generation.

use cflared_verdict::{Generation, VersionId};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The form of `meta.json` that this version writes and reads.
pub const SCHEMA: u32 = 1;

/// The file's content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meta {
    /// `SCHEMA`.
    pub schema: u32,
    /// The number of the directory that the file is in.
    pub generation: Generation,
    /// The version of the secret.
    pub version: VersionId,
    /// The id of the instance that installed it.
    pub instance: String,
    /// The environment that it was installed for.
    pub environment: String,
    /// The tunnel's UUID.
    pub tunnel: String,
    /// When, in RFC 3339, for people.
    pub installed_at: String,
    /// The generation that served when this one was installed: the one to go back to.
    pub replaces: Option<Generation>,
    /// SHA-256 of `config.yml`, in hexadecimal. With the next one it shows a file that a power cut or a hand has
    /// changed, which a length would not.
    pub config_sha256: String,
    /// SHA-256 of `<tunnel>.json`; it tells nothing of the 32 random bytes in it.
    pub credentials_sha256: String,
}

/// The digest that [`Meta`] holds of a file.
pub fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The moment in RFC 3339, to the second. A clock that is off any calendar reads as the calendar's end.
pub fn rfc3339(now: SystemTime) -> String {
    const LAST: Duration = Duration::from_secs(253_402_300_799);
    let since = now.duration_since(UNIX_EPOCH).unwrap_or_default().min(LAST);
    humantime::format_rfc3339_seconds(UNIX_EPOCH + since).to_string()
}
