//! Ingress rules: what is refused, what matches, and what the pages and the edge are shown of them.

use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value, json};
use std::path::PathBuf;
use std::sync::Arc;

const NO_CATCH_ALL: &str =
    "The last ingress rule must match all URLs (i.e. it should not have a hostname or path filter)";
const BAD_WILDCARD: &str = "Hostname patterns can have at most one wildcard character (\"*\") and it can only be used \
    for subdomains, e.g. \"*.example.com\"";
const PORT_IN_HOSTNAME: &str = "Hostname cannot contain a port";
/// What answers when there is no rule.
const NO_RULE: u16 = 503;

/// One ingress rule. Other keys are accepted and not looked at.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Rule {
    /// The hostname that it is for; empty is any.
    #[serde(default)]
    pub hostname: String,
    /// The path that it is for, a regular expression.
    pub path: Option<String>,
    /// Where to send what matches.
    #[serde(default)]
    pub service: String,
    /// How its origin is spoken to.
    #[serde(default, rename = "originRequest")]
    pub origin_request: OriginRequest,
}

/// How an origin is spoken to, as far as it is looked at.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct OriginRequest {
    /// Who may sign for it.
    pub ca_pool: Option<PathBuf>,
    /// How long it may take to be reached.
    #[serde(deserialize_with = "duration")]
    pub connect_timeout: Option<()>,
}

/// Only whether it is one: no origin is waited for so long here.
fn duration<'de, D: Deserializer<'de>>(from: D) -> Result<Option<()>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Seconds(#[allow(dead_code)] f64), // Only whether it is one.
        Text(String),
    }
    match Written::deserialize(from)? {
        Written::Text(text) if humantime::parse_duration(&text).is_err() => {
            Err(serde::de::Error::custom(format!("cannot unmarshal !!str `{text}` into time.Duration")))
        }
        Written::Seconds(_) | Written::Text(_) => Ok(Some(())),
    }
}

/// Where a rule leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Service {
    /// To an origin that is spoken HTTP to.
    Http {
        /// `host:port`.
        address: String,
        /// Whether over TLS.
        tls: bool,
    },
    /// The same, behind a socket of this host.
    UnixHttp {
        /// The socket.
        path: String,
    },
    /// To an origin that gets a client's bytes.
    Stream {
        /// `host:port`.
        address: String,
    },
    /// A status, by cloudflared itself.
    Status(u16),
    /// A page, by cloudflared itself.
    HelloWorld,
    /// What cloudflared serves, and the stand-in does not.
    Unserved,
}

/// Rules, and where they came from.
#[derive(Clone, Debug)]
pub struct Rules {
    /// The version that the edge gave them; −1 for those of the file.
    pub version: i32,
    rules: Arc<Vec<Rule>>,
}

impl Default for Rules {
    fn default() -> Self {
        Rules::of_the_file(vec![])
    }
}

/// The rule of a client.
#[derive(Clone, Debug)]
pub struct Found {
    /// Which rule it is, from 0.
    pub number: usize,
    /// Its service, as it is logged.
    pub text: String,
    /// Its service.
    pub service: Service,
}

impl Rules {
    /// Those of the config file, checked or not.
    pub fn of_the_file(rules: Vec<Rule>) -> Self {
        Rules { version: -1, rules: Arc::new(rules) }
    }

    /// Those of a configuration that the edge pushes.
    ///
    /// # Errors
    /// It is none, or a rule is refused; in cloudflared's words.
    pub fn of_the_edge(version: i32, config: &str) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Remote {
            #[serde(default)]
            ingress: Vec<Rule>,
        }
        let Remote { ingress } = serde_json::from_str(config).map_err(|error| error.to_string())?;
        check(&ingress)?;
        Ok(Rules { version, rules: Arc::new(ingress) })
    }

    /// The first rule that matches. There always is one: the last one of those that are checked matches all.
    pub fn find(&self, host: &str, path: &str) -> Found {
        let host = host.rsplit_once(':').map_or(host, |(host, _)| host);
        let path = path.split('?').next().unwrap_or_default();
        let found = self.rules.iter().enumerate().find(|(_, rule)| rule.matches(host, path));
        match found {
            Some((number, rule)) => Found { number, text: rule.service_text(), service: rule.service() },
            None => Found { number: 0, text: format!("http_status:{NO_RULE}"), service: Service::Status(NO_RULE) },
        }
    }

    /// As they are pushed to the edge, when they are the file's.
    pub fn pushed(&self) -> Value {
        let rules = self.rules.iter().map(|rule| {
            let mut pushed = Map::new();
            if !rule.hostname.is_empty() {
                pushed.insert("hostname".into(), rule.hostname.as_str().into());
            }
            if let Some(path) = &rule.path {
                pushed.insert("path".into(), path.as_str().into());
            }
            pushed.insert("service".into(), rule.service_text().into());
            pushed.insert("originRequest".into(), json!({}));
            Value::Object(pushed)
        });
        rules.collect()
    }

    /// The answer of `/config`.
    pub fn page(&self) -> Value {
        let origin = origin_request();
        let rules = self.rules.iter().map(|rule @ Rule { hostname, path, .. }| {
            let service = rule.service_text();
            json!({"hostname": hostname, "path": path, "service": service, "Handlers": null, "originRequest": origin})
        });
        let rules: Vec<Value> = rules.collect();
        let config = json!({"ingress": rules, "warp-routing": {}, "originRequest": origin});
        json!({"version": self.version, "config": config})
    }
}

/// Checks rules as cloudflared does.
///
/// # Errors
/// The first reason against them, in cloudflared's words.
pub fn check(rules: &[Rule]) -> Result<(), String> {
    let last = rules.len().saturating_sub(1);
    rules.iter().enumerate().try_for_each(|(number, rule)| rule.check(number, number == last))
}

