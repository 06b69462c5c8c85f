//! The last lines of the log, of the agent and of cloudflared: from the journal, or from a file where there is none.

use super::command::run;
use super::{LOOK, PART, Part, Strike, Subject, aside, end_of};
use cflared_report::{Line, Moment};
use cloudflared::{LOG_TARGET, TABLE};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::LazyLock;
use std::time::Duration;
use tokio::process::Command;

/// How many lines of each identifier are asked for.
const LINES: &str = "3000";
/// The most that is read of a log, in bytes; with its fields a line has about 700.
const MOST: u64 = 8 * 1024 * 1024;
/// How the fields of an event begin in the journal.
const PREFIX: &str = "CFLARED_";
/// The fields that the page is drawn from.
const FIELDS: [&str; 7] = ["event", "run", "pid", "how", "conn_index", "location", "protocol"];
const AGENT: &str = "cflared-agent";
/// Reading a long journal from a cold disk takes seconds.
const JOURNAL: Duration = Duration::from_secs(6);

/// What was read.
#[derive(Debug, Default)]
pub struct Logs {
    /// The texts.
    pub parts: Vec<Part>,
    /// The events, oldest first.
    pub lines: Vec<Line>,
}

/// An entry of the log.
#[derive(Debug)]
struct Entry {
    level: String,
    message: String,
    line: Line,
}

/// Reads both.
pub async fn parts(subject: &Subject) -> Logs {
    let (agent, child) = match &subject.log {
        Some(path) => from_file(path).await,
        None => tokio::join!(from_journal(AGENT), from_journal(LOG_TARGET)),
    };
    let mut logs = Logs::default();
    for (name, what, read) in [
        ("log-agent.txt", "the last lines of the agent", agent),
        ("log-cloudflared.txt", "the last lines of cloudflared", child),
    ] {
        logs.parts.push(Part::new(name, what, read.as_ref().map(|entries| text(entries)).map_err(Clone::clone)));
        logs.lines.extend(read.unwrap_or_default().into_iter().map(|entry| entry.line));
    }
    logs.lines.sort_by_key(|line| line.at);
    logs
}

/// A line without secrets.
pub fn struck(mut line: Line, strike: &Strike) -> Line {
    line.fields.values_mut().for_each(|value| *value = strike.struck(value));
    line
}

fn text(entries: &[Entry]) -> String {
    let shown = |entry: &Entry| format!("{} {:>7} {}\n", entry.line.at, entry.level, entry.message);
    end_of(&entries.iter().map(shown).collect::<String>(), PART)
}

async fn from_journal(identifier: &str) -> Result<Vec<Entry>, String> {
    let mut command = Command::new("journalctl");
    command.args(["--no-pager", "--quiet", "--output=json", "--lines", LINES, "--identifier", identifier]);
    let said = run(&mut command, JOURNAL, MOST).await?;
    let entries: Vec<Entry> =
        said.stdout.lines().filter_map(|line| journal_entry(&serde_json::from_str(line).ok()?)).collect();
    let complaint = said.stderr.trim();
    match entries.is_empty() {
        false => Ok(entries),
        true if !complaint.is_empty() => Err(format!("failed to read the journal: {complaint}; run this as root")),
        true => Err(format!("the journal holds no line of {identifier}, or shows none to this user; run this as root")),
    }
}

/// An entry as `journalctl --output=json` writes it.
fn journal_entry(entry: &Map<String, Value>) -> Option<Entry> {
    let get = |name: &str| entry.get(name).and_then(Value::as_str);
    let micros: u64 = get("__REALTIME_TIMESTAMP")?.parse().ok()?;
    let at = get("CFLARED_TIME").and_then(rfc3339).unwrap_or(Moment::from_ms(micros / 1000));
    let fields = FIELDS.iter().filter_map(|name| {
        Some(((*name).to_owned(), get(&format!("{PREFIX}{}", name.to_ascii_uppercase()))?.to_owned()))
    });
    let level = match get("PRIORITY") {
        Some("0" | "1" | "2" | "3") => "error",
        Some("4") => "warning",
        Some("7") => "debug",
        _ => "info",
    };
    Some(entry_of(at, level, get("MESSAGE").unwrap_or("(unprintable)"), fields.collect()))
}

/// The end of a file of JSON lines, as the agent writes them with `log.format: json`.
async fn from_file(path: &Path) -> (Result<Vec<Entry>, String>, Result<Vec<Entry>, String>) {
    let owned = path.to_owned();
    let read = aside("the log", LOOK, move || {
        tail(&owned).map_err(|error| format!("failed to read {}: {error}", owned.display()))
    });
    let text = match read.await {
        Ok(text) => text,
        Err(why) => return (Err(why.clone()), Err(why)),
    };
    let (mut own, mut child) = (vec![], vec![]);
    for line in text.lines() {
        let Some((target, entry)) = serde_json::from_str(line).ok().and_then(|line| json_entry(&line)) else {
            continue;
        };
        if target == LOG_TARGET { child.push(entry) } else { own.push(entry) }
    }
    (Ok(own), Ok(child))
}

fn tail(path: &Path) -> std::io::Result<String> {
    let mut file = input::file::open(path, input::file::Links::Followed)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(MOST)))?;
    let mut bytes = vec![];
    file.take(MOST).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn json_entry(line: &Map<String, Value>) -> Option<(String, Entry)> {
    let get = |name: &str| line.get(name).and_then(Value::as_str);
    let at = rfc3339(get("timestamp")?)?;
    let fields = line.get("fields").and_then(Value::as_object);
    let mut message = get("message").unwrap_or_default().to_owned();
    let mut kept = BTreeMap::new();
    for (name, value) in fields.into_iter().flatten() {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        message.push_str(&format!(" {name}={value:?}"));
        if FIELDS.contains(&name.as_str()) {
            kept.insert(name.clone(), value);
        }
    }
    Some((get("target")?.to_owned(), entry_of(at, get("level").unwrap_or("info"), &message, kept)))
}

fn entry_of(at: Moment, level: &str, message: &str, fields: BTreeMap<String, String>) -> Entry {
    let event = fields.get("event").cloned().unwrap_or_default();
    let ends_connection = ENDS_CONNECTION.contains(event.as_str());
    let line = Line { at, event, ends_connection, fields };
    Entry { level: level.to_owned(), message: input::plain::line(message, usize::MAX), line }
}

/// The events of lines after which a connection is not registered any more.
static ENDS_CONNECTION: LazyLock<BTreeSet<&str>> = LazyLock::new(|| {
    let ends = TABLE.iter().filter(|row| row.meaning.symptom.ends_connection());
    ends.map(|row| row.meaning.event).collect()
});

fn rfc3339(text: &str) -> Option<Moment> {
    humantime::parse_rfc3339(text).ok().map(Moment::from)
}
