//! Config and credentials, read and refused as cloudflared does.

use super::args::{Flags, Switch};
use super::ingress::{Rule, Rules};
use super::log::{Level, Log};
use super::protocol::{Protocol, Selector};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value, json};
use std::net::{IpAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// However long it is asked for.
const LONGEST_GRACE: Duration = Duration::from_secs(180);

/// What a config file says, as far as it is looked at here. Unknown keys are accepted.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct Config {
    #[serde(skip)]
    empty: bool,
    /// The tunnel's UUID or name.
    pub tunnel: Option<String>,
    /// The credentials file.
    pub credentials_file: Option<PathBuf>,
    /// Where to serve metrics.
    pub metrics: Option<String>,
    /// `auto`, `quic` or `http2`.
    pub protocol: Option<String>,
    /// The lowest level to log.
    pub loglevel: Option<String>,
    /// How many doublings the waits between tries have.
    pub retries: Option<u32>,
    /// How many addresses of the edge are tried before `auto` falls back.
    pub max_edge_addr_retries: Option<u8>,
    /// `4`, `6` or `auto`.
    pub edge_ip_version: Option<String>,
    /// The address to connect from.
    pub edge_bind_address: Option<String>,
    /// The region of the edge to look up.
    pub region: Option<String>,
    /// How long streams in flight may take after SIGTERM.
    #[serde(deserialize_with = "duration")]
    pub grace_period: Option<Duration>,
    /// `NAME=VALUE` that is sent to origins.
    pub tag: Vec<String>,
    /// The rules.
    pub ingress: Vec<Rule>,
}

fn duration<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
    let text = String::deserialize(from)?;
    let parsed = humantime::parse_duration(&text);
    parsed
        .map(Some)
        .map_err(|_| serde::de::Error::custom(format!("cannot unmarshal !!str `{text}` into time.Duration")))
}

/// A credentials file. It has no `Debug`: it holds a secret.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Credentials {
    /// The account.
    #[serde(default)]
    pub account_tag: String,
    /// The tunnel's secret, in base64.
    pub tunnel_secret: String,
    /// Which edge it is for.
    #[serde(default)]
    pub endpoint: String,
    /// The tunnel's UUID. One that the command line or the config gives wins over it.
    #[serde(rename = "TunnelID")]
    pub tunnel_id: String,
}

/// The exit status where the command line lacks something.
const MISSING: u8 = 255;

/// Why a run is over, and its exit status.
#[derive(Debug)]
pub struct LastWords {
    /// The status.
    pub status: u8,
    /// On a plain line.
    pub words: String,
}

impl From<String> for LastWords {
    fn from(words: String) -> Self {
        LastWords { status: 1, words }
    }
}

/// Everything that a run needs.
pub struct Setup {
    /// The command line.
    pub flags: Flags,
    /// The config file.
    pub config: Config,
    /// What the credentials file holds.
    pub credentials: Credentials,
    /// The tunnel that the command line or the config names.
    pub named: String,
    /// How the edge is spoken to.
    pub selector: Selector,
}

/// Reads the config file that the flags name.
///
/// # Errors
/// It is missing or not YAML; in cloudflared's words.
pub fn read_config(flags: &Flags) -> Result<Config, String> {
    let path = flags.config.as_deref().ok_or("the stand-in reads no default config file: give --config")?;
    let text =
        std::fs::read_to_string(path).map_err(|error| format!("open {}: {}", path.display(), go_error(&error)))?;
    if text.trim().is_empty() {
        return Ok(Config { empty: true, ..Config::default() });
    }
    // In two steps, as in Go: a text that is no YAML is refused before its types are looked at.
    serde_yaml::from_str::<serde_yaml::Value>(&text)
        .and_then(|_| serde_yaml::from_str(&text))
        .map_err(|error| format!("error parsing YAML in config file at {}: {}", path.display(), yaml_error(&error)))
}

impl Setup {
    /// Finds the tunnel and reads its credentials.
    ///
    /// # Errors
    /// The last words of a cloudflared that cannot start; lines before them are logged.
    pub fn read(flags: Flags, config: Config, argument: Option<String>, log: &Log) -> Result<Setup, LastWords> {
        if config.empty {
            let path = flags.config.as_deref().unwrap_or_else(|| "".as_ref()).display();
            log.line(Level::Error, &format!("Configuration file {path} was empty"), Value::Null);
        }
        let named = argument.or_else(|| config.tunnel.clone()).ok_or_else(|| LastWords {
            status: MISSING,
            words: "\"cloudflared tunnel run\" requires the ID or name of the tunnel to run as the last command line argument \
                    or in the configuration file.\nSee 'cloudflared tunnel run --help'."
                .into(),
        })?;
        let cred_file = flags.cred_file.clone().or_else(|| config.credentials_file.clone());
        let cred_file = cred_file
            .ok_or_else(|| format!("Tunnel credentials file '{named}.json' doesn't exist or is not a file"))?;
        let mut credentials = read_credentials(&cred_file, log)?;
        if uuid::Uuid::parse_str(&named).is_ok() {
            credentials.tunnel_id.clone_from(&named);
        }
        let selector = Selector { first: Protocol::Quic, fallback: None };
        Ok(Setup { flags, config, credentials, named, selector })
    }

