//! The status for a person: one screen, faults first.

use super::Judged;
use status::{AutoScaling, Blame, Changing, CloudWatch, Connector, Edge, Hold, Installed, Remote, Status, Taken};
use std::fmt::Write;
use std::time::{Duration, SystemTime};

/// How many of the last decisions are shown.
const TAIL: usize = 5;

/// How much of each of them is, in characters: a line of a terminal. All of it is in `--json` and in the log.
const WIDTH: usize = 80;

pub(super) fn render(status: &Status, judged: &Judged, now: SystemTime) -> String {
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
    if status.observing {
        text.push_str("  mode: observe: the agent only starts, drains and reports\n");
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
    let read = status.secret.version.as_deref();
    if let Some(read_at) = status.secret.read_at {
        let version = read.map(|version| format!("version {version}, ")).unwrap_or_default();
        line(&mut text, "secret", &format!("{version}read {} ago", span(read_at.age(now))));
    }
    if let Some(Installed { generation, version }) = &status.installed {
        line(&mut text, "installed", &format!("generation {generation}, {}", from(version, read)));
    }
    for connector in &status.connectors {
        connector_lines(&mut text, connector, read);
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
pub(in crate::cli) fn hold_line(hold: &Hold, now: SystemTime) -> String {
    let left = |until| span(SystemTime::from(until).duration_since(now).unwrap_or_default());
    hold.until.map_or_else(|| hold.to_string(), |until| format!("{hold} ({} left)", left(until)))
}

/// From which version of the secret something was made, next to the one that was read last.
fn from(version: &str, read: Option<&str>) -> String {
    if Some(version) == read { "from that version".into() } else { format!("from version {version}") }
}

fn connector_lines(text: &mut String, connector: &Connector, read: Option<&str>) {
    let connections = match connector.connections {
        0 => String::new(),
        1 => ", 1 connection".into(),
        many => format!(", {many} connections"),
    };
    let version = connector.version.as_deref().map(|version| format!(", cloudflared {version}")).unwrap_or_default();
    let pid = connector.pid.map(|pid| format!(", pid {pid}")).unwrap_or_default();
    line(text, "connector", &format!("{}{connections}{version}{pid}", connector.state));
    line(text, "", &format!("runs generation {}, {}", connector.generation, from(&connector.secret_version, read)));
    match &connector.connector_id {
        Some(id) => line(text, "", &format!("id {id}, metrics on {}", connector.metrics)),
        None if connector.connections > 0 => line(text, "", &format!("metrics on {}", connector.metrics)),
        None => {}
    }
    for Taken { address, by } in &connector.metrics_taken {
        line(text, "", &format!("not on {address}: {by} has that port"));
    }
    if let Some(Remote { version, broken }) = &connector.remote {
        let broken = broken.as_deref().map(|rule| format!("; it breaks a rule: {rule}")).unwrap_or_default();
        line(text, "", &format!("serves configuration {version} from Cloudflare, not the secret's{broken}"));
    }
    edge_lines(text, &connector.edges);
    if let Some(attempts @ 1..) = connector.ha_connections.filter(|_| connector.connections == 0) {
        line(text, "", &format!("ha_connections is {attempts}, but counts attempts and proves nothing"));
    }
    if connector.restarts > 0 {
        let last = connector.last_exit.as_deref().unwrap_or("not known");
        let times = if connector.restarts == 1 { "once".into() } else { format!("{} times", connector.restarts) };
        line(text, "", &format!("exited {times}; last: {last}"));
    }
}

/// Two a line: `over quic: iad01 198.41.192.167, iad05 198.41.200.13`.
fn edge_lines(text: &mut String, edges: &[Edge]) {
    let mut protocols: Vec<&str> = edges.iter().map(|edge| edge.protocol.as_str()).collect();
    protocols.dedup();
    let over = format!("over {}: ", protocols.join("/"));
    for (number, pair) in edges.chunks(2).enumerate() {
        let lead = if number == 0 { over.clone() } else { " ".repeat(over.len()) };
        let places: Vec<_> = pair.iter().map(|edge| format!("{} {}", edge.location, edge.address)).collect();
        line(text, "", &format!("{lead}{}", places.join(", ")));
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
        let told = format!("  {ago:>8} ago  {}{blame}: {}", entry.what, entry.evidence);
        let _ = writeln!(text, "{}", cut(&told, WIDTH));
    }
}

fn line(text: &mut String, name: &str, value: &str) {
    let _ = writeln!(text, "{name:<12}{value}");
}

/// The two largest units of a time: `3d 4h`, `2m 5s`.
pub(in crate::cli) fn span(time: Duration) -> String {
    let seconds = time.as_secs();
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m {}s", seconds % 60),
        (0, _, _) => format!("{hours}h {minutes}m"),
        _ => format!("{days}d {hours}h"),
    }
}

/// The beginning of a text, with a sign where there was more.
fn cut(text: &str, width: usize) -> String {
    match text.char_indices().nth(width) {
        None => text.into(),
        Some(_) => text.chars().take(width - 1).chain(['…']).collect(),
    }
}
