//! Stands in for the cloudflared program, release 2026.8.2, as it was observed on loopback.
//!
//! Same command line, log lines, pages, signals and exits; `tests/conformance.rs` holds it against recordings of the real
//! one, and against the real one itself. It is a client of the edge's own protocol ([`crate::tunnelrpc`]) over HTTP/2 and
//! QUIC, finds its edge by `--edge`, and so is spawned exactly as the real one. It asks no name server: `auto` begins with
//! QUIC, as where one answers.
//!
//! What it has beyond: `--standin-scale F` (a factor on every internal time, so that a test need not wait for a back-off of
//! 64 s; time-outs stay at a second or more), `--standin-bare-host` (a host without DNS, to which the recordings owe some
//! lines, and where `auto` is HTTP/2), and the edge's [`Order`](crate::edge::Order)s.

mod args;
mod backoff;
mod connection;
mod control;
mod http2;
mod ingress;
mod log;
mod metrics;
mod notify;
mod orders;
mod pages;
mod preamble;
mod prechecks;
mod protocol;
mod proxy;
mod quic;
mod quic_counts;
mod remote;
mod run;
mod setup;
mod state;
mod supervisor;
mod tls;

use args::{BUILT, Cli, Command, Flags, IngressCommand, Tunnel, TunnelCommand, VERSION};
use clap::error::{ContextKind, ErrorKind};
use clap::{CommandFactory, Parser};
use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::process::ExitCode;
use std::time::Duration;

/// The whole program: parses `arguments` (the first is the program's name) and does what they say.
pub fn main(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) if error.kind() == ErrorKind::DisplayHelp => return printed(&error.to_string()),
        Err(error) => return misused(&error),
    };
    match cli.command {
        _ if cli.version => printed(&format!("cloudflared version {VERSION} (built {BUILT})\n")),
        None => failed("Incorrect Usage. give a command; see --help"),
        Some(Command::Tunnel(Tunnel { flags, command })) => match command {
            TunnelCommand::Run { tunnel } => run(flags, tunnel),
            TunnelCommand::Ready => ready(&flags).map_or_else(|why| failed(&why), |()| ExitCode::SUCCESS),
            TunnelCommand::Ingress { command: IngressCommand::Validate } => validate(&flags),
        },
    }
}

fn run(flags: Flags, tunnel: Option<String>) -> ExitCode {
    let config = match setup::read_config(&flags) {
        Ok(config) => config,
        Err(error) => return failed(&error),
    };
    let (log, writer) = log::Log::start(&flags, flags.loglevel.as_deref().or(config.loglevel.as_deref()));
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&format!("failed to start: {error}")),
    };
    let status = runtime.block_on(run::run(flags, config, tunnel, log));
    // With it go the tasks, and with them the last senders of the log.
    drop(runtime);
    writer.finish();
    status
}

fn ready(flags: &Flags) -> Result<(), String> {
    let address = flags.metrics.as_deref().ok_or("--metrics is required")?;
    let ask = || -> io::Result<String> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        write!(stream, "GET /ready HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    let answer = ask().map_err(|error| format!("Get \"http://{address}/ready\": {}", setup::go_error(&error)))?;
    match answer.split(' ').nth(1) {
        Some("200") => Ok(()),
        status => Err(format!("http://{address}/ready endpoint returned status code {}", status.unwrap_or("none"))),
    }
}

fn validate(flags: &Flags) -> ExitCode {
    let checked = setup::read_config(flags).and_then(|config| match config.ingress.as_slice() {
        [] => Err("The config file doesn't contain any ingress rules".into()),
        rules => ingress::check(rules),
    });
    let path = flags.config.as_deref().unwrap_or_else(|| "".as_ref()).display().to_string();
    match checked {
        Ok(()) => printed(&format!("Validating rules from {path}\nOK\n")),
        Err(reason) => failed(&format!("Validation failed: {reason}")),
    }
}

/// Exit 0, and on standard output: so it was observed. The help behind it is the stand-in's own.
fn misused(error: &clap::Error) -> ExitCode {
    let text = |kind| error.get(kind).map(ToString::to_string).unwrap_or_default();
    let flag = text(ContextKind::InvalidArg);
    let flag = flag.split([' ', '=']).next().unwrap_or_default().trim_start_matches('-');
    let why = match error.kind() {
        ErrorKind::UnknownArgument => format!("flag provided but not defined: -{flag}"),
        ErrorKind::ValueValidation | ErrorKind::InvalidValue => {
            format!("invalid value {:?} for flag -{flag}: parse error", text(ContextKind::InvalidValue))
        }
        _ => error.kind().to_string(),
    };
    let mut help = Cli::command();
    printed(&format!("Incorrect Usage. {why}\n\n{}\n", help.render_help()))
}

fn printed(text: &str) -> ExitCode {
    match io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn failed(why: &str) -> ExitCode {
    // With standard error gone, the status still says it.
    let _ = writeln!(io::stderr(), "{why}");
    ExitCode::FAILURE
}
