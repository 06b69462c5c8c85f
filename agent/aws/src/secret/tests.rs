//! Against a real server on loopback, whose requests are counted.

use super::{Error, Read, read};
use crate::tests::server::{Reply, Server};
use crate::tests::world::{Imds, aws, aws_server, region, secret_of};
use bundle::Payload;
use cflared_verdict::{Failure, FailureKind, VersionId};

const NAME: &str = "/adventive/cloudflared/dev";

/// A read from a Secrets Manager that answers so, and the server, to see what it was asked.
async fn read_of(
    reply: impl Fn() -> Reply + Send + Sync + 'static,
    known: Option<&VersionId>,
) -> (Result<Read<Payload>, Error>, Server) {
    let imds = Imds::start().await;
    let server = aws_server(move |_| reply()).await;
    let client = aws(&imds, &server.url()).secrets_manager(&region());
    (read(&client, NAME, known, Payload::parse).await, server)
}

fn answer(status: u16, body: serde_json::Value) -> Reply {
    Reply::new(status, body.to_string()).with("content-type", "application/x-amz-json-1.1")
}

#[tokio::test]
async fn one_read_is_one_request_for_the_current_version() {
    let (read, server) = read_of(|| secret_of("v1"), None).await;
    assert!(matches!(read.unwrap(), Read::New(payload) if payload.version.0 == "v1"));
    let seen = server.seen();
    assert_eq!(seen.len(), 1);
    let asked: serde_json::Value = serde_json::from_slice(&seen[0].body).unwrap();
    assert_eq!(asked, serde_json::json!({"SecretId": NAME, "VersionStage": "AWSCURRENT"}));
}

#[tokio::test]
async fn the_known_version_is_unchanged_whatever_it_holds() {
    let known = VersionId("v1".into());
    let (read, server) = read_of(|| secret_of("v1"), Some(&known)).await;
    assert!(matches!(read.unwrap(), Read::Unchanged));
    assert_eq!(server.seen().len(), 1);
    let (read, _) = read_of(|| secret_of("v2"), Some(&known)).await;
    assert!(matches!(read.unwrap(), Read::New(payload) if payload.version.0 == "v2"));
    let (read, _) =
        read_of(|| answer(200, serde_json::json!({"VersionId": "v1", "SecretString": "bad"})), Some(&known)).await;
    assert!(matches!(read.unwrap(), Read::Unchanged), "a version that was refused is not parsed again");
}

#[tokio::test]
async fn what_is_no_payload_is_refused_by_name_and_version_and_never_shown() {
    let secret = "made-up-tunnel-secret";
    let cases = [
        (serde_json::json!({"VersionId": "v1", "SecretBinary": "bWFkZS11cA=="}), FailureKind::Invalid, "SecretBinary"),
        (serde_json::json!({"VersionId": "v1", "SecretString": secret}), FailureKind::Invalid, "version v1"),
        (
            serde_json::json!({"VersionId": "v1", "SecretString": secret.repeat(5000)}),
            FailureKind::Invalid,
            "105000 bytes, more than 65536",
        ),
        (serde_json::json!({"SecretString": secret}), FailureKind::Throttled, "no VersionId"),
        (serde_json::json!({"VersionId": "v1"}), FailureKind::Throttled, "no SecretString"),
        (
            serde_json::json!({"VersionId": "v\u{1b}[2J", "SecretString": secret}),
            FailureKind::Throttled,
            "no VersionId that can be one",
        ),
        (
            serde_json::json!({"VersionId": "v".repeat(65), "SecretString": secret}),
            FailureKind::Throttled,
            "no VersionId that can be one",
        ),
    ];
    for (body, kind, text) in cases {
        let (read, server) = read_of(move || answer(200, body.clone()), None).await;
        let failure = Failure::from(read.unwrap_err());
        assert_eq!(failure.kind, kind, "{}", failure.text);
        assert!(failure.text.contains(text) && failure.text.contains(NAME), "{}", failure.text);
        assert!(!failure.text.contains(&secret[..8]), "{}", failure.text);
        assert_eq!(server.seen().len(), 1);
    }
}

#[tokio::test]
async fn each_refusal_is_a_clear_error_with_the_next_step() {
    let cases = [
        (
            "ResourceNotFoundException",
            "Secrets Manager can't find it.",
            FailureKind::Missing,
            "in eu-central-1; create it",
        ),
        (
            "InvalidRequestException",
            "You can't perform this operation on the secret because it was marked for deletion.",
            FailureKind::Missing,
            "restore-secret",
        ),
        ("InvalidRequestException", "It is managed.", FailureKind::Invalid, "It is managed."),
        (
            "AccessDeniedException",
            "no",
            FailureKind::Denied,
            "secretsmanager:GetSecretValue on /adventive/cloudflared/dev",
        ),
        ("AccessDeniedException", "Access to KMS is not allowed", FailureKind::Denied, "kms:Decrypt"),
        ("DecryptionFailure", "no", FailureKind::Denied, "kms:Decrypt"),
    ];
    for (code, message, kind, text) in cases {
        let (read, server) =
            read_of(move || answer(400, serde_json::json!({"__type": code, "message": message})), None).await;
        let failure = Failure::from(read.unwrap_err());
        assert_eq!(failure.kind, kind, "{}", failure.text);
        assert!(failure.text.contains(text), "{}", failure.text);
        assert_eq!(server.seen().len(), 1, "{code} is final");
    }
}
