//! The command line: parsing and rendering only, one file a subcommand.

mod bootstrap;
mod doctor;
mod fill;
mod hold;
mod owner;
mod private;
mod reload;
mod report;
mod run;
mod status;
mod validate;
mod wait;

use clap::{CommandFactory, Parser, Subcommand};
use input::plain::Plain;
use settings::Settings;
use std::fmt::Display;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

/// How a command ended. The numbers are those of the design, after sysexits.h.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Fine.
    Fine = 0,
    /// The checked thing is not fine.
    NotFine = 1,
    /// It could not be told.
    Unknown = 2,
    /// Bad usage.
    Usage = 64,
    /// Failed, worth trying again.
    TryAgain = 75,
    /// Wrong settings, tag or payload: it fails again until somebody mends it.
    Config = 78,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit as u8)
    }
}

/// Runs a Cloudflare Tunnel on an EC2 instance.
#[derive(Debug, Parser)]
#[command(name = "cflared-agent", version, about, propagate_version = true)]
struct Cli {
    /// The settings file, which may be missing [default: /etc/cflared-agent/agent.yml]
    #[arg(long, global = true, value_name = "PATH")]
    settings: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the tunnel until SIGTERM or SIGINT; for systemd
    Run(run::Args),
    /// Fetch config and credentials, install them once, and exit
    Bootstrap(bootstrap::Args),
    /// Show the state of the tunnel; exits 0 if it is registered, 1 if it is not, 2 if unknown
    Status(status::Args),
    /// Keep the agent from having this instance replaced and from handing over; without an argument, list active holds
    #[command(after_help = hold::HELP)]
    Hold(hold::Args),
    /// Wait until the tunnel is up and has settled; exits 0 when it has, 1 at the timeout, 2 if unknown
    Wait(wait::Args),
    /// Hand over now, to the newest version of the secret or to a new connector of the same one, and print the result
    #[command(after_help = reload::HELP)]
    Reload(reload::Args),
    /// Find out what is wrong with this host's tunnel, within 15 s; exits 0 if nothing is, 1 if something is, 2 if unknown
    Doctor(doctor::Args),
    /// Put everything that a ticket or a post-mortem needs into one file, within 15 s, whatever the agent's state
    #[command(after_help = report::HELP)]
    Report(report::Args),
    /// Check whether an image is fit to be launched; exits 0 if it is, 1 if it is not, 2 if unknown
    Validate(validate::Args),
}

/// The command line, for who writes it down: man pages and completions are made from it.
pub fn command() -> clap::Command {
    Cli::command()
}

/// Parses the command line and runs the command.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let exit = if error.use_stderr() { Exit::Usage } else { Exit::Fine };
            let text = Plain::text(&error.render().to_string());
            // There is nobody left to tell that the terminal is gone.
            let _ = if error.use_stderr() { show(std::io::stderr(), &text) } else { show(std::io::stdout(), &text) };
            return exit.into();
        }
    };
    if let Err(error) = private::keep_memory_private() {
        complain(format_args!("failed to keep secrets out of core files: {error}; continuing"));
    }
    let named = cli.settings.as_deref();
    let settings = || Settings::load(named).map_err(complain);
    let ended = match cli.command {
        Command::Run(args) => settings().map(|settings| run::main(settings, &args)),
        Command::Bootstrap(args) => settings().map(|settings| bootstrap::main(settings, &args)),
        Command::Status(args) => settings().map(|settings| status::main(&settings, &args)),
        Command::Hold(args) => settings().map(|settings| hold::main(&settings, &args)),
        Command::Wait(args) => settings().map(|settings| wait::main(&settings, &args)),
        Command::Reload(args) => settings().map(|settings| reload::main(&settings, &args)),
        // They are among what it looks at.
        Command::Doctor(args) => Ok(doctor::main(named, &args)),
        // As of doctor.
        Command::Report(args) => Ok(report::main(named, &args)),
        // Those of the image are among what it looks at.
        Command::Validate(args) => Ok(validate::main(named, &args)),
    };
    ended.unwrap_or(Exit::Config).into()
}

/// Tells a person the outcome.
fn say(text: impl Display) {
    // That the reader left changes no exit status.
    let _ = show(std::io::stdout(), &Plain::text(&text.to_string()));
}

/// Tells a program the outcome.
fn say_json(json: &str) {
    // As above.
    let _ = show(std::io::stdout(), &Plain::json(json));
}

/// Tells a person what is wrong.
fn complain(text: impl Display) {
    // As above.
    let _ = show(std::io::stderr(), &Plain::text(&format!("cflared-agent: {text}\n")));
}

/// What everything goes through that reaches a terminal.
///
/// # Errors
/// Whoever read it has seen enough and closed the pipe.
fn show(mut to: impl Write, text: &Plain) -> std::io::Result<()> {
    write!(to, "{text}").and_then(|()| to.flush())
}
