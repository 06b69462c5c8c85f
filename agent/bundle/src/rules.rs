//! The checks that need nothing but the payload.

use super::broken::RuleBroken;
use super::policy::Policy;
use super::service::{Rule, Service};
use crate::payload::fields::Fields;
use crate::payload::{Payload, SecretText};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cflared_verdict::VersionId;
use input::yaml::{self, Node};
use uuid::Uuid;
use zeroize::Zeroizing;

/// The shortest tunnel secret, in bytes: what `cloudflared tunnel create` makes.
const TUNNEL_SECRET_BYTES: usize = 32;

/// A payload that keeps every rule but one: whether cloudflared itself agrees is asked of its `ingress validate`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundle {
    payload: Payload,
    tunnel: Uuid,
    services: Vec<Service>,
}

impl Bundle {
    /// Holds the payload against the rules, and against what the host's `policy` forbids.
    ///
    /// # Errors
    /// The first rule that is broken: first those of the credentials, then those of the config.
    pub fn check(payload: Payload, policy: &Policy) -> Result<Self, RuleBroken> {
        let tunnel = credentials(payload.credentials_json.expose())?;
        let config = yaml::parse(payload.config_yaml.expose())?;
        if !matches!(config, Node::Map(_)) {
            return Err(RuleBroken::ConfigNotMapping { found: config.kind() });
        }
        same_tunnel(&config, tunnel)?;
        credentials_file(&config, &policy.config_dir.join(format!("{tunnel}.json")))?;
        policy.check_keys(&config)?;
        let rules = ingress(&config)?;
        targets(&rules, policy)?;
        let services = services(rules);
        Ok(Self { payload, tunnel, services })
    }

    /// The version of the secret that both parts come from.
    pub fn version(&self) -> &VersionId {
        &self.payload.version
    }

    /// The tunnel.
    pub fn tunnel(&self) -> Uuid {
        self.tunnel
    }

    /// What the rules send traffic to, in the rules' order, each once.
    pub fn services(&self) -> &[Service] {
        &self.services
    }

    /// What is installed as `config.yml`.
    pub fn config_yaml(&self) -> &SecretText {
        &self.payload.config_yaml
    }

    /// What is installed as `<tunnel>.json`.
    pub fn credentials_json(&self) -> &SecretText {
        &self.payload.credentials_json
    }
}

/// Checks the credentials; the tunnel that they are for.
fn credentials(text: &str) -> Result<Uuid, RuleBroken> {
    let fields = Fields::parse(text, &["AccountTag", "TunnelSecret", "TunnelID"]);
    let mut fields = fields.map_err(RuleBroken::Credentials)?;
    let mut take = |key| fields.take(key).map_err(RuleBroken::Credentials);
    take("AccountTag")?;
    let tunnel = Uuid::try_parse(&take("TunnelID")?).map_err(|_| RuleBroken::TunnelIdNotUuid)?;
    let secret = take("TunnelSecret")?;
    // Go's reader passes over line ends in base64.
    let secret = Zeroizing::new(secret.replace(['\r', '\n'], ""));
    let secret = Zeroizing::new(STANDARD.decode(&*secret).map_err(|_| RuleBroken::TunnelSecretNotBase64)?);
    match secret.len() {
        TUNNEL_SECRET_BYTES.. => Ok(tunnel),
        bytes => Err(RuleBroken::TunnelSecretShort { bytes }),
    }
}

fn same_tunnel(config: &Node, credentials: Uuid) -> Result<(), RuleBroken> {
    let named = text(config, "tunnel", None)?.ok_or(RuleBroken::TunnelMissing { expected: credentials })?;
    match Uuid::try_parse(named) {
        Ok(config) if config == credentials => Ok(()),
        Ok(config) => Err(RuleBroken::TunnelIdDiffers { config, credentials }),
        Err(_) => Err(RuleBroken::TunnelNotUuid { expected: credentials }),
    }
}

fn credentials_file(config: &Node, expected: &std::path::Path) -> Result<(), RuleBroken> {
    match text(config, "credentials-file", None)? {
        Some(named) if std::path::Path::new(named) != expected => {
            Err(RuleBroken::CredentialsFileElsewhere { expected: expected.into() })
        }
        _ => Ok(()),
    }
}

