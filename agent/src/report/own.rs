//! What the agent itself left: its status, its state, its settings, what it kept of a connector that hung; and what doctor says.

use super::command::run;
use super::{DOCTOR, LOOK, PART, Part, Strike, Subject, aside, beginning_of, read};
use crate::act::writer::STATE_FILE;
use input::file::Links;
use observe::hang;
use serde_json::Value;
use settings::{Settings, drop_ins, is_drop_in};
use status::{STATUS_FILE, Status};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use tokio::process::Command;

/// How deep credentials are looked for, and how many of them: three generations have three.
const GENERATIONS: usize = 16;

/// The agent's status, whether or not it lives.
pub async fn status(settings: &Settings) -> Result<Status, String> {
    let path = settings.paths.runtime_dir.join(STATUS_FILE);
    aside("the status", LOOK, move || Status::read(&path).map_err(|error| error.to_string())).await
}

/// The secrets that this host has. They are read to be struck out, and go nowhere else.
pub async fn strike(settings: &Settings) -> Strike {
    let (dir, proxy) = (settings.paths.config_dir.clone(), settings.aws.proxy.clone());
    let known = aside("the installed credentials", LOOK, move || Ok(installed(&dir))).await.unwrap_or_default();
    let password = proxy.split_once("://").and_then(|(_, rest)| rest.rsplit_once('@')).map(|(user, _)| user.to_owned());
    let password = password.and_then(|user| Some(user.split_once(':')?.1.to_owned()));
    let environment = std::env::vars().filter(|(name, _)| {
        let name = name.to_ascii_lowercase();
        ["secret", "token", "password", "key"].iter().any(|word| name.contains(word))
    });
    Strike::new(known.into_iter().chain(password).chain(environment.map(|(_, value)| value)))
}

/// The texts of every installed credentials file, but for the tunnel's id and the account's, which are no secrets.
fn installed(dir: &Path) -> Vec<String> {
    let generations = std::fs::read_dir(dir.join("generations")).into_iter().flatten().flatten().take(GENERATIONS);
    let files = generations.flat_map(|generation| std::fs::read_dir(generation.path()).into_iter().flatten().flatten());
    let json = files.map(|file| file.path()).filter(|path| path.extension().is_some_and(|ending| ending == "json"));
    let values = json.filter_map(|path| serde_json::from_str::<Value>(&read(&path, Links::Refused).ok()?).ok());
    let secrets = values.flat_map(|value| {
        let of_name = |name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
        ["TunnelSecret", "TunnelToken", "Token"].map(of_name)
    });
    secrets.flatten().collect()
}

/// The parts.
pub async fn parts(subject: &Subject, status: &Result<Status, String>) -> Vec<Part> {
    let runtime_dir = &subject.settings.paths.runtime_dir;
    let file = |name: &'static str| {
        let path = runtime_dir.join(name);
        aside(name, LOOK, move || read(&path, Links::Refused))
    };
    let (raw, state, hung, settings) =
        tokio::join!(file(STATUS_FILE), file(STATE_FILE), file(hang::FILE), settings(&subject.settings_file));
    let mut parts = vec![
        Part::new("status.json", "the agent's status, with its journal", raw),
        Part::new(
            "decisions.txt",
            "the journal of decisions, for reading",
            status.as_ref().map(decisions).map_err(Clone::clone),
        ),
        Part::new("state.json", "what the agent keeps over a restart of its own", state),
    ];
    // That nothing has hung is no gap in the report.
    if let Ok(text) = hung {
        let text = beginning_of(&text, PART + hang::MOST);
        parts.push(Part::new(hang::FILE, "the last connector that hung, before it was restarted", Ok(text)));
    }
    parts.extend(settings);
    parts
}

/// What doctor finds.
pub async fn doctor(subject: &Subject) -> Part {
    Part::new("doctor.json", "what doctor found", ask_doctor(subject).await)
}

/// Doctor is a process of its own: it becomes the agent's user, and this one does not.
async fn ask_doctor(subject: &Subject) -> Result<String, String> {
    let mut command = Command::new(&subject.program);
    if let Some(named) = &subject.named {
        command.arg("--settings").arg(named);
    }
    command.args(["doctor", "--json"]);
    let said = run(&mut command, DOCTOR, PART as u64).await.map_err(|why| format!("failed to run doctor: {why}"))?;
    match said.stdout.starts_with('{') {
        true => Ok(said.stdout),
        false => Err(format!("doctor ended ({}) without a report: {}", said.status, said.stderr.trim())),
    }
}

fn decisions(status: &Status) -> String {
    let mut text = String::new();
    for entry in &status.journal {
        let blame = entry.blame.as_ref().map(|blame| format!(" [blame {blame}]")).unwrap_or_default();
        // Writing into a string cannot fail.
        let _ = writeln!(text, "{} {}: {}{blame}\n    {}", entry.at, entry.kind, entry.what, entry.evidence);
    }
    text
}

/// The settings and their drop-ins, as they are written.
async fn settings(file: &Path) -> Vec<Part> {
    let path = file.to_owned();
    let read = aside("the settings", LOOK, move || Ok(files(&path))).await;
    let found = match read {
        Ok(found) => found,
        Err(why) => return vec![Part::new("settings/agent.yml", "the settings", Err(why))],
    };
    let part = |(path, content): (PathBuf, Result<String, String>)| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Part::new(format!("settings/{name}"), path.display().to_string(), content.map(|text| beginning_of(&text, PART)))
    };
    found.into_iter().map(part).collect()
}

fn files(file: &Path) -> Vec<(PathBuf, Result<String, String>)> {
    let names = std::fs::read_dir(drop_ins(file)).into_iter().flatten().flatten().map(|entry| entry.file_name());
    let mut names: Vec<_> = names.filter(|name| is_drop_in(name)).take(64).collect();
    names.sort();
    let dropped = names.into_iter().map(|name| drop_ins(file).join(name));
    let first = file.exists().then(|| file.to_owned());
    first.into_iter().chain(dropped).map(|path| (path.clone(), read(&path, Links::Followed))).collect()
}
