//! One line of the program's output.

use serde_json::{Map, Value};
use tracing::Level;
use uuid::Uuid;

/// What one line says. The program logs JSON objects, some of its last words are plain text, and two of its threads
/// may write into each other's line (`connected.log` has one such): what is no object is all message.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Line {
    /// How bad it is to the program itself, which prints errors on a clean stop too; none on a plain line.
    pub level: Option<Level>,
    /// What happened; the whole line if it is plain.
    pub message: String,
    /// Why.
    pub error: Option<String>,
    /// Which of its connections, 0 to 3.
    pub conn_index: Option<u64>,
    /// That connection's UUID.
    pub connection: Option<String>,
    /// The edge's address.
    pub ip: Option<String>,
    /// The edge's data centre: `iad01`.
    pub location: Option<String>,
    /// `quic` or `http2`.
    pub protocol: Option<String>,
    /// All else that the object held, as one.
    pub rest: Option<String>,
}

/// Keys that say nothing to us: the log has a time of its own, and `event` (0 or 1) says what other fields show.
const IGNORED: [&str; 2] = ["time", "event"];

impl Line {
    /// Reads a line, whatever it is.
    pub fn parse(line: &[u8]) -> Self {
        match serde_json::from_slice(line) {
            Ok(object) => Self::from_object(object),
            Err(_) => Self { message: String::from_utf8_lossy(line).trim_end().to_owned(), ..Self::default() },
        }
    }

    /// Whether it was no JSON object.
    pub fn is_plain(&self) -> bool {
        self.level.is_none()
    }

    /// Whether it is what the program has to say for itself when something goes wrong: an error, or a plain line.
    /// Everything below that may be about one connection of four, one client, or nothing.
    pub fn is_words(&self) -> bool {
        let visible = |text: &str| text.chars().any(|c| !c.is_control() && !c.is_whitespace());
        self.level.map_or_else(|| visible(&self.message), |level| level == Level::ERROR)
    }

    /// The connector's UUID, if this is the line that names it; `/ready` of the same process gives the same one.
    pub fn connector_id(&self) -> Option<Uuid> {
        self.message.strip_prefix("Generated Connector ID: ")?.trim().parse().ok()
    }

    fn from_object(mut object: Map<String, Value>) -> Self {
        for key in IGNORED {
            object.remove(key);
        }
        Self {
            level: Some(level(&text(&mut object, "level").unwrap_or_default())),
            message: text(&mut object, "message").unwrap_or_default(),
            error: text(&mut object, "error"),
            conn_index: object.remove("connIndex").and_then(|index| index.as_u64()),
            connection: text(&mut object, "connection"),
            ip: text(&mut object, "ip"),
            location: text(&mut object, "location"),
            protocol: text(&mut object, "protocol"),
            rest: (!object.is_empty()).then(|| Value::Object(object).to_string()),
        }
    }
}

fn text(object: &mut Map<String, Value>, key: &str) -> Option<String> {
    match object.remove(key)? {
        Value::String(text) => Some(text),
        other => Some(other.to_string()),
    }
}

/// The levels of zerolog, the library that the program logs with.
fn level(name: &str) -> Level {
    match name {
        "trace" => Level::TRACE,
        "debug" => Level::DEBUG,
        "warn" => Level::WARN,
        "error" | "fatal" | "panic" => Level::ERROR,
        _ => Level::INFO,
    }
}

#[cfg(test)]
mod tests;
