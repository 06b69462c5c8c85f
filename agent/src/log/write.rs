//! The three forms of a line.

use super::record::{Record, Value};
use cloudflared::LOG_TARGET;
use input::plain::is_harmless;
use serde::Serialize;
use settings::LogFormat;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use tracing::Level;

/// Where the journal takes datagrams (systemd.io/JOURNAL_NATIVE_PROTOCOL).
const JOURNAL: &str = "/run/systemd/journal/socket";

/// Under what name the journal shows our own lines, and whose they are for a shipper of JSON.
const IDENTIFIER: &str = "cflared-agent";

/// The most that a reader of the journal takes of one field, in bytes, with its name and one more: `journalctl --output=json`, and with
/// it the CloudWatch agent, drops what reaches 4,096 (systemd, `JSON_THRESHOLD`), and writes text that is not printable as numbers.
const FIELD: usize = 4096;

/// The longest message that such a reader takes, in bytes.
const MESSAGE: usize = FIELD - "MESSAGE=\n".len();

/// A form, and where it goes.
pub(super) enum Form {
    Text(File),
    Json(File),
    /// Sent to the path each time, so that a journal that was restarted is found again.
    Journal(UnixDatagram, PathBuf),
}

impl Form {
    /// The form for this process.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn for_stderr(format: LogFormat) -> io::Result<Self> {
        // A descriptor without the lock of `std::io::stderr`: a panic must not wait for a write that is stuck.
        let stderr = File::from(io::stderr().as_fd().try_clone_to_owned()?);
        match format {
            LogFormat::Json => Ok(Self::Json(stderr)),
            LogFormat::Auto if is_the_journal(&stderr) => Self::journal(JOURNAL),
            LogFormat::Auto | LogFormat::Text => Ok(Self::Text(stderr)),
        }
    }

    /// The journal that listens there.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn journal(path: impl Into<PathBuf>) -> io::Result<Self> {
        Ok(Self::Journal(UnixDatagram::unbound()?, path.into()))
    }

    /// Writes a record, however long it takes.
    ///
    /// # Errors
    /// Nobody reads any more.
    pub fn write(&self, record: &Record) -> io::Result<()> {
        match self {
            Self::Text(file) => (&mut &*file).write_all(text(record).as_bytes()),
            Self::Json(file) => (&mut &*file).write_all(&json(record)?),
            Self::Journal(socket, path) => {
                datagrams(record).iter().try_for_each(|datagram| socket.send_to(datagram, path).map(drop))
            }
        }
    }
}

/// Whether systemd connected this file to the journal: it names the stream's device and inode (systemd.exec(5)).
fn is_the_journal(stderr: &File) -> bool {
    let ours = stderr.metadata().map(|stream| format!("{}:{}", stream.dev(), stream.ino()));
    ours.is_ok_and(|ours| std::env::var("JOURNAL_STREAM") == Ok(ours)) && Path::new(JOURNAL).exists()
}

/// `2026-11-20T17:12:57.000001Z  INFO cflared_connector::owner: connector started run=1 pid=77`
pub(super) fn text(record: &Record) -> String {
    let time = humantime::format_rfc3339_micros(record.time);
    format!("{time} {:>5} {}: {}\n", record.level, record.target, message(record))
}

/// The message with its fields, on one line whatever they hold.
fn message(record: &Record) -> String {
    let mut line = printable(&record.message);
    for (name, value) in &record.fields {
        let plain = |text: &str| text.chars().all(|c| c.is_ascii_graphic() && !"\"=\\".contains(c)) && !text.is_empty();
        // Writing into a string cannot fail.
        let _ = match value {
            Value::Text(text) if !plain(text) => write!(line, " {name}={text:?}"),
            value => write!(line, " {name}={value}"),
        };
    }
    line
}

/// A text without what a terminal obeys: that is written as Rust escapes it.
fn printable(text: &str) -> String {
    split(text, usize::MAX).concat()
}

