//! The rules of a bundle, each as the error of breaking it.

use super::policy::Forbidden;
use super::service::USER_INFO;
use crate::payload::FieldsError;
use input::yaml;
use std::path::PathBuf;
use uuid::Uuid;

/// Which rule a payload breaks. A message names the cause and the next step; of the payload itself it quotes nothing
/// but the tunnel's UUID.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RuleBroken {
    /// The credentials are not an object with the three keys, each spelled and typed as cloudflared writes it.
    #[error("credentials_json cannot be used: {0}; store the file that `cloudflared tunnel create` wrote, unchanged")]
    Credentials(FieldsError),
    /// `TunnelID` is not a UUID.
    #[error(
        "TunnelID in credentials_json is not a UUID; store the file that `cloudflared tunnel create` wrote, unchanged"
    )]
    TunnelIdNotUuid,
    /// `TunnelSecret` is not base64.
    #[error(
        "TunnelSecret in credentials_json is not standard base64 with padding; store the file that `cloudflared tunnel \
         create` wrote, unchanged"
    )]
    TunnelSecretNotBase64,
    /// `TunnelSecret` is too short to be one.
    #[error(
        "TunnelSecret in credentials_json decodes to {bytes} bytes, but a tunnel's secret has 32 or more; it was \
            cut: store the whole file that `cloudflared tunnel create` wrote"
    )]
    TunnelSecretShort {
        /// How many bytes it decodes to.
        bytes: usize,
    },
    /// The config holds a character that YAML does not allow, such as NUL.
    #[error("config_yaml holds a control character at line {line}, column {column}; remove it")]
    ConfigControlCharacter {
        /// Where, from 1.
        line: usize,
        /// Likewise, in characters.
        column: usize,
    },
    /// The config is indented with a tab.
    #[error("config_yaml is indented with a tab at line {line}, which YAML does not allow; indent with spaces")]
    ConfigTab {
        /// Where, from 1.
        line: usize,
    },
    /// The config is not YAML.
    #[error(
        "config_yaml is not YAML: line {line}, column {column} cannot be read; try `cloudflared tunnel --config FILE \
         ingress validate` on it"
    )]
    ConfigNotYaml {
        /// Where, from 1.
        line: usize,
        /// Likewise.
        column: usize,
    },
    /// The config is nested deeper than any that cloudflared has a use for.
    #[error("config_yaml is nested deeper than {limit} levels at line {line}; remove the nesting")]
    ConfigTooDeep {
        /// The most levels that are accepted.
        limit: usize,
        /// Where it gets too deep, from 1.
        line: usize,
    },
    /// The config's aliases expand to more than any config has a use for.
    #[error("config_yaml is too large once its aliases (`*name`) are expanded; write fewer aliases")]
    ConfigTooLarge,
    /// The config gives a key twice in one mapping.
    #[error("config_yaml has a key twice in one mapping, near line {line}; keep one of the two")]
    ConfigKeyTwice {
        /// Where the mapping is, from 1.
        line: usize,
    },
    /// The config has a key that is a list or a mapping.
    #[error("config_yaml has a key that is a list or a mapping, near line {line}; correct it")]
    ConfigKeyNotText {
        /// Where, from 1.
        line: usize,
    },
    /// The config uses a YAML tag, by which cloudflared may read another value than the one that was checked: `!!binary` is
    /// decoded.
    #[error("config_yaml uses a YAML tag (`!name`) near line {line}; remove it")]
    ConfigTag {
        /// Where, from 1.
        line: usize,
    },
    /// The config is YAML, and not a mapping.
    #[error("config_yaml holds {found}, not a mapping with `tunnel:` and `ingress:`; store cloudflared's config.yml")]
    ConfigNotMapping {
        /// What kind of value it holds.
        found: &'static str,
    },
    /// A key of the config holds a value of another type.
    #[error("`{key}` in config_yaml{} holds {found}, not {wanted}; correct it", place(*.rule))]
    ConfigWrongType {
        /// The key.
        key: &'static str,
        /// The number of the ingress rule that it is in, from 1; none at the top level.
        rule: Option<usize>,
        /// What kind of value it holds.
        found: &'static str,
        /// What kind of value it must hold.
        wanted: &'static str,
    },
    /// The config names no tunnel.
    #[error("config_yaml has no `tunnel:`; add `tunnel: {expected}`")]
    TunnelMissing {
        /// The credentials' tunnel.
        expected: Uuid,
    },
    /// The config's `tunnel:` is a name.
    #[error("`tunnel:` in config_yaml is not a UUID; write `tunnel: {expected}`")]
    TunnelNotUuid {
        /// The credentials' tunnel.
        expected: Uuid,
    },
    /// Config and credentials are of different tunnels. cloudflared would run, on the credentials' tunnel (observed,
    /// 2026.8.2).
    #[error(
        "config_yaml is for tunnel {config}, but credentials_json is for tunnel {credentials}; store the two parts \
            of one \
         tunnel"
    )]
    TunnelIdDiffers {
        /// What `tunnel:` says.
        config: Uuid,
        /// What `TunnelID` says.
        credentials: Uuid,
    },
    /// `credentials-file` names another file than the one that is installed.
    #[error("`credentials-file` in config_yaml is not {}; write that path, or remove the key", expected.display())]
    CredentialsFileElsewhere {
        /// Where the credentials are installed.
        expected: PathBuf,
    },
    /// There are no ingress rules.
    #[error("config_yaml has no ingress rules; add `ingress:` with a last rule `- service: http_status:404`")]
    IngressMissing,
    /// The last ingress rule does not match everything. cloudflared would exit at once (observed, 2026.8.2).
    #[error(
        "the last ingress rule of config_yaml has a hostname or a path, so it is not a catch-all; add a last rule \
         `- service: http_status:404`"
    )]
    NoCatchAll,
    /// An ingress rule's service is none that cloudflared knows.
    #[error(
        "the service of ingress rule {rule} in config_yaml {why}; correct it, for example `tcp://db.internal:3306`"
    )]
    ServiceInvalid {
        /// The rule's number, from 1.
        rule: usize,
        /// What is wrong with it.
        why: &'static str,
    },
    /// An ingress rule's service would harm this host.
    #[error("the service of ingress rule {rule} in config_yaml {why}")]
    TargetForbidden {
        /// The rule's number, from 1.
        rule: usize,
        /// Why.
        why: Forbidden,
    },
    /// A host name of the rules leads to where nothing may be served from.
    #[error("the host of {service} in config_yaml resolves to {address}, which {why}")]
    NameForbidden {
        /// The service.
        service: String,
        /// The address.
        address: std::net::IpAddr,
        /// Why.
        why: Forbidden,
    },
    /// A top-level key is none that a secret may use.
    #[error("`{key}` in config_yaml {why}; remove it, or allow it with `secret.allow` in the agent's settings")]
    KeyNotAllowed {
        /// The key.
        key: String,
        /// Why.
        why: &'static str,
    },
}

