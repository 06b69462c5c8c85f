//! The metrics of one instance: names, dimensions, units. A custom metric costs money every month
//! (<https://aws.amazon.com/cloudwatch/pricing/>), so there are at most [`MOST`] a grain.

use aws_sdk_cloudwatch::types::builders::MetricDatumBuilder;
use aws_sdk_cloudwatch::types::{Dimension, MetricDatum, StandardUnit};
use aws_smithy_types::DateTime;
use std::sync::Arc;
use std::time::Duration;

/// The most datapoints of one grain.
pub const MOST: usize = 7;

/// The metric whose sum is the number of live connectors, and by which instances know of each other.
pub const REPLICAS: &str = "cflared_replica_count_per_tunnel";

/// The metric of the instances that refuse a version of the secret, by which a group learns of a bad one. It is not
/// pushed, and costs nothing, while none does.
pub const REFUSED: &str = "cflared_secret_refused";

/// What an instance's metrics are told apart by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dimensions {
    /// `Environment`: what the instance tag names.
    pub environment: String,
    /// `TunnelId`: the tunnel's UUID.
    pub tunnel: String,
    /// `InstanceId`: `i-…`.
    pub instance: String,
}

/// The state of this instance at the end of a grain.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Whose state it is. Shared: the tunnel may change while samples of the old one still wait.
    pub of: Arc<Dimensions>,
    /// Whether a connector of ours is registered.
    pub registered: bool,
    /// How many connections to the edge are registered.
    pub connections: u32,
    /// Unplanned restarts of the connector and of the agent within the grain.
    pub restarts: u32,
    /// Whether a version of the secret is refused.
    pub refusing: bool,
    /// Whose fault it is, while condemning is held back; `operator` while somebody holds.
    pub held: Option<&'static str>,
    /// How old the image is, in days; none if the image does not say.
    pub ami_age_days: Option<f64>,
}

/// The datapoints of the grain from `start` (Unix seconds), `grain` long.
pub fn datapoints(start: u64, grain: Duration, sample: &Sample) -> Vec<MetricDatum> {
    let Dimensions { environment, tunnel, instance } = &*sample.of;
    let environment = ("Environment", environment.as_str());
    let tunnel = ("TunnelId", tunnel.as_str());
    let instance = ("InstanceId", instance.as_str());
    let datum = |name, dimensions: &[_], value, unit| datum(start, grain, name, dimensions, value).unit(unit).build();
    let count = |name, dimensions: &[_], value| datum(name, dimensions, value, StandardUnit::Count);
    let flag = |name, dimensions: &[_], value| count(name, dimensions, f64::from(u8::from(value)));
    let mut data = vec![
        flag(REPLICAS, &[environment, tunnel], sample.registered),
        count("cflared_systemd_restart_count", &[environment, tunnel, instance], f64::from(sample.restarts)),
        count("cflared_registered_connections", &[environment, tunnel, instance], f64::from(sample.connections)),
        flag("cflared_held", &[environment, tunnel], sample.held.is_some()),
    ];
    if sample.refusing {
        data.push(flag(REFUSED, &[environment, tunnel], true));
    }
    if let Some(blame) = sample.held {
        data.push(flag("cflared_held", &[environment, tunnel, ("Blame", blame)], true));
    }
    // CloudWatch refuses the whole call for one NaN.
    if let Some(days) = sample.ami_age_days.filter(|days| days.is_finite()) {
        data.push(datum("imagebuilder_ami_age_days", &[environment], days, StandardUnit::None));
    }
    data
}

fn datum(start: u64, grain: Duration, name: &str, dimensions: &[(&str, &str)], value: f64) -> MetricDatumBuilder {
    let dimensions = dimensions.iter().map(|(name, value)| Dimension::builder().name(*name).value(*value).build());
    MetricDatum::builder()
        .metric_name(name)
        .set_dimensions(Some(dimensions.collect()))
        .timestamp(DateTime::from_secs(i64::try_from(start).unwrap_or(i64::MAX)))
        .value(value)
        // Below a minute only high resolution keeps datapoints apart.
        .storage_resolution(if grain < Duration::from_secs(60) { 1 } else { 60 })
}
