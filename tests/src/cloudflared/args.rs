//! The command line, as far as anybody uses it here.

use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

/// What `--version` prints after the program's name.
pub const VERSION: &str = "2026.8.2";
/// When the version that is stood in for was built.
pub const BUILT: &str = "2026-08-20-09:54 UTC";

/// Stands in for cloudflared 2026.8.2: same commands, logs, pages, signals and exits, with an edge of its own kind.
#[derive(Parser)]
#[command(name = "cloudflared", disable_version_flag = true)]
pub struct Cli {
    /// Print the version.
    #[arg(long, short = 'v')]
    pub version: bool,
    /// What to do.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// The commands of cloudflared that are stood in for.
#[derive(Subcommand)]
pub enum Command {
    /// Run and check tunnels.
    Tunnel(Tunnel),
}

/// `cloudflared tunnel`.
#[derive(Args)]
#[command(args_override_self = true)]
pub struct Tunnel {
    /// Flags, which come before the command.
    #[command(flatten)]
    pub flags: Flags,
    /// What to do with the tunnel.
    #[command(subcommand)]
    pub command: TunnelCommand,
}

/// `cloudflared tunnel …`.
#[derive(Subcommand)]
pub enum TunnelCommand {
    /// Connect to the edge and proxy.
    Run {
        /// The tunnel's UUID; else the config names it.
        tunnel: Option<String>,
    },
    /// Ask a running cloudflared whether it is ready.
    Ready,
    /// Check ingress rules.
    Ingress {
        /// Which check.
        #[command(subcommand)]
        command: IngressCommand,
    },
}

/// `cloudflared tunnel ingress …`.
#[derive(Subcommand)]
pub enum IngressCommand {
    /// Check every rule of the config.
    Validate,
}

/// Flags of `cloudflared tunnel`.
#[derive(Args, Clone)]
pub struct Flags {
    /// The config file.
    #[arg(long)]
    pub config: Option<PathBuf>,
    /// The credentials file; wins over the config's `credentials-file`.
    #[arg(long, visible_alias = "credentials-file")]
    pub cred_file: Option<PathBuf>,
    /// Where to serve metrics; wins over the config's `metrics`.
    #[arg(long)]
    pub metrics: Option<String>,
    /// Do not update the program.
    #[arg(long)]
    pub no_autoupdate: bool,
    /// Log lines as `json` or `default`.
    #[arg(long, default_value = "default")]
    pub output: String,
    /// How long streams in flight may take after SIGTERM, e.g. `30s`; at most 3 minutes.
    #[arg(long, value_parser = humantime::parse_duration)]
    pub grace_period: Option<std::time::Duration>,
    /// An address of the edge (repeat it).
    #[arg(long)]
    pub edge: Vec<String>,
    /// `NAME=VALUE` that is sent to origins (repeat it).
    #[arg(long)]
    pub tag: Vec<String>,
    /// `auto`, `quic` or `http2`; wins over the config's `protocol`.
    #[arg(long, short = 'p')]
    pub protocol: Option<String>,
    /// Skip the checks before the start.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "false")]
    pub no_prechecks: Switch,
    /// The lowest level to log: debug, info, warn, error, fatal; wins over the config's `loglevel`.
    #[arg(long)]
    pub loglevel: Option<String>,
    /// How many doublings the waits between tries have; wins over the config's `retries`.
    #[arg(long)]
    pub retries: Option<u32>,
    /// How many addresses of the edge are tried before `auto` falls back; wins over the config's
    /// `max-edge-addr-retries`.
    #[arg(long)]
    pub max_edge_addr_retries: Option<u8>,
    /// Who signs for the edge, instead of the system's roots.
    #[arg(long)]
    pub cacert: Option<PathBuf>,
    /// `4`, `6` or `auto`.
    #[arg(long)]
    pub edge_ip_version: Option<String>,
    /// The address to connect from.
    #[arg(long)]
    pub edge_bind_address: Option<String>,
    /// The region of the edge to look up.
    #[arg(long)]
    pub region: Option<String>,
    /// A name for people.
    #[arg(long)]
    pub label: Option<String>,
    /// Stand-in only: a factor on all internal times (back-off, spacing of connections, time-outs, …). Time-outs stay
    /// at a second or more.
    #[arg(long, default_value_t = 1.0, hide = true, value_parser = scale)]
    pub standin_scale: f64,
    /// Stand-in only: print what is printed on a host without DNS and without a ping group, as where the recordings
    /// were made.
    #[arg(long, hide = true)]
    pub standin_bare_host: bool,
}

/// A flag that may be taken back by `=false`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Switch {
    /// As it was given.
    True,
    /// Taken back.
    False,
}

fn scale(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(scale) if scale > 0.0 && scale <= 100.0 => Ok(scale),
        _ => Err("must be a number above 0 and at most 100".into()),
    }
}
