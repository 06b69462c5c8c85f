//! `cflared-agent status`: shows the tunnel, faults first.

mod render;
mod watch;

pub(super) use render::{hold_line, span};

use super::{Exit, complain, say, say_json};
use crate::agent::Clock;
use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::unistd::Pid;
use settings::Settings;
use status::STATUS_FILE;
use status::{ReadError, Status};
use std::path::Path;
use std::time::SystemTime;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Print the status file as it is
    #[arg(long)]
    json: bool,
    /// Keep showing it until Ctrl-C: a terminal is redrawn, elsewhere each change is printed
    #[arg(long)]
    watch: bool,
}

pub fn main(settings: &Settings, args: &Args) -> Exit {
    let path = settings.paths.runtime_dir.join(STATUS_FILE);
    if args.watch {
        return watch::watch(&path, args.json);
    }
    let look = Look::at(&path);
    match &look.status {
        Ok(status) if args.json => say_json(&json(status)),
        Ok(_) => say(look.text()),
        Err(error) => complain(error),
    }
    look.exit()
}

/// What a look at the status file found.
struct Look {
    status: Result<Status, ReadError>,
    now: SystemTime,
}

impl Look {
    fn at(path: &Path) -> Self {
        Self { status: Status::read(path), now: Clock::start().wall() }
    }

    fn text(&self) -> String {
        match &self.status {
            Ok(status) => render::render(status, &judge(status, self.now, lives), self.now),
            Err(error) => format!("{error}\n"),
        }
    }

    fn exit(&self) -> Exit {
        match &self.status {
            Ok(status) => judge(status, self.now, lives).exit,
            Err(ReadError::Missing(_) | ReadError::Unreadable { .. }) => Exit::Unknown,
        }
    }
}

fn json(status: &Status) -> String {
    let mut text = serde_json::to_string_pretty(status).expect("the status has string keys only");
    text.push('\n');
    text
}

/// What is wrong, or that nothing is, and what that comes to.
pub(super) struct Judged {
    pub headline: String,
    pub exit: Exit,
}

/// `lives` tells whether there is a process of that id.
pub(super) fn judge(status: &Status, now: SystemTime, lives: impl Fn(u32) -> bool) -> Judged {
    let (state, why) = (&status.health.state, &status.health.why);
    // One that was told to stop has said so, and is to be gone.
    let gone = state != "draining" && !lives(status.agent.pid);
    if gone || status.is_stale(now) {
        let (pid, age) = (status.agent.pid, span(status.written_at.age(now)));
        let what = if gone {
            format!("the agent that wrote this (pid {pid}) is gone")
        } else {
            "the agent stopped writing".into()
        };
        let headline = format!(
            "stale: {what}; {age} ago it was {state}: {why}\n  next: systemctl status cflared-agent; journalctl -u cflared-agent"
        );
        return Judged { headline, exit: Exit::Unknown };
    }
    let registered = matches!(state.as_str(), "registered" | "degraded");
    let exit = if registered { Exit::Fine } else { Exit::NotFine };
    let since = span(status.health.since.age(now));
    Judged { headline: format!("{state} for {since}{}\n  {why}", meaning(state)), exit }
}

/// Whether there is a process of that id; that it is another user's does not matter.
pub(super) fn lives(pid: u32) -> bool {
    let pid = i32::try_from(pid).ok().filter(|pid| *pid > 0);
    pid.is_some_and(|pid| kill(Pid::from_raw(pid), None) != Err(Errno::ESRCH))
}

/// What a state means, for who sees it for the first time.
fn meaning(state: &str) -> &'static str {
    match state {
        "starting" => ": the tunnel is not up yet, and it is too early to worry",
        "registered" => ": the tunnel is up",
        "degraded" => ": the tunnel is up, with fewer connections than before",
        "broken" => ": the tunnel is down on this instance",
        "remediating" => ": the tunnel is down on this instance; the agent acted, and that has not helped yet",
        "condemned" => ": the tunnel is down on this instance; Auto Scaling was asked to replace it",
        "held" => ": the tunnel is down on this instance; the agent must not have it replaced, and needs a person",
        "draining" => ": the agent is closing the tunnel on this instance",
        // A newer agent may know more of them.
        _ => "",
    }
}

#[cfg(test)]
pub(super) mod tests;
