//! One archive for a ticket or a post-mortem: collected whatever the agent's state is, each part within a time of its own, with
//! every secret struck out.
//!
//! A part that cannot be had is a sentence that says what and why. What the page shows is read from the parts after secrets were
//! struck out, so that nothing gets there by another way. The page and the archive themselves are made by `cflared-report`,
//! which is pure. This room looks; it changes nothing.

mod child;
mod command;
mod facts;
mod host;
mod log;
mod own;
mod strike;

pub use strike::Strike;

use crate::checks;
use cflared_report::{Facts, File, Held, Moment, archive, page};
use settings::Settings;
use status::Status;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// How long one look may take, if it has no other limit.
const LOOK: Duration = Duration::from_secs(3);
/// How long doctor may take; it is over within 15 s by itself, and there is the page to be made.
const DOCTOR: Duration = Duration::from_millis(13_500);
/// The most of one part, in bytes; the beginning or the end of it, whichever tells more.
const PART: usize = 1024 * 1024;

/// What is looked at.
#[derive(Debug)]
pub struct Subject {
    /// The settings, or the defaults if those are not valid.
    pub settings: Settings,
    /// Where they are.
    pub settings_file: PathBuf,
    /// The settings that the command line names, for doctor.
    pub named: Option<PathBuf>,
    /// This program, which is executed as doctor.
    pub program: PathBuf,
    /// The agent's log as JSON, where there is no journal.
    pub log: Option<PathBuf>,
    /// The time of day.
    pub now: SystemTime,
}

/// A part of the report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Its path in the archive.
    pub name: String,
    /// What it holds.
    pub what: String,
    /// It, or why it could not be had.
    pub content: Result<String, String>,
}

impl Part {
    fn new(name: impl Into<String>, what: impl Into<String>, content: Result<String, String>) -> Self {
        Self { name: name.into(), what: what.into(), content }
    }
}

/// A report.
#[derive(Debug)]
pub struct Report {
    /// The archive.
    pub bytes: Vec<u8>,
    /// What it is called, without the ending.
    pub name: String,
    /// What is wrong, in a line.
    pub headline: String,
    /// How many files it has.
    pub files: usize,
    /// How many parts could not be had.
    pub missing: usize,
}

/// Collects everything and makes the archive of it.
///
/// # Errors
/// The archive cannot be made.
pub async fn report(subject: &Subject) -> std::io::Result<Report> {
    let told = async {
        let status = own::status(&subject.settings).await;
        tokio::join!(own::parts(subject, &status), child::parts(&subject.settings, status.as_ref().ok()))
    };
    let (doctor, (own, children), logs, host, strike) = tokio::join!(
        own::doctor(subject),
        told,
        log::parts(subject),
        host::parts(subject),
        own::strike(&subject.settings),
    );
    let log::Logs { parts: logs, lines } = logs;
    let parts: Vec<Part> = [doctor].into_iter().chain(own).chain(logs).chain(host).chain(children).collect();
    let parts: Vec<Part> = parts.into_iter().map(|part| struck(part, &strike)).collect();
    let lines = lines.into_iter().map(|line| log::struck(line, &strike)).collect();
    let mut facts = facts::facts(subject, &parts, lines);
    facts.files = parts.iter().filter_map(held).collect();
    assemble(subject, &facts, &parts, &strike)
}

/// The same part without secrets; withheld if something is left in it that would be called a credential in an image.
fn struck(part: Part, strike: &Strike) -> Part {
    let content = match part.content {
        Ok(text) => clean(match serde_json::from_str::<serde_json::Value>(&text) {
            Ok(value) if part.name.ends_with(".json") => format!("{:#}\n", strike.struck_json(&value)),
            Ok(_) | Err(_) => strike.struck(&text),
        }),
        Err(why) => Err(strike.struck(&why)),
    };
    Part { content, ..part }
}

fn clean(text: String) -> Result<String, String> {
    let hits = checks::credentials(text.as_bytes()).unwrap_or_default();
    match hits.first() {
        None => Ok(text),
        Some(hit) => Err(format!("withheld: line {} holds what looks like {}", hit.line, hit.what)),
    }
}

fn held(part: &Part) -> Option<Held> {
    let text = part.content.as_ref().ok()?;
    Some(Held { name: part.name.clone(), what: part.what.clone(), bytes: text.len() })
}

fn assemble(subject: &Subject, facts: &Facts, parts: &[Part], strike: &Strike) -> std::io::Result<Report> {
    let at = Moment::from(subject.now);
    let stamp: String = at.to_string().chars().filter(char::is_ascii_digit).collect();
    let (day, time) = stamp.split_at(8);
    let who: String = facts.subject.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').take(40).collect();
    let name = format!("cflared-report-{who}-{day}T{time}Z");
    let page =
        clean(strike.known(&page(facts))).unwrap_or_else(|why| format!("<!doctype html><title>{why}</title>{why}"));
    let mut files = vec![File { name: format!("{name}/report.html"), bytes: page.into_bytes() }];
    for part in parts {
        let bytes = match &part.content {
            Ok(text) => text.clone().into_bytes(),
            Err(why) => format!("not in this report: {why}\n").into_bytes(),
        };
        files.push(File { name: format!("{name}/{}", part.name), bytes });
    }
    Ok(Report {
        bytes: archive(&files, at)?,
        headline: facts.headline.clone(),
        files: files.len(),
        missing: parts.iter().filter(|part| part.content.is_err()).count(),
        name,
    })
}

/// The end of a text that is too long, from the beginning of a line on.
fn end_of(text: &str, most: usize) -> String {
    let from = text.ceil_char_boundary(text.len().saturating_sub(most));
    match text[from..].find('\n').filter(|_| from > 0) {
        Some(line) => format!("[{} bytes before this are left out]\n{}", from + line + 1, &text[from + line + 1..]),
        None => text[from..].to_owned(),
    }
}

/// The beginning of a text that is too long.
fn beginning_of(text: &str, most: usize) -> String {
    let to = text.floor_char_boundary(most);
    match text.len() - to {
        0 => text.to_owned(),
        left => format!("{}\n[{left} bytes after this are left out]\n", &text[..to]),
    }
}

/// Looks that block, for as long as `limit`; one that does not end is left behind.
async fn aside<T: Send + 'static>(
    what: &str,
    limit: Duration,
    look: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    match tokio::time::timeout(limit, tokio::task::spawn_blocking(look)).await {
        Ok(Ok(seen)) => seen,
        Ok(Err(error)) => Err(format!("failed to look at {what}: {error}")),
        Err(_) => Err(format!("failed to look at {what}: no answer within {}", humantime::format_duration(limit))),
    }
}

/// A file of the agent or of root, as text; bytes that are no text are shown as such.
fn read(path: &Path, links: input::file::Links) -> Result<String, String> {
    const LARGEST: u64 = 4 * 1024 * 1024;
    let bytes = input::file::read(path, links, LARGEST)
        .map_err(|error| format!("failed to read {}: {error}", path.display()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Whether the process that wrote the status is there.
fn lives(status: &Status) -> bool {
    Path::new("/proc").join(status.agent.pid.to_string()).exists()
}

#[cfg(test)]
mod tests;
