//! The other instances, as far as CloudWatch knows of them: what their agents would report, second by second.

use aws_sdk_cloudwatch::Client;
use aws_sdk_cloudwatch::config::timeout::TimeoutConfig;
use aws_sdk_cloudwatch::config::{BehaviorVersion, Config, Credentials, Region};
use aws_sdk_cloudwatch::primitives::DateTime;
use aws_sdk_cloudwatch::types::{Dimension, MetricDatum};
use cflared_tests::aws::{Aws, Credentials as Keys, DEFAULT_REGION};
use cflared_tests::world::{ENVIRONMENT, GROUP, Host, SECRET, TUNNEL, World};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What the others are like. Clones share it.
#[derive(Debug, Clone)]
pub struct Others {
    state: Arc<Mutex<State>>,
    /// How many of them are in each zone.
    zones: BTreeMap<String, u32>,
    /// The zone of the instance that the scenario is about.
    here: String,
    /// So many have the current version of the secret at most.
    same_version: Option<u32>,
}

#[derive(Debug)]
struct State {
    registered: bool,
    /// Those of [`Others::here`].
    zone_registered: bool,
    reporting: bool,
    refusing: bool,
    /// Their agents know no series by version, and none by zone.
    old: bool,
}

impl Others {
    /// Those instances, registered and reporting.
    pub fn report_of(others: &[Host], here: &str, same_version: Option<u32>, world: &World) -> Self {
        let group = world.aws.group(GROUP).map(|group| group.instances).unwrap_or_default();
        let mut zones = BTreeMap::new();
        for zone in others.iter().filter_map(|other| Some(group.get(&other.id)?.availability_zone.clone())) {
            *zones.entry(zone).or_default() += 1;
        }
        let state = State { registered: true, zone_registered: true, reporting: true, refusing: false, old: false };
        let others = Self { state: Arc::new(Mutex::new(state)), zones, here: here.into(), same_version };
        if !others.zones.is_empty() {
            tokio::spawn(others.clone().report(world.aws.clone(), client(world.aws_address())));
        }
        others
    }

    pub fn set_registered(&self, registered: bool) {
        self.state().registered = registered;
    }

    pub fn set_zone_registered(&self, registered: bool) {
        self.state().zone_registered = registered;
    }

    pub fn set_reporting(&self, reporting: bool) {
        self.state().reporting = reporting;
    }

    pub fn set_refusing(&self, refusing: bool) {
        self.state().refusing = refusing;
    }

    pub fn set_old(&self, old: bool) {
        self.state().old = old;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reports the state at the end of each second, stamped with that second, as agents do.
    async fn report(self, aws: Aws, client: Client) {
        loop {
            let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            tokio::time::sleep(Duration::from_secs(since.as_secs() + 1).saturating_sub(since)).await;
            let stamp = DateTime::from_secs(i64::try_from(since.as_secs()).unwrap_or_default());
            let data = self.data(stamp, &current_version(&aws));
            if !data.is_empty() {
                // A scenario may have CloudWatch refuse: then the others are as dumb as this one.
                let namespace = format!("Cflared/{ENVIRONMENT}");
                let _ = client.put_metric_data().namespace(namespace).set_metric_data(Some(data)).send().await;
            }
        }
    }

    fn data(&self, stamp: DateTime, version: &str) -> Vec<MetricDatum> {
        let state = self.state();
        if !state.reporting {
            return vec![];
        }
        let here = |zone: &str| zone == self.here;
        let live = |zone: &str| state.registered && (state.zone_registered || !here(zone));
        let alive: u32 = self.zones.iter().filter(|(zone, _)| live(zone)).map(|(_, count)| count).sum();
        let all: u32 = self.zones.values().sum();
        let tunnel = [("Environment", ENVIRONMENT), ("TunnelId", TUNNEL)];
        let mut data = vec![datum("cflared_replica_count_per_tunnel", &tunnel, stamp, alive, all - alive)];
        if state.refusing {
            data.push(datum("cflared_secret_refused", &tunnel, stamp, all, 0));
        }
        if state.old {
            return data;
        }
        for (zone, count) in &self.zones {
            let of_zone = [tunnel[0], tunnel[1], ("AvailabilityZone", zone.as_str())];
            let (up, down) = if live(zone) { (*count, 0) } else { (0, *count) };
            data.push(datum("cflared_replica_count_per_zone", &of_zone, stamp, up, down));
        }
        // Those that refuse the current version serve with the one before.
        let most = if state.refusing { 0 } else { self.same_version.unwrap_or(all) };
        for (label, count) in [(version, alive.min(most)), ("00000000", alive.saturating_sub(most))] {
            if count > 0 {
                let of_version = [tunnel[1], ("SecretVersion", label)];
                data.push(datum("cflared_registered_by_version", &of_version, stamp, count, 0));
            }
        }
        data
    }
}

/// What stands for the current version of the secret in the series by version.
fn current_version(aws: &Aws) -> String {
    let version = aws.secret(SECRET).and_then(|secret| secret.current().map(|version| version.id.clone()));
    Sha256::digest(version.unwrap_or_default()).iter().take(4).map(|byte| format!("{byte:02x}")).collect()
}

/// So many ones, and so many zeros.
fn datum(metric: &str, dimensions: &[(&str, &str)], stamp: DateTime, ones: u32, zeros: u32) -> MetricDatum {
    let dimensions = dimensions.iter().map(|(name, value)| Dimension::builder().name(*name).value(*value).build());
    let counted = [(1.0, ones), (0.0, zeros)].into_iter().filter(|(_, count)| *count > 0);
    let (values, counts) = counted.map(|(value, count)| (value, f64::from(count))).unzip();
    MetricDatum::builder()
        .metric_name(metric)
        .set_dimensions(Some(dimensions.collect()))
        .timestamp(stamp)
        .set_values(Some(values))
        .set_counts(Some(counts))
        .storage_resolution(1)
        .build()
}

fn client(aws: SocketAddr) -> Client {
    let keys = Keys::default();
    let keys = Credentials::new(keys.access_key_id, keys.secret_access_key, keys.session_token, None, "the others");
    let times = TimeoutConfig::builder().operation_timeout(Duration::from_secs(1)).build();
    let config = Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::from_static(DEFAULT_REGION))
        .endpoint_url(format!("http://{aws}"))
        .credentials_provider(keys)
        .timeout_config(times)
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .build();
    Client::from_conf(config)
}
