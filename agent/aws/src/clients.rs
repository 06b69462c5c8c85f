//! Everything that the clients of AWS services share.

use super::credentials::RoleCredentials;
use super::error::Error;
use super::metadata::Metadata;
use super::roots;
use super::service_clock::ServiceClock;
use super::transport::{BadProxy, Transport};
use super::types::{Region, shown};
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_runtime::client::identity::IdentityCache;
use aws_smithy_runtime_api::client::behavior_version::BehaviorVersion;
use aws_smithy_runtime_api::client::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;
use aws_types::SdkConfig;
use dns::Resolver;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

/// One try, and all tries of one call together. The SDK has no limits of its own here: against an endpoint that
/// accepts and never answers it had not failed after 90 s.
const ATTEMPT: Duration = Duration::from_secs(2);
const OPERATION: Duration = Duration::from_secs(8);
const ATTEMPTS: u32 = 4;
const FIRST_DELAY: Duration = Duration::from_millis(200);
const LONGEST_DELAY: Duration = Duration::from_secs(1);
/// Fresh credentials are there five minutes before the old ones expire (EC2 user guide, "IAM roles").
const REFRESH_BEFORE: Duration = Duration::from_secs(120);
/// How long fetching credentials may hold up a call.
const FETCH: Duration = Duration::from_secs(7);

/// How AWS is reached from here: what the environment may change.
#[derive(Debug, Clone)]
pub struct Network {
    /// Where the services are, if not where the region's name says.
    pub endpoints: Endpoints,
    /// Names to addresses.
    pub resolver: Resolver,
    /// Where the root certificates may be, best first.
    pub roots: Vec<PathBuf>,
}

/// Where the services are, if not where the region's name says. The names of the variables are those of every AWS SDK
/// (SDKs and tools reference guide, "service-specific endpoints").
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Endpoints {
    /// `AWS_ENDPOINT_URL_SECRETS_MANAGER`, else `AWS_ENDPOINT_URL`.
    pub secrets_manager: Option<String>,
    /// `AWS_ENDPOINT_URL_CLOUDWATCH`, else `AWS_ENDPOINT_URL`.
    pub cloudwatch: Option<String>,
    /// `AWS_ENDPOINT_URL_AUTO_SCALING`, else `AWS_ENDPOINT_URL`.
    pub auto_scaling: Option<String>,
}

/// An endpoint that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "failed to use {variable}=`{given}`: it is not an http:// or https:// URL without a user name; correct it or remove it"
)]
pub struct BadEndpoint {
    variable: String,
    given: String,
}

/// What the clients of AWS services share: one HTTP client, one set of credentials, the same limits. Clones share it
/// too. A client is made once and cloned: each that is made here resolves its credentials and connections together with
/// the others.
#[derive(Debug, Clone)]
pub struct Aws {
    endpoints: Endpoints,
    transport: Transport,
    role: RoleCredentials,
    proxied: bool,
    config: SdkConfig,
}

impl Network {
    /// As the environment says. Proxy variables are not read: the only proxy is that of the settings.
    ///
    /// # Errors
    /// An endpoint is not a URL.
    pub fn from_env() -> Result<Self, BadEndpoint> {
        let endpoints = Endpoints::read(|variable| std::env::var(variable).ok())?;
        Ok(Self { endpoints, resolver: Resolver::system(), roots: roots::files() })
    }
}

impl Endpoints {
    /// As `variable` says.
    ///
    /// # Errors
    /// One is not a URL.
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self, BadEndpoint> {
        let read = |name: &str| match variable(name).filter(|value| !value.is_empty()) {
            Some(value) if is_http(&value) => Ok(Some(value)),
            Some(given) => {
                let given = shown(&settings::without_password(&given));
                Err(BadEndpoint { variable: name.into(), given })
            }
            None => Ok(None),
        };
        let all = read("AWS_ENDPOINT_URL")?;
        Ok(Self {
            secrets_manager: read("AWS_ENDPOINT_URL_SECRETS_MANAGER")?.or_else(|| all.clone()),
            cloudwatch: read("AWS_ENDPOINT_URL_CLOUDWATCH")?.or_else(|| all.clone()),
            auto_scaling: read("AWS_ENDPOINT_URL_AUTO_SCALING")?.or(all),
        })
    }

    fn need_roots(&self) -> bool {
        [&self.secrets_manager, &self.cloudwatch, &self.auto_scaling]
            .into_iter()
            .any(|endpoint| endpoint.as_deref().is_none_or(|url| !url.starts_with("http://")))
    }
}

fn is_http(text: &str) -> bool {
    // What it holds is shown in errors, and no service of AWS takes a password in a URL.
    let is_plain = |url: &url::Url| url.username().is_empty() && url.password().is_none();
    url::Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host() && is_plain(&url))
}

