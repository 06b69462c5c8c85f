//! An event as owned values.

use super::context::Context;
use serde::Serialize;
use std::fmt::{self, Write};
use std::sync::Arc;
use std::time::SystemTime;
use tracing::field::{Field, Visit};
use tracing::{Event, Level};

/// The most that is kept of one text, in bytes. A datagram to the journal holds about 200 KiB of them.
const TEXT: usize = 16 * 1024;

/// What happened.
#[derive(Debug)]
pub(super) struct Record {
    pub time: SystemTime,
    pub level: Level,
    pub target: &'static str,
    pub message: String,
    pub fields: Vec<(&'static str, Value)>,
    /// What held when it happened.
    pub context: Arc<Context>,
}

/// The value of a field.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub(super) enum Value {
    Text(String),
    Signed(i64),
    Unsigned(u64),
    Float(f64),
    Bool(bool),
}

impl Record {
    /// Takes an event down.
    pub fn of(event: &Event<'_>, context: Arc<Context>) -> Self {
        let metadata = event.metadata();
        let mut record = Self::new(*metadata.level(), metadata.target(), context);
        event.record(&mut record);
        record
    }

    /// A record of this moment, still empty.
    pub fn new(level: Level, target: &'static str, context: Arc<Context>) -> Self {
        Self { time: now(), level, target, message: String::new(), fields: Vec::new(), context }
    }

    /// About how much memory it takes, in bytes.
    pub fn size(&self) -> usize {
        let texts = self.fields.iter().map(|(_, value)| match value {
            Value::Text(text) => text.len(),
            _ => 0,
        });
        size_of::<Self>() + self.message.len() + self.fields.len() * size_of::<(&str, Value)>() + texts.sum::<usize>()
    }

    fn put_text(&mut self, field: &Field, text: impl fmt::Display) {
        let mut bounded = Bounded(String::new());
        // It never fails by itself, and what a value's own formatting did until it failed is kept.
        let _ = write!(bounded, "{text}");
        match field.name() {
            "message" => self.message = bounded.0,
            name => self.fields.push((name, Value::Text(bounded.0))),
        }
    }
}

impl Visit for Record {
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.fields.push((field.name(), Value::Signed(value)));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.fields.push((field.name(), Value::Unsigned(value)));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.fields.push((field.name(), Value::Float(value)));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.fields.push((field.name(), Value::Bool(value)));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put_text(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put_text(field, format_args!("{value:?}"));
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Text(text) => f.write_str(text),
            Value::Signed(number) => number.fmt(f),
            Value::Unsigned(number) => number.fmt(f),
            Value::Float(number) => number.fmt(f),
            Value::Bool(whether) => whether.fmt(f),
        }
    }
}

// A log line's time is for people, and is input to nothing but the log's own housekeeping.
#[allow(clippy::disallowed_methods)]
pub(super) fn now() -> SystemTime {
    SystemTime::now()
}

/// A text of [`TEXT`] bytes at most; what is beyond is left out.
struct Bounded(String);

impl Write for Bounded {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = TEXT - self.0.len();
        self.0.push_str(&text[..text.floor_char_boundary(room)]);
        Ok(())
    }
}