    /// Chooses the protocol.
    ///
    /// # Errors
    /// There is no such protocol; in cloudflared's words.
    pub fn choose_protocol(&mut self) -> Result<(), String> {
        let chosen = self.flags.protocol.as_deref().or(self.config.protocol.as_deref()).unwrap_or("auto");
        self.selector = Selector::of(chosen, !self.flags.standin_bare_host)?;
        Ok(())
    }

    /// Checks the tags.
    ///
    /// # Errors
    /// What cloudflared has against one.
    pub fn check_tags(&self, log: &Log) -> Result<(), String> {
        let given = if self.flags.tag.is_empty() { &self.config.tag } else { &self.flags.tag };
        let bad = given
            .iter()
            .find(|tag| tag.split_once('=').is_none_or(|(name, value)| name.is_empty() || value.is_empty()));
        match bad {
            Some(tag) => {
                let error = format!("Cannot parse tag value {tag}");
                log.error("Tag parse failure", &error);
                Err(format!("Tag parse failure: {error}"))
            }
            None => Ok(()),
        }
    }

    /// Checks what has nothing to do with rules.
    ///
    /// # Errors
    /// What cloudflared has against a setting.
    pub fn check_settings(&self) -> Result<(), String> {
        if self.grace_period() > LONGEST_GRACE {
            return Err("grace-period must be equal or less than 3m0s".into());
        }
        let version = self.flags.edge_ip_version.as_deref().or(self.config.edge_ip_version.as_deref());
        match version {
            None | Some("4" | "6" | "auto") => {}
            Some(version) => return Err(format!("invalid value for edge-ip-version: {version}")),
        }
        let address = self.flags.edge_bind_address.as_deref().or(self.config.edge_bind_address.as_deref());
        if let Some(address) = address {
            let ip: IpAddr = address.parse().map_err(|_| format!("invalid value for edge-bind-address: {address}"))?;
            UdpSocket::bind((ip, 0)).map_err(|error| {
                let error = go_error(&error);
                format!("invalid edge-bind-address {ip}: listen udp {ip}:0: bind: {error}")
            })?;
        }
        let region = self.flags.region.as_deref().or(self.config.region.as_deref()).unwrap_or_default();
        if !region.is_empty() && !self.credentials.endpoint.is_empty() {
            return Err("region provided with a token that has an endpoint".into());
        }
        Ok(())
    }

    /// How long streams in flight may take after SIGTERM.
    pub fn grace_period(&self) -> Duration {
        self.flags.grace_period.or(self.config.grace_period).unwrap_or(Duration::from_secs(30))
    }

    /// How many addresses of the edge are tried in vain before another protocol is.
    pub fn max_edge_addr_retries(&self) -> u8 {
        self.flags.max_edge_addr_retries.or(self.config.max_edge_addr_retries).unwrap_or(8)
    }

    /// The address to connect from, if one is set. It was checked at the start.
    pub fn bind_address(&self) -> Option<IpAddr> {
        self.flags.edge_bind_address.as_deref().or(self.config.edge_bind_address.as_deref())?.parse().ok()
    }

    /// The configuration as it is pushed to the edge.
    pub fn local_configuration(&self, rules: &Rules) -> Value {
        let Setup { flags, config, .. } = self;
        let either = |flag: &Option<String>, config: &Option<String>| flag.clone().or_else(|| config.clone());
        let settings = [
            ("edge-bind-address", either(&flags.edge_bind_address, &config.edge_bind_address)),
            ("edge-ip-version", either(&flags.edge_ip_version, &config.edge_ip_version)),
            ("loglevel", either(&flags.loglevel, &config.loglevel)),
            ("metrics", either(&flags.metrics, &config.metrics)),
            ("no-autoupdate", flags.no_autoupdate.then(|| "true".into())),
            ("protocol", either(&flags.protocol, &config.protocol)),
            ("retries", flags.retries.or(config.retries).map(|retries| retries.to_string())),
        ];
        let set = settings.into_iter().filter_map(|(key, value)| Some((key.to_owned(), Value::from(value?))));
        let flags: Map<String, Value> = set.collect();
        json!({"__configuration_flags": flags, "ingress": rules.pushed(), "warp-routing": {}})
    }

