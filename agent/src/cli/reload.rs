//! `cflared-agent reload`: hands over now, and prints the result.

use super::hold::{Running, running};
use super::{Exit, complain, say};
use crate::act::control::{AskError, Command, SOCKET, ask};
use crate::agent::Clock;
use cflared_verdict::{Answer, Ended};
use input::plain;
use settings::Settings;
use std::time::Duration;

/// What `--help` says below the arguments.
pub const HELP: &str = "\
Reads the secret and starts a second connector, from the newest version or again from the same one. Once that one is
registered and has settled, it takes over and the first one is drained. The last line gives the result. The hand-over goes
on after Ctrl-C and after --timeout.

Exit status: 0 handed over; 1 refused (the first connector goes on serving; correct the cause before you try again);
75 failed or not finished in time (try again); 2 no agent runs.";

/// What a hand-over may take beside the times of the settings: the read of the secret (20 s), the install (30 s), the look at
/// memory and origins (10 s each), and some patience.
const BESIDE: Duration = Duration::from_secs(80);

#[derive(Debug, clap::Args)]
pub struct Args {
    /// How long to wait for the result [default: handover.register_timeout + handover.settle + 80s]
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    timeout: Option<Duration>,
}

pub fn main(settings: &Settings, args: &Args) -> Exit {
    let handover = &settings.handover;
    let timeout = args.timeout.unwrap_or(handover.register_timeout + handover.settle + BESIDE);
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            complain(format_args!("failed to start the runtime: {error}; the host is out of resources"));
            return Exit::TryAgain;
        }
    };
    let path = settings.paths.runtime_dir.join(SOCKET);
    let asked = runtime.block_on(async { tokio::time::timeout(timeout, ask(&path, Command::Reload)).await });
    match asked {
        Ok(Ok(answer)) => tell(&answer),
        Ok(Err(error @ AskError::NoAgent { .. })) => no_agent(settings, &error),
        Ok(Err(error)) => {
            complain(error);
            Exit::TryAgain
        }
        Err(_) => {
            let waited = humantime::format_duration(timeout);
            complain(format_args!("no result within {waited}; the hand-over goes on, see: cflared-agent status"));
            Exit::TryAgain
        }
    }
}

fn tell(Answer { ended, text }: &Answer) -> Exit {
    let text = plain::line(text, usize::MAX);
    match ended {
        Ended::Done => {
            say(format_args!("{text}\n"));
            Exit::Fine
        }
        Ended::Refused => {
            complain(format_args!("refused: {text}"));
            Exit::NotFine
        }
        Ended::Failed => {
            complain(format_args!("failed: {text}"));
            Exit::TryAgain
        }
    }
}

/// An agent without a socket may run all the same: a package upgrade leaves the running one as it is.
fn no_agent(settings: &Settings, error: &AskError) -> Exit {
    let next = match running(settings, Clock::start().wall()) {
        Running::Yes(status) => format!(
            "an agent runs (pid {}, version {}): it is older than this command, or could not listen; see: journalctl -u \
             cflared-agent; systemctl restart cflared-agent",
            status.agent.pid, status.agent.version
        ),
        Running::No => "no agent runs; see: systemctl status cflared-agent; journalctl -u cflared-agent".into(),
        Running::Unknown(why) => why,
    };
    complain(format_args!("{error}; {next}"));
    Exit::Unknown
}
