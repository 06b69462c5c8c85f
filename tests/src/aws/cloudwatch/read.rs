//! `GetMetricData`, for plain statistics: no expressions, no percentiles.

use super::{Datapoint, Dimension, invalid};
use crate::aws::wire::ServiceError;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;

const MOST_QUERIES: usize = 500;
const MOST_POINTS: usize = 100_800;
const MINUTE_MS: u64 = 60_000;

/// Members of the API model; others are refused.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
struct Input {
    metric_data_queries: Vec<Query>,
    start_time: f64,
    end_time: f64,
    next_token: Option<String>,
    scan_by: Option<ScanBy>,
    max_datapoints: Option<usize>,
}

#[derive(Deserialize, PartialEq)]
enum ScanBy {
    TimestampAscending,
    TimestampDescending,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
struct Query {
    id: String,
    label: Option<String>,
    metric_stat: MetricStat,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
struct MetricStat {
    metric: Metric,
    period: u64,
    stat: Statistic,
    unit: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
struct Metric {
    namespace: String,
    metric_name: String,
    #[serde(default)]
    dimensions: Vec<Dimension>,
}

#[derive(Clone, Copy, Deserialize)]
enum Statistic {
    Sum,
    SampleCount,
    Average,
    Minimum,
    Maximum,
}

/// Answers from what is shown at `now_ms`.
///
/// # Errors
/// Those of the API.
pub fn get(all: &[Datapoint], input: &Value, now_ms: u64) -> Result<Value, ServiceError> {
    let input = Input::deserialize(input).map_err(|error| invalid(&error.to_string()))?;
    let milliseconds = |seconds: f64| (seconds * 1000.0).round() as u64;
    // A start is rounded down to the minute (API reference).
    let span = (milliseconds(input.start_time) / MINUTE_MS * MINUTE_MS, milliseconds(input.end_time));
    if input.metric_data_queries.is_empty() || input.metric_data_queries.len() > MOST_QUERIES || span.0 >= span.1 {
        return Err(invalid("The parameters MetricDataQueries, StartTime and EndTime do not ask for anything."));
    }
    let mut results = Vec::new();
    for query in &input.metric_data_queries {
        let mut points = query.points(all, span, now_ms)?;
        if input.scan_by != Some(ScanBy::TimestampAscending) {
            points.reverse();
        }
        results.push((query, points));
    }
    let from = input.next_token.as_deref().map_or(Ok(0), str::parse::<usize>);
    let from = from.map_err(|_| ServiceError::sender("InvalidNextToken", "The NextToken value is not valid."))?;
    let to = from.saturating_add(input.max_datapoints.unwrap_or(MOST_POINTS).clamp(1, MOST_POINTS));
    Ok(page(&results, from, to))
}

/// The results that have a point from the `from`th to before the `to`th of all.
fn page(results: &[(&Query, Vec<(u64, f64)>)], from: usize, to: usize) -> Value {
    let (mut shown, mut before) = (Vec::new(), 0);
    for (query, points) in results {
        let after = before + points.len();
        let here = &points[from.clamp(before, after) - before..to.clamp(before, after) - before];
        if !here.is_empty() || (points.is_empty() && from == 0) {
            shown.push(json!({
                "Id": query.id,
                "Label": query.label.as_ref().unwrap_or(&query.metric_stat.metric.metric_name),
                "Timestamps": here.iter().map(|(start_ms, _)| start_ms / 1000).collect::<Vec<_>>(),
                "Values": here.iter().map(|(_, value)| value).collect::<Vec<_>>(),
                "StatusCode": if after <= to { "Complete" } else { "PartialData" },
            }));
        }
        before = after;
    }
    json!({"MetricDataResults": shown, "NextToken": (before > to).then(|| to.to_string()), "Messages": []})
}

impl Query {
    /// The statistic by the start of its period, in the order of time.
    fn points(&self, all: &[Datapoint], span: (u64, u64), now_ms: u64) -> Result<Vec<(u64, f64)>, ServiceError> {
        let MetricStat { metric, period, stat, unit } = &self.metric_stat;
        let well_named = self.id.starts_with(|c: char| c.is_ascii_lowercase());
        if !well_named || !(matches!(period, 1 | 5 | 10 | 20 | 30) || *period > 0 && period % 60 == 0) {
            return Err(invalid("The parameter MetricDataQueries has a bad Id or Period."));
        }
        let dimensions = metric.dimensions.iter().map(|d| (d.name.as_str(), d.value.as_str())).collect();
        let asked_for = |point: &&Datapoint| {
            let shown = point.shown_after_ms.is_some_and(|after| point.received_at_ms.saturating_add(after) <= now_ms);
            let fine = *period >= 60 || point.storage_resolution_s == Some(1);
            shown
                && fine
                && point.namespace == metric.namespace
                && point.metric == metric.metric_name
                && by_name(point) == dimensions
                && (unit.is_none() || point.unit == *unit)
                && (span.0..span.1).contains(&point.timestamp_ms)
        };
        let mut periods: BTreeMap<u64, Vec<&Datapoint>> = BTreeMap::new();
        for point in all.iter().filter(asked_for) {
            let period_ms = period * 1000;
            periods.entry(point.timestamp_ms / period_ms * period_ms).or_default().push(point);
        }
        Ok(periods.into_iter().map(|(start_ms, points)| (start_ms, stat.of(&points))).collect())
    }
}

fn by_name(point: &Datapoint) -> BTreeMap<&str, &str> {
    point.dimensions.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

impl Statistic {
    fn of(self, points: &[&Datapoint]) -> f64 {
        let sum = || points.iter().map(|point| point.value * point.count).sum::<f64>();
        let count = || points.iter().map(|point| point.count).sum::<f64>();
        let values = || points.iter().map(|point| point.value);
        match self {
            Self::Sum => sum(),
            Self::SampleCount => count(),
            Self::Average => sum() / count(),
            Self::Minimum => values().fold(f64::INFINITY, f64::min),
            Self::Maximum => values().fold(f64::NEG_INFINITY, f64::max),
        }
    }
}
