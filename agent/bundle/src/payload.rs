//! The content of one version of the secret: a config and credentials, in a form that cannot be printed.

pub(crate) mod fields;

pub use fields::FieldsError;

use cflared_verdict::VersionId;
use fields::Fields;
use std::fmt;
use zeroize::Zeroizing;

/// The longest payload that is accepted, in bytes: what Secrets Manager itself stores (its quota "Size of a secret
/// value").
pub const MAX_BYTES: usize = 65_536;

/// Text that is wiped when it is dropped, and that no formatter shows.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretText(Zeroizing<String>);

impl SecretText {
    /// Takes the text in; the caller's copy is this one.
    pub fn new(text: impl Into<Zeroizing<String>>) -> Self {
        Self(text.into())
    }

    /// The text itself. Do not log it, and do not put it into an error.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// Both parts of a bundle, from one version of the secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payload {
    /// The version that both parts come from.
    pub version: VersionId,
    /// cloudflared's `config.yml`.
    pub config_yaml: SecretText,
    /// cloudflared's credentials file.
    pub credentials_json: SecretText,
}

impl Payload {
    /// Reads the secret's string: a JSON object whose keys `config_yaml` and `credentials_json` hold text.
    ///
    /// Other keys are ignored whatever they hold, so that whoever writes the secret may keep a note beside the bundle;
    /// nothing that a connector runs on is read from them. The JSON reader unescapes text in a buffer of its own,
    /// which is freed and not wiped.
    ///
    /// # Errors
    /// The string is too long, not a JSON object, or one of the two keys is missing, given twice, not text or empty.
    pub fn parse(version: VersionId, secret_string: &str) -> Result<Self, PayloadError> {
        if secret_string.len() > MAX_BYTES {
            return Err(PayloadError::TooLong { bytes: secret_string.len() });
        }
        let (config_yaml, credentials_json) = parts(secret_string).map_err(PayloadError::Fields)?;
        Ok(Self { version, config_yaml, credentials_json })
    }
}

/// The config and the credentials.
fn parts(secret_string: &str) -> Result<(SecretText, SecretText), FieldsError> {
    let mut fields = Fields::parse(secret_string, &["config_yaml", "credentials_json"])?;
    Ok((SecretText(fields.take("config_yaml")?), SecretText(fields.take("credentials_json")?)))
}

/// Why the secret's string is no payload. The message names the rule and the next step, and never quotes the string.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PayloadError {
    /// It is longer than [`MAX_BYTES`].
    #[error("the secret holds {bytes} bytes, more than {MAX_BYTES}; shorten config_yaml and store a new version")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// It is not an object that can be read, or one of its keys is not as it must be.
    #[error(
        "the secret is not {{\"config_yaml\": \"...\", \"credentials_json\": \"...\"}}: {0}; store a corrected version"
    )]
    Fields(FieldsError),
}

impl PayloadError {
    /// The rule's short name, which stays the same from version to version.
    pub fn rule(&self) -> &'static str {
        match self {
            Self::TooLong { .. } => "payload_too_long",
            Self::Fields(FieldsError::NotJson { .. }) => "payload_not_json",
            Self::Fields(FieldsError::NotAnObject) => "payload_not_an_object",
            Self::Fields(FieldsError::Missing { .. }) => "payload_key_missing",
            Self::Fields(FieldsError::Twice { .. }) => "payload_key_twice",
            Self::Fields(FieldsError::NotText { .. }) => "payload_wrong_type",
            Self::Fields(FieldsError::Empty { .. }) => "payload_key_empty",
        }
    }
}

#[cfg(test)]
mod tests;