/// Where a key is, for a message.
fn place(rule: Option<usize>) -> String {
    rule.map_or_else(String::new, |rule| format!(", ingress rule {rule},"))
}

impl From<yaml::Error> for RuleBroken {
    fn from(error: yaml::Error) -> Self {
        use yaml::Error as E;
        match error {
            E::ControlCharacter { line, column } => Self::ConfigControlCharacter { line, column },
            E::Tab { line } => Self::ConfigTab { line },
            E::NotYaml { line, column } => Self::ConfigNotYaml { line, column },
            E::TooDeep { limit, line } => Self::ConfigTooDeep { limit, line },
            E::TooLarge => Self::ConfigTooLarge,
            E::KeyTwice { line } => Self::ConfigKeyTwice { line },
            E::KeyNotText { line } => Self::ConfigKeyNotText { line },
            E::Tag { line } => Self::ConfigTag { line },
        }
    }
}

impl RuleBroken {
    /// The rule's short name, which stays the same from version to version.
    pub fn rule(&self) -> &'static str {
        match self {
            Self::Credentials(FieldsError::Missing { .. } | FieldsError::Empty { .. }) => "credentials_incomplete",
            Self::Credentials(_) => "credentials_malformed",
            Self::TunnelIdNotUuid => "tunnel_id_not_uuid",
            Self::TunnelSecretNotBase64 => "tunnel_secret_not_base64",
            Self::TunnelSecretShort { .. } => "tunnel_secret_short",
            Self::ConfigControlCharacter { .. } => "config_control_character",
            Self::ConfigTab { .. } => "config_tab",
            Self::ConfigNotYaml { .. } => "config_not_yaml",
            Self::ConfigTooDeep { .. } => "config_too_deep",
            Self::ConfigTooLarge => "config_too_large",
            Self::ConfigKeyTwice { .. } => "config_key_twice",
            Self::ConfigKeyNotText { .. } => "config_key_not_text",
            Self::ConfigTag { .. } => "config_tag",
            Self::ConfigNotMapping { .. } => "config_not_mapping",
            Self::ConfigWrongType { .. } => "config_wrong_type",
            Self::TunnelMissing { .. } => "tunnel_missing",
            Self::TunnelNotUuid { .. } => "tunnel_not_uuid",
            Self::TunnelIdDiffers { .. } => "tunnel_id_differs",
            Self::CredentialsFileElsewhere { .. } => "credentials_file_elsewhere",
            Self::IngressMissing => "ingress_missing",
            Self::NoCatchAll => "no_catch_all",
            Self::ServiceInvalid { why: USER_INFO, .. } => "service_user_info",
            Self::ServiceInvalid { .. } => "service_invalid",
            Self::TargetForbidden { .. } | Self::NameForbidden { .. } => "target_forbidden",
            Self::KeyNotAllowed { .. } => "key_not_allowed",
        }
    }
}
