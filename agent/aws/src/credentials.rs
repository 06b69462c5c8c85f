//! The instance role's credentials. Keys in the environment or in `~/.aws` are ignored: this program acts as its
//! instance's role and as nobody else.

use super::error::Error;
use super::metadata::Metadata;
use super::types::shown;
use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{self, ProvideCredentials, future};
use aws_smithy_types::date_time::{DateTime, Format};
use serde::Deserialize;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

const ROLE: &str = "/latest/meta-data/iam/security-credentials/";
/// The service replaces credentials five minutes before they expire, so what it gives is good for longer than this.
const PREFETCHED_FOR: Duration = Duration::from_secs(120);

/// The role's credentials, from the metadata service. They are cached by the SDK, which asks again before they expire.
#[derive(Clone)]
pub(super) struct RoleCredentials(Arc<Inner>);

struct Inner {
    metadata: Metadata,
    /// Held while credentials are being fetched: whoever comes then waits for those.
    prefetched: tokio::sync::Mutex<Option<Credentials>>,
    /// The last ones that were given. They are given again while the service is away: better to let AWS say that they
    /// expired than not to ask.
    last: Mutex<Option<Credentials>>,
}

/// Session tokens are the longest, with about 1,000 bytes; they have no stated limit (IAM user guide, "temporary credentials").
const LONGEST_CREDENTIAL: usize = 8192;

/// The answer of the metadata service (EC2 user guide, "retrieve security credentials from instance metadata").
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Document {
    code: String,
    message: Option<String>,
    access_key_id: Option<String>,
    secret_access_key: Option<String>,
    token: Option<String>,
    expiration: Option<String>,
}

impl RoleCredentials {
    pub(super) fn new(metadata: Metadata) -> Self {
        Self(Arc::new(Inner { metadata, prefetched: tokio::sync::Mutex::default(), last: Mutex::default() }))
    }

    /// Fetches credentials for the first use, which may begin meanwhile, and keeps them for a while: an instance may
    /// wait for its tag for days. A failure is silent: the first use tries again.
    pub(super) async fn prefetch(&self) {
        let mut prefetched = self.0.prefetched.lock().await;
        if self.last().is_some() {
            return;
        }
        *prefetched = self.fetch().await.ok();
        drop(prefetched);
        tokio::time::sleep(PREFETCHED_FOR).await;
        self.0.prefetched.lock().await.take();
    }

    fn last(&self) -> MutexGuard<'_, Option<Credentials>> {
        // Nothing panics while it is held.
        self.0.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn current(&self) -> provider::Result {
        let mut prefetched = self.0.prefetched.lock().await;
        let fetched = match prefetched.take() {
            Some(credentials) => Ok(credentials),
            None => self.fetch().await,
        };
        let mut last = self.last();
        match (fetched, &*last) {
            (Ok(credentials), _) => Ok(last.insert(credentials).clone()),
            (Err(error), Some(credentials)) => {
                tracing::warn!(%error, event = "credentials_not_refreshed", "role credentials not refreshed; the agent uses the last ones");
                Ok(credentials.clone())
            }
            (Err(error), None) => Err(CredentialsError::provider_error(error)),
        }
    }

    /// The role's name.
    pub(super) async fn name(&self) -> Result<String, Error> {
        let roles = self.0.metadata.get(ROLE).await?.ok_or(Error::NoRole)?;
        let role = roles.lines().next().unwrap_or_default();
        if !is_role(role) {
            return Err(Error::Garbage { path: ROLE.into(), cause: format!("`{}` is not a role", shown(role)) });
        }
        Ok(role.into())
    }

    pub(super) async fn fetch(&self) -> Result<Credentials, Error> {
        let role = &*self.name().await?;
        let path = format!("{ROLE}{role}");
        match self.0.metadata.get(&path).await? {
            Some(text) => parse(&text, role, &path),
            None => Err(Error::NoCredentials { role: role.into(), cause: "HTTP 404".into() }),
        }
    }
}

/// Reads the answer. No error shows a part of it that may be a credential.
fn parse(text: &str, role: &str, path: &str) -> Result<Credentials, Error> {
    let garbage = |cause: String| Error::Garbage { path: path.into(), cause };
    let document: Document = serde_json::from_str(text).map_err(|error| {
        garbage(format!("it is not the JSON of credentials (line {}, column {})", error.line(), error.column()))
    })?;
    if document.code != "Success" {
        let cause = format!("{} {}", shown(&document.code), shown(&document.message.unwrap_or_default()));
        return Err(Error::NoCredentials { role: role.into(), cause: cause.trim_end().into() });
    }
    let Document {
        access_key_id: Some(id),
        secret_access_key: Some(secret),
        token: Some(token),
        expiration: Some(expiration),
        ..
    } = document
    else {
        return Err(garbage("a part of the credentials is missing".into()));
    };
    // They become part of a header, for which the SDK takes them unseen.
    for (value, what) in [(&id, "access key id"), (&secret, "secret access key"), (&token, "session token")] {
        if !is_plain(value) {
            return Err(garbage(format!("its {what} is empty, too long, or holds what no credential does")));
        }
    }
    let expires = DateTime::from_str(&expiration, Format::DateTime)
        .ok()
        .and_then(|at| SystemTime::try_from(at).ok())
        .ok_or_else(|| garbage(format!("`{}` is not a time", shown(&expiration))))?;
    Ok(Credentials::new(id, secret, Some(token), Some(expires), "InstanceRole"))
}

