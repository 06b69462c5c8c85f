//! One read of the secret: one version. What its text means is for the caller to say, who parses it.

use crate::{Call, failure};
pub use aws_sdk_secretsmanager::Client;

use aws_sdk_secretsmanager::error::SdkError;
use aws_sdk_secretsmanager::operation::get_secret_value::{GetSecretValueError, GetSecretValueOutput};
use cflared_verdict::{Failure, FailureKind, VersionId};
use zeroize::Zeroizing;

/// The version that counts. Rotation moves this label.
const CURRENT: &str = "AWSCURRENT";
/// The most that Secrets Manager stores (service quotas, "secret value size").
const LONGEST: usize = 64 * 1024;
const ACTION: &str = "secretsmanager:GetSecretValue";

/// What a read found.
#[derive(Debug)]
pub enum Read<P> {
    /// The version that was known.
    Unchanged,
    /// Another version, parsed.
    New(P),
}

/// Why a read gave no payload. The message names the cause and the next step, and never a part of the secret.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Secrets Manager did not give it, or was not reached.
    #[error("{}", .0.text)]
    NotRead(Failure),
    /// There is no such secret, or it has no current version.
    #[error(
        "failed to read the secret {name}: no secret of that name has a current version in {region}; create it, \
         or correct the instance's tag or secret.name in the settings"
    )]
    Missing {
        /// Its name.
        name: String,
        /// Where it was looked for.
        region: String,
    },
    /// It waits to be deleted.
    #[error(
        "failed to read the secret {name}: it is scheduled for deletion; restore it (aws \
         secretsmanager restore-secret)"
    )]
    Deleted {
        /// Its name.
        name: String,
    },
    /// It holds bytes and not text.
    #[error(
        "failed to read the secret {name}: its version {version} is binary (SecretBinary); store the payload as \
         text (SecretString)"
    )]
    Binary {
        /// Its name.
        name: String,
        /// The version.
        version: VersionId,
    },
    /// It holds more than Secrets Manager stores.
    #[error(
        "failed to read the secret {name}: its version {version} has {length} bytes, more than {LONGEST}; check \
         AWS_ENDPOINT_URL"
    )]
    TooLong {
        /// Its name.
        name: String,
        /// The version.
        version: VersionId,
        /// Its length.
        length: usize,
    },
    /// The answer has no version that can be one, or neither text nor bytes.
    #[error("failed to read the secret {name}: the answer has no {part}; check AWS_ENDPOINT_URL")]
    Incomplete {
        /// Its name.
        name: String,
        /// What it lacks.
        part: &'static str,
    },
    /// It breaks a rule of payloads.
    #[error("failed to use the secret {name}, version {version}: {source}")]
    Payload {
        /// Its name.
        name: String,
        /// The version.
        version: VersionId,
        /// Which rule.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl Error {
    /// What kind of trouble it is.
    pub fn kind(&self) -> FailureKind {
        match self {
            Self::NotRead(failure) => failure.kind,
            Self::Missing { .. } | Self::Deleted { .. } => FailureKind::Missing,
            Self::Incomplete { .. } => FailureKind::Throttled,
            Self::Binary { .. } | Self::TooLong { .. } | Self::Payload { .. } => FailureKind::Invalid,
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::new(error.kind(), error.to_string())
    }
}

/// Reads the current version of the secret with one `GetSecretValue`, the only permission that the role has. The
/// text of the version that is `known` already is dropped unread; that of another is handed to `parse`, and wiped.
///
/// The text lives in memory that is zeroed; the SDK's own buffers, which the answer passed through, are not.
///
/// # Errors
/// It was not given, or breaks a rule.
pub async fn read<P, E: std::error::Error + Send + Sync + 'static>(
    client: &Client,
    name: &str,
    known: Option<&VersionId>,
    parse: impl FnOnce(VersionId, &str) -> Result<P, E>,
) -> Result<Read<P>, Error> {
    let answer = client.get_secret_value().secret_id(name).version_stage(CURRENT).send().await;
    let mut answer = answer.map_err(|error| not_read(&error, client, name))?;
    let secret = Secret::take(&mut answer);
    let version = answer.version_id.map(VersionId).ok_or_else(|| incomplete(name, "VersionId"))?;
    if !is_version(&version.0) {
        return Err(incomplete(name, "VersionId that can be one"));
    }
    if known == Some(&version) {
        return Ok(Read::Unchanged);
    }
    match secret {
        Secret::Text(text) if text.len() > LONGEST => {
            Err(Error::TooLong { name: name.into(), version, length: text.len() })
        }
        Secret::Text(text) => match parse(version.clone(), &text) {
            Ok(parsed) => Ok(Read::New(parsed)),
            Err(source) => Err(Error::Payload { name: name.into(), version, source: source.into() }),
        },
        Secret::Binary => Err(Error::Binary { name: name.into(), version }),
        Secret::None => Err(incomplete(name, "SecretString")),
    }
}

/// What the answer holds.
enum Secret {
    Text(Zeroizing<String>),
    Binary,
    None,
}

impl Secret {
    /// Moves it out of the answer, to where it is zeroed.
    fn take(answer: &mut GetSecretValueOutput) -> Self {
        let binary = answer.secret_binary.take().map(|bytes| Zeroizing::new(bytes.into_inner()));
        match answer.secret_string.take() {
            Some(text) => Self::Text(Zeroizing::new(text)),
            None if binary.is_some() => Self::Binary,
            None => Self::None,
        }
    }
}

/// Whether it can be the id of a version: up to 64 characters (API reference, GetSecretValue). It is shown, and becomes part of
/// files.
fn is_version(id: &str) -> bool {
    (1..=64).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_+=,.@/".contains(&byte))
}

fn incomplete(name: &str, part: &'static str) -> Error {
    Error::Incomplete { name: name.into(), part }
}

fn not_read(error: &SdkError<GetSecretValueError>, client: &Client, name: &str) -> Error {
    match error.as_service_error() {
        Some(GetSecretValueError::ResourceNotFoundException(_)) => {
            let region = client.config().region().map(ToString::to_string).unwrap_or_default();
            Error::Missing { name: name.into(), region }
        }
        // The API has no code of its own for it (API reference, GetSecretValue: "scheduled for deletion").
        Some(GetSecretValueError::InvalidRequestException(refusal))
            if refusal.message().is_some_and(|message| message.contains("deletion")) =>
        {
            Error::Deleted { name: name.into() }
        }
        _ => Error::NotRead(failure(error, Call { action: ACTION, object: name })),
    }
}

#[cfg(test)]
mod tests;
