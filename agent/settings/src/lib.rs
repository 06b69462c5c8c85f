//! `/etc/cflared-agent/agent.yml`: what an operator may change, and the defaults of everything else.
//!
//! Files are read once, at start: `raw` is its form on disk with every key optional, [`Settings`] is what the rest of
//! the agent sees, merged with the defaults and validated. This room knows the leaves alone.

mod duration;
mod files;
mod raw;

pub use files::{File, drop_ins, is_drop_in};

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where the settings are when `--settings` names no other file.
pub const DEFAULT_PATH: &str = "/etc/cflared-agent/agent.yml";

/// Everything that can be set, valid.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Who this instance is.
    pub identity: Identity,
    /// Which secret holds the bundle, and how often it is looked at.
    pub secret: Secret,
    /// Where files go.
    pub paths: Paths,
    /// How cloudflared is run.
    pub connector: Connector,
    /// How it is watched.
    pub observe: Observe,
    /// How long a fault may last.
    pub verdict: Verdict,
    /// How a new bundle takes over.
    pub handover: Handover,
    /// Which lifecycle hooks are completed.
    pub lifecycle: Lifecycle,
    /// What goes to CloudWatch.
    pub cloudwatch: CloudWatch,
    /// What may be said to Auto Scaling.
    pub autoscaling: AutoScaling,
    /// How AWS is reached.
    pub aws: Aws,
    /// How the agent's log is written.
    pub log: Log,
    /// The agent's own metrics.
    pub metrics: Metrics,
    /// What an image must carry.
    pub validate: Validate,
    /// What the agent may do by itself.
    pub mode: Mode,
}

/// What the agent may do by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Whatever is called for.
    Act,
    /// The same, but that marks and abandoned launches are only logged: `run --dry-run`.
    DryRun,
    /// Start, drain and report.
    Observe,
}

/// What comes of a configuration that Cloudflare pushes to a connector, over the secret's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RemoteConfiguration {
    /// The agent holds, and a person is called: the secret is what is to serve.
    Hold,
    /// Nothing, unless it breaks a rule: the tunnel is managed at Cloudflare.
    Allow,
}

/// Who this instance is.
#[derive(Debug, Clone, PartialEq)]
pub struct Identity {
    /// The instance tag that names the environment.
    pub env_tag: String,
    /// The instance tag that holds the agent back.
    pub hold_tag: String,
    /// The environments that are accepted; empty: any valid name.
    pub allowed_environments: Vec<String>,
}

/// Which secret holds the bundle.
#[derive(Debug, Clone, PartialEq)]
pub struct Secret {
    /// The secret's name; `{env}` stands for the environment.
    pub name: String,
    /// How often it is looked at while all is well.
    pub poll_interval: Duration,
    /// What its config may use that opens more of this host than its rules name: `bastion`, `socks-proxy`, `warp-routing`, or any
    /// other top-level key.
    pub allow: Vec<String>,
}

/// Where files go.
#[derive(Debug, Clone, PartialEq)]
pub struct Paths {
    /// The installed bundles.
    pub config_dir: PathBuf,
    /// The status and state files.
    pub runtime_dir: PathBuf,
    /// What the image says about itself.
    pub image_file: PathBuf,
}

/// How cloudflared is run.
#[derive(Debug, Clone, PartialEq)]
pub struct Connector {
    /// The program.
    pub binary: PathBuf,
    /// Its metrics addresses: one for the connector that serves, one for its successor.
    pub metrics: [SocketAddr; 2],
    /// How long it may finish requests when it is told to stop.
    pub grace_period: Duration,
    /// From how many connections on a successor may take over.
    pub min_connections: u32,
    /// More arguments, put after `tunnel` and before `run`.
    pub extra_args: Vec<String>,
    /// What comes of a configuration that Cloudflare pushes.
    pub remote_configuration: RemoteConfiguration,
}

/// How the connector is watched.
#[derive(Debug, Clone, PartialEq)]
pub struct Observe {
    /// Time between two looks at `/ready`.
    pub interval: Duration,
    /// How long an answer may take.
    pub timeout: Duration,
}

/// How long a fault may last.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// For how long after the start nothing is condemned.
    pub startup_grace: Duration,
    /// Unregistered for so long: read the secret again.
    pub recheck_secret_after: Duration,
    /// Unregistered for so long: probe the network.
    pub probe_after: Duration,
    /// Unregistered for so long: restart the connector.
    pub restart_after: Duration,
    /// Unregistered for so long: have the instance replaced.
    pub condemn_after: Duration,
    /// Whether a second connector may be asked why the first one is refused.
    pub second_opinion: bool,
}

/// How a new bundle takes over.
#[derive(Debug, Clone, PartialEq)]
pub struct Handover {
    /// How long the successor may take to register.
    pub register_timeout: Duration,
    /// How long it must have been registered before its predecessor is drained.
    pub settle: Duration,
    /// For how long it is on probation: lost in that time, the bundle before comes back.
    pub probation: Duration,
    /// Whether a new file of cloudflared is handed over to.
    pub on_new_binary: bool,
}

/// The lifecycle hooks of the Auto Scaling group that are completed; others are left alone.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Lifecycle {
    /// Completed when the tunnel is up, and settled.
    pub launch_hook: Option<String>,
    /// Completed when every connector is drained.
    pub terminate_hook: Option<String>,
}

/// What goes to CloudWatch.
#[derive(Debug, Clone, PartialEq)]
pub struct CloudWatch {
    /// Whether anything does.
    pub enabled: bool,
    /// The metrics' namespace; `{env}` stands for the environment.
    pub namespace: Namespace,
    /// The period of the datapoints, and the grain of their timestamps.
    pub interval: Duration,
}

