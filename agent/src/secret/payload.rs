//! Placeholder: the parser is written in another tree.

use cflared_verdict::VersionId;

/// The secret's payload.
#[derive(Debug)]
pub struct Payload(VersionId);

/// Why it is none.
#[derive(Debug, thiserror::Error)]
#[error("failed to parse the payload")]
pub struct PayloadError;

impl Payload {
    /// Parses it.
    ///
    /// # Errors
    /// It breaks a rule.
    pub fn parse(version: VersionId, secret: &str) -> Result<Self, PayloadError> {
        if secret.starts_with('{') { Ok(Self(version)) } else { Err(PayloadError) }
    }

    /// The version that it is of.
    pub fn version(&self) -> &VersionId {
        &self.0
    }
}