/// What only shows when the origins are started.
///
/// # Errors
/// The first reason against them, in cloudflared's words.
pub fn start(rules: &[Rule]) -> Result<(), String> {
    for Rule { service, origin_request, .. } in rules {
        if let Some(pool) = &origin_request.ca_pool
            && let Err(error) = std::fs::read(pool)
        {
            let (pool, error) = (pool.display(), super::setup::go_error(&error));
            let unread = format!("unable to read the file {pool} for --origin-ca-pool: open {pool}: {error}");
            let what = format!("Error starting local service {service}: Error loading cert pool: {unread}");
            return Err(format!("failed to start origin: {what}"));
        }
    }
    Ok(())
}

impl Rule {
    fn check(&self, number: usize, last: bool) -> Result<(), String> {
        let Rule { hostname, path, service, .. } = self;
        if !service_parses(service) {
            return Err(format!("{service} is an invalid address, please make sure it has a scheme and a hostname"));
        }
        if hostname.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok()) {
            return Err(PORT_IN_HOSTNAME.into());
        }
        if hostname.rfind('*').is_some_and(|at| at > 0) {
            return Err(BAD_WILDCARD.into());
        }
        let number = number + 1;
        match (self.catches_all(), last) {
            (false, true) => return Err(NO_CATCH_ALL.into()),
            (true, false) => {
                return Err(format!(
                    "Rule #{number} is matching the hostname '{hostname}', but this will match every hostname, meaning \
                     the rules which follow it will never be triggered."
                ));
            }
            (true, true) | (false, false) => {}
        }
        match path.as_deref().and_then(bad_regex) {
            Some(why) => Err(format!("Rule #{number} has an invalid regex: error parsing regexp: {why}")),
            None => Ok(()),
        }
    }

    fn catches_all(&self) -> bool {
        matches!(self.hostname.as_str(), "" | "*") && self.path.as_deref().unwrap_or_default().is_empty()
    }

    /// A rule without a hostname is for all of them, and `*.` is for any name below. Of regular expressions only the
    /// anchors are understood.
    fn matches(&self, host: &str, path: &str) -> bool {
        let host_fits = match self.hostname.strip_prefix('*') {
            _ if self.hostname.is_empty() => true,
            Some(domain) => host.len() > domain.len() && host.ends_with(domain),
            None => self.hostname == host,
        };
        let path_fits =
            self.path.as_deref().is_none_or(|wanted| match (wanted.strip_prefix('^'), wanted.strip_suffix('$')) {
                (Some(_), Some(_)) => path == wanted.trim_matches(['^', '$']),
                (Some(start), None) => path.starts_with(start),
                (None, Some(end)) => path.ends_with(end),
                (None, None) => path.contains(wanted),
            });
        host_fits && path_fits
    }

    /// The service with the port that it has by default.
    fn service_text(&self) -> String {
        match (self.service(), self.service.split_once("://")) {
            (Service::Stream { address }, Some((scheme, _))) => format!("{scheme}://{address}"),
            _ => self.service.clone(),
        }
    }

    fn service(&self) -> Service {
        if let Some(code) = self.service.strip_prefix("http_status:") {
            return code.parse().map_or(Service::Unserved, Service::Status);
        }
        if let Some(path) = self.service.strip_prefix("unix:") {
            return Service::UnixHttp { path: path.into() };
        }
        if matches!(self.service.as_str(), "hello_world" | "hello-world") {
            return Service::HelloWorld;
        }
        let Some((scheme, host)) = self.service.split_once("://") else { return Service::Unserved };
        let host = host.split('/').next().unwrap_or_default();
        let port = match scheme.to_ascii_lowercase().as_str() {
            "http" | "ws" => 80,
            "https" | "wss" => 443,
            "ssh" => 22,
            "rdp" => 3389,
            "smb" => 445,
            _ => 7864, // cloudflared's own default for a stream's service without a port
        };
        let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        let address = if has_port { host.to_owned() } else { format!("{host}:{port}") };
        match scheme.to_ascii_lowercase().as_str() {
            "http" | "ws" => Service::Http { address, tls: false },
            "https" | "wss" => Service::Http { address, tls: true },
            _ => Service::Stream { address },
        }
    }
}

fn service_parses(service: &str) -> bool {
    match service.split_once(':') {
        Some(("http_status", code)) => code.parse().is_ok_and(|code: u16| (100..1000).contains(&code)),
        Some(("unix" | "unix+tls", path)) => !path.is_empty(),
        Some((scheme, rest)) => !scheme.is_empty() && rest.strip_prefix("//").is_some_and(|host| !host.is_empty()),
        None => matches!(service, "hello_world" | "hello-world" | "bastion" | "socks-proxy"),
    }
}

/// What Go has against a regular expression, as far as it was seen: nothing to repeat.
fn bad_regex(text: &str) -> Option<String> {
    let first = text.chars().next().filter(|first| matches!(first, '*' | '+' | '?'))?;
    Some(format!("missing argument to repetition operator: `{first}`"))
}

fn origin_request() -> Value {
    json!({
        "connectTimeout": 30, "tlsTimeout": 10, "tcpKeepAlive": 30, "noHappyEyeballs": false, "keepAliveTimeout": 90,
        "keepAliveConnections": 100, "httpHostHeader": "", "originServerName": "", "matchSNItoHost": false,
        "caPool": "", "noTLSVerify": false, "disableChunkedEncoding": false, "bastionMode": false,
        "proxyAddress": "127.0.0.1", "proxyPort": 0, "proxyType": "", "ipRules": null, "http2Origin": false,
        "access": {"teamName": "", "audTag": null}
    })
}
