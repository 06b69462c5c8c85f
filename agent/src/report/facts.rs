//! From the parts, without their secrets, to what the page shows.

use super::{Part, Subject};

use crate::act::state::State;
use cflared_report::{
    Condition, Connection, Decision, Facts, Fault, Finding, Kind, Line, Missing, Moment, Outcome, Span, Story, story,
};
use observe::hang;
use serde::Deserialize;
use status::{AutoScaling, Connector, Status, Timestamp};
use std::time::{Duration, SystemTime};

/// So much of a status' age is no news: it is written every 30 s at least.
const FRESH: Duration = Duration::from_secs(75);

/// Doctor's report, as far as it is shown.
#[derive(Deserialize)]
struct Doctor {
    verdict: String,
    headline: String,
    checks: Vec<Check>,
}

#[derive(Deserialize)]
struct Check {
    id: String,
    title: String,
    outcome: String,
    skipped: Option<String>,
    evidence: Vec<String>,
    remedy: String,
}

/// Everything that the page shows but for the list of files.
pub fn facts(subject: &Subject, parts: &[Part], lines: Vec<Line>) -> Facts {
    let text = |name: &str| parts.iter().find(|part| part.name == name)?.content.as_ref().ok();
    let status: Option<Status> = text("status.json").and_then(|text| serde_json::from_str(text).ok());
    let doctor: Option<Doctor> = text("doctor.json").and_then(|text| serde_json::from_str(text).ok());
    let state: Option<State> = text("state.json").and_then(|text| serde_json::from_str(text).ok());
    let now = Moment::from(subject.now);
    let Story { agents, lives, mut connections, unpushed } = story(&lines);
    if connections.is_empty() {
        connections = shown(status.as_ref(), now);
    }
    let mut facts = Facts {
        made_at: now,
        subject: who(status.as_ref()),
        known_until: now,
        agents,
        lives,
        connections,
        datapoints: state.map(|state| datapoints(state, now)).unwrap_or_default(),
        unpushed,
        missing: parts.iter().filter_map(missing).collect(),
        ..Facts::default()
    };
    if let Some(status) = &status {
        of_status(&mut facts, status);
    }
    match doctor {
        Some(doctor) => of_doctor(&mut facts, doctor),
        None => without_doctor(&mut facts, status.as_ref()),
    }
    let hang = text(hang::FILE).and_then(|text| text.lines().next());
    facts.about.extend(hang.map(|line| ("last hang".to_owned(), line.to_owned())));
    facts
}

fn moment(at: Timestamp) -> Moment {
    Moment::from(SystemTime::from(at))
}

fn who(status: Option<&Status>) -> String {
    let instance = status.and_then(|status| status.instance.as_ref());
    instance.map_or_else(|| "this-host".into(), |instance| instance.id.clone())
}

fn missing(part: &Part) -> Option<Missing> {
    let why = part.content.as_ref().err()?;
    Some(Missing { what: part.name.clone(), why: why.clone() })
}

fn of_doctor(facts: &mut Facts, doctor: Doctor) {
    facts.condition = match doctor.verdict.as_str() {
        "fine" => Condition::Fine,
        "not_fine" => Condition::NotFine,
        _ => Condition::Unknown,
    };
    facts.headline = doctor.headline;
    facts.findings = doctor.checks.into_iter().map(finding).collect();
}

fn finding(check: Check) -> Finding {
    let Check { id, title, outcome, skipped, evidence, remedy } = check;
    let outcome = match (outcome.as_str(), skipped.as_deref()) {
        ("pass", _) => Outcome::Pass,
        ("warn", _) => Outcome::Warn,
        ("fail", _) => Outcome::Fail,
        (_, Some("needs" | "not_applicable")) => Outcome::Skip,
        _ => Outcome::NotKnown,
    };
    Finding { id, title, outcome, evidence, next: remedy }
}

/// Doctor gave no report: what the agent says is the best there is.
fn without_doctor(facts: &mut Facts, status: Option<&Status>) {
    facts.headline = match status {
        Some(status) => {
            format!("doctor could not be asked; the agent says: {}: {}", status.health.state, status.health.why)
        }
        None => "neither doctor nor the agent could be asked".into(),
    };
}

fn of_status(facts: &mut Facts, status: &Status) {
    let written = moment(status.written_at);
    let lives = super::lives(status);
    let age = facts.made_at.since(written);
    let words = format!("{}: {}", status.health.state, status.health.why);
    let (said, until) = match (lives, age > FRESH) {
        (true, false) => (words, facts.made_at),
        (true, true) => {
            (format!("{words}; that was {} ago, and it writes nothing more: it hangs", spoken(age)), written)
        }
        (false, _) => (format!("{words}; that was {} ago, and its process is gone", spoken(age)), written),
    };
    (facts.said, facts.known_until) = (Some(said), until);
    facts.fault = status.blame.as_ref().map(|blame| Fault {
        blame: blame.blame.clone(),
        confidence: blame.confidence.clone(),
        evidence: blame.evidence.clone(),
    });
    facts.decisions = status
        .journal
        .iter()
        .map(|entry| Decision {
            at: moment(entry.at),
            kind: kind(&entry.kind),
            what: entry.what.clone(),
            evidence: entry.evidence.clone(),
            blame: entry.blame.clone(),
        })
        .collect();
    facts.about = about(status);
    facts.connectors = status.connectors.iter().map(connector).collect();
}

