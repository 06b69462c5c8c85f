//! Requests that are not signed right are refused, before anything else is looked at.

use super::peer::{outcome, raw, sdk, stand_in};
use aws_config::{Region, SdkConfig};
use cflared_tests::aws::{Aws, Credentials};
use cflared_tests::http::faults::Trouble;

/// The outcomes of a read and of a push, which must have done nothing.
async fn refused(aws: &Aws, config: &SdkConfig) -> [String; 2] {
    aws.plant(Trouble::Denied.everywhere());
    let secret = aws_sdk_secretsmanager::Client::new(config).get_secret_value().secret_id("s").send().await;
    let datum = aws_sdk_cloudwatch::types::MetricDatum::builder().metric_name("m").value(1.0).build();
    let metrics =
        aws_sdk_cloudwatch::Client::new(config).put_metric_data().namespace("n").metric_data(datum).send().await;
    assert_eq!(aws.datapoints(), []);
    aws.clear_faults();
    [outcome(secret, |_| "done".to_owned()), outcome(metrics, |_| "done".to_owned())]
}

fn with_keys(config: &SdkConfig, keys: &Credentials) -> SdkConfig {
    sdk(config.endpoint_url().unwrap(), keys, None)
}

#[tokio::test]
async fn the_signature_the_key_and_the_token_must_be_right() {
    let (aws, config) = stand_in().await;
    let right = Credentials::default();
    let mismatch = ["error InvalidSignatureException", "error SignatureDoesNotMatch"];
    let unknown = ["error UnrecognizedClientException", "error InvalidClientTokenId"];

    let wrong_secret = Credentials { secret_access_key: "another".to_owned(), ..right.clone() };
    assert_eq!(refused(&aws, &with_keys(&config, &wrong_secret)).await, mismatch);
    let no_token = Credentials { session_token: None, ..right.clone() };
    assert_eq!(refused(&aws, &with_keys(&config, &no_token)).await, unknown);
    let other_token = Credentials { session_token: Some("another".to_owned()), ..right };
    assert_eq!(refused(&aws, &with_keys(&config, &other_token)).await, unknown);

    let second = Credentials::made_up("second");
    assert_eq!(refused(&aws, &with_keys(&config, &second)).await, unknown);
    aws.trust(second.clone());
    assert_eq!(
        refused(&aws, &with_keys(&config, &second)).await[0],
        "error AccessDeniedException",
        "the planted fault"
    );
    assert!(aws.requests().all().iter().any(|request| request.by.as_deref() == Some(&second.access_key_id)));
}

#[tokio::test]
async fn the_region_and_the_time_must_be_right() {
    let (aws, config) = stand_in().await;
    let mismatch = ["error InvalidSignatureException", "error SignatureDoesNotMatch"];
    let elsewhere = config.clone().into_builder().region(Region::from_static("eu-west-1")).build();
    assert_eq!(refused(&aws, &elsewhere).await, mismatch);
    for ahead in [3600, -3600] {
        aws.set_clock_ahead(ahead);
        assert_eq!(refused(&aws, &config).await, mismatch, "the server's clock is {ahead} s ahead");
    }
    aws.set_clock_ahead(60);
    assert_eq!(refused(&aws, &config).await[0], "error AccessDeniedException", "the planted fault");
}

#[tokio::test]
async fn an_unsigned_request_is_refused() {
    let (aws, config) = stand_in().await;
    aws.put_secret("s", "text");
    let head = "POST / HTTP/1.1\r\nHost: stand-in\r\nConnection: close\r\n";
    let json = "X-Amz-Target: secretsmanager.GetSecretValue\r\nContent-Length: 17\r\n\r\n{\"SecretId\": \"s\"}";
    let answer = raw(&config, &format!("{head}{json}")).await;
    assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("MissingAuthenticationTokenException"), "{answer}");
    let form = "Content-Length: 54\r\n\r\nAction=DescribeAutoScalingInstances&Version=2011-01-01";
    let answer = raw(&config, &format!("{head}{form}")).await;
    assert!(answer.starts_with("HTTP/1.1 403") && answer.contains("MissingAuthenticationToken"), "{answer}");
}
