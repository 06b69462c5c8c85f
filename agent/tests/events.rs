//! `docs/events.md` lists the events that the sources log, with their levels and fields, and no others.
#![allow(clippy::unwrap_used)] // a test may fail

mod sources;

use cloudflared::TABLE;
use sources::{page, sources};
use std::collections::{BTreeMap, BTreeSet};

type Names = BTreeSet<String>;

/// An event as it is logged, or as the page tells.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Logged {
    event: String,
    level: String,
    fields: Names,
}

/// The arguments of every call of that macro in a source.
fn calls(text: &str, name: &str) -> Vec<Vec<String>> {
    let call = format!("{name}!(");
    let whole = |at: usize| !text[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
    let found = text.match_indices(&call).filter(|(at, _)| whole(*at));
    found.map(|(at, _)| arguments(&text[at + call.len()..])).collect()
}

/// The arguments up to the closing bracket.
fn arguments(text: &str) -> Vec<String> {
    let (mut depth, mut quoted, mut escaped, mut all, mut one) = (0, false, false, vec![], String::new());
    for c in text.chars() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ if quoted => {}
            ')' if depth == 0 => break,
            ',' if depth == 0 => {
                all.push(std::mem::take(&mut one).trim().to_owned());
                continue;
            }
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth -= 1,
            _ => {}
        }
        one.push(c);
    }
    all.push(one.trim().to_owned());
    all
}

/// The fields among these arguments with their values; the message ends them.
fn fields(arguments: &[String]) -> BTreeMap<String, String> {
    let fields = arguments.iter().take_while(|argument| !argument.starts_with('"'));
    let named = fields.map(|field| field.split_once('=').unwrap_or((field, "")));
    named.map(|(name, value)| (name.trim().trim_start_matches(['%', '?']).into(), value.trim().into())).collect()
}

/// Of an event that is logged in two places, one is enough if both say the same.
fn logged() -> BTreeSet<Logged> {
    let mut found = BTreeSet::new();
    for text in sources() {
        for level in ["error", "warn", "info", "debug", "trace"] {
            for arguments in calls(&text, level) {
                let mut fields = fields(&arguments);
                let event = fields.remove("event").unwrap_or_else(|| panic!("an event without an id: {arguments:?}"));
                let (level, event) = (level.to_owned(), event.trim_matches('"').to_owned());
                found.insert(Logged { event, level, fields: fields.into_keys().collect() });
            }
        }
        // The log's own line does not go through itself.
        if let Some((_, rest)) = text.split_once("fields.push((\"event\", Value::Text(\"") {
            let (event, fields) = (rest.split('"').next().unwrap().into(), ["lost".into()].into());
            found.insert(Logged { event, level: "warn".into(), fields });
        }
    }
    found
}

/// The rows of a section's table, by cell.
fn rows(section: &str) -> Vec<Vec<String>> {
    let page = page("events.md");
    let text = page.split(&format!("## {section}\n")).nth(1).unwrap().split("\n## ").next().unwrap();
    let rows = text.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| row.split('|').map(|cell| cell.trim().to_owned()).collect()).collect()
}

/// What stands between backticks.
fn names(cell: &str) -> Names {
    cell.split('`').skip(1).step_by(2).map(String::from).collect()
}

#[test]
fn the_page_has_every_event_of_the_agent_with_its_level_and_fields_and_no_other() {
    let told = rows("Of the agent").into_iter().map(|cells| {
        let event = names(&cells[1]).pop_first().unwrap();
        Logged { event, level: cells[2].clone(), fields: names(&cells[3]) }
    });
    let (told, logged): (BTreeSet<_>, _) = (told.collect(), logged());
    let differ: Vec<_> = told.symmetric_difference(&logged).collect();
    assert!(differ.is_empty(), "only in the page, or only in the sources: {differ:#?}");
    let ids: Names = logged.iter().map(|logged| logged.event.clone()).collect();
    assert_eq!(ids.len(), logged.len(), "an id with two levels or other fields");
    assert!(ids.len() > 30, "{ids:?}");
    let snake = |id: &String| id.chars().all(|c| c.is_ascii_lowercase() || c == '_');
    assert!(ids.iter().all(snake), "{ids:?}");
}

#[test]
fn the_page_has_every_event_of_cloudflared_with_its_levels_and_no_other() {
    let mut levels: BTreeMap<String, Names> = BTreeMap::new();
    for row in TABLE {
        let level = row.meaning.level.to_string().to_lowercase();
        levels.entry(row.meaning.event.into()).or_default().insert(level);
    }
    let mut told: Vec<String> = vec![];
    for cells in rows("Of cloudflared") {
        let events = names(&cells[1]);
        if events.contains("other") {
            continue;
        }
        let of_them: Names = events.iter().filter_map(|event| levels.get(event)).flatten().cloned().collect();
        assert_eq!(cells[2].split(", ").map(String::from).collect::<Names>(), of_them, "{events:?}");
        told.extend(events);
    }
    told.sort();
    assert_eq!(told, levels.keys().cloned().collect::<Vec<_>>());
    let own: Names = logged().into_iter().map(|logged| logged.event).collect();
    assert!(told.iter().all(|event| !own.contains(event)), "an id of both");
}

#[test]
fn the_page_names_every_field_of_a_line_of_cloudflareds() {
    let relay = sources().into_iter().find(|text| text.contains("target: LOG_TARGET,")).unwrap();
    let arguments = calls(&relay, "event").into_iter().find(|arguments| arguments[0] == "target: LOG_TARGET").unwrap();
    let page = page("events.md");
    let section = page.split("## Of cloudflared\n").nth(1).unwrap();
    let told = names(section.split("\n|").next().unwrap());
    let fields = fields(&arguments[2..]);
    assert!(fields.len() > 5, "{fields:?}");
    for field in fields.keys() {
        assert!(told.contains(field), "{field} is not told: {told:?}");
    }
}

#[test]
fn calls_are_read_in_every_form() {
    let text =
        r#"info!(%run, how = %status, after = ?(now() - asked), event = "a_b", "it, ({}) \" {x}", y); my_info!(1)"#;
    let arguments = &calls(text, "info")[..];
    assert_eq!(arguments.len(), 1);
    let names = fields(&arguments[0]).into_keys().collect::<Vec<_>>();
    assert_eq!(names, ["after", "event", "how", "run"]);
}
