//! Log lines on standard error, written by their own thread: a reader who does not read must not stop the rest.

use super::args::Flags;
use nix::sys::signal::{Signal, raise};
use serde_json::{Map, Value, json};
use std::io::{ErrorKind, Write};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::SystemTime;

/// Levels, lowest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// `info`
    Info,
    /// `warn`
    Warn,
    /// `error`
    Error,
    /// Above every line that this program writes.
    Fatal,
}

/// Writes log lines. A clone writes to the same place.
#[derive(Clone)]
pub struct Log {
    lines: Sender<Vec<u8>>,
    json: bool,
    lowest: Level,
}

/// The thread behind a [`Log`].
pub struct Writer(JoinHandle<()>);

impl Writer {
    /// Waits until everything is written. Every clone of the [`Log`] must be gone by then.
    pub fn finish(self) {
        // The thread only writes; what it could not write is nobody's to hear of.
        let _ = self.0.join();
    }
}

impl Log {
    /// Starts the thread.
    ///
    /// `name` is that of the lowest level that is written.
    pub fn start(flags: &Flags, name: Option<&str>) -> (Log, Writer) {
        let (lines, queue) = channel();
        let level = match name {
            None | Some("info" | "debug" | "trace") => Some(Level::Info),
            Some("warn") => Some(Level::Warn),
            Some("error") => Some(Level::Error),
            Some("fatal" | "panic" | "disabled") => Some(Level::Fatal),
            Some(_) => None,
        };
        let writer = Writer(std::thread::spawn(move || write_all(&queue)));
        let log = Log { lines, json: flags.output == "json", lowest: level.unwrap_or(Level::Info) };
        if let (None, Some(name)) = (level, name) {
            let message = format!("Failed to parse log level {name:?}, using \"info\" instead");
            log.line(Level::Error, &message, Value::Null);
        }
        (log, writer)
    }

    /// One line with more fields than `level`, `message` and `time`.
    pub fn line(&self, level: Level, message: &str, fields: Value) {
        if level < self.lowest {
            return;
        }
        let time = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
        let fields = match fields {
            Value::Object(fields) => fields,
            _ => Map::new(),
        };
        self.plain(&if self.json {
            as_json(level, message, &time, fields)
        } else {
            as_text(level, message, &time, &fields)
        });
    }

    /// An info line without fields.
    pub fn info(&self, message: &str) {
        self.line(Level::Info, message, Value::Null);
    }

    /// An error line whose only field is the error.
    pub fn error(&self, message: &str, error: &str) {
        self.line(Level::Error, message, json!({"error": error}));
    }

    /// A line that is not a log line, as cloudflared's last words are.
    pub fn plain(&self, line: &str) {
        self.raw(format!("{line}\n").into_bytes());
    }

    /// Bytes as they are.
    pub fn raw(&self, bytes: Vec<u8>) {
        // The thread lives as long as any sender.
        let _ = self.lines.send(bytes);
    }
}

fn as_json(level: Level, message: &str, time: &str, mut fields: Map<String, Value>) -> String {
    fields.insert("level".into(), format!("{level:?}").to_lowercase().into());
    // A line without a message has no such key (zerolog).
    if !message.is_empty() {
        fields.insert("message".into(), message.into());
    }
    fields.insert("time".into(), time.into());
    // Go's encoder escapes these three in every string.
    Value::Object(fields).to_string().replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026")
}

fn as_text(level: Level, message: &str, time: &str, fields: &Map<String, Value>) -> String {
    let level = match level {
        Level::Info => "INF",
        Level::Warn => "WRN",
        Level::Error => "ERR",
        Level::Fatal => "FTL",
    };
    let fields: String = fields.iter().map(|(key, value)| format!(" {key}={value}")).collect();
    format!("{time} {level} {message}{fields}")
}

fn write_all(queue: &Receiver<Vec<u8>>) {
    while let Ok(line) = queue.recv() {
        let written = std::io::stderr().write_all(&line);
        // A Go program that writes to a pipe nobody reads is killed (SIGPIPE, which Rust ignores; os/signal has it).
        if written.is_err_and(|error| error.kind() == ErrorKind::BrokenPipe) {
            let _ = raise(Signal::SIGKILL);
        }
    }
}
