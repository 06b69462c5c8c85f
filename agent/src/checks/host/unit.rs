//! The units, as systemd reports them.

use super::Facts;
use crate::checks::{Found, Outcome, program};
use std::collections::HashMap;
use std::process::Command;
use std::time::Duration;

const AGENT: &str = "cflared-agent.service";
/// The unit that cloudflared's own installer writes (observed, 2026.8.2).
const OTHER: &str = "cloudflared.service";
const ASKED: &str = "LoadState,ActiveState,SubState,UnitFileState,NRestarts,Result,ExecMainStatus,StatusText,User";
/// From so many restarts on, the unit is said to restart again and again.
const MANY: u64 = 3;

/// Properties of a unit (systemctl(1), org.freedesktop.systemd1(5)); empty where systemd says nothing.
#[derive(Debug, Clone, Default)]
pub struct Unit {
    /// `loaded`, `masked`, `not-found`.
    pub load: String,
    /// `active`, `activating`, `inactive`, `failed`.
    pub active: String,
    /// `running`, `auto-restart`.
    pub sub: String,
    /// `enabled`, `disabled`, `masked`.
    pub file: String,
    /// How often it was started again by itself.
    pub restarts: u64,
    /// `success`, `exit-code`, `watchdog`, `oom-kill`.
    pub result: String,
    /// The last exit status, or signal.
    pub exit: String,
    /// What the agent told systemd last.
    pub status: String,
    /// Whom it runs as.
    pub user: String,
}

/// The units that matter.
#[derive(Debug, Clone, Default)]
pub struct Units {
    /// The agent's.
    pub agent: Unit,
    /// Another one for cloudflared.
    pub other: Unit,
}

/// Asks systemd; `None` where it does not run. Blocks for up to `limit`.
pub fn ask(limit: Duration) -> Result<Option<Units>, String> {
    let mut systemctl = Command::new("systemctl");
    systemctl.args(["show", "--no-pager", "--property", ASKED, AGENT, OTHER]);
    let said = match program::run(&mut systemctl, limit) {
        Ok(Some(said)) => said,
        Ok(None) => return Ok(None),
        Err(error) => return Err(format!("failed to ask systemctl: {error}")),
    };
    if said.stderr.contains("not been booted with systemd") {
        return Ok(None);
    }
    if !said.status.success() {
        return Err(format!("failed to ask systemctl: {}", said.stderr.trim()));
    }
    let mut units = said.stdout.split("\n\n").map(parse);
    Ok(Some(Units { agent: units.next().unwrap_or_default(), other: units.next().unwrap_or_default() }))
}

fn parse(block: &str) -> Unit {
    let mut of: HashMap<&str, &str> = block.lines().filter_map(|line| line.split_once('=')).collect();
    let mut take = |key| of.remove(key).unwrap_or_default().to_owned();
    Unit {
        load: take("LoadState"),
        active: take("ActiveState"),
        sub: take("SubState"),
        file: take("UnitFileState"),
        restarts: take("NRestarts").parse().unwrap_or_default(),
        result: take("Result"),
        exit: take("ExecMainStatus"),
        status: take("StatusText"),
        user: take("User"),
    }
}

/// The units, or what is found without them.
fn units(facts: &Facts) -> Result<&Units, Found> {
    match &facts.early.units {
        Ok(Some(units)) => Ok(units),
        Ok(None) => Err(Found::not_applicable("systemd does not run here")),
        Err(why) => Err(Found::not_known(why)),
    }
}

