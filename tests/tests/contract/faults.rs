//! What the SDK makes of planted faults, in each wire format.

use super::peer::{control, impatient, outcome, raw, stand_in, until};
use aws_config::SdkConfig;
use cflared_tests::aws::{Aws, Group};
use cflared_tests::http::faults::Trouble;
use std::time::Duration;

const SERVICES: [&str; 3] = ["GetSecretValue", "PutMetricData", "SetInstanceHealth"];

/// The outcomes of one call of each service, made side by side.
async fn call_all(config: &SdkConfig) -> [String; 3] {
    let config = impatient(config.clone());
    let secret = aws_sdk_secretsmanager::Client::new(&config).get_secret_value().secret_id("s").send();
    let datum = aws_sdk_cloudwatch::types::MetricDatum::builder().metric_name("m").value(1.0).build();
    let metrics = aws_sdk_cloudwatch::Client::new(&config).put_metric_data().namespace("n").metric_data(datum).send();
    let health = aws_sdk_autoscaling::Client::new(&config).set_instance_health();
    let health = health.instance_id("i-1").health_status("Unhealthy").send();
    let (secret, metrics, health) = tokio::join!(secret, metrics, health);
    let done = || "done".to_owned();
    [outcome(secret, |_| done()), outcome(metrics, |_| done()), outcome(health, |_| done())]
}

async fn world() -> (Aws, SdkConfig) {
    let (aws, config) = stand_in().await;
    aws.put_secret("s", "text");
    aws.put_group(Group { replace_after_ms: u64::MAX, ..Group::new("g", ["i-1"]) });
    (aws, config)
}

async fn under(trouble: Trouble) -> ([String; 3], Aws) {
    let (aws, config) = world().await;
    aws.plant(trouble.everywhere());
    (call_all(&config).await, aws)
}

fn nothing_was_done(aws: &Aws) {
    assert_eq!(aws.datapoints(), []);
    assert_eq!(aws.marks(), []);
}

#[tokio::test]
async fn without_faults_all_is_done() {
    let (aws, config) = world().await;
    assert_eq!(call_all(&config).await, ["done"; 3]);
    assert_eq!((aws.datapoints().len(), aws.marks().len()), (1, 1));
    assert!(SERVICES.iter().all(|action| aws.requests().count(action) == 1));
}

#[tokio::test]
async fn denied_is_said_in_each_service_s_words() {
    let (outcomes, aws) = under(Trouble::Denied).await;
    assert_eq!(outcomes, ["error AccessDeniedException", "error AccessDenied", "error AccessDenied"]);
    nothing_was_done(&aws);
}

#[tokio::test]
async fn throttled_is_said_in_each_service_s_words() {
    let (outcomes, aws) = under(Trouble::Throttled).await;
    assert_eq!(outcomes, ["error ThrottlingException", "error Throttling", "error Throttling"]);
    nothing_was_done(&aws);
}

#[tokio::test]
async fn any_error_can_be_planted() {
    let (outcomes, aws) = under(Trouble::error(500, "ResourceContention", "busy")).await;
    assert_eq!(outcomes, ["error ResourceContention"; 3]);
    nothing_was_done(&aws);
}

#[tokio::test]
async fn a_black_hole_does_nothing_and_a_swallowed_answer_follows_a_deed() {
    let (outcomes, aws) = under(Trouble::BlackHole).await;
    assert_eq!(outcomes, ["no answer"; 3]);
    nothing_was_done(&aws);

    let (outcomes, aws) = under(Trouble::SwallowAnswer).await;
    assert_eq!(outcomes, ["no answer"; 3]);
    assert_eq!((aws.datapoints().len(), aws.marks().len()), (1, 1));
    let ended = || aws.requests().all().iter().filter(|r| r.ended_us.is_some() && r.status.is_none()).count();
    until("an end without a status is recorded when the client goes away", || ended() == 3).await;
}

