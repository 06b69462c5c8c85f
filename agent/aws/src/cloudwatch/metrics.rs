//! The metrics of one instance: names, dimensions, units. A custom metric costs money every month
//! (<https://aws.amazon.com/cloudwatch/pricing/>), so there are at most [`MOST`] a grain.

use aws_sdk_cloudwatch::types::builders::MetricDatumBuilder;
use aws_sdk_cloudwatch::types::{Dimension, MetricDatum, StandardUnit};
use aws_smithy_types::DateTime;
use cflared_verdict::VersionId;
use sha2::{Digest, Sha256};
use std::sync::Arc;
use std::time::Duration;

/// The most datapoints of one grain.
pub const MOST: usize = 11;

/// The metric whose sum is the number of live connectors, and by which instances know of each other.
pub const REPLICAS: &str = "cflared_replica_count_per_tunnel";

/// The metric of the instances that refuse a version of the secret, by which a group learns of a bad one. It is not
/// pushed, and costs nothing, while none does.
pub const REFUSED: &str = "cflared_secret_refused";

/// The same of each availability zone, by which a zone that is cut off is told from its instances.
pub const ZONE: &str = "cflared_replica_count_per_zone";

/// The metric of the instances that are registered with one version of the secret, by which an instance that is not learns whether
/// the version is to blame. It is not pushed while the instance is not registered; it costs one metric a tunnel and version.
pub const VERSION: &str = "cflared_registered_by_version";

/// The metric of the instances whose clients are served over HTTP/2. It is not pushed, and costs nothing, while none is.
pub const HTTP2: &str = "cflared_served_over_http2";

/// The metric of the instances that serve by a configuration that Cloudflare pushed. It is not pushed, and costs nothing, while none
/// does.
pub const REMOTE: &str = "cflared_remote_configuration";

/// What an instance's metrics are told apart by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dimensions {
    /// `Environment`: what the instance tag names.
    pub environment: String,
    /// `TunnelId`: the tunnel's UUID.
    pub tunnel: String,
    /// `InstanceId`: `i-…`.
    pub instance: String,
    /// `AvailabilityZone`: the instance's own.
    pub zone: String,
}

/// The state of this instance at the end of a grain.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Whose state it is. Shared: the tunnel may change while samples of the old one still wait.
    pub of: Arc<Dimensions>,
    /// Whether a connector of ours is registered.
    pub registered: bool,
    /// `SecretVersion`: of the version that the registered connector has, see [`version_label`]; `None`: none is registered.
    pub version: Option<String>,
    /// Whether its clients are served over HTTP/2.
    pub over_http2: bool,
    /// How many connections to the edge are registered.
    pub connections: u32,
    /// Unplanned restarts of the connector and of the agent within the grain.
    pub restarts: u32,
    /// Whether a version of the secret is refused.
    pub refusing: bool,
    /// Whether a connector serves by a configuration that Cloudflare pushed.
    pub remote: bool,
    /// Whose fault it is, while condemning is held back; `operator` while somebody holds, `remote_configuration` while that does.
    pub held: Option<&'static str>,
    /// How old the image is, in days; none if the image does not say.
    pub ami_age_days: Option<f64>,
}

/// What stands for a version of the secret: 8 hexadecimal digits of the SHA-256 of its id.
pub fn version_label(version: &VersionId) -> String {
    Sha256::digest(&version.0).iter().take(4).map(|byte| format!("{byte:02x}")).collect()
}

/// The datapoints of the grain from `start` (Unix seconds), `grain` long.
pub fn datapoints(start: u64, grain: Duration, sample: &Sample) -> Vec<MetricDatum> {
    let Dimensions { environment, tunnel, instance, zone } = &*sample.of;
    let environment = ("Environment", environment.as_str());
    let tunnel = ("TunnelId", tunnel.as_str());
    let instance = ("InstanceId", instance.as_str());
    let zone = ("AvailabilityZone", zone.as_str());
    let datum = |name, dimensions: &[_], value, unit| datum(start, grain, name, dimensions, value).unit(unit).build();
    let count = |name, dimensions: &[_], value| datum(name, dimensions, value, StandardUnit::Count);
    let flag = |name, dimensions: &[_], value| count(name, dimensions, f64::from(u8::from(value)));
    let mut data = vec![
        flag(REPLICAS, &[environment, tunnel], sample.registered),
        count("cflared_systemd_restart_count", &[environment, tunnel, instance], f64::from(sample.restarts)),
        count("cflared_registered_connections", &[environment, tunnel, instance], f64::from(sample.connections)),
        flag("cflared_held", &[environment, tunnel], sample.held.is_some()),
        flag(ZONE, &[environment, tunnel, zone], sample.registered),
    ];
    if let Some(version) = &sample.version {
        data.push(flag(VERSION, &[tunnel, ("SecretVersion", version)], true));
    }
    if sample.over_http2 {
        data.push(flag(HTTP2, &[environment, tunnel], true));
    }
    if sample.refusing {
        data.push(flag(REFUSED, &[environment, tunnel], true));
    }
    if sample.remote {
        data.push(flag(REMOTE, &[environment, tunnel], true));
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
