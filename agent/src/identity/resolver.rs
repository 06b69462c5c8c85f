//! Names to addresses, without getaddrinfo: that one blocks a thread for as long as a name server is silent.

use aws_smithy_runtime_api::client::dns::{DnsFuture, ResolveDns, ResolveDnsError};
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolverConfig, ResolverOpts};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;

/// How long a name may take. It is less than the connect time-out, so that the error names the resolver.
const LIMIT: Duration = Duration::from_millis(1000);
/// How long one name server may take; two are asked at a time, each twice.
const ONE_ANSWER: Duration = Duration::from_millis(450);

/// A name that has no address.
#[derive(Debug, thiserror::Error)]
#[error("failed to resolve {name}: {cause}; check the name servers in /etc/resolv.conf and the network's DNS settings")]
pub struct UnknownName {
    name: String,
    cause: String,
}

/// A resolver over `/etc/hosts` and name servers. Clones share its cache.
#[derive(Debug, Clone)]
pub struct Resolver(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// None: those of `/etc/resolv.conf`.
    name_servers: Option<Vec<SocketAddr>>,
    /// Built at the first lookup, and again after one that failed: early at boot `/etc/resolv.conf` may not be there.
    current: Mutex<Option<Built>>,
}

#[derive(Clone)]
struct Built(TokioResolver);

impl std::fmt::Debug for Built {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Built")
    }
}

impl Resolver {
    /// A resolver that asks what `/etc/resolv.conf` names. Nothing is read before the first lookup.
    pub fn system() -> Self {
        Self(Arc::new(Inner { name_servers: None, current: Mutex::default() }))
    }

    /// A resolver that asks these servers over UDP.
    pub fn with_name_servers(servers: Vec<SocketAddr>) -> Self {
        Self(Arc::new(Inner { name_servers: Some(servers), current: Mutex::default() }))
    }

    /// The addresses of `name`, in a second at most. An address is its own answer and nobody is asked.
    ///
    /// # Errors
    /// There are none, or no name server answered in time.
    pub async fn lookup(&self, name: &str) -> Result<Vec<IpAddr>, UnknownName> {
        if let Ok(address) = name.parse() {
            return Ok(vec![address]);
        }
        let found = match tokio::time::timeout(LIMIT, self.ask(name)).await {
            Ok(found) => found,
            Err(_) => Err(format!("no name server answered in {}s", LIMIT.as_secs())),
        };
        match found {
            Ok(addresses) => Ok(addresses),
            Err(cause) => {
                *self.0.current.lock().await = None;
                Err(UnknownName { name: name.into(), cause })
            }
        }
    }

    async fn ask(&self, name: &str) -> Result<Vec<IpAddr>, String> {
        let Built(resolver) = self.current().await?;
        let found = resolver.lookup_ip(name).await.map_err(|error| error.to_string())?;
        let addresses: Vec<IpAddr> = found.iter().collect();
        if addresses.is_empty() { Err("it has no address".into()) } else { Ok(addresses) }
    }

    async fn current(&self) -> Result<Built, String> {
        let mut current = self.0.current.lock().await;
        if let Some(built) = &*current {
            return Ok(built.clone());
        }
        let inner = self.0.clone();
        let built = tokio::task::spawn_blocking(move || inner.build())
            .await
            .map_err(|error| error.to_string())?
            .map_err(|error| format!("/etc/resolv.conf: {error}"))?;
        Ok(current.insert(built).clone())
    }
}

impl Inner {
    fn build(&self) -> Result<Built, hickory_resolver::net::NetError> {
        let mut builder = match &self.name_servers {
            None => TokioResolver::builder_tokio()?,
            Some(servers) => {
                let servers = servers.iter().map(over_udp).collect();
                let config = ResolverConfig::from_name_servers(servers);
                TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
            }
        };
        let options: &mut ResolverOpts = builder.options_mut();
        options.timeout = ONE_ANSWER;
        options.attempts = 1;
        options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
        Ok(Built(builder.build()?))
    }
}

fn over_udp(server: &SocketAddr) -> NameServerConfig {
    let mut connection = ConnectionConfig::udp();
    connection.port = server.port();
    NameServerConfig::new(server.ip(), true, vec![connection])
}

impl ResolveDns for Resolver {
    fn resolve_dns<'a>(&'a self, name: &'a str) -> DnsFuture<'a> {
        DnsFuture::new(async move { self.lookup(name).await.map_err(ResolveDnsError::new) })
    }
}

impl reqwest::dns::Resolve for Resolver {
    fn resolve(&self, name: reqwest::dns::Name) -> reqwest::dns::Resolving {
        let this = self.clone();
        Box::pin(async move {
            let addresses = this.lookup(name.as_str()).await?;
            let addresses: reqwest::dns::Addrs = Box::new(addresses.into_iter().map(|ip| SocketAddr::new(ip, 0)));
            Ok(addresses)
        })
    }
}