/// Installed, enabled, not masked.
pub fn enabled(facts: &Facts) -> Found {
    let unit = match units(facts) {
        Ok(units) => &units.agent,
        Err(found) => return found,
    };
    match (&*unit.load, &*unit.file) {
        ("masked", _) | (_, "masked" | "masked-runtime") => {
            Found::fail(format!("{AGENT} is masked: systemd will not start it, at boot or by hand"))
        }
        ("not-found", _) if facts.agent_lives() => Found::not_applicable(RUNS_WITHOUT),
        ("not-found", _) => Found::fail(format!("{AGENT} is not there: the package cflared-agent is not installed")),
        ("loaded", "disabled") => Found::fail(format!("{AGENT} is disabled: it does not start at boot")),
        ("loaded", file) => Found::pass(format!("{AGENT} is {file}")),
        (load, _) => Found::fail(format!("systemd could not load {AGENT} ({load})")),
    }
}

const RUNS_WITHOUT: &str = "the agent runs without its unit";

/// Started, and not ended.
pub fn active(facts: &Facts) -> Found {
    let unit = match units(facts) {
        Ok(units) => &units.agent,
        Err(found) => return found,
    };
    if unit.load == "not-found" {
        let without = Found::not_applicable(RUNS_WITHOUT);
        return if facts.agent_lives() { without } else { Found::needs(&super::catalogue::UNITS_ENABLED) };
    }
    let ended = || {
        let hint = if unit.exit == "78" { ": the settings are wrong, so it is not started again" } else { "" };
        format!("it last ended with {} (status {}){hint}", unit.result, unit.exit)
    };
    let told = if unit.status.is_empty() { String::new() } else { format!(": {}", unit.status) };
    match (&*unit.active, &*unit.sub) {
        ("activating", "auto-restart") => Found::fail(ended()).and("systemd starts it again"),
        ("active" | "reloading", _) => Found::pass(format!("{AGENT} is {}{told}", unit.active)),
        ("activating", _) => Found::warn(format!("{AGENT} is starting{told}")),
        ("deactivating", _) => Found::warn(format!("{AGENT} is being stopped{told}")),
        ("failed", _) => Found::fail(format!("{AGENT} has failed: {}", ended())),
        _ => Found::fail(format!("{AGENT} is stopped ({}); {}", unit.active, ended())),
    }
}

/// No other unit runs cloudflared.
pub fn no_other_connector(facts: &Facts) -> Found {
    match units(facts) {
        Err(found) => found,
        Ok(Units { other, .. }) if matches!(&*other.active, "active" | "activating") => {
            Found::fail(format!("{OTHER} is {}: it runs a cloudflared of its own", other.active))
        }
        Ok(Units { other, .. }) if other.file == "enabled" => {
            Found::fail(format!("{OTHER} is enabled: it starts a cloudflared of its own at boot"))
        }
        // A unit of any name, enabled, by what it executes.
        Ok(_) => match &facts.early.other_connector {
            Ok(found) if found.outcome == Outcome::Pass => {
                Found::pass(format!("{OTHER} does not run; {}", found.why()))
            }
            Ok(found) => found.clone(),
            Err(why) => Found::not_known(why),
        },
    }
}

/// Few restarts, of the unit and of the connector.
pub fn restarts(facts: &Facts) -> Found {
    let unit = units(facts).ok().map(|units| &units.agent).filter(|unit| unit.restarts >= MANY);
    let mut wrong: Vec<String> = unit
        .map(|unit| format!("systemd started the agent again {} times; last result: {}", unit.restarts, unit.result))
        .into_iter()
        .collect();
    let Some(status) = facts.status() else {
        return if wrong.is_empty() {
            Found::not_applicable("no agent has reported")
        } else {
            Found::warn(wrong.remove(0))
        };
    };
    for connector in status.connectors.iter().filter(|connector| connector.restarts >= MANY) {
        let last = connector.last_exit.as_deref().unwrap_or("not known");
        wrong.push(format!("the connector was started again {} times; it last ended: {last}", connector.restarts));
    }
    match wrong.pop() {
        Some(first) => wrong.into_iter().fold(Found::warn(first), Found::and),
        None => Found::pass(format!("{} restarts of connectors in this boot", status.counters.connector_restarts)),
    }
}
