//! The one client of the instance metadata service, version 2 only.
//!
//! It is not the SDK's client, which keeps a token until its time is over even when the service no longer takes it, and
//! panics when the answer to "which role" cannot be part of a URL (aws-config 1.13, `imds/client.rs`).

use super::error::Error;
use super::names::Names;
use super::types::shown;
use super::types::{ImageId, Instance, InstanceId, Malformed, Region, Zone};
use backon::{ExponentialBuilder, Retryable};
use dns::Resolver;
use reqwest::header::{HeaderName, HeaderValue};
use reqwest::{Client, Method, RequestBuilder, StatusCode, Url};
use settings::without_password;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::Mutex;
use url::Host;

const ENDPOINT: &str = "AWS_EC2_METADATA_SERVICE_ENDPOINT";
const DEFAULT_ENDPOINT: &str = "http://169.254.169.254";
/// How long one request may take, and how much it may answer. Credentials, the longest answer, have about 1.5 KB.
const TIMEOUT: Duration = Duration::from_secs(2);
const LONGEST: usize = 16 * 1024;
/// Idle connections are not kept for the next question, which is minutes away.
const IDLE: Duration = Duration::from_secs(5);

const TOKEN: HeaderName = HeaderName::from_static("x-aws-ec2-metadata-token");
const TOKEN_TTL: HeaderName = HeaderName::from_static("x-aws-ec2-metadata-token-ttl-seconds");
/// The longest life that the service gives a token (EC2 user guide, "use IMDSv2").
const LONGEST_TTL: HeaderValue = HeaderValue::from_static("21600");

/// The metadata service of this instance. Clones share the token and the connections.
#[derive(Debug, Clone)]
pub struct Metadata(Arc<Service>);

#[derive(Debug)]
struct Service {
    endpoint: Url,
    http: Client,
    token: Mutex<Token>,
    /// How many tokens were fetched or not given.
    fetches: AtomicU64,
}

/// The token, or why there is none. It lives until the service refuses it: that needs no clock, and copes with a
/// service that forgot its tokens.
type Token = Result<HeaderValue, Option<Error>>;

/// What came back, whole and bounded.
struct Answer {
    status: StatusCode,
    body: Vec<u8>,
}

/// Where `AWS_EC2_METADATA_SERVICE_ENDPOINT` puts the service, if that is an address and no name.
pub fn metadata_address() -> Option<SocketAddr> {
    let url = Url::parse(&std::env::var(ENDPOINT).ok()?).ok()?;
    let ip = match url.host()? {
        Host::Ipv4(ip) => ip.into(),
        Host::Ipv6(ip) => ip.into(),
        Host::Domain(_) => return None,
    };
    Some(SocketAddr::new(ip, url.port_or_known_default()?))
}

impl Metadata {
    /// The service at `AWS_EC2_METADATA_SERVICE_ENDPOINT`, or at its link-local address. No file is read for it.
    ///
    /// # Errors
    /// The variable does not hold an `http://` URL.
    pub fn from_env(resolver: &Resolver) -> Result<Self, Error> {
        match std::env::var(ENDPOINT) {
            Ok(endpoint) if !endpoint.is_empty() => Self::new(&endpoint, resolver),
            _ => Self::new(DEFAULT_ENDPOINT, resolver),
        }
    }

    /// The service at that address, such as `http://127.0.0.1:1338`. It is reached directly, whatever proxy the
    /// environment names, and without TLS.
    ///
    /// # Errors
    /// It is not an `http://` URL.
    pub fn new(endpoint: &str, resolver: &Resolver) -> Result<Self, Error> {
        let unusable = |cause: String| Error::Endpoint { given: shown(&without_password(endpoint)), cause };
        let mut url = Url::parse(endpoint).map_err(|error| unusable(error.to_string()))?;
        // The paths are the service's own, and what else stands there may be a secret.
        url.set_path("");
        url.set_query(None);
        url.set_fragment(None);
        if url.scheme() != "http" || !url.has_host() {
            return Err(unusable("it is not an http:// URL".into()));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(unusable("it holds a user name or a password, which the service does not take".into()));
        }
        let http = Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(TIMEOUT)
            .pool_idle_timeout(IDLE)
            .dns_resolver(Arc::new(Names(resolver.clone())))
            .build()
            .map_err(|error| unusable(cause_of(&error)))?;
        Ok(Self(Arc::new(Service { endpoint: url, http, token: Mutex::new(Err(None)), fetches: AtomicU64::new(0) })))
    }

    /// Who this instance is: four questions at once.
    ///
    /// # Errors
    /// One of them got no usable answer.
    pub async fn instance(&self) -> Result<Instance, Error> {
        let (id, region, zone, image) = tokio::try_join!(
            self.parsed("/latest/meta-data/instance-id", InstanceId::parse),
            self.parsed("/latest/meta-data/placement/region", Region::parse),
            self.parsed("/latest/meta-data/placement/availability-zone", Zone::parse),
            self.parsed("/latest/meta-data/ami-id", ImageId::parse),
        )?;
        Ok(Instance { id, region, zone, image })
    }

    /// The value of an instance tag, as somebody wrote it; `None` if the instance does not have it. `key` must be one
    /// that the settings accept.
    ///
    /// # Errors
    /// [`Error::TagsOff`] if the service shows no tags at all, or as [`Metadata::get`].
    pub async fn tag(&self, key: &str) -> Result<Option<String>, Error> {
        if let Some(value) = self.get(&format!("/latest/meta-data/tags/instance/{key}")).await? {
            return Ok(Some(value));
        }
        match self.get("/latest/meta-data/tags/instance/").await? {
            Some(_) => Ok(None),
            None => Err(Error::TagsOff { key: key.into() }),
        }
    }

