//! The one HTTP client of all AWS services: our resolver, our proxy rule, root certificates parsed once.
//!
//! The SDK's own client keeps a connector for each set of time-outs, and each parses the certificates again; it takes
//! its proxy from the environment, and resolves with getaddrinfo.

use super::names::Names;
use super::roots::{self, RootsError};
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use aws_smithy_http_client::{Connector, ConnectorBuilder};
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use dns::Resolver;
use http_body_util::Limited;
use settings::without_password;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OnceCell;

/// How long a connection may take to be there: name, TCP and TLS.
const CONNECT: Duration = Duration::from_millis(1500);
/// The longest answer that is read, in bytes. The longest that is wanted, a page of a hundred scaling activities, has some 200,000.
const LONGEST: usize = 4 * 1024 * 1024;
/// What is never sent to a proxy: this host, and the link-local services of an instance.
const DIRECT: &str = "localhost,127.0.0.0/8,::1,169.254.0.0/16,fd00:ec2::/32";

/// A proxy that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "failed to use the proxy of aws.proxy: {cause}; use a URL such as http://proxy.internal:3128, or leave it \
    empty"
)]
pub struct BadProxy {
    cause: String,
}

/// The client. Clones share its connections.
#[derive(Clone)]
pub(super) struct Transport(Arc<Inner>);

struct Inner {
    recipe: Recipe,
    /// For `http://`: trusts nobody, so it needs no file.
    plain: Connector,
    /// For `https://`. Empty until the certificates were read; a failure leaves it empty, and the next request tries.
    secure: OnceCell<Connector>,
}

/// How connectors are made.
#[derive(Clone)]
struct Recipe {
    proxy: Option<ProxyConfig>,
    proxy_needs_roots: bool,
    resolver: Resolver,
    roots: Vec<PathBuf>,
}

impl Transport {
    /// A client that reads its certificates from the first of `roots` that is there. An empty `proxy` is none.
    ///
    /// # Errors
    /// The proxy is not a URL.
    pub(super) fn new(proxy: &str, resolver: Resolver, roots: Vec<PathBuf>) -> Result<Self, BadProxy> {
        let config = match proxy {
            "" => None,
            url => Some(
                ProxyConfig::all(url)
                    .map_err(|error| BadProxy { cause: error.to_string().replace(url, &without_password(url)) })?
                    .no_proxy(DIRECT),
            ),
        };
        let recipe = Recipe { proxy: config, proxy_needs_roots: is_secure(proxy), resolver, roots };
        let plain = recipe.connector(TrustStore::empty());
        Ok(Self(Arc::new(Inner { recipe, plain, secure: OnceCell::new() })))
    }

    /// The connector for TLS. Its certificates are read and parsed on another thread.
    pub(super) async fn secure(&self) -> Result<&Connector, RootsError> {
        self.0.secure.get_or_try_init(|| self.0.recipe.clone().secure_connector()).await
    }
}

impl Recipe {
    fn connector(&self, trusted: TrustStore) -> Connector {
        let context = TlsContext::builder().with_trust_store(trusted).build();
        let mut builder: ConnectorBuilder = Connector::builder()
            .connector_settings(HttpConnectorSettings::builder().connect_timeout(CONNECT).build())
            // Calls are minutes apart. A connection that waits for the next one wakes us up to be closed, or is found
            // closed by the other side, which leaves it unknown whether a push was accepted.
            .pool_max_idle_per_host(0);
        builder.set_proxy_config(self.proxy.clone());
        builder
            .tls_provider(Provider::Rustls(CryptoMode::Ring))
            .tls_context(context.expect("a context of certificates alone has nothing to refuse"))
            .build_with_resolver(Names(self.resolver.clone()))
    }

    async fn secure_connector(self) -> Result<Connector, RootsError> {
        let build = move || {
            let certificates = roots::load(&self.roots)?;
            let trusted = certificates.into_iter().fold(TrustStore::empty(), TrustStore::with_pem_certificate);
            Ok(self.connector(trusted))
        };
        match tokio::task::spawn_blocking(build).await {
            Ok(connector) => connector,
            // Only when the runtime is shutting down.
            Err(error) => Err(RootsError::Unreadable { path: PathBuf::new(), cause: error.to_string() }),
        }
    }
}

/// Whether reaching this URL needs certificates.
fn is_secure(url: &str) -> bool {
    url.get(..6).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https:"))
}

impl fmt::Debug for Transport {
    /// Without the proxy, whose URL may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Transport")
    }
}

impl HttpClient for Transport {
    /// One connector, whatever the settings: time-outs other than the connection's are the operation's.
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Transport {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let this = self.clone();
        HttpConnectorFuture::new(async move {
            let answer = if is_secure(request.uri()) || this.0.recipe.proxy_needs_roots {
                match this.secure().await {
                    Ok(connector) => connector.call(request).await,
                    Err(error) => Err(ConnectorError::other(error.into(), None)),
                }
            } else {
                this.0.plain.call(request).await
            };
            // How long it may take is bounded by the attempt's limit.
            answer.map(|answer| answer.map(|body| SdkBody::from_body_1_x(Limited::new(body, LONGEST))))
        })
    }
}
