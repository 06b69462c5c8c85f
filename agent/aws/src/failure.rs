//! The failure of a call to AWS, for the verdict and in words for a person.

use super::error::Error;
use super::roots::RootsError;
use super::types::escaped;
use aws_credential_types::provider::error::CredentialsError;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use cflared_verdict::{Failure, FailureKind};
use dns::UnknownName;

/// How much of a service's own message is shown, in characters.
const MESSAGE: usize = 300;

/// A call, for the texts about it.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    /// The permission that it needs: `secretsmanager:GetSecretValue`.
    pub action: &'a str,
    /// What it is about: `/adventive/cloudflared/dev`.
    pub object: &'a str,
}

/// Why the call failed: the cause, and what to do about it.
pub fn failure<E>(error: &SdkError<E, HttpResponse>, call: Call<'_>) -> Failure
where
    E: std::error::Error + ProvideErrorMetadata + 'static,
{
    let (kind, why) = match error {
        SdkError::ServiceError(answer) => refused(answer.err(), answer.raw().status().as_u16(), call),
        SdkError::TimeoutError(_) => no_answer(),
        SdkError::ResponseError(answer) => not_its_answer(answer.raw().status().as_u16()),
        _ => not_answered(error),
    };
    Failure::new(kind, format!("failed to call {} on {}: {why}", call.action, call.object))
}

/// Whether the request certainly never reached the service, so that sending it again cannot do it twice: the
/// connection was not made, or there were no credentials to sign it with. A time-out or a cut connection leaves it
/// unknown, and is `false`.
///
/// True of the last try only: ask it of clients whose retries are off.
pub fn was_not_sent<E>(error: &SdkError<E, HttpResponse>) -> bool
where
    E: std::error::Error + 'static,
{
    match error {
        SdkError::ConstructionFailure(_) => true,
        SdkError::DispatchFailure(_) => {
            find::<hyper_util::client::legacy::Error>(error).is_some_and(|error| error.is_connect())
                || find::<CredentialsError>(error).is_some()
                || find::<RootsError>(error).is_some()
        }
        _ => false,
    }
}

/// The service answered, and says no.
fn refused<E: ProvideErrorMetadata>(error: &E, status: u16, call: Call<'_>) -> (FailureKind, String) {
    let (code, message) = (error.code().unwrap_or_default(), error.message().unwrap_or_default());
    let said = said(code, status, message);
    let is_denied = code.starts_with("AccessDenied")
        || matches!(code, "AuthorizationError" | "NotAuthorized" | "UnauthorizedOperation");
    match code {
        // The key's refusal comes as the service's own ("Access to KMS is not allowed").
        _ if code == "DecryptionFailure" || is_denied && message.contains("KMS") => {
            let next = "check that its KMS key is enabled and that the role has kms:Decrypt on it";
            (FailureKind::Denied, format!("it could not be decrypted ({said}); {next}"))
        }
        _ if is_denied => {
            (FailureKind::Denied, format!("access denied: the role needs {} on {} ({said})", call.action, call.object))
        }
        "UnrecognizedClientException"
        | "InvalidClientTokenId"
        | "AuthFailure"
        | "ExpiredToken"
        | "ExpiredTokenException"
        | "OptInRequired"
        | "IncompleteSignature"
        | "MissingAuthenticationToken" => {
            let next = "check that the role still exists and that the metadata service gives fresh credentials";
            (FailureKind::Denied, format!("AWS does not accept the role's credentials ({said}); {next}"))
        }
        "SignatureDoesNotMatch"
        | "InvalidSignatureException"
        | "RequestExpired"
        | "RequestTimeTooSkewed"
        | "RequestInTheFuture" => {
            (FailureKind::Denied, format!("AWS does not accept the signature ({said}); check this host's clock"))
        }
        _ if is_later(code) || status == 429 || status >= 500 => {
            (FailureKind::Throttled, format!("{said}; the agent will try again"))
        }
        "" => not_its_answer(status),
        "ResourceNotFoundException" | "ResourceNotFound" => (FailureKind::Missing, format!("it is not there ({said})")),
        _ if matches!(status, 401 | 403) => {
            let next = "check the policies of the role, of the account and of the VPC endpoint";
            (FailureKind::Denied, format!("access denied ({said}); {next}"))
        }
        _ => (FailureKind::Invalid, format!("{said}; correct what it names")),
    }
}

/// Something else answers there, such as a proxy: that may mend.
fn not_its_answer(status: u16) -> (FailureKind, String) {
    let why = format!("the answer (HTTP {status}) is not the service's; check the endpoint and the proxy");
    (FailureKind::Throttled, why)
}

fn is_later(code: &str) -> bool {
    code.starts_with("Throttl")
        || code.ends_with("ThrottledException")
        || matches!(
            code,
            "TooManyRequestsException"
                | "RequestLimitExceeded"
                | "LimitExceeded"
                | "LimitExceededException"
                | "ResourceContention"
                | "SlowDown"
                | "RequestThrottled"
                | "ServiceUnavailable"
                | "InternalFailure"
                | "InternalServiceError"
        )
}

fn said(code: &str, status: u16, message: &str) -> String {
    let code = if code.is_empty() { format!("HTTP {status}") } else { escaped(code, MESSAGE) };
    if message.is_empty() { code } else { format!("{code}: {}", escaped(message, MESSAGE)) }
}

/// No answer came.
fn not_answered<E>(error: &SdkError<E, HttpResponse>) -> (FailureKind, String)
where
    E: std::error::Error + 'static,
{
    if let Some(error) = find::<Error>(error) {
        return (error.kind(), error.to_string());
    }
    if let Some(error) = find::<RootsError>(error) {
        return (FailureKind::Host, error.to_string());
    }
    if let Some(error) = find::<UnknownName>(error) {
        return (FailureKind::Unreachable, error.to_string());
    }
    if let Some(error) = find::<rustls::Error>(error) {
        let next = "check this host's clock and root certificates, and that nothing intercepts TLS";
        return (FailureKind::Unreachable, format!("TLS failed: {error}; {next}"));
    }
    match error {
        SdkError::DispatchFailure(dispatch) if dispatch.is_timeout() => no_answer(),
        _ => {
            let cause = super::metadata::cause_of(error);
            (
                FailureKind::Unreachable,
                format!("{cause}; check the route, the security group and the proxy to AWS on port 443"),
            )
        }
    }
}

fn no_answer() -> (FailureKind, String) {
    let why = "no answer in time; check the route, the security group and the proxy to AWS on port 443";
    (FailureKind::Unreachable, why.into())
}

/// The first error of that type in the chain. An `io::Error` hides the error inside it from `source`, so it is looked
/// into.
fn find<'a, T: std::error::Error + 'static>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a T> {
    let next = |&error: &&'a (dyn std::error::Error + 'static)| match error.downcast_ref::<std::io::Error>() {
        Some(io) => io.get_ref().map(|inner| inner as &(dyn std::error::Error + 'static)),
        None => error.source(),
    };
    std::iter::successors(Some(error), next).find_map(|error| error.downcast_ref())
}
