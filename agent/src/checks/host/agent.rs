//! The agent's own status, and whether it is fresh.

use super::Facts;
use crate::checks::catalogue::{self, Check, host as checks};
use crate::checks::{Found, Report};
use status::{AutoScaling, CloudWatch, ReadError};
use std::time::{Duration, SystemTime};

/// A push is due each minute; after so long without one, alarms on missing data go off.
const PUSH_OVERDUE: Duration = Duration::from_secs(5 * 60);

/// How long ago, for a person.
pub fn span(age: Duration) -> String {
    humantime::format_duration(Duration::from_secs(age.as_secs())).to_string()
}

/// The agent lives and writes. `stopped` is a check of its unit that failed.
pub fn alive(facts: &Facts, report: &Report) -> Found {
    let found = lives(facts);
    let unit: [&'static Check; 3] = [&catalogue::SETTINGS, &catalogue::UNITS_ENABLED, &checks::UNIT_ACTIVE];
    match report.failed(&unit) {
        Some(cause) if found.outcome == crate::checks::Outcome::Fail => {
            found.evidence.into_iter().fold(Found::needs(cause), Found::and)
        }
        _ => found,
    }
}

fn lives(facts: &Facts) -> Found {
    let status = match &facts.early.status {
        Err(why) => return Found::not_known(why),
        Ok(Err(ReadError::Missing(path))) => {
            return Found::fail(format!("there is no {path}: the agent has not run since this host booted"));
        }
        Ok(Err(error)) => return Found::fail(error.to_string()),
        Ok(Ok(status)) => status,
    };
    let (pid, age) = (status.agent.pid, span(status.written_at.age(facts.now)));
    let (state, why) = (&status.health.state, &status.health.why);
    match (facts.early.agent_process, status.is_stale(facts.now)) {
        (false, _) => {
            Found::fail(format!("the agent (process {pid}) has been gone for {age}; its last status: {state}: {why}"))
        }
        (true, true) => Found::fail(format!(
            "the agent hangs: process {pid} runs, but has not written its status for {age}; the last one was \
                {state}: {why}"
        )),
        (true, false) => Found::pass(format!("process {pid}, wrote its status {age} ago: {state}: {why}")),
    }
}

/// What runs is what is installed.
pub fn version(facts: &Facts) -> Found {
    let Some(status) = facts.status() else { return Found::needs(&checks::AGENT_ALIVE) };
    let (runs, installed) = (&status.agent.version, facts.version);
    if runs == installed {
        Found::pass(format!("both are {installed}"))
    } else {
        Found::warn(format!("version {runs} runs, but {installed} is installed: an upgrade restarts nothing by itself"))
    }
}

/// Nothing holds.
pub fn hold(facts: &Facts) -> Found {
    let mut holds = facts.holds.clone();
    match holds.pop() {
        Some(first) => holds.into_iter().fold(Found::warn(first), Found::and),
        None => Found::pass("no hold is active, by tag or on this host"),
    }
}

/// The pushes arrive.
pub fn cloudwatch(facts: &Facts, report: &Report) -> Found {
    if !facts.settings.cloudwatch.enabled {
        return Found::not_applicable("cloudwatch.enabled is false");
    }
    let Some(status) = facts.status() else { return Found::needs(&checks::AGENT_ALIVE) };
    let Some(pushes) = &status.cloudwatch else {
        return Found::not_applicable("the agent has had nothing to push yet");
    };
    match (pushed(pushes, status.agent.started_at.age(facts.now), facts.now), cause_at_aws(report)) {
        (found, Some(cause)) if found.outcome == crate::checks::Outcome::Fail => {
            found.evidence.into_iter().fold(Found::needs(cause), Found::and)
        }
        (found, _) => found,
    }
}

fn pushed(pushes: &CloudWatch, running: Duration, now: SystemTime) -> Found {
    let since = pushes.last_push_at.map_or(running, |at| at.age(now));
    let last = pushes
        .last_push_at
        .map_or("nothing was accepted yet".into(), |at| format!("accepted {} ago", span(at.age(now))));
    let rest = format!("{last}; {} waiting, {} lost, {} dropped", pushes.waiting, pushes.lost, pushes.dropped);
    match &pushes.last_error {
        Some(error) if since > PUSH_OVERDUE => Found::fail(error).and(rest),
        Some(error) => Found::warn(error).and(rest),
        None if since > PUSH_OVERDUE && pushes.waiting > 0 => Found::fail(rest),
        None => Found::pass(rest),
    }
}

/// What stands between this host and all of AWS.
fn cause_at_aws(report: &Report) -> Option<&'static Check> {
    report.failed(&[&checks::METADATA, &checks::ROLE, &checks::DNS, &checks::AWS, &checks::CLOCK])
}

/// Auto Scaling answered.
pub fn autoscaling(facts: &Facts, report: &Report) -> Found {
    if !facts.settings.autoscaling.enabled {
        return Found::not_applicable("autoscaling.enabled is false");
    }
    let Some(status) = facts.status() else { return Found::needs(&checks::AGENT_ALIVE) };
    let place = |of: &AutoScaling| {
        let lifecycle = of.lifecycle.as_deref().unwrap_or("lifecycle not known");
        of.group.as_ref().map(|group| format!("group {group}, {lifecycle}"))
    };
    match &status.autoscaling {
        Some(AutoScaling { last_error: Some(error), .. }) => match cause_at_aws(report) {
            Some(cause) => Found::needs(cause).and(error),
            None => Found::warn(error),
        },
        Some(told) if told.marked => {
            Found::warn("this instance is marked unhealthy by the agent: Auto Scaling replaces it")
                .and(place(told).unwrap_or_default())
        }
        Some(told) if told.group.is_some() => Found::pass(place(told).unwrap_or_default()),
        _ => Found::not_applicable("the agent has had no reason to ask it yet"),
    }
}
