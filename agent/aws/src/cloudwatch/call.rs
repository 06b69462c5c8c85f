//! One `PutMetricData`: how it is bounded, and what its failure means.

use super::buffer::Outcome;
use crate::{Call, failure, was_not_sent};
use aws_sdk_cloudwatch::config::retry::RetryConfig;
use aws_sdk_cloudwatch::config::timeout::TimeoutConfig;
use aws_sdk_cloudwatch::config::{Builder, Config};
use aws_sdk_cloudwatch::error::SdkError;
use aws_sdk_cloudwatch::operation::put_metric_data::PutMetricDataError;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use cflared_verdict::FailureKind;
use std::time::Duration;

/// Why a call failed.
pub type Error = SdkError<PutMetricDataError, HttpResponse>;

/// Time-outs of a call: to connect, for the answer, and for all with loading credentials.
const CONNECT: Duration = Duration::from_secs(2);
const ANSWER: Duration = Duration::from_secs(5);
const CALL: Duration = Duration::from_secs(8);

/// One attempt: a retry after an unknown outcome could count a value twice.
pub fn once() -> Builder {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(CONNECT)
        .read_timeout(ANSWER)
        .operation_attempt_timeout(CALL)
        .operation_timeout(CALL)
        .build();
    Config::builder().retry_config(RetryConfig::disabled()).timeout_config(timeouts)
}

/// What a failed call means for its values, and the cause in words with what a person can do.
pub fn outcome(error: &Error, namespace: &str) -> (Outcome, String) {
    let object = format!("the namespace {namespace}");
    let failure = failure(error, Call { action: "cloudwatch:PutMetricData", object: &object });
    let outcome = match error {
        SdkError::ServiceError(answer) => match answer.raw().status().as_u16() {
            // From something in between, which cannot know what became of the request behind it.
            502 | 504 => Outcome::Unknown,
            _ if matches!(failure.kind, FailureKind::Invalid | FailureKind::Missing) => Outcome::Invalid,
            _ => Outcome::NotTaken,
        },
        error if was_not_sent(error) => Outcome::NotTaken,
        _ => Outcome::Unknown,
    };
    let fate = match outcome {
        Outcome::Unknown => "count as lost",
        Outcome::Invalid => "are given up",
        Outcome::NotTaken | Outcome::Delivered => "go with the next push",
    };
    (outcome, format!("{}; the datapoints {fate}", failure.text))
}
