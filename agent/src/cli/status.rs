//! `cflared-agent status`: what is wrong first.

use super::{Exit, complain, say};
use crate::act::status::{AutoScaling, Blame, Changing, CloudWatch, Connector, Hold, Installed, ReadError, Status};
use crate::act::writer::STATUS_FILE;
use crate::agent::Clock;
use crate::settings::Settings;
use std::fmt::Write;
use std::time::{Duration, SystemTime};

/// How many of the last decisions are shown.
const TAIL: usize = 5;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Print the status file as it is
    #[arg(long)]
    json: bool,
}

pub fn main(settings: &Settings, args: &Args) -> Exit {
    let path = settings.paths.runtime_dir.join(STATUS_FILE);
    let now = Clock::start().wall();
    let (text, exit) = match Status::read(&path) {
        Ok(status) => {
            let judged = judge(&status, now);
            let text = if args.json { json(&status) } else { render(&status, &judged, now) };
            (text, judged.exit)
        }
        Err(error @ (ReadError::Missing(_) | ReadError::Unreadable { .. })) => {
            complain(error);
            return Exit::Unknown;
        }
    };
    say(text);
    exit
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

pub(super) fn judge(status: &Status, now: SystemTime) -> Judged {
    let (state, why) = (&status.health.state, &status.health.why);
    if status.is_stale(now) {
        let age = span(status.written_at.age(now));
        let headline = format!(
            "unknown: the agent stopped writing {age} ago; then it was {state}: {why}\n  \
             next: systemctl status cflared-agent; journalctl -u cflared-agent"
        );
        return Judged { headline, exit: Exit::Unknown };
    }
    let registered = matches!(state.as_str(), "registered" | "degraded");
    let exit = if registered { Exit::Fine } else { Exit::NotFine };
    let since = span(status.health.since.age(now));
    Judged { headline: format!("{state} for {since}{}\n  {why}", meaning(state)), exit }
}

/// What a state means, for who sees it for the first time.
fn meaning(state: &str) -> &'static str {
    match state {
        "starting" => ": the tunnel is not up yet, and it is too early to worry",
        "registered" => ": the tunnel is up",
        "degraded" => ": the tunnel is up, with fewer connections than it had",
        "broken" => ": the tunnel is down on this instance",
        "remediating" => ": the tunnel is down on this instance; the agent has acted, and it has not helped yet",
        "condemned" => ": the tunnel is down on this instance; Auto Scaling was told to replace it",
        "held" => ": the tunnel is down on this instance; it should be replaced, and that takes a person",
        "draining" => ": the tunnel is being closed on this instance",
        // A newer agent may know more of them.
        _ => "",
    }
}

fn render(status: &Status, judged: &Judged, now: SystemTime) -> String {
    let mut text = String::new();
    for hold in &status.holds {
        let _ = writeln!(text, "{}", hold_line(hold, now));
    }
    let _ = writeln!(text, "{}", judged.headline);
    if let Some(Blame { blame, confidence, evidence }) = &status.blame {
        let _ = writeln!(text, "  blame: {} ({confidence}): {evidence}", blame.replace('_', " "));
    }
    if let Some(guard) = status.guard.as_ref().filter(|guard| !judged.headline.contains(guard.as_str())) {
        let _ = writeln!(text, "  guard: {guard}");
    }
    if let Some(trouble) = status.trouble.as_ref().filter(|trouble| !judged.headline.contains(trouble.as_str())) {
        let _ = writeln!(text, "  trouble: {trouble}");
    }
    if let Some(Changing { what, until }) = &status.changing {
        let left = until.map(|until| SystemTime::from(until).duration_since(now).unwrap_or_default());
        let left = left.map(|left| format!(" ({} left)", span(left))).unwrap_or_default();
        let _ = writeln!(text, "  change: {what}{left}");
    }
    if status.dry_run {
        text.push_str("  dry run: this instance is never marked unhealthy\n");
    }
    text.push('\n');
    if let Some(instance) = &status.instance {
        let environment = instance.environment.as_deref().unwrap_or("environment not known");
        let place = format!("{}, {environment}, {}, {}", instance.id, instance.zone, instance.image);
        line(&mut text, "instance", &place);
    }
    if let Some(tunnel) = &status.tunnel {
        line(&mut text, "tunnel", tunnel);
    }
    if let Some(installed) = &status.installed {
        let Installed { generation, version } = installed;
        line(&mut text, "installed", &format!("generation {generation}, from secret version {version}"));
    }
    if let Some(read_at) = status.secret.read_at {
        line(&mut text, "secret", &format!("read {} ago", span(read_at.age(now))));
    }
    for connector in &status.connectors {
        connector_lines(&mut text, connector);
    }
    if let Some(cloudwatch) = &status.cloudwatch {
        line(&mut text, "cloudwatch", &pushes(cloudwatch, now));
    }
    if let Some(autoscaling) = &status.autoscaling {
        let told = status.guard.as_deref();
        line(&mut text, "autoscaling", &group(autoscaling, told));
    }
    let agent = &status.agent;
    let running = span(agent.started_at.age(now));
    line(&mut text, "agent", &format!("{}, pid {}, running for {running}", agent.version, agent.pid));
    if status.counters.log_lines_lost > 0 {
        line(
            &mut text,
            "log",
            &format!("{} lines lost: the log's reader does not keep up", status.counters.log_lines_lost),
        );
    }
    journal(&mut text, status, now);
    text
}

