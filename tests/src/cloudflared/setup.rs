//! Config and credentials, read and refused as cloudflared does.

use super::args::Flags;
use super::ingress::Rule;
use super::log::Log;
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// What a config file says, as far as it is looked at here. Unknown keys are accepted.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct Config {
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
    /// The rules.
    pub ingress: Vec<Rule>,
}

/// A credentials file. It has no `Debug`: it holds a secret.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Credentials {
    /// The tunnel's secret, in base64.
    pub tunnel_secret: String,
    /// The tunnel's UUID. It wins over the config's.
    #[serde(rename = "TunnelID")]
    pub tunnel_id: String,
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
        return Ok(Config::default());
    }
    // In two steps, as in Go: a text that is no YAML is refused before its types are looked at.
    serde_yaml::from_str::<serde_yaml::Value>(&text)
        .and_then(serde_yaml::from_value)
        .map_err(|error| format!("error parsing YAML in config file at {}: {}", path.display(), yaml_error(&error)))
}

impl Setup {
    /// Finds the tunnel and reads its credentials.
    ///
    /// # Errors
    /// The last words of a cloudflared that cannot start; lines before them are logged.
    pub fn read(flags: Flags, config: Config, argument: Option<String>, log: &Log) -> Result<Setup, String> {
        let named = argument.or_else(|| config.tunnel.clone()).ok_or(
            "\"cloudflared tunnel run\" requires the ID or name of the tunnel to run as the last command line argument \
             or in the configuration file.",
        )?;
        let cred_file = flags.cred_file.clone().or_else(|| config.credentials_file.clone());
        let cred_file = cred_file
            .ok_or_else(|| format!("Tunnel credentials file '{named}.json' doesn't exist or is not a file"))?;
        let credentials = read_credentials(&cred_file, log)?;
        Ok(Setup { flags, config, credentials, named })
    }

    /// The flags as cloudflared logs them: a Go map, sorted by key. It holds what the config sets too.
    pub fn settings_line(&self) -> String {
        let Setup { flags, config, .. } = self;
        let path = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
        let either = |flag: &Option<String>, config: &Option<String>| flag.clone().or_else(|| config.clone());
        let edges = flags.edge.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        let grace = flags.grace_period;
        let protocol = either(&flags.protocol, &config.protocol);
        let tries = flags.max_edge_addr_retries.or(config.max_edge_addr_retries);
        let pairs = [
            ("cacert", path(&flags.cacert)),
            ("config", path(&flags.config)),
            ("cred-file", path(&flags.cred_file)),
            ("credentials-file", path(&config.credentials_file)),
            ("edge", (!flags.edge.is_empty()).then(|| format!("[{edges}]"))),
            ("edge-bind-address", either(&flags.edge_bind_address, &config.edge_bind_address)),
            ("edge-ip-version", either(&flags.edge_ip_version, &config.edge_ip_version)),
            ("grace-period", (grace.as_secs() != 30).then(|| super::backoff::go(grace))),
            ("label", flags.label.clone()),
            ("loglevel", either(&flags.loglevel, &config.loglevel)),
            ("max-edge-addr-retries", tries.map(|tries| tries.to_string())),
            ("metrics", either(&flags.metrics, &config.metrics)),
            ("no-autoupdate", flags.no_autoupdate.then(|| "true".into())),
            ("no-prechecks", flags.no_prechecks.then(|| "true".into())),
            ("output", (flags.output != "default").then(|| flags.output.clone())),
            ("p", protocol.clone()),
            ("protocol", protocol),
            ("region", either(&flags.region, &config.region)),
            ("retries", flags.retries.or(config.retries).map(|retries| retries.to_string())),
        ];
        let given = pairs.into_iter().filter_map(|(key, value)| Some(format!("{key}:{}", value?)));
        format!("Settings: map[{}]", given.collect::<Vec<_>>().join(" "))
    }

    /// The protocol that is logged: without a choice cloudflared begins with QUIC.
    pub fn protocol(&self) -> &str {
        let chosen = self.flags.protocol.as_deref().or(self.config.protocol.as_deref());
        chosen.filter(|chosen| *chosen != "auto").unwrap_or("quic")
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
    let text = std::fs::read_to_string(path).map_err(|error| format!("open {shown}: {}", go_error(&error)))?;
    serde_json::from_str(&text).map_err(|error| {
        let error = if error.is_eof() { "unexpected end of JSON input".to_owned() } else { error.to_string() };
        log.line(
            super::log::Level::Error,
            &format!(
                "The credentials file at {shown} contained invalid JSON. This is probably caused by passing the wrong \
                 filepath. Reminder: the credentials file is a .json file created via `cloudflared tunnel create`."
            ),
            serde_json::Value::Null,
        );
        log.line(
            super::log::Level::Error,
            &format!("Invalid JSON when parsing credentials file: {error}"),
            serde_json::Value::Null,
        );
        "Invalid JSON when parsing tunnel credentials file".to_owned()
    })
}

/// An error of the kernel as Go prints it: in lower case, without its number.
pub fn go_error(error: &std::io::Error) -> String {
    match error.raw_os_error() {
        Some(number) => nix::errno::Errno::from_raw(number).desc().to_lowercase(),
        None => error.to_string(),
    }
}

/// `yaml: line 2: mapping values are not allowed in this context`, as Go's library has it.
fn yaml_error(error: &serde_yaml::Error) -> String {
    let text = error.to_string();
    let what = text.split(" at line ").next().unwrap_or(&text);
    match error.location() {
        Some(at) => format!("yaml: line {}: {what}", at.line()),
        None => format!("yaml: {what}"),
    }
}
