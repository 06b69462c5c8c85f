//! Checks signatures, version 4, as the user guide of IAM describes them ("Create a signed AWS API request"). It is made
//! apart from any SDK, so that it can find one wrong.

use super::Credentials;
use super::time::{basic, parse_basic};
use super::wire::{Service, ServiceError};
use crate::http::Asked;
use hmac::{Hmac, KeyInit, Mac};
use hyper::StatusCode;
use sha2::{Digest, Sha256};

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
/// How far apart the clocks may be. The services say so in the error: "… is now earlier than … (… - 5 min.)".
const MOST_SKEW_MS: u64 = 5 * 60 * 1000;

/// What a request is checked against.
#[derive(Debug)]
pub struct Expected<'a> {
    /// The service it is for.
    pub service: Service,
    /// The region of the stand-in.
    pub region: &'a str,
    /// The server's clock, in milliseconds since 1970.
    pub now_ms: u64,
}

/// The parts of an `Authorization` header.
struct Authorization<'a> {
    access_key_id: &'a str,
    date: &'a str,
    region: &'a str,
    service: &'a str,
    signed_headers: &'a str,
    signature: &'a str,
}

/// The access key id that the request says it is signed with, true or not.
pub fn claimed_key(request: &Asked) -> Option<&str> {
    authorization(request).map(|authorization| authorization.access_key_id)
}

/// Checks that one of `callers` signed the request.
///
/// # Errors
/// The error that the service answers a request with whose signature is missing, late, for another place, or wrong.
pub fn verify<'a>(
    request: &Asked,
    expected: &Expected,
    mut callers: impl Iterator<Item = &'a Credentials>,
) -> Result<(), ServiceError> {
    let refuse = |problem: Problem, message: String| Err(problem.error(expected.service, message));
    let Some(claim) = authorization(request) else {
        return refuse(Problem::Unsigned, "Missing Authentication Token".to_owned());
    };
    let Some(caller) = callers.find(|caller| caller.access_key_id == claim.access_key_id) else {
        return refuse(Problem::UnknownKey, "The security token included in the request is invalid.".to_owned());
    };
    if header(request, "x-amz-security-token") != caller.session_token.as_deref() {
        return refuse(Problem::UnknownKey, "The security token included in the request is invalid.".to_owned());
    }
    if let Err(message) = check_scope(&claim, expected, request) {
        return refuse(Problem::Mismatch, message);
    }
    let Some(right) = signature(request, &claim, caller) else {
        return refuse(Problem::Mismatch, "a header that must be signed is not, or is missing".to_owned());
    };
    if right != claim.signature {
        let message = "The request signature we calculated does not match the signature you provided.";
        return refuse(Problem::Mismatch, message.to_owned());
    }
    Ok(())
}

enum Problem {
    Unsigned,
    UnknownKey,
    Mismatch,
}

impl Problem {
    /// Services with a JSON protocol and those that grew up with the query protocol name and number these differently.
    fn error(self, service: Service, message: String) -> ServiceError {
        let json = matches!(service, Service::SecretsManager | Service::Logs);
        let code = match (self, json) {
            (Self::Unsigned, true) => "MissingAuthenticationTokenException",
            (Self::Unsigned, false) => "MissingAuthenticationToken",
            (Self::UnknownKey, true) => "UnrecognizedClientException",
            (Self::UnknownKey, false) => "InvalidClientTokenId",
            (Self::Mismatch, true) => "InvalidSignatureException",
            (Self::Mismatch, false) => "SignatureDoesNotMatch",
        };
        let status = if json { StatusCode::BAD_REQUEST } else { StatusCode::FORBIDDEN };
        ServiceError::sender(code, message).with_status(status)
    }
}

fn authorization(request: &Asked) -> Option<Authorization<'_>> {
    let fields = header(request, "authorization")?.strip_prefix(ALGORITHM)?;
    let field = |name: &str| fields.split(',').find_map(|field| field.trim().strip_prefix(name)?.strip_prefix('='));
    let credential: Vec<&str> = field("Credential")?.split('/').collect();
    let &[access_key_id, date, region, service, "aws4_request"] = credential.as_slice() else {
        return None;
    };
    let (signed_headers, signature) = (field("SignedHeaders")?, field("Signature")?);
    Some(Authorization { access_key_id, date, region, service, signed_headers, signature })
}