#[tokio::test]
async fn bare_statuses_and_bad_bodies_are_no_service_s_answers() {
    for trouble in [Trouble::Status(503), Trouble::bad_body("<html>")] {
        let (outcomes, aws) = under(trouble.clone()).await;
        nothing_was_done(&aws);
        assert_eq!(outcomes[0], "an error without a code", "{trouble:?}");
    }
}

#[tokio::test]
async fn a_fault_meets_its_scope_and_wears_off() {
    let (aws, config) = world().await;
    aws.plant(Trouble::Throttled.on("monitoring").times(2));
    aws.plant(Trouble::Denied.on("PutMetricData").times(1));
    let mut metrics = Vec::new();
    for _ in 0..4 {
        let [secret, metric, health] = call_all(&config).await;
        assert_eq!([secret, health], ["done"; 2]);
        metrics.push(metric);
    }
    assert_eq!(metrics, ["error Throttling", "error Throttling", "error AccessDenied", "done"]);
}

#[tokio::test]
async fn delays_add_to_other_troubles_and_are_taken_away_by_scope() {
    let (aws, config) = world().await;
    aws.plant(Trouble::delay(Duration::from_millis(100)).everywhere());
    aws.plant(Trouble::delay(Duration::from_millis(100)).on("GetSecretValue"));
    aws.plant(Trouble::Denied.on("GetSecretValue"));
    let [secret, ..] = call_all(&config).await;
    assert_eq!(secret, "error AccessDeniedException");
    let took_ms = |action: &str| {
        let request = &aws.requests().of(action)[0];
        (request.ended_us.unwrap() - request.began_us) / 1000
    };
    assert!(took_ms("GetSecretValue") >= 200 && took_ms("PutMetricData") >= 100);
    aws.clear_faults_on("GetSecretValue");
    assert_eq!(call_all(&config).await, ["done"; 3]);
}

#[tokio::test]
async fn the_control_endpoint_does_the_same_for_a_person() {
    let (aws, config) = stand_in().await;
    let done = async |command: &str, body: &str| {
        let answer = control(&config, command, body).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{command} {body}: {answer}");
    };
    done("secret", r#"{"name": "s", "text": "planted"}"#).await;
    let group =
        r#"{"name": "g", "replace_after_ms": 99999999, "instances": {"i-1": {"availability_zone": "us-east-1b"}}}"#;
    done("group", group).await;
    done("group", r#"{"name": "g", "suspended": ["ReplaceUnhealthy"]}"#).await;
    assert_eq!(call_all(&config).await, ["done"; 3]);
    let group = aws.group("g").unwrap();
    assert_eq!((group.instances["i-1"].availability_zone.as_str(), group.suspended.len()), ("us-east-1b", 1));

    done("fault", r#"{"scope": "GetSecretValue", "trouble": "denied", "times": 1}"#).await;
    done("fault", r#"{"trouble": {"delay_ms": 1}}"#).await;
    assert_eq!(call_all(&config).await[0], "error AccessDeniedException");
    done("clear", "").await;
    done("delete-secret", r#"{"name": "s"}"#).await;
    assert_eq!(call_all(&config).await[0], "error InvalidRequestException");

    let state = raw(&config, "GET /_control/state HTTP/1.1\r\nHost: stand-in\r\nConnection: close\r\n\r\n").await;
    let state: serde_json::Value = serde_json::from_str(state.split_once("\r\n\r\n").unwrap().1).unwrap();
    assert_eq!(state["summary"]["counts"]["monitoring.PutMetricData"], 3);
    assert!(state["summary"]["depth"].as_u64().unwrap() >= 3, "three rounds came one after another");
    assert_eq!(state["minute_sums"].as_array().unwrap().iter().map(|s| s["sum"].as_f64().unwrap()).sum::<f64>(), 3.0);
    assert_eq!(state["faults"], serde_json::json!([]));

    for (command, body) in
        [("group", r#"{"name": "g", "sise": 3}"#), ("fault", r#"{"troubel": "denied"}"#), ("x", "{}")]
    {
        let answer = control(&config, command, body).await;
        assert!(answer.starts_with("HTTP/1.1 40"), "a slip is told: {command} {body}: {answer}");
    }
}