    /// The flags as cloudflared logs them: a Go map, sorted by key. It holds what the config sets too.
    pub fn settings_line(&self) -> String {
        let Setup { flags, config, .. } = self;
        let path = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
        let either = |flag: &Option<String>, config: &Option<String>| flag.clone().or_else(|| config.clone());
        let list = |texts: &[String]| (!texts.is_empty()).then(|| format!("[{}]", texts.join(" ")));
        let grace = flags.grace_period.or(config.grace_period);
        let protocol = either(&flags.protocol, &config.protocol);
        let tries = flags.max_edge_addr_retries.or(config.max_edge_addr_retries);
        let pairs = [
            ("cacert", path(&flags.cacert)),
            ("config", path(&flags.config)),
            ("cred-file", path(&flags.cred_file)),
            ("credentials-file", path(&config.credentials_file)),
            ("edge", list(&flags.edge)),
            ("edge-bind-address", either(&flags.edge_bind_address, &config.edge_bind_address)),
            ("edge-ip-version", either(&flags.edge_ip_version, &config.edge_ip_version)),
            ("grace-period", grace.map(super::backoff::go)),
            ("label", flags.label.clone()),
            ("loglevel", either(&flags.loglevel, &config.loglevel)),
            ("max-edge-addr-retries", tries.map(|tries| tries.to_string())),
            ("metrics", either(&flags.metrics, &config.metrics)),
            ("no-autoupdate", flags.no_autoupdate.then(|| "true".into())),
            ("no-prechecks", (flags.no_prechecks == Switch::True).then(|| "true".into())),
            ("output", (flags.output != "default").then(|| flags.output.clone())),
            ("p", protocol.clone()),
            ("protocol", protocol),
            ("region", either(&flags.region, &config.region)),
            ("retries", flags.retries.or(config.retries).map(|retries| retries.to_string())),
            ("tag", list(if flags.tag.is_empty() { &config.tag } else { &flags.tag })),
        ];
        let given = pairs.into_iter().filter_map(|(key, value)| Some(format!("{key}:{}", value?)));
        format!("Settings: map[{}]", given.collect::<Vec<_>>().join(" "))
    }

    /// After how many doublings the waits between tries stop growing.
    pub fn retries(&self) -> u32 {
        self.flags.retries.or(self.config.retries).unwrap_or(5)
    }
}

fn read_credentials(path: &Path, log: &Log) -> Result<Credentials, String> {
    let shown = path.display();
    if !path.is_file() {
        return Err(format!("Tunnel credentials file '{shown}' doesn't exist or is not a file"));
    }
    let doubt = |_| format!("Tunnel credentials file '{shown}' doesn't exist or is not a file");
    let text = std::fs::read_to_string(path).map_err(doubt)?;
    parse_credentials(&text).map_err(|error| {
        log.line(
            Level::Error,
            &format!(
                "The credentials file at {shown} contained invalid JSON. This is probably caused by passing the wrong \
                 filepath. Reminder: the credentials file is a .json file created via `cloudflared tunnel create`."
            ),
            Value::Null,
        );
        log.line(Level::Error, &format!("Invalid JSON when parsing credentials file: {error}"), Value::Null);
        "Invalid JSON when parsing tunnel credentials file".to_owned()
    })
}

fn parse_credentials(text: &str) -> Result<Credentials, String> {
    let credentials: Credentials = serde_json::from_str(text)
        .map_err(|error| if error.is_eof() { "unexpected end of JSON input".to_owned() } else { error.to_string() })?;
    let secret = &credentials.tunnel_secret;
    if STANDARD.decode(secret).is_err() {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
        let at = secret.bytes().position(|byte| !fits(byte)).unwrap_or(secret.len());
        return Err(format!("illegal base64 data at input byte {at}"));
    }
    Ok(credentials)
}

/// An error of the kernel as Go prints it: in lower case, without its number.
pub fn go_error(error: &std::io::Error) -> String {
    match error.raw_os_error() {
        Some(number) => nix::errno::Errno::from_raw(number).desc().to_lowercase(),
        None => error.to_string(),
    }
}

/// `yaml: line 2: mapping values are not allowed in this context`, as Go's library has it; what is YAML and of the wrong
/// type, it has in a list.
fn yaml_error(error: &serde_yaml::Error) -> String {
    let text = error.to_string();
    let what = text.split(" at line ").next().unwrap_or(&text);
    let line = error.location().map(|at| at.line());
    match (line, what.find("cannot unmarshal")) {
        (Some(line), Some(at)) => format!("yaml: unmarshal errors:\n  line {line}: {}", &what[at..]),
        (Some(line), None) => format!("yaml: line {line}: {what}"),
        (None, _) => format!("yaml: {what}"),
    }
}