fn spoken(age: Duration) -> String {
    humantime::format_duration(Duration::from_secs(age.as_secs())).to_string()
}

fn kind(name: &str) -> Kind {
    match name {
        "finding" => Kind::Finding,
        "transition" => Kind::Transition,
        "action" => Kind::Action,
        "delay" => Kind::Delay,
        "refusal" => Kind::Refusal,
        _ => Kind::Other,
    }
}

/// Names and values, those that are known.
fn known(pairs: impl IntoIterator<Item = (&'static str, Option<String>)>) -> Vec<(String, String)> {
    pairs.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

fn about(status: &Status) -> Vec<(String, String)> {
    let instance = status.instance.as_ref();
    let of = |value: fn(&status::Instance) -> &String| instance.map(value).cloned();
    let holds: Vec<String> = status.holds.iter().map(ToString::to_string).collect();
    let pushes = status.cloudwatch.as_ref().map(|pushes| {
        let last = pushes.last_push_at.map_or("nothing accepted yet".into(), |at| format!("last accepted {at}"));
        let error = pushes.last_error.as_ref().map(|error| format!("; {error}")).unwrap_or_default();
        format!("{last}; {} waiting, {} lost, {} dropped{error}", pushes.waiting, pushes.lost, pushes.dropped)
    });
    known([
        ("on hold", (!holds.is_empty()).then(|| holds.join("; "))),
        ("in the way", status.trouble.clone()),
        ("under way", status.changing.as_ref().map(|changing| changing.what.clone())),
        ("the guard", status.guard.clone()),
        ("instance", of(|instance| &instance.id)),
        ("environment", instance.and_then(|instance| instance.environment.clone())),
        ("region and zone", instance.map(|instance| format!("{}, {}", instance.region, instance.zone))),
        ("image", of(|instance| &instance.image)),
        ("tunnel", status.tunnel.clone()),
        ("secret version", status.installed.as_ref().map(|installed| installed.version.clone())),
        (
            "agent",
            Some(format!(
                "{}, pid {}, since {}",
                status.agent.version,
                status.agent.pid,
                moment(status.agent.started_at)
            )),
        ),
        ("group", status.autoscaling.as_ref().and_then(group)),
        ("CloudWatch", pushes),
        ("restarts of connectors", Some(status.counters.connector_restarts.to_string())),
        (
            "lines of the log lost",
            (status.counters.log_lines_lost > 0).then(|| status.counters.log_lines_lost.to_string()),
        ),
    ])
}

fn group(scaling: &AutoScaling) -> Option<String> {
    let lifecycle = scaling.lifecycle.as_deref().unwrap_or("lifecycle not known");
    let marked = if scaling.marked { ", marked unhealthy" } else { "" };
    Some(format!("{}, {lifecycle}{marked}", scaling.group.as_ref()?))
}

fn connector(one: &Connector) -> cflared_report::Connector {
    let edges = one.edges.iter().map(|edge| format!("{} {} ({})", edge.location, edge.address, edge.protocol));
    let edges: Vec<String> = edges.collect();
    cflared_report::Connector {
        run: one.run.to_string(),
        state: one.state.clone(),
        about: known([
            ("connections", Some(one.connections.to_string())),
            ("ha_connections", one.ha_connections.map(|count| format!("{count} (attempts; proves nothing)"))),
            ("edge", (!edges.is_empty()).then(|| edges.join(", "))),
            ("version", one.version.clone()),
            ("pid", one.pid.map(|pid| pid.to_string())),
            ("connector id", one.connector_id.clone()),
            ("metrics", Some(one.metrics.to_string())),
            ("generation", Some(format!("{}, secret version {}", one.generation, one.secret_version))),
            ("restarts", Some(one.restarts.to_string())),
            ("last exit", one.last_exit.clone()),
        ]),
    }
}

/// Without a log: the connections that there are, since the agent's health last changed.
fn shown(status: Option<&Status>, now: Moment) -> Vec<Connection> {
    let Some(status) = status.filter(|status| super::lives(status)) else { return vec![] };
    let from = moment(status.health.since).min(now);
    let of = |one: &Connector| {
        let run = one.run.to_string();
        one.edges
            .iter()
            .map(move |edge| Connection {
                run: run.clone(),
                index: edge.index,
                place: edge.location.clone(),
                protocol: edge.protocol.clone(),
                span: Span { from, to: None },
            })
            .collect::<Vec<_>>()
    };
    status.connectors.iter().flat_map(of).collect()
}

fn datapoints(state: State, now: Moment) -> Vec<Span> {
    let ranges: Vec<(u64, u64)> = state.cloudwatch.stamped.into();
    let second = |second: u64| Moment::from_ms(second.saturating_mul(1000));
    ranges.into_iter().map(|(from, to)| Span { from: second(from), to: Some(second(to).min(now)) }).collect()
}
