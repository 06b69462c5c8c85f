//! `cflared-agent hold`: keeps the agent from acting, for a while.

use super::owner::become_owner;
use super::status::{hold_line, span};
use super::{Exit, complain, say};
use crate::agent::Clock;
use anyhow::{Context, bail};
use nix::unistd::{Gid, Uid, User, chown, geteuid, getuid};
use settings::Settings;
use status::STATUS_FILE;
use status::boot_id;
use status::hold::{self, HOLD_FILE, Held};
use status::{Hold, OPERATOR, ReadError, Status};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// What `--help` says below the arguments.
pub const HELP: &str = "\
While a hold is active, the agent does not mark this instance unhealthy, and no new version of the secret takes over from
a registered connector. Restarts go on. A hold ends at its time, with `hold off`, or with the boot. For a hold without an
end, set the instance tag that identity.hold_tag names.

Exit status without an argument: 0 no hold is active, 1 a hold is active, 2 unknown.";

/// The shortest and the longest hold.
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = hold::LONGEST;
/// How long the agent is given to show the change, and how often its status is read meanwhile.
const SHOWN_WITHIN: Duration = Duration::from_secs(15);
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// How far two tellings of the same moment are apart at most: the time of day may be slewed in between.
const SAME: Duration = Duration::from_secs(2);

#[derive(Debug, clap::Args)]
pub struct Args {
    /// How long, 1s to 7d, such as 30m or 2h; `off` ends the hold
    #[arg(value_name = "DURATION|off", value_parser = wish)]
    wish: Option<Wish>,
    /// The reason, for the people who find the hold
    #[arg(long, value_name = "TEXT", requires = "wish")]
    reason: Option<String>,
}

/// What is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wish {
    Off,
    For(Duration),
}

fn wish(text: &str) -> Result<Wish, String> {
    if text == "off" {
        return Ok(Wish::Off);
    }
    match humantime::parse_duration(text) {
        Ok(time) if (SHORTEST..=LONGEST).contains(&time) => Ok(Wish::For(time)),
        Ok(_) => Err("allowed: 1s to 7d; for a hold without an end, set the instance's hold tag".into()),
        Err(error) => Err(format!("{error}; allowed: 1s to 7d, such as 30m or 2h, or `off`")),
    }
}

pub fn main(settings: &Settings, args: &Args) -> Exit {
    match args.wish {
        None => show(settings),
        Some(Wish::Off) if args.reason.is_some() => {
            complain("--reason is for a new hold, not for `off`");
            Exit::Usage
        }
        Some(wish) => change(settings, wish, args.reason.as_deref()).unwrap_or_else(|error| {
            complain(format_args!("{error:#}"));
            Exit::TryAgain
        }),
    }
}

/// Whether an agent runs.
pub(super) enum Running {
    Yes(Box<Status>),
    No,
    /// It cannot be told, and why.
    Unknown(String),
}

pub(super) fn running(settings: &Settings, now: SystemTime) -> Running {
    match Status::read(&settings.paths.runtime_dir.join(STATUS_FILE)) {
        Ok(status) if !Path::new("/proc").join(status.agent.pid.to_string()).exists() => Running::No,
        Ok(status) if status.is_stale(now) => {
            let age = span(status.written_at.age(now));
            Running::Unknown(format!("the agent stopped writing {age} ago; see: systemctl status cflared-agent"))
        }
        Ok(status) => Running::Yes(Box::new(status)),
        Err(ReadError::Missing(_)) => Running::No,
        Err(error @ ReadError::Unreadable { .. }) => Running::Unknown(error.to_string()),
    }
}

/// Tells what holds: what the agent shows or, where none runs, what the next one will find.
fn show(settings: &Settings) -> Exit {
    let clock = Clock::start();
    let tell = |holds: &[Hold]| holds.iter().for_each(|hold| say(format_args!("{}\n", hold_line(hold, clock.wall()))));
    let holds = match running(settings, clock.wall()) {
        Running::Yes(status) => status.holds,
        Running::No => {
            say("no agent runs; these holds apply from its next start:\n");
            in_file(settings, clock)
        }
        Running::Unknown(why) => {
            complain(why);
            tell(&in_file(settings, clock));
            return Exit::Unknown;
        }
    };
    if holds.is_empty() {
        say("no hold is active\n");
        return Exit::Fine;
    }
    tell(&holds);
    Exit::NotFine
}

fn in_file(settings: &Settings, clock: Clock) -> Vec<Hold> {
    let hold = hold::read(&file(settings), boot_id().as_deref(), clock.mono());
    let told = hold.map(|hold| {
        let until = hold.until.map(|until| clock.wall_at(until).into());
        Hold { by: OPERATOR.into(), until, note: hold.note }
    });
    told.into_iter().collect()
}