    /// Whether the service answers a question that comes without a token, as its version 1 did. Asked once.
    ///
    /// # Errors
    /// No answer. One that refuses is an answer: false.
    pub async fn answers_without_token(&self) -> Result<bool, Error> {
        let path = "/latest/meta-data/instance-id";
        let answer = self.send(path, self.request(Method::GET, path)).await?;
        Ok(answer.status == StatusCode::OK)
    }

    /// What the service says about `path`; `None` is its 404. Asked up to three times, 2 s each.
    ///
    /// # Errors
    /// No answer, one that is not the service's, or a refusal.
    pub async fn get(&self, path: &str) -> Result<Option<String>, Error> {
        let delays =
            ExponentialBuilder::new().with_min_delay(Duration::from_millis(50)).with_max_times(2).with_jitter();
        let answer = (|| self.ask(path)).retry(delays).sleep(tokio::time::sleep).when(Error::passes).await?;
        let Some(body) = answer else { return Ok(None) };
        match String::from_utf8(body) {
            Ok(text) => Ok(Some(text)),
            Err(_) => Err(Error::Garbage { path: path.into(), cause: "it is not UTF-8".into() }),
        }
    }

    async fn parsed<T>(&self, path: &str, parse: fn(&str) -> Result<T, Malformed>) -> Result<T, Error> {
        let text = self.get(path).await?.ok_or_else(|| Error::Missing { path: path.into() })?;
        parse(text.trim_ascii_end())
            .map_err(|malformed| Error::Garbage { path: path.into(), cause: malformed.to_string() })
    }

    /// Asks once; with a second token if the first is refused.
    async fn ask(&self, path: &str) -> Result<Option<Vec<u8>>, Error> {
        let token = self.token().await?;
        let mut answer = self.send(path, self.request(Method::GET, path).header(TOKEN, &token)).await?;
        if answer.status == StatusCode::UNAUTHORIZED {
            self.forget(&token).await;
            let token = self.token().await?;
            answer = self.send(path, self.request(Method::GET, path).header(TOKEN, &token)).await?;
        }
        match answer.status {
            StatusCode::OK => Ok(Some(answer.body)),
            StatusCode::NOT_FOUND => Ok(None),
            StatusCode::UNAUTHORIZED => Err(Error::Unauthorized { path: path.into() }),
            status => Err(self.refusal(path, status)),
        }
    }

    /// The token. Whoever comes while it is being fetched waits for that one, and shares its failure.
    async fn token(&self) -> Result<HeaderValue, Error> {
        let before = self.0.fetches.load(Ordering::Relaxed);
        let mut held = self.0.token.lock().await;
        match &*held {
            Ok(token) => return Ok(token.clone()),
            Err(Some(error)) if self.0.fetches.load(Ordering::Relaxed) != before => return Err(error.clone()),
            Err(_) => {}
        }
        let fetched = self.fetch_token().await;
        self.0.fetches.fetch_add(1, Ordering::Relaxed);
        *held = fetched.clone().map_err(Some);
        fetched
    }

    async fn fetch_token(&self) -> Result<HeaderValue, Error> {
        let path = "/latest/api/token";
        let answer = self.send(path, self.request(Method::PUT, path).header(TOKEN_TTL, LONGEST_TTL)).await?;
        if answer.status != StatusCode::OK {
            return Err(self.refusal(path, answer.status));
        }
        let mut token = HeaderValue::from_bytes(&answer.body)
            .ok()
            .filter(|token| !token.is_empty())
            .ok_or_else(|| Error::Garbage { path: path.into(), cause: "it is not a token".into() })?;
        token.set_sensitive(true);
        Ok(token)
    }

    /// Drops the token, unless it was replaced meanwhile.
    async fn forget(&self, refused: &HeaderValue) {
        let mut held = self.0.token.lock().await;
        if held.as_ref().is_ok_and(|token| token == refused) {
            *held = Err(None);
        }
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let mut url = self.0.endpoint.clone();
        url.set_path(path);
        self.0.http.request(method, url)
    }

    async fn send(&self, path: &str, request: RequestBuilder) -> Result<Answer, Error> {
        let mut response = request.send().await.map_err(|error| self.no_answer(path, &error))?;
        let status = response.status();
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.no_answer(path, &error))? {
            body.extend_from_slice(&chunk);
            if body.len() > LONGEST {
                return Err(Error::Garbage { path: path.into(), cause: format!("it has more than {LONGEST} bytes") });
            }
        }
        Ok(Answer { status, body })
    }

    fn no_answer(&self, path: &str, error: &reqwest::Error) -> Error {
        let (path, endpoint) = (path.into(), self.0.endpoint.to_string());
        if error.is_timeout() {
            Error::NoAnswer { path, endpoint, seconds: TIMEOUT.as_secs() }
        } else {
            Error::Unreachable { path, endpoint, cause: cause_of(error) }
        }
    }

    fn refusal(&self, path: &str, status: StatusCode) -> Error {
        let path = path.into();
        match status {
            StatusCode::FORBIDDEN => Error::Forbidden { path },
            StatusCode::UNAUTHORIZED => Error::Unauthorized { path },
            StatusCode::TOO_MANY_REQUESTS => Error::Busy { path, status: status.as_u16() },
            status if status.is_server_error() => Error::Busy { path, status: status.as_u16() },
            status => Error::Unexpected { path, endpoint: self.0.endpoint.to_string(), status: status.as_u16() },
        }
    }
}

/// What is at the bottom of an error: the part that says something about the world.
pub(super) fn cause_of(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
