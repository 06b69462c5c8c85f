//! What tests in the same process do with datapoints; a person does it by the control endpoint.

use super::{Datapoint, MinuteSum, Visibility};
use crate::aws::{Aws, time};
use crate::world::ENVIRONMENT;
use serde_json::json;
use std::collections::BTreeMap;

impl Aws {
    /// Sets when `GetMetricData` shows what is accepted from now on.
    pub fn set_visibility(&self, visibility: Visibility) {
        self.lock().metrics.set_visibility(visibility);
    }

    /// Accepts a datapoint of now in the namespace of every world's agents, as if another instance's agent had sent it.
    ///
    /// # Panics
    /// The API does not accept it.
    pub fn put_datapoint(&self, metric: &str, dimensions: &[(&str, &str)], value: f64) {
        let now_ms = self.now_ms();
        let named = |(name, value): &(&str, &str)| json!({ "Name": name, "Value": value });
        let dimensions: Vec<_> = dimensions.iter().map(named).collect();
        let datum = json!({ "MetricName": metric, "Dimensions": dimensions, "Value": value });
        let input = json!({ "Namespace": format!("Cflared/{ENVIRONMENT}"), "MetricData": [datum] });
        let accepted = self.lock().metrics.call("PutMetricData", &input, now_ms, "another instance");
        accepted.expect("the datapoint is whole");
    }

    /// Every datapoint that was accepted, in that order.
    pub fn datapoints(&self) -> Vec<Datapoint> {
        self.lock().metrics.all().to_vec()
    }

    /// `Sum` and `SampleCount` of every series in every minute that has one, in order of series and minute.
    pub fn minute_sums(&self) -> Vec<MinuteSum> {
        self.lock().metrics.minute_sums()
    }

    /// `Sum` of one series over the minute that holds `at_ms` (milliseconds since 1970), whatever the namespace; none: no
    /// datapoint. The dimensions must be exactly these.
    pub fn sum(&self, metric: &str, dimensions: &[(&str, &str)], at_ms: u64) -> Option<f64> {
        let minute = time::iso(at_ms / 60_000 * 60_000);
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let dimensions: BTreeMap<_, _> = dimensions.iter().map(owned).collect();
        let sums = self.minute_sums();
        let here = |s: &&MinuteSum| s.metric == metric && s.dimensions == dimensions && s.minute == minute;
        sums.iter().find(here).map(|sum| sum.sum)
    }
}
