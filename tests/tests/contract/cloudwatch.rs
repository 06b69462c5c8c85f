//! CloudWatch, which moto does not speak as the SDK does. So: what the SDK sends is taken, what botocore sends (a client
//! made apart from it, with an encoder and a signer of its own) is taken just the same, and botocore's API model has
//! the members the stand-in reads.

use super::peer::{outcome, stand_in};
use aws_sdk_cloudwatch::Client;
use aws_sdk_cloudwatch::primitives::DateTime;
use aws_sdk_cloudwatch::types::{Dimension, MetricDatum, StandardUnit};
use cflared_tests::aws::{Credentials, DEFAULT_REGION, Datapoint};
use cflared_tests::world::venv;
use serde_json::Value;
use std::process::Output;
use tokio::process::Command;

const METRIC: &str = "cflared_replica_count_per_tunnel";
pub const DIMENSIONS: [(&str, &str); 2] = [("Environment", "dev"), ("TunnelId", "made-up")];

pub fn datum(seconds: i64, value: f64) -> MetricDatum {
    let dimensions = DIMENSIONS.map(|(name, value)| Dimension::builder().name(name).value(value).build());
    let datum = MetricDatum::builder().metric_name(METRIC).set_dimensions(Some(dimensions.into()));
    datum.timestamp(DateTime::from_secs(seconds)).value(value).unit(StandardUnit::Count).storage_resolution(60).build()
}

#[tokio::test]
async fn datapoints_of_the_sdk_are_kept_and_summed() {
    let (aws, config) = stand_in().await;
    let client = Client::new(&config);
    let minute = aws.now_ms() / 60_000 * 60;
    let at = i64::try_from(minute).unwrap();
    let push = async |data: Vec<MetricDatum>| {
        let pushed = client.put_metric_data().namespace("Cflared").set_metric_data(Some(data)).send().await;
        outcome(pushed, |_| "done".to_owned())
    };
    assert_eq!(push(vec![datum(at, 1.0)]).await, "done");
    assert_eq!(push(vec![datum(at, 1.0), datum(at - 60, 0.0)]).await, "done");
    // Over 10 KiB the SDK packs it.
    assert_eq!(push((0..500).map(|n| datum(at - 120 - 60 * n, 1.0)).collect()).await, "done");

    let sum = |minutes_ago: u64| aws.sum(METRIC, &DIMENSIONS, (minute - 60 * minutes_ago) * 1000 + 59_999);
    assert_eq!((sum(0), sum(1), sum(2), sum(501), sum(502)), (Some(2.0), Some(0.0), Some(1.0), Some(1.0), None));
    assert_eq!(aws.sum(METRIC, &DIMENSIONS[..1], minute * 1000), None, "other dimensions are another series");
    assert_eq!(aws.datapoints().len(), 503);
}

#[tokio::test]
async fn what_the_service_refuses_is_refused_whole() {
    let (aws, config) = stand_in().await;
    let client = Client::new(&config);
    let now = i64::try_from(aws.now_ms() / 1000).unwrap();
    let too_many = vec![datum(now, 1.0); 1001];
    let nan = vec![datum(now, 1.0), datum(now, f64::NAN)];
    let old = vec![datum(now, 1.0), datum(now - 15 * 86_400, 1.0)];
    let early = vec![datum(now, 1.0), datum(now + 3 * 3600, 1.0)];
    for data in [too_many, nan, old, early] {
        let pushed = client.put_metric_data().namespace("Cflared").set_metric_data(Some(data)).send().await;
        assert_eq!(outcome(pushed, |_| "done".to_owned()), "error InvalidParameterValue");
    }
    assert_eq!(aws.datapoints(), []);
}

#[tokio::test]
async fn datapoints_of_botocore_come_to_the_same() {
    let (aws, config) = stand_in().await;
    let now = i64::try_from(aws.now_ms() / 1000).unwrap();
    let client = Client::new(&config);
    client.put_metric_data().namespace("Cflared").metric_data(datum(now, 1.0)).send().await.unwrap();
    let endpoint = config.endpoint_url().unwrap();
    python("put_metric_data.py", &[endpoint, &now.to_string(), METRIC]).await;
    let points = aws.datapoints();
    let [of_sdk, of_botocore] = points.as_slice() else { panic!("two datapoints, not {points:?}") };
    assert_eq!(of_botocore, &Datapoint { received_at_ms: of_botocore.received_at_ms, ..of_sdk.clone() });
}

#[tokio::test]
async fn the_members_are_those_of_botocore_s_model() {
    let output = python("model.py", &["cloudwatch", "PutMetricData"]).await;
    let model: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(model["protocol"], "smithy-rpc-v2-cbor");
    assert_eq!(model["target_prefix"], "GraniteServiceVersion20100801");
    assert_eq!(model["query_compatible"], true);
    let read_by_the_stand_in = [
        ("Namespace", "string"),
        ("MetricData[].MetricName", "string"),
        ("MetricData[].Dimensions[].Name", "string"),
        ("MetricData[].Dimensions[].Value", "string"),
        ("MetricData[].Timestamp", "timestamp"),
        ("MetricData[].Value", "double"),
        ("MetricData[].Values[]", "double"),
        ("MetricData[].Counts[]", "double"),
        ("MetricData[].Unit", "string"),
        ("MetricData[].StorageResolution", "integer"),
    ];
    for (member, kind) in read_by_the_stand_in {
        assert_eq!(model["input"][member], kind, "{member}");
    }
    assert_eq!(model["errors"]["InvalidParameterValue"], 400);
}

/// Runs a script of this folder with botocore at hand, with nothing of the machine's own AWS settings.
pub async fn python(script: &str, arguments: &[&str]) -> Output {
    let keys = Credentials::default();
    let script = format!("{}/tests/contract/{script}", env!("CARGO_MANIFEST_DIR"));
    let output = Command::new(venv("python"))
        .arg(script)
        .args(arguments)
        .env_clear()
        .env("AWS_ACCESS_KEY_ID", keys.access_key_id)
        .env("AWS_SECRET_ACCESS_KEY", keys.secret_access_key)
        .env("AWS_SESSION_TOKEN", keys.session_token.unwrap())
        .env("AWS_DEFAULT_REGION", DEFAULT_REGION)
        .env("AWS_CONFIG_FILE", "/dev/null")
        .env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .output()
        .await
        .unwrap();
    assert!(output.status.success(), "the script said:\n{}", String::from_utf8_lossy(&output.stderr));
    output
}