/// What may be said to Auto Scaling.
#[derive(Debug, Clone, PartialEq)]
pub struct AutoScaling {
    /// Whether this instance may be marked unhealthy.
    pub enabled: bool,
    /// In how many replacements for health causes within an hour the group's budget is used up; 0: from the beginning.
    pub replacements_per_hour: u32,
    /// The same within a day.
    pub replacements_per_day: u32,
}

/// How AWS is reached.
#[derive(Debug, Clone, PartialEq)]
pub struct Aws {
    /// A proxy for AWS endpoints, never for the metadata service or loopback; empty: none.
    pub proxy: String,
}

/// How the agent's log is written.
#[derive(Debug, Clone, PartialEq)]
pub struct Log {
    /// The form of a line.
    pub format: LogFormat,
}

/// The form of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// The journal if there is one, else text.
    Auto,
    /// Text on standard error.
    Text,
    /// One JSON object a line on standard error.
    Json,
}

/// The agent's own metrics.
#[derive(Debug, Clone, PartialEq)]
pub struct Metrics {
    /// Where they are served, on loopback; none: nowhere.
    pub listen: Option<SocketAddr>,
}

/// What an image must carry.
#[derive(Debug, Clone, PartialEq)]
pub struct Validate {
    /// The oldest cloudflared: year, month and number of its release.
    pub min_cloudflared: [u32; 3],
}

/// Why settings cannot be used. The message names the key, what is allowed, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file is there and cannot be read, or was named and is not there.
    #[error("failed to read the settings {}: {source}; every key is optional: an empty file will do", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is not YAML, or holds a key or a type that is not known.
    #[error("failed to parse the settings {}: {cause}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// What the parser says, with the key and the position.
        cause: String,
    },
    /// A value is out of its range.
    #[error(
        "failed to use the settings {}: {key} is {value}; allowed: {allowed}; correct that key, or remove it to get its \
         default", path.display()
    )]
    Value {
        /// The file.
        path: PathBuf,
        /// The key, with its section.
        key: &'static str,
        /// What was given.
        value: String,
        /// What may be given.
        allowed: String,
    },
}

impl Error {
    /// The key whose value is out of its range.
    fn key(&self) -> Option<&'static str> {
        match self {
            Self::Value { key, .. } => Some(key),
            Self::Read { .. } | Self::Parse { .. } => None,
        }
    }

    /// The same, of that file.
    #[must_use]
    pub fn of_file(mut self, file: &Path) -> Self {
        match &mut self {
            Self::Read { path, .. } | Self::Parse { path, .. } | Self::Value { path, .. } => *path = file.into(),
        }
        self
    }
}

impl Default for Settings {
    fn default() -> Self {
        raw::Raw::default().validate().expect("the defaults are valid: a test proves it")
    }
}

impl Settings {
    /// Reads the settings from `path`, or from [`DEFAULT_PATH`], where a file may be missing: then all are defaults. The drop-ins
    /// beside it, `agent.d/*.yml` beside `agent.yml`, come over it in the order of their names.
    ///
    /// # Errors
    /// The file named cannot be read, or one of them is not YAML, holds an unknown key, or a value out of its range.
    pub fn load(path: Option<&Path>) -> Result<Self, Error> {
        let (path, required) = match path {
            Some(path) => (path, true),
            None => (Path::new(DEFAULT_PATH), false),
        };
        Self::merged(&files::read(path, required)?)
    }

    /// The settings of a file and its drop-ins, in their order.
    ///
    /// # Errors
    /// As [`Settings::load`].
    pub fn merged(files: &[File]) -> Result<Self, Error> {
        files::merged(files)
    }

    /// The settings that `text` gives.
    ///
    /// # Errors
    /// As [`Settings::load`], with an empty path.
    pub fn parse(text: &str) -> Result<Self, Error> {
        raw::Raw::parse(text)?.validate()
    }
}

/// A namespace of CloudWatch, in which `{env}` stands for the environment: a role may write those of its own environment alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Namespace(String);

impl Namespace {
    /// One that has `{env}` in it, or not.
    pub fn new(name: impl Into<String>) -> Self {
        Self(name.into())
    }

    /// That environment's.
    pub fn of(&self, environment: &str) -> String {
        self.0.replace("{env}", environment)
    }
}

impl Secret {
    /// The name of that environment's secret.
    pub fn name_for(&self, environment: &str) -> String {
        self.name.replace("{env}", environment)
    }
}

/// The text of a URL without the user name and the password that may stand before its host.
pub fn without_password(url: &str) -> String {
    let begin = url.find("://").map_or(0, |at| at + 3);
    let end = url[begin..].find(['/', '?', '#']).map_or(url.len(), |at| begin + at);
    // A password may hold what ends a host, if it is none that a URL may hold.
    let at = url[begin..end].rfind('@').or_else(|| url[begin..].rfind('@'));
    let shown = at.map_or_else(|| url.to_owned(), |at| format!("{}…@{}", &url[..begin], &url[begin + at + 1..]));
    // A query is for programs, and may be a token.
    shown.split_once('?').map_or_else(|| shown.clone(), |(before, _)| format!("{before}?…"))
}

/// What an environment's name looks like; it is put into the secret's name.
pub const ENVIRONMENT: &str = "a lower-case letter, then up to 31 lower-case letters, digits or hyphens";

/// Whether `name` is `^[a-z][a-z0-9-]{0,31}$`.
pub fn is_environment(name: &str) -> bool {
    name.len() <= 32
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
}

#[cfg(test)]
mod tests;