/// Whether it consists of visible ASCII, and not of too much of it.
fn is_plain(credential: &str) -> bool {
    (1..=LONGEST_CREDENTIAL).contains(&credential.len()) && credential.bytes().all(|byte| byte.is_ascii_graphic())
}

/// The characters that IAM allows in a role's name (IAM API reference, CreateRole). It becomes part of a path.
fn is_role(text: &str) -> bool {
    (1..=128).contains(&text.len()) && text.chars().all(|c| c.is_ascii_alphanumeric() || "_+=,.@-".contains(c))
}

impl ProvideCredentials for RoleCredentials {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.current())
    }

    fn fallback_on_interrupt(&self) -> Option<Credentials> {
        self.last().clone()
    }
}

impl fmt::Debug for RoleCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RoleCredentials")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(change: impl FnOnce(&mut serde_json::Value)) -> String {
        let mut document = serde_json::json!({
            "Code": "Success", "AccessKeyId": "ASIAMADEUP", "SecretAccessKey": "made/up+key=", "Token": "made-up-session",
            "Expiration": "2036-01-01T00:00:00Z",
        });
        change(&mut document);
        document.to_string()
    }

    #[test]
    fn a_credential_that_cannot_be_one_is_refused_and_not_shown() {
        assert!(parse(&document(|_| {}), "role", "/path").is_ok());
        for key in ["AccessKeyId", "SecretAccessKey", "Token"] {
            for value in
                ["", "A\nB", "A\r\nX-Header: 1", "A\u{0}", "A B", "\u{1b}[2J", "Ä", "\u{202e}A", &"A".repeat(9000)]
            {
                let error = parse(&document(|document| document[key] = value.into()), "role", "/path").unwrap_err();
                let text = error.to_string();
                assert!(matches!(error, Error::Garbage { .. }), "{text}");
                assert!(text.is_ascii() && text.len() < 300 && !text.contains('\n'), "{text}");
            }
        }
    }

    #[test]
    fn what_is_no_document_is_refused_and_not_shown() {
        for text in [
            "",
            "null",
            "[]",
            "{}",
            "made-up-key",
            r#"{"Code": "Success"}"#,
            r#"{"Code": "Failed\n", "Message": "made-up"}"#,
        ] {
            let error = parse(text, "role", "/path").unwrap_err().to_string();
            assert!(!error.contains("made-up-key") && !error.contains('\n'), "{error}");
        }
        let late = document(|document| document["Expiration"] = "99999-99-99T00:00:00Z".into());
        assert!(parse(&late, "role", "/path").is_err());
    }

    #[test]
    fn fuzz_metadata_answers() {
        use crate::types::{Environment, ImageId, InstanceId, Region, Zone};
        let values = [
            "i-0123456789abcdef0",
            "eu-central-1",
            "eu-central-1a",
            "us-west-2-lax-1a",
            "ami-0123456789abcdef0",
            "dev",
            "my-role",
        ];
        let seeds = values
            .map(String::from)
            .into_iter()
            .chain([document(|_| {}), r#"{"Code":"Failed","Message":"no"}"#.into()]);
        testing::fuzz::fuzz("metadata-answers", seeds.map(String::into_bytes), |input| {
            let Ok(text) = std::str::from_utf8(input) else { return (0, 0) };
            let parsed = [
                InstanceId::parse(text).map(drop),
                Region::parse(text).map(drop),
                Zone::parse(text).map(drop),
                ImageId::parse(text).map(drop),
                Environment::parse(text).map(drop),
            ];
            let mut kinds = 0;
            for (place, parsed) in parsed.into_iter().enumerate() {
                match parsed {
                    Ok(()) => kinds |= 1 << place,
                    Err(malformed) => {
                        assert!(malformed.shown.chars().all(|c| c == ' ' || c == '…' || c.is_ascii_graphic()))
                    }
                }
            }
            let credentials = match parse(text, "role", "/path") {
                Ok(credentials) => {
                    let token = credentials.session_token().unwrap_or_default();
                    assert!(
                        [credentials.access_key_id(), credentials.secret_access_key(), token].into_iter().all(is_plain)
                    );
                    1
                }
                Err(error) => {
                    let said = error.to_string();
                    assert!(!said.contains(char::is_control) && said.chars().count() < 500, "{said}");
                    2 + said
                        .bytes()
                        .filter(u8::is_ascii_alphabetic)
                        .take(60)
                        .fold(0u64, |sum, byte| sum.wrapping_mul(3).wrapping_add(byte.into()))
                        % 16
                }
            };
            (kinds, credentials)
        });
    }
}
