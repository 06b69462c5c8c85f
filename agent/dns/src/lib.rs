//! Names to addresses, without getaddrinfo: that one blocks a thread for as long as a name server is silent.

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolverConfig, ResolverOpts};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{RData, RecordType};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;

/// How long a name may take. It is less than the connect time-out, so that the error names the resolver.
const LIMIT: Duration = Duration::from_millis(1000);

/// A name of which nothing was learnt.
#[derive(Debug, thiserror::Error)]
#[error("failed to resolve {name}: {cause}; check the name servers in /etc/resolv.conf and the network's DNS settings")]
pub struct UnknownName {
    name: String,
    cause: Cause,
}

/// Why nothing was learnt of a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Cause {
    /// No name server answered in time.
    #[error("no name server answered in time")]
    Silent,
    /// The name servers say that there is none, or that they cannot tell; or they cannot be asked.
    #[error("{0}")]
    Failed(String),
}

impl UnknownName {
    /// Why.
    pub fn cause(&self) -> &Cause {
        &self.cause
    }
}

impl Cause {
    fn failed(text: impl Into<String>) -> Self {
        Self::Failed(text.into())
    }
}

impl From<NetError> for Cause {
    fn from(error: NetError) -> Self {
        match error {
            NetError::Timeout => Self::Silent,
            NetError::Dns(DnsError::ResponseCode(code)) => Self::Failed(format!("the name server answered {code}")),
            NetError::Dns(DnsError::NoRecordsFound(none)) if none.response_code == ResponseCode::NXDomain => {
                Self::failed("there is no such name")
            }
            NetError::Dns(DnsError::NoRecordsFound(_)) => Self::failed("the name has no such record"),
            other => Self::Failed(other.to_string()),
        }
    }
}

/// A resolver over `/etc/hosts` and name servers. Clones share its cache.
#[derive(Debug, Clone)]
pub struct Resolver(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// None: those of `/etc/resolv.conf`.
    name_servers: Option<Vec<SocketAddr>>,
    /// How long a name may take.
    limit: Duration,
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
        Self::new(None, LIMIT)
    }

    /// A resolver that asks these servers over UDP.
    pub fn with_name_servers(servers: Vec<SocketAddr>) -> Self {
        Self::new(Some(servers), LIMIT)
    }

    /// A resolver that asks the same servers, gives a name up to `limit`, and has nothing remembered yet: what it
    /// finds, it was told now.
    pub fn afresh(&self, limit: Duration) -> Self {
        Self::new(self.0.name_servers.clone(), limit)
    }

    fn new(name_servers: Option<Vec<SocketAddr>>, limit: Duration) -> Self {
        Self(Arc::new(Inner { name_servers, limit, current: Mutex::default() }))
    }

    /// The addresses of `name`, in a second at most, unless the resolver was made with another limit. An address is its
    /// own answer and nobody is asked.
    ///
    /// # Errors
    /// There are none, or no name server answered in time.
    pub async fn lookup(&self, name: &str) -> Result<Vec<IpAddr>, UnknownName> {
        if let Ok(address) = name.parse() {
            return Ok(vec![address]);
        }
        let ask = async |resolver: TokioResolver| Ok(resolver.lookup_ip(name).await?.iter().collect::<Vec<_>>());
        let none = |addresses: &Vec<IpAddr>| addresses.is_empty().then_some("it has no address");
        self.within_limit(name, ask, none).await
    }

    /// The hosts and ports of a service, as its SRV records (RFC 2782) name them, the first to be tried first.
    ///
    /// # Errors
    /// There are none, or no name server answered in time.
    pub async fn lookup_service(&self, name: &str) -> Result<Vec<(String, u16)>, UnknownName> {
        let ask = async |resolver: TokioResolver| {
            let found = resolver.lookup(name, RecordType::SRV).await?;
            let mut records: Vec<_> = found.answers().iter().filter_map(|record| service(&record.data)).collect();
            records.sort_unstable();
            Ok(records.into_iter().map(|(_, host, port)| (host, port)).collect())
        };
        let none = |hosts: &Vec<(String, u16)>| hosts.is_empty().then_some("it has no SRV record");
        self.within_limit(name, ask, none).await
    }

    async fn within_limit<T>(
        &self,
        name: &str,
        ask: impl AsyncFnOnce(TokioResolver) -> Result<T, NetError>,
        nothing: impl FnOnce(&T) -> Option<&'static str>,
    ) -> Result<T, UnknownName> {
        let asked = async {
            let Built(resolver) = self.current().await.map_err(Cause::Failed)?;
            let found = ask(resolver).await?;
            nothing(&found).map_or(Ok(found), |why| Err(Cause::failed(why)))
        };
        let found = tokio::time::timeout(self.0.limit, asked).await.unwrap_or(Err(Cause::Silent));
        if found.is_err() {
            *self.0.current.lock().await = None;
        }
        found.map_err(|cause| UnknownName { name: name.into(), cause })
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
        // Two name servers are asked at a time, each twice, with some time left to hear of the last.
        options.timeout = self.limit * 9 / 20;
        options.attempts = 1;
        options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
        Ok(Built(builder.build()?))
    }
}

/// An SRV record as (priority, host, port); `None` for what says that there is no such service, or is no such record.
fn service(data: &RData) -> Option<(u16, String, u16)> {
    let RData::SRV(record) = data else { return None };
    (!record.target.is_root()).then(|| (record.priority, record.target.to_ascii(), record.port))
}

fn over_udp(server: &SocketAddr) -> NameServerConfig {
    let mut connection = ConnectionConfig::udp();
    connection.port = server.port();
    NameServerConfig::new(server.ip(), true, vec![connection])
}