impl Aws {
    /// Reaches AWS as the role that `metadata` gives this instance. Nothing is read or asked yet.
    ///
    /// # Errors
    /// The settings' proxy is not a URL.
    pub fn new(settings: &settings::Aws, metadata: &Metadata, network: Network) -> Result<Self, BadProxy> {
        let Network { endpoints, resolver, roots } = network;
        let transport = Transport::new(&settings.proxy, resolver, roots)?;
        let role = RoleCredentials::new(metadata.clone());
        let timeouts = TimeoutConfig::builder().operation_attempt_timeout(ATTEMPT).operation_timeout(OPERATION).build();
        let retries = RetryConfig::standard()
            .with_max_attempts(ATTEMPTS)
            .with_initial_backoff(FIRST_DELAY)
            .with_max_backoff(LONGEST_DELAY);
        let mut config = SdkConfig::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .http_client(transport.clone())
            .credentials_provider(SharedCredentialsProvider::new(role.clone()))
            .timeout_config(timeouts)
            .retry_config(retries)
            // The attempt's limit bounds slow answers already.
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
        let cache = IdentityCache::lazy().load_timeout(FETCH).buffer_time(REFRESH_BEFORE).build();
        config.set_identity_cache(Some(cache));
        Ok(Self { endpoints, transport, role, proxied: !settings.proxy.is_empty(), config: config.build() })
    }

    /// Fetches the role's credentials and parses the root certificates beside whatever the caller does next, and gets
    /// ahead of that: the credentials take three questions, one after the other, and what else is asked takes two.
    /// Nothing is reported: the first call that needs what is missing tries again, and says so.
    pub async fn warm_up(&self) {
        let role = self.role.clone();
        tokio::spawn(async move { role.prefetch().await });
        if self.endpoints.need_roots() {
            let transport = self.transport.clone();
            tokio::spawn(async move { transport.secure().await.map(drop) });
        }
        tokio::task::yield_now().await;
    }

    /// The role that this instance acts as, and until when its credentials are good. Asks the metadata service.
    ///
    /// # Errors
    /// There is no role, or it gives no credentials.
    pub async fn role(&self) -> Result<(String, Option<SystemTime>), Error> {
        let name = self.role.name().await?;
        Ok((name, self.role.fetch().await?.expiry()))
    }

    /// The host whose name a call to Secrets Manager in that region has resolved here; none if a proxy does that.
    pub fn secrets_manager_host(&self, region: &Region) -> Option<String> {
        if self.proxied {
            return None;
        }
        match &self.endpoints.secrets_manager {
            Some(url) => url::Url::parse(url).ok()?.host_str().map(String::from),
            None => {
                let china = if region.as_str().starts_with("cn-") { ".cn" } else { "" };
                Some(format!("secretsmanager.{region}.amazonaws.com{china}."))
            }
        }
    }

    /// A client of Secrets Manager in that region.
    pub fn secrets_manager(&self, region: &Region) -> aws_sdk_secretsmanager::Client {
        let mut config = aws_sdk_secretsmanager::config::Builder::from(&self.in_region(region));
        config.set_endpoint_url(self.endpoints.secrets_manager.clone());
        aws_sdk_secretsmanager::Client::from_conf(config.build())
    }

    /// The same, for a call that `clock` hears the date of and that is tried `attempts` times.
    pub fn secrets_manager_heard_by(
        &self,
        region: &Region,
        clock: &ServiceClock,
        attempts: u32,
    ) -> aws_sdk_secretsmanager::Client {
        let config = self.secrets_manager(region).config().to_builder();
        let config =
            config.interceptor(clock.clone()).retry_config(RetryConfig::standard().with_max_attempts(attempts));
        aws_sdk_secretsmanager::Client::from_conf(config.build())
    }

    /// A client of CloudWatch in that region. It never tries twice: a datapoint whose fate is unknown must not be sent
    /// again.
    pub fn cloudwatch(&self, region: &Region) -> aws_sdk_cloudwatch::Client {
        let mut config = aws_sdk_cloudwatch::config::Builder::from(&self.in_region(region));
        config.set_endpoint_url(self.endpoints.cloudwatch.clone());
        config.set_retry_config(Some(RetryConfig::disabled()));
        aws_sdk_cloudwatch::Client::from_conf(config.build())
    }

    /// A client of Auto Scaling in that region.
    pub fn auto_scaling(&self, region: &Region) -> aws_sdk_autoscaling::Client {
        let mut config = aws_sdk_autoscaling::config::Builder::from(&self.in_region(region));
        config.set_endpoint_url(self.endpoints.auto_scaling.clone());
        aws_sdk_autoscaling::Client::from_conf(config.build())
    }

    fn in_region(&self, region: &Region) -> SdkConfig {
        let region = aws_types::region::Region::new(region.as_str().to_owned());
        self.config.to_builder().region(region).build()
    }
}