/// Writes or removes the file, and waits until the agent shows it.
fn change(settings: &Settings, wish: Wish, reason: Option<&str>) -> anyhow::Result<Exit> {
    let (clock, path) = (Clock::start(), file(settings));
    // Root's name is known no more once root is given up.
    let note = note(reason);
    become_agent(settings)?;
    let hint = "the directory must belong to the agent's user and have room";
    let wanted = match wish {
        Wish::For(time) => {
            let now = clock.mono();
            let until = now + time;
            let held = Held { schema: hold::SCHEMA, boot_id: boot_id(), made_at: now, until, note: note.clone() };
            held.write(&path).with_context(|| format!("failed to write {}; {hint}", path.display()))?;
            Some(Hold { by: OPERATOR.into(), until: Some(clock.wall_at(until).into()), note })
        }
        Wish::Off => {
            hold::lift(&path).with_context(|| format!("failed to remove {}; {hint}", path.display()))?;
            None
        }
    };
    Ok(wait(settings, clock, wanted.as_ref()))
}

fn wait(settings: &Settings, clock: Clock, wanted: Option<&Hold>) -> Exit {
    let deadline = clock.mono() + SHOWN_WITHIN;
    let what = match wanted {
        Some(hold) => hold_line(hold, clock.wall()),
        None => "no hold of an operator is in force".into(),
    };
    loop {
        match running(settings, clock.wall()) {
            Running::No => {
                say(format_args!("no agent runs; these holds apply from its next start: {what}\n"));
                return Exit::Fine;
            }
            Running::Yes(status) if shows(&status.holds, wanted) => {
                say(format_args!("{what}\n"));
                for other in status.holds.iter().filter(|hold| hold.by != OPERATOR) {
                    say(format_args!("{}\n", hold_line(other, clock.wall())));
                }
                return Exit::Fine;
            }
            _ if clock.until(deadline).is_zero() => {
                complain(format_args!(
                    "written, but not shown by the agent within {}: {what}; see: cflared-agent status, journalctl -u \
                     cflared-agent",
                    span(SHOWN_WITHIN)
                ));
                return Exit::Unknown;
            }
            _ => std::thread::sleep(LOOK_AGAIN),
        }
    }
}

/// Whether those are the holds of an agent that knows what is wanted.
fn shows(holds: &[Hold], wanted: Option<&Hold>) -> bool {
    let shown = holds.iter().find(|hold| hold.by == OPERATOR);
    match (shown, wanted) {
        (None, None) => true,
        (Some(shown), Some(wanted)) => {
            let apart = shown.until.zip(wanted.until).map(|(shown, wanted)| {
                let (shown, wanted) = (shown.min(wanted), shown.max(wanted));
                shown.age(wanted.into())
            });
            shown.note == wanted.note && apart.is_some_and(|apart| apart <= SAME)
        }
        _ => false,
    }
}

fn file(settings: &Settings) -> PathBuf {
    settings.paths.runtime_dir.join(HOLD_FILE)
}

/// Who holds, and why.
fn note(reason: Option<&str>) -> String {
    let by_sudo = std::env::var("SUDO_USER").ok().filter(|name| !name.is_empty());
    let by_uid = || User::from_uid(getuid()).ok().flatten().map(|user| user.name);
    let who = by_sudo.or_else(by_uid).unwrap_or_else(|| format!("uid {}", getuid()));
    let reason = reason.map(|reason| format!(": {}", reason.trim())).filter(|reason| reason.len() > 2);
    hold::printable(&format!("{who}{}", reason.unwrap_or_default()))
}

/// Becomes the agent's user, whose the runtime directory is; before the first agent of a boot, root makes it for whoever
/// owns the bundles.
fn become_agent(settings: &Settings) -> anyhow::Result<()> {
    let (runtime_dir, config_dir) = (&settings.paths.runtime_dir, &settings.paths.config_dir);
    if !runtime_dir.exists() && geteuid().is_root() {
        std::fs::create_dir(runtime_dir).with_context(|| format!("failed to make {}", runtime_dir.display()))?;
        if let Ok(owner) = std::fs::metadata(config_dir) {
            chown(runtime_dir, Some(Uid::from_raw(owner.uid())), Some(Gid::from_raw(owner.gid())))
                .with_context(|| format!("failed to give {} to the agent's user", runtime_dir.display()))?;
        }
    }
    let owner = std::fs::metadata(runtime_dir)
        .with_context(|| {
            format!("failed to look at {}; run this as root: sudo cflared-agent hold …", runtime_dir.display())
        })?
        .uid();
    if !geteuid().is_root() && geteuid().as_raw() != owner {
        bail!("failed to hold: only root and the agent's user may hold; run this as root: sudo cflared-agent hold …");
    }
    become_owner(runtime_dir)
}

#[cfg(test)]
mod tests;
