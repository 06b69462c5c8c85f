//! Ingress rules, and the two ways in which the recordings show them refused.

use serde::Deserialize;
use serde_json::{Value, json};

const NO_CATCH_ALL: &str =
    "The last ingress rule must match all URLs (i.e. it should not have a hostname or path filter)";

/// One ingress rule. Other keys are accepted and not looked at.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Rule {
    /// The hostname that it is for; empty is any.
    #[serde(default)]
    pub hostname: String,
    /// The path that it is for.
    pub path: Option<String>,
    /// Where to send what matches.
    #[serde(default)]
    pub service: String,
}

/// Checks rules as cloudflared does.
///
/// # Errors
/// The first reason against them, in cloudflared's words.
pub fn check(rules: &[Rule]) -> Result<(), String> {
    for Rule { service, .. } in rules {
        if !service_parses(service) {
            return Err(format!("{service} is an invalid address, please make sure it has a scheme and a hostname"));
        }
    }
    match rules.last() {
        Some(last) if !last.hostname.is_empty() || last.path.is_some() => Err(NO_CATCH_ALL.into()),
        _ => Ok(()),
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

/// An origin on the network.
#[derive(Clone, Debug)]
pub struct Origin {
    /// Which rule names it, from 0.
    pub rule: usize,
    /// The rule's service.
    pub service: String,
    /// `host:port`.
    pub dial: String,
}

impl Origin {
    /// Whether it is spoken HTTP to; the others get a client's stream as it is.
    pub fn is_http(&self) -> bool {
        self.service.starts_with("http") || self.service.starts_with("ws")
    }
}

/// The origin of the first rule that matches `hostname`, if that rule has one; without a hostname, that of the first rule
/// that has one.
pub fn origin(rules: &[Rule], hostname: Option<&str>) -> Option<Origin> {
    match hostname {
        Some(hostname) => {
            let (number, rule) = rules.iter().enumerate().find(|(_, rule)| rule.matches(hostname))?;
            rule.origin(number)
        }
        None => rules.iter().enumerate().find_map(|(number, rule)| rule.origin(number)),
    }
}

impl Rule {
    /// A rule without a hostname is for all of them, and `*.` is for any name below.
    fn matches(&self, hostname: &str) -> bool {
        match self.hostname.strip_prefix('*') {
            _ if self.hostname.is_empty() => true,
            Some(domain) => hostname.len() > domain.len() && hostname.ends_with(domain),
            None => self.hostname == hostname,
        }
    }

    fn origin(&self, number: usize) -> Option<Origin> {
        let (scheme, host) = self.service.split_once("://")?;
        let host = host.split('/').next().unwrap_or_default();
        let port = match scheme {
            "http" | "ws" => 80,
            "https" | "wss" => 443,
            "ssh" => 22,
            "rdp" => 3389,
            "smb" => 445,
            "tcp" => 7864, // cloudflared's own default for a tcp service without a port
            _ => return None,
        };
        let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        let dial = if has_port { host.to_owned() } else { format!("{host}:{port}") };
        Some(Origin { rule: number, service: self.service.clone(), dial })
    }
}

/// The answer of `/config`.
pub fn page(rules: &[Rule]) -> Value {
    let origin = origin_request();
    let rules: Vec<Value> = rules
        .iter()
        .map(|Rule { hostname, path, service }| {
            json!({"hostname": hostname, "path": path, "service": service, "Handlers": null, "originRequest": origin})
        })
        .collect();
    json!({"version": -1, "config": {"ingress": rules, "warp-routing": {}, "originRequest": origin}})
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
