//! CloudWatch: takes datapoints, keeps every one, sums them up, and shows them when it is time.

mod handle;
mod read;

use super::time::iso;
use super::wire::ServiceError;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

const MOST_METRICS: usize = 1000;
const MOST_DIMENSIONS: usize = 30;
const OLDEST_MS: u64 = 14 * 24 * 3600 * 1000;
const NEWEST_MS: u64 = 2 * 3600 * 1000;
const MINUTE_MS: u64 = 60_000;

/// One datapoint, as accepted.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Datapoint {
    /// Namespace.
    pub namespace: String,
    /// Metric name.
    pub metric: String,
    /// Dimensions by name.
    pub dimensions: BTreeMap<String, String>,
    /// What it is stamped with, in milliseconds since 1970.
    pub timestamp_ms: u64,
    /// The value.
    pub value: f64,
    /// How many times the value counts (`Counts`), 1 if not said.
    pub count: f64,
    /// The unit, as `Count`.
    pub unit: Option<String>,
    /// The resolution in seconds, 1 or 60, if said.
    pub storage_resolution_s: Option<u32>,
    /// When it was accepted by the server's clock, in milliseconds since 1970.
    pub received_at_ms: u64,
    /// The access key id of who sent it.
    pub by: String,
    /// How long after that `GetMetricData` shows it, in milliseconds; none: never.
    pub shown_after_ms: Option<u64>,
}

/// When `GetMetricData` shows what was accepted. The service says no more than that it may take minutes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Visibility {
    /// How long it takes, in milliseconds.
    pub delay_ms: u64,
    /// How many of the next `PutMetricData` are accepted and never shown.
    pub lose: u32,
}

/// The statistics `Sum` and `SampleCount` over one minute.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MinuteSum {
    /// Namespace.
    pub namespace: String,
    /// Metric name.
    pub metric: String,
    /// Dimensions by name.
    pub dimensions: BTreeMap<String, String>,
    /// Start of the minute (RFC 3339).
    pub minute: String,
    /// Sum of the values.
    pub sum: f64,
    /// Number of values.
    pub samples: f64,
}

/// All datapoints that were accepted.
#[derive(Debug, Default)]
pub struct Metrics {
    all: Vec<Datapoint>,
    visibility: Visibility,
}

/// Members of the API model; others are refused, so that nothing is dropped unseen.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PutMetricDataInput {
    #[serde(rename = "Namespace")]
    namespace: String,
    #[serde(rename = "MetricData", default)]
    metric_data: Vec<MetricDatum>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
struct MetricDatum {
    metric_name: String,
    #[serde(default)]
    dimensions: Vec<Dimension>,
    timestamp: Option<f64>,
    value: Option<f64>,
    values: Option<Vec<f64>>,
    counts: Option<Vec<f64>>,
    unit: Option<String>,
    storage_resolution: Option<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
struct Dimension {
    name: String,
    value: String,
}

impl Metrics {
    /// Every datapoint, in the order of acceptance.
    pub fn all(&self) -> &[Datapoint] {
        &self.all
    }

    /// When it shows what it accepts now.
    pub fn visibility(&self) -> Visibility {
        self.visibility
    }

    /// Sets when it shows what it accepts from now on.
    pub fn set_visibility(&mut self, visibility: Visibility) {
        self.visibility = visibility;
    }

    /// Starts anew.
    pub fn forget(&mut self) {
        self.all.clear();
    }

    /// Sums by series and minute.
    pub fn minute_sums(&self) -> Vec<MinuteSum> {
        let mut sums: BTreeMap<_, (f64, f64)> = BTreeMap::new();
        for point in &self.all {
            let minute = point.timestamp_ms / MINUTE_MS;
            let sum = sums.entry((&point.namespace, &point.metric, &point.dimensions, minute)).or_default();
            sum.0 += point.value * point.count;
            sum.1 += point.count;
        }
        let render = |((namespace, metric, dimensions, minute), (sum, samples)): (
            (&String, &String, &BTreeMap<_, _>, u64),
            _,
        )| {
            let (namespace, metric, dimensions) = (namespace.clone(), metric.clone(), dimensions.clone());
            MinuteSum { namespace, metric, dimensions, minute: iso(minute * MINUTE_MS), sum, samples }
        };
        sums.into_iter().map(render).collect()
    }

    /// Does an action of the API.
    ///
    /// # Errors
    /// Those of the API. As there, one bad datum refuses the whole request.
    pub fn call(&mut self, action: &str, input: &Value, now_ms: u64, by: &str) -> Result<Value, ServiceError> {
        match action {
            "PutMetricData" => self.put(input, now_ms, by),
            "GetMetricData" => read::get(&self.all, input, now_ms),
            _ => Err(ServiceError::sender("UnknownOperationException", format!("{action} is not stood in for"))),
        }
    }

    fn put(&mut self, input: &Value, now_ms: u64, by: &str) -> Result<Value, ServiceError> {
        let input = PutMetricDataInput::deserialize(input).map_err(|error| invalid(&error.to_string()))?;
        if input.metric_data.len() > MOST_METRICS {
            return Err(invalid("The collection MetricData must not have a size greater than 1000."));
        }
        let mut accepted = Vec::new();
        for datum in input.metric_data {
            accepted.extend(datum.into_points(&input.namespace, now_ms, by)?);
        }
        let lost = self.visibility.lose > 0;
        self.visibility.lose = self.visibility.lose.saturating_sub(1);
        let shown_after_ms = (!lost).then_some(self.visibility.delay_ms);
        self.all.extend(accepted.into_iter().map(|point| Datapoint { shown_after_ms, ..point }));
        Ok(Value::Null)
    }
}

impl MetricDatum {
    fn into_points(self, namespace: &str, now_ms: u64, by: &str) -> Result<Vec<Datapoint>, ServiceError> {
        let timestamp_ms = self.timestamp.map_or(now_ms, |seconds| (seconds * 1000.0).round() as u64);
        if timestamp_ms + OLDEST_MS < now_ms || timestamp_ms > now_ms + NEWEST_MS {
            return Err(invalid("The parameter Timestamp must specify a time within the past two weeks."));
        }
        if self.dimensions.len() > MOST_DIMENSIONS || self.dimensions.iter().any(|d| d.value.is_empty()) {
            return Err(invalid("The parameter Dimensions has too many or an empty one."));
        }
        let values = match (self.value, self.values) {
            (Some(value), None) => vec![value],
            (None, Some(values)) => values,
            _ => return Err(invalid("Exactly one of Value and Values must be given, and be a number.")),
        };
        let counts = self.counts.unwrap_or_else(|| vec![1.0; values.len()]);
        if counts.len() != values.len() {
            return Err(invalid("The parameters Values and Counts must be of the same size."));
        }
        let point = Datapoint {
            namespace: namespace.to_owned(),
            metric: self.metric_name,
            dimensions: self.dimensions.into_iter().map(|d| (d.name, d.value)).collect(),
            timestamp_ms,
            value: 0.0,
            count: 1.0,
            unit: self.unit,
            storage_resolution_s: self.storage_resolution,
            received_at_ms: now_ms,
            by: by.to_owned(),
            shown_after_ms: None,
        };
        let weighed = values.into_iter().zip(counts);
        Ok(weighed.map(|(value, count)| Datapoint { value, count, ..point.clone() }).collect())
    }
}

fn invalid(message: &str) -> ServiceError {
    ServiceError::sender("InvalidParameterValue", message)
}
