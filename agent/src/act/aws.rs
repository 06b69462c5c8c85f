//! What a failed call to AWS means.

use aws_credential_types::provider::error::CredentialsError;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use cflared_verdict::FailureKind;
use std::error::Error;

/// Codes of "you may not" that come with another status than 401 or 403
/// (<https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/CommonErrors.html>).
const DENIED: [&str; 5] =
    ["AccessDeniedException", "AuthFailure", "ExpiredTokenException", "NotAuthorized", "UnrecognizedClientException"];
/// Codes of "later" that come with status 400.
const LATER: [&str; 5] =
    ["RequestLimitExceeded", "ResourceContention", "Throttling", "ThrottlingException", "TooManyRequestsException"];

/// The kind of trouble.
pub fn kind<E>(error: &SdkError<E, HttpResponse>) -> FailureKind
where
    E: Error + ProvideErrorMetadata + 'static,
{
    let SdkError::ServiceError(answer) = error else {
        let no_credentials = causes(error).any(|cause| cause.is::<CredentialsError>());
        return if no_credentials { FailureKind::Denied } else { FailureKind::Unreachable };
    };
    let code = answer.err().code().unwrap_or_default();
    match answer.raw().status().as_u16() {
        401 | 403 => FailureKind::Denied,
        _ if DENIED.contains(&code) => FailureKind::Denied,
        429 | 500.. => FailureKind::Throttled,
        _ if LATER.contains(&code) => FailureKind::Throttled,
        _ => FailureKind::Invalid,
    }
}

/// The cause in words: what AWS answered, or the innermost reason that there is no answer.
pub fn cause<E>(error: &SdkError<E, HttpResponse>) -> String
where
    E: Error + ProvideErrorMetadata + 'static,
{
    match error {
        SdkError::ServiceError(answer) => {
            let code = answer.err().code().unwrap_or("an error without a code");
            let status = answer.raw().status().as_u16();
            answer.err().message().map_or_else(|| format!("{code} (HTTP {status})"), |text| format!("{code}: {text}"))
        }
        SdkError::TimeoutError(_) => "no answer in time".into(),
        // The last cause is the innermost one; the error itself is always among them.
        _ => causes(error).last().map_or_else(String::new, ToString::to_string),
    }
}

/// Whether AWS certainly knows nothing of the request: there was no connection to send it over (no name, refused, no
/// route, no TLS, no connection in time), or it was never signed.
pub fn was_not_sent<E: Error + 'static>(error: &SdkError<E, HttpResponse>) -> bool {
    match error {
        SdkError::ConstructionFailure(_) => true,
        SdkError::DispatchFailure(_) => causes(error).any(|cause| {
            let client = cause.downcast_ref::<hyper_util::client::legacy::Error>();
            client.is_some_and(hyper_util::client::legacy::Error::is_connect) || cause.is::<CredentialsError>()
        }),
        _ => false,
    }
}

/// The error and all that it was caused by, the outermost first.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}