/// A hold, for whoever wonders why nothing is done.
pub(super) fn hold_line(hold: &Hold, now: SystemTime) -> String {
    let left = |until| span(SystemTime::from(until).duration_since(now).unwrap_or_default());
    hold.until.map_or_else(|| hold.to_string(), |until| format!("{hold} ({} left)", left(until)))
}

fn connector_lines(text: &mut String, connector: &Connector) {
    let connections = match connector.connections {
        0 => String::new(),
        1 => ", 1 connection".into(),
        many => format!(", {many} connections"),
    };
    let version = connector.version.as_deref().map(|version| format!(", cloudflared {version}")).unwrap_or_default();
    let pid = connector.pid.map(|pid| format!(", pid {pid}")).unwrap_or_default();
    let Connector { state, generation, secret_version, .. } = connector;
    let facts = format!("{state}{connections}, generation {generation}, secret version {secret_version}{version}{pid}");
    line(text, "connector", &facts);
    if let Some(id) = &connector.connector_id {
        line(text, "", &format!("id {id}, metrics on {}", connector.metrics));
    }
    if connector.restarts > 0 {
        let last = connector.last_exit.as_deref().unwrap_or("not known");
        let times = if connector.restarts == 1 { "once".into() } else { format!("{} times", connector.restarts) };
        line(text, "", &format!("exited {times}; last: {last}"));
    }
}

fn pushes(cloudwatch: &CloudWatch, now: SystemTime) -> String {
    let last = cloudwatch.last_push_at.map(|at| format!("pushed {} ago", span(at.age(now))));
    let mut text = last.unwrap_or_else(|| "nothing pushed yet".into());
    for (count, what) in [(cloudwatch.waiting, "waiting"), (cloudwatch.lost, "lost"), (cloudwatch.dropped, "dropped")] {
        if count > 0 {
            let _ = write!(text, ", {count} {what}");
        }
    }
    if let Some(error) = &cloudwatch.last_error {
        let _ = write!(text, "; {error}");
    }
    text
}

/// What `told` says already is left out.
fn group(autoscaling: &AutoScaling, told: Option<&str>) -> String {
    let mark = if autoscaling.marked { "marked unhealthy by this agent" } else { "not marked unhealthy" };
    let error = autoscaling.last_error.as_deref().filter(|error| Some(*error) != told);
    match (&autoscaling.group, error) {
        (_, Some(error)) => format!("{mark}; {error}"),
        (Some(group), None) => format!("{mark}, group {group}"),
        (None, None) => mark.into(),
    }
}

fn journal(text: &mut String, status: &Status, now: SystemTime) {
    if status.journal.is_empty() {
        return;
    }
    text.push_str("\nlast decisions, newest first\n");
    for entry in status.journal.iter().rev().take(TAIL) {
        let blame = entry.blame.as_ref().map(|blame| format!(" [{}]", blame.replace('_', " "))).unwrap_or_default();
        let ago = span(entry.at.age(now));
        let _ = writeln!(text, "  {ago:>8} ago  {}{blame}: {}", entry.what, entry.evidence);
    }
}

fn line(text: &mut String, name: &str, value: &str) {
    let _ = writeln!(text, "{name:<12}{value}");
}

/// The two largest units of a time: `3d 4h`, `2m 5s`.
pub(super) fn span(time: Duration) -> String {
    let seconds = time.as_secs();
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m {}s", seconds % 60),
        (0, _, _) => format!("{hours}h {minutes}m"),
        _ => format!("{days}d {hours}h"),
    }
}

#[cfg(test)]
pub(super) mod tests;