/// Holds what the rules send traffic to against the policy.
pub(super) fn targets(rules: &[Rule], policy: &Policy) -> Result<(), RuleBroken> {
    for (number, rule) in (1..).zip(rules) {
        if let Some(why) = policy.forbids(&rule.service) {
            return Err(RuleBroken::TargetForbidden { rule: number, why });
        }
    }
    Ok(())
}

/// What the rules send traffic to, in their order, each once.
pub(super) fn services(rules: Vec<Rule>) -> Vec<Service> {
    let mut services = Vec::new();
    for Rule { service, .. } in rules {
        if !services.contains(&service) {
            services.push(service);
        }
    }
    services
}

/// Checks the ingress rules, and reads them.
pub(super) fn ingress(config: &Node) -> Result<Vec<Rule>, RuleBroken> {
    let rules = match config.get("ingress") {
        None | Some(Node::Null) => return Err(RuleBroken::IngressMissing),
        Some(Node::List(rules)) => rules,
        Some(other) => return Err(wrong_type("ingress", None, other, "a list of rules")),
    };
    // A rule that holds nothing is none to cloudflared.
    let rules: Vec<&Node> = rules.iter().filter(|rule| !matches!(rule, Node::Null)).collect();
    let (last, _) = rules.split_last().ok_or(RuleBroken::IngressMissing)?;
    let defaults = config.get("originRequest");
    let read =
        (1..).zip(&rules).map(|(number, rule)| ingress_rule(number, rule, defaults)).collect::<Result<_, _>>()?;
    if is_catch_all(last, rules.len())? { Ok(read) } else { Err(RuleBroken::NoCatchAll) }
}

/// Reads a rule, whose own `originRequest` comes before that of the whole config.
fn ingress_rule(number: usize, rule: &Node, defaults: Option<&Node>) -> Result<Rule, RuleBroken> {
    if !matches!(rule, Node::Map(_)) {
        return Err(wrong_type("ingress", Some(number), rule, "a mapping with `service:`"));
    }
    let service = text(rule, "service", Some(number))?.unwrap_or_default();
    let read = Service::parse(service);
    let service = match Policy::proxy(rule.get("originRequest"), defaults) {
        // With it a service need not be there, and one that answers by itself still does.
        Some(proxy) if !matches!(read, Ok(Service::Answer(_))) => Service::Proxy(proxy),
        Some(_) | None => read.map_err(|why| RuleBroken::ServiceInvalid { rule: number, why })?,
    };
    let matched = |key| text(rule, key, Some(number)).map(Option::unwrap_or_default);
    // As cloudflared sees it, `*` is no hostname at all.
    let hostname = Some(matched("hostname")?).filter(|hostname| *hostname != "*").unwrap_or_default();
    Ok(Rule { hostname: hostname.to_lowercase(), path: matched("path")?.into(), service })
}

/// Whether the rule matches every request, as cloudflared sees it: no path, and no hostname or `*`.
fn is_catch_all(rule: &Node, number: usize) -> Result<bool, RuleBroken> {
    let hostname = text(rule, "hostname", Some(number))?.unwrap_or_default();
    let path = text(rule, "path", Some(number))?.unwrap_or_default();
    Ok(matches!(hostname, "" | "*") && path.is_empty())
}

/// The text of a key; none if it is not there or holds nothing.
fn text<'n>(map: &'n Node, key: &'static str, rule: Option<usize>) -> Result<Option<&'n str>, RuleBroken> {
    match map.get(key) {
        None | Some(Node::Null) => Ok(None),
        // cloudflared takes a number or a truth value for text.
        Some(Node::Text(text) | Node::Other(_, text)) => Ok(Some(text)),
        Some(other) => Err(wrong_type(key, rule, other, "text")),
    }
}

fn wrong_type(key: &'static str, rule: Option<usize>, found: &Node, wanted: &'static str) -> RuleBroken {
    RuleBroken::ConfigWrongType { key, rule, found: found.kind(), wanted }
}
