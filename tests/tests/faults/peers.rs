//! The other instances, as far as CloudWatch knows of them: what their agents would report, second by second.

use aws_sdk_cloudwatch::Client;
use aws_sdk_cloudwatch::config::timeout::TimeoutConfig;
use aws_sdk_cloudwatch::config::{BehaviorVersion, Config, Credentials, Region};
use aws_sdk_cloudwatch::primitives::DateTime;
use aws_sdk_cloudwatch::types::{Dimension, MetricDatum};
use cflared_tests::aws::{Credentials as Keys, DEFAULT_REGION};
use cflared_tests::world::{ENVIRONMENT, TUNNEL};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What the others are like. Clones share it.
#[derive(Debug, Clone)]
pub struct Others {
    registered: Arc<AtomicBool>,
    reporting: Arc<AtomicBool>,
    refusing: Arc<AtomicBool>,
}

impl Others {
    /// So many, registered and reporting.
    pub fn new(count: u32, aws: SocketAddr) -> Self {
        let is = |so| Arc::new(AtomicBool::new(so));
        let others = Self { registered: is(true), reporting: is(true), refusing: is(false) };
        if count > 0 {
            tokio::spawn(others.clone().report(count, client(aws)));
        }
        others
    }

    pub fn set_registered(&self, registered: bool) {
        self.registered.store(registered, Ordering::Relaxed);
    }

    pub fn set_reporting(&self, reporting: bool) {
        self.reporting.store(reporting, Ordering::Relaxed);
    }

    pub fn set_refusing(&self, refusing: bool) {
        self.refusing.store(refusing, Ordering::Relaxed);
    }

    /// Reports the state at the end of each second, stamped with that second, as agents do.
    async fn report(self, count: u32, client: Client) {
        loop {
            let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            tokio::time::sleep(Duration::from_secs(since.as_secs() + 1).saturating_sub(since)).await;
            if !self.reporting.load(Ordering::Relaxed) {
                continue;
            }
            let dimension = |name: &str, value: &str| Dimension::builder().name(name).value(value).build();
            let datum = |metric: &str, so: bool| {
                MetricDatum::builder()
                    .metric_name(metric)
                    .dimensions(dimension("Environment", ENVIRONMENT))
                    .dimensions(dimension("TunnelId", TUNNEL))
                    .timestamp(DateTime::from_secs(i64::try_from(since.as_secs()).unwrap_or_default()))
                    .values(f64::from(u8::from(so)))
                    .counts(f64::from(count))
                    .storage_resolution(1)
                    .build()
            };
            let registered = datum("cflared_replica_count_per_tunnel", self.registered.load(Ordering::Relaxed));
            let refused = self.refusing.load(Ordering::Relaxed).then(|| datum("cflared_secret_refused", true));
            let data = [registered].into_iter().chain(refused).collect();
            // A scenario may have CloudWatch refuse: then the others are as dumb as this one.
            let _ = client.put_metric_data().namespace("Cflared").set_metric_data(Some(data)).send().await;
        }
    }
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
