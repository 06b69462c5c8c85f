//! The answer of `/config`.

use serde::Deserialize;
use serde::de::IgnoredAny;

/// A configuration that Cloudflare pushed: it replaces the rules of the file (observed, 2026.8.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pushed {
    /// Its version, 0 or more; -1 is the file's.
    pub version: i64,
    /// The whole page, JSON with the configuration under `config`.
    pub page: String,
}

#[derive(Deserialize)]
struct Body {
    version: i64,
    #[serde(rename = "config")]
    _config: IgnoredAny,
}

impl Pushed {
    /// Reads a body of `/config`; `None`: the file's rules are in force.
    pub(super) fn parse(body: Vec<u8>) -> Result<Option<Self>, String> {
        let page = String::from_utf8(body).map_err(|_| "it is not UTF-8")?;
        let Body { version, .. } = serde_json::from_str(&page).map_err(|error| error.to_string())?;
        Ok((version >= 0).then_some(Self { version, page }))
    }
}