fn check_scope(claim: &Authorization, expected: &Expected, request: &Asked) -> Result<(), String> {
    if claim.service != expected.service.signing_name() {
        return Err(format!("Credential should be scoped to correct service: '{}'.", expected.service.signing_name()));
    }
    if claim.region != expected.region {
        return Err(format!("Credential should be scoped to a valid region, not '{}'.", claim.region));
    }
    let signed_at = header(request, "x-amz-date").unwrap_or_default();
    let Some(signed_at_ms) = parse_basic(signed_at).filter(|_| signed_at.get(..8) == Some(claim.date)) else {
        return Err(format!("Date in Credential scope does not match YYYYMMDD from '{signed_at}'."));
    };
    let now = basic(expected.now_ms);
    if signed_at_ms + MOST_SKEW_MS < expected.now_ms {
        let earliest = basic(expected.now_ms - MOST_SKEW_MS);
        return Err(format!("Signature expired: {signed_at} is now earlier than {earliest} ({now} - 5 min.)"));
    }
    if expected.now_ms + MOST_SKEW_MS < signed_at_ms {
        let latest = basic(expected.now_ms + MOST_SKEW_MS);
        return Err(format!("Signature not yet current: {signed_at} is still later than {latest} ({now} + 5 min.)"));
    }
    Ok(())
}

/// The signature that the request should have; none if it leaves out a header that has to be signed.
fn signature(request: &Asked, claim: &Authorization, caller: &Credentials) -> Option<String> {
    let canonical = canonical_request(request, claim.signed_headers)?;
    let scope = format!("{}/{}/{}/aws4_request", claim.date, claim.region, claim.service);
    let signed_at = header(request, "x-amz-date")?;
    let to_sign = format!("{ALGORITHM}\n{signed_at}\n{scope}\n{}", hex::encode(Sha256::digest(canonical)));
    let start = format!("AWS4{}", caller.secret_access_key).into_bytes();
    let steps = [claim.date, claim.region, claim.service, "aws4_request"];
    let key = steps.iter().fold(start, |key, step| hmac(&key, step));
    Some(hex::encode(hmac(&key, &to_sign)))
}

fn canonical_request(request: &Asked, signed_headers: &str) -> Option<String> {
    let names: Vec<&str> = signed_headers.split(';').collect();
    let sent_amz = request.headers().keys().filter(|name| name.as_str().starts_with("x-amz-"));
    if !names.contains(&"host") || sent_amz.into_iter().any(|name| !names.contains(&name.as_str())) {
        return None;
    }
    let mut headers = String::new();
    for name in names {
        let values: Vec<String> = request.headers().get_all(name).iter().map(trimmed).collect::<Option<_>>()?;
        if values.is_empty() {
            return None;
        }
        headers.push_str(&format!("{name}:{}\n", values.join(",")));
    }
    let mut query: Vec<&str> = request.uri().query().unwrap_or_default().split('&').collect();
    query.sort_unstable();
    let (method, path, query) = (request.method(), request.uri().path(), query.join("&"));
    let payload = hex::encode(Sha256::digest(request.body()));
    Some(format!("{method}\n{path}\n{query}\n{headers}\n{signed_headers}\n{payload}"))
}

fn trimmed(value: &hyper::header::HeaderValue) -> Option<String> {
    Some(value.to_str().ok()?.split_ascii_whitespace().collect::<Vec<_>>().join(" "))
}

fn hmac(key: &[u8], message: &str) -> Vec<u8> {
    let mut hmac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    hmac.update(message.as_bytes());
    hmac.finalize().into_bytes().to_vec()
}

fn header<'a>(request: &'a Asked, name: &str) -> Option<&'a str> {
    request.headers().get(name)?.to_str().ok()
}
