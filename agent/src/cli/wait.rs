//! `cflared-agent wait`: until the tunnel is up on this instance, for units, pipelines and rolling updates.

use super::status::{Judged, judge, lives};
use super::{Exit, complain, say};
use crate::agent::Clock;
use cflared_verdict::Mono;
use settings::Settings;
use status::STATUS_FILE;
use status::{ReadError, Status};
use std::time::{Duration, SystemTime};

/// Time between two looks at the status, which is one small file in memory.
const INTERVAL: Duration = Duration::from_millis(250);

#[derive(Debug, clap::Args)]
pub struct Args {
    /// How long to wait; 0s looks once
    #[arg(long, default_value = "5m", value_parser = humantime::parse_duration)]
    timeout: Duration,
    /// Wait until this version of the secret serves
    #[arg(long, value_name = "ID", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    secret_version: Option<String>,
}

pub fn main(settings: &Settings, args: &Args) -> Exit {
    let path = settings.paths.runtime_dir.join(STATUS_FILE);
    let clock = Clock::start();
    let deadline = clock.mono() + args.timeout;
    let mut settling = Settling::default();
    loop {
        let status = Status::read(&path);
        let look = look(status, args.secret_version.as_deref(), clock.wall(), lives);
        let look = settling.judge(look, settings.handover.settle, clock.mono());
        let left = clock.until(deadline);
        match look {
            Look::Serving { told, .. } => {
                say(told);
                return Exit::Fine;
            }
            Look::NotYet(told) if left.is_zero() => return timed_out(args.timeout, &told, Exit::NotFine),
            Look::Unknown(told) if left.is_zero() => return timed_out(args.timeout, &told, Exit::Unknown),
            _ => std::thread::sleep(left.min(INTERVAL)),
        }
    }
}

fn timed_out(timeout: Duration, told: &str, exit: Exit) -> Exit {
    complain(format_args!("gave up after {}: {told}", humantime::format_duration(timeout)));
    exit
}

/// What one look came to, with what to tell.
#[derive(Debug, PartialEq, Eq)]
enum Look {
    /// The tunnel is up, from that connector, and is so for so long already, as the status says.
    Serving {
        by: Serving,
        already: Duration,
        told: String,
    },
    NotYet(String),
    Unknown(String),
}

/// Which child of which agent serves. Another one has to settle anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Serving {
    agent: u32,
    run: u32,
    child: Option<u32>,
}

/// `lives` tells whether there is a process of that id.
fn look(
    status: Result<Status, ReadError>,
    version: Option<&str>,
    now: SystemTime,
    lives: impl Fn(u32) -> bool,
) -> Look {
    let status = match status {
        Ok(status) => status,
        Err(error) => return Look::Unknown(error.to_string()),
    };
    let Judged { headline, exit } = judge(&status, now, lives);
    let pid = status.agent.pid;
    if exit == Exit::Unknown {
        return Look::Unknown(headline);
    }
    let not_yet = |what: &str| {
        let trouble = status.trouble.as_ref().filter(|trouble| !headline.contains(trouble.as_str()));
        let trouble = trouble.map(|trouble| format!("\n  trouble: {trouble}")).unwrap_or_default();
        let next = "cflared-agent status; journalctl -u cflared-agent";
        Look::NotYet(format!("{what}{headline}{trouble}\n  next: {next}"))
    };
    if exit != Exit::Fine {
        return not_yet("");
    }
    if let (Some(version), installed) = (version, status.installed.as_ref())
        && installed.is_none_or(|installed| installed.version != version)
    {
        let serves = installed.map_or("none", |installed| &installed.version);
        return not_yet(&format!("secret version {version} does not serve, {serves} does; "));
    }
    // After a hand-over, the one that it led to: its predecessor may be draining yet.
    let installed = status.installed.as_ref().map(|installed| installed.generation);
    let serves = status.connectors.iter().find(|connector| {
        connector.state == "registered" && installed.is_none_or(|generation| generation == connector.generation)
    });
    match serves {
        Some(connector) => Look::Serving {
            by: Serving { agent: pid, run: connector.run, child: connector.pid },
            already: status.health.since.age(now),
            told: format!("{headline}\n"),
        },
        None => not_yet("no connector is registered; "),
    }
}

/// Holds what is seen against how long it has to hold.
#[derive(Debug, Default)]
struct Settling {
    /// What serves, and since when we see it.
    serving: Option<(Serving, Mono)>,
}

impl Settling {
    /// The status tells how long the tunnel is up, and is rewritten when that changes; yet "up, with fewer connections"
    /// begins anew there, so what was seen here goes on. Either will do.
    fn judge(&mut self, look: Look, settle: Duration, now: Mono) -> Look {
        let Look::Serving { by, already, told } = look else {
            self.serving = None;
            return look;
        };
        let since = match self.serving {
            Some((same, since)) if same == by => since,
            _ => now,
        };
        self.serving = Some((by, since));
        if already.max(now.since(since)) >= settle {
            return Look::Serving { by, already, told };
        }
        Look::NotYet(format!("registered, but for less than {settle:?} (handover.settle): {}", told.trim_end()))
    }
}

#[cfg(test)]
mod tests;