/// A text as it is printed, in pieces of `bytes` at most; at least one piece.
pub fn split(text: &str, bytes: usize) -> Vec<String> {
    let (mut pieces, mut piece) = (Vec::new(), String::new());
    for c in text.chars() {
        let escapes = !is_harmless(c);
        let length = if escapes { c.escape_default().len() } else { c.len_utf8() };
        if piece.len() + length > bytes {
            pieces.push(std::mem::take(&mut piece));
        }
        if escapes { piece.extend(c.escape_default()) } else { piece.push(c) }
    }
    pieces.push(piece);
    pieces
}

/// `{"timestamp":"…","level":"info","service":"cflared-agent","version":"…","message":"…","target":"…","tunnel":"…",
/// "environment":"…","state":"…","fields":{…}}`
fn json(record: &Record) -> io::Result<Vec<u8>> {
    #[derive(Serialize)]
    struct Line<'a> {
        timestamp: String,
        level: String,
        service: &'static str,
        version: &'static str,
        message: &'a str,
        target: &'a str,
        #[serde(flatten)]
        context: BTreeMap<&'static str, &'a str>,
        fields: BTreeMap<&'a str, &'a Value>,
    }
    let line = Line {
        timestamp: humantime::format_rfc3339_micros(record.time).to_string(),
        level: record.level.to_string().to_lowercase(),
        service: IDENTIFIER,
        version: env!("CARGO_PKG_VERSION"),
        message: &record.message,
        target: record.target,
        context: record.context.named().collect(),
        fields: record.fields.iter().map(|(name, value)| (*name, value)).collect(),
    };
    let mut bytes = serde_json::to_vec(&line)?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// The entries of the journal: one, or several for a message that its readers would drop. The fields are in the message, for people,
/// and beside it, for `journalctl CFLARED_RUN=1`.
fn datagrams(record: &Record) -> Vec<Vec<u8>> {
    let message = message(record);
    if message.len() <= MESSAGE {
        return vec![datagram(record, &message, None)];
    }
    let pieces = split(&message, MESSAGE - "(99/99) ".len());
    let numbered = pieces.iter().enumerate().map(|(index, piece)| {
        let number = format!("{}/{}", index + 1, pieces.len());
        datagram(record, &format!("({number}) {piece}"), Some(&number))
    });
    numbered.collect()
}

fn datagram(record: &Record, message: &str, piece: Option<&str>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let identifier = if record.target == LOG_TARGET { LOG_TARGET } else { IDENTIFIER };
    let time = humantime::format_rfc3339_micros(record.time);
    put(&mut bytes, "MESSAGE", message);
    put(&mut bytes, "PRIORITY", priority(record.level));
    put(&mut bytes, "SYSLOG_IDENTIFIER", identifier);
    put(&mut bytes, "CFLARED_TARGET", record.target);
    // The journal's own time is that of the arrival.
    put(&mut bytes, "CFLARED_TIME", &time.to_string());
    if let Some(piece) = piece {
        put(&mut bytes, "CFLARED_PIECE", piece);
    }
    for (name, value) in &record.fields {
        put(&mut bytes, &field_name(name), &value.to_string());
    }
    // A line that is itself about one of these says it already.
    let said = |name| record.fields.iter().any(|(field, _)| *field == name);
    for (name, value) in record.context.named().filter(|(name, _)| !said(*name)) {
        put(&mut bytes, &field_name(name), value);
    }
    bytes
}

fn field_name(name: &str) -> String {
    format!("CFLARED_{}", name.to_ascii_uppercase().replace(|c: char| !c.is_ascii_alphanumeric(), "_"))
}

/// A field; left out if a reader would drop it, for the message holds it in pieces.
fn put(bytes: &mut Vec<u8>, name: &str, value: &str) {
    let field = format!("{name}={}\n", printable(value));
    if field.len() <= FIELD {
        bytes.extend_from_slice(field.as_bytes());
    }
}

/// The priorities of syslog(3).
fn priority(level: Level) -> &'static str {
    match level {
        Level::ERROR => "3",
        Level::WARN => "4",
        Level::INFO => "6",
        _ => "7",
    }
}

#[cfg(test)]
mod tests;
