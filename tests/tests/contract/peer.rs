//! The SDK as the agent sets it up, pointed at a stand-in or at moto, and what came of a call.

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials as SdkCredentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_secretsmanager::config::retry::RetryConfig;
use aws_sdk_secretsmanager::config::timeout::TimeoutConfig;
use aws_sdk_secretsmanager::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use cflared_tests::aws::{Aws, Credentials, DEFAULT_REGION};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Long enough for a loaded machine, short enough to see a black hole.
pub const PATIENCE: Duration = Duration::from_secs(2);

/// The settings of an SDK client that reads nothing from the environment and does not retry.
pub fn sdk(endpoint: &str, keys: &Credentials, authority_pem: Option<&str>) -> SdkConfig {
    let store = authority_pem.map_or_else(TrustStore::empty, |pem| TrustStore::empty().with_pem_certificate(pem));
    let http = aws_smithy_http_client::Builder::new()
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .tls_context(TlsContext::builder().with_trust_store(store).build().unwrap())
        .build_https();
    let keys = SdkCredentials::new(
        &keys.access_key_id,
        &keys.secret_access_key,
        keys.session_token.clone(),
        None,
        "contract test",
    );
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::from_static(DEFAULT_REGION))
        .endpoint_url(endpoint)
        .credentials_provider(SharedCredentialsProvider::new(keys))
        .http_client(http)
        .retry_config(RetryConfig::disabled())
        .build()
}

/// The same, giving up after [`PATIENCE`].
pub fn impatient(config: SdkConfig) -> SdkConfig {
    config.into_builder().timeout_config(TimeoutConfig::builder().operation_timeout(PATIENCE).build()).build()
}

/// A stand-in that is being served, and the SDK's settings for it.
pub async fn stand_in() -> (Aws, SdkConfig) {
    let aws = Aws::default();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(aws.clone().serve(listener));
    (aws, sdk(&endpoint, &Credentials::default(), None))
}

/// The shape of a call's outcome: the error's code, or what `fields` tells of the output.
pub fn outcome<T, E, R>(result: Result<T, SdkError<E, R>>, fields: impl FnOnce(T) -> String) -> String
where
    SdkError<E, R>: ProvideErrorMetadata,
{
    match result {
        Ok(output) => fields(output),
        Err(SdkError::TimeoutError(_)) => "no answer".to_owned(),
        Err(error) => error.code().map_or_else(|| "an error without a code".to_owned(), |code| format!("error {code}")),
    }
}

/// Joins the names of those that are present.
pub fn present(fields: &[(&str, bool)]) -> String {
    fields.iter().filter(|(_, there)| *there).map(|(name, _)| *name).collect::<Vec<_>>().join(" ")
}

/// Waits until something is so, looking every few milliseconds.
pub async fn until(what: &str, so: impl Fn() -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while !so() {
        assert!(tokio::time::Instant::now() < deadline, "it was not so in time that {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Sends an HTTP request as it stands, and gives the whole answer.
pub async fn raw(config: &SdkConfig, request: &str) -> String {
    let address = config.endpoint_url().unwrap().strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

/// Posts JSON to the control endpoint as curl would.
pub async fn control(config: &SdkConfig, command: &str, body: &str) -> String {
    let head = format!("POST /_control/{command} HTTP/1.1\r\nHost: stand-in\r\nConnection: close\r\n");
    raw(config, &format!("{head}Content-Length: {}\r\n\r\n{body}", body.len())).await
}
