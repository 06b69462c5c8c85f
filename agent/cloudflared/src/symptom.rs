//! What the program's log lines mean: one [table](TABLE), whose rows are in `table.rs`.
//!
//! A row that takes any error stands below those that name one: what cannot be dialled, served or started has a meaning
//! even in words that nobody has seen.

mod table;

use super::Line;
use When::{Bare, Begins, Both, Dated, Detail, Error, Message, Plain, Torn};
use cflared_verdict::Complaint;
pub use table::TABLE;
use tracing::Level;

/// What a line says about the tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Symptom {
    /// It named itself.
    ConnectorId,
    /// A connection is registered.
    Registered,
    /// A connection was unregistered, in good order.
    Unregistered,
    /// The edge does not know the credentials.
    Unauthorized,
    /// The edge knows that the tunnel was deleted.
    TunnelDeleted,
    /// The edge refused a registration, for another reason.
    Rejected,
    /// The edge did not answer a registration.
    EdgeSilent,
    /// The edge cannot be reached.
    EdgeUnreachable,
    /// Something answers in the edge's place: its certificate, or its TLS, is not the edge's.
    EdgeImpostor,
    /// A connection that was registered broke.
    ConnectionLost,
    /// It will try again.
    Retrying,
    /// The edge's names do not resolve.
    DnsFailed,
    /// An origin did not take a client's connection, or its name does not resolve.
    OriginUnreachable,
    /// It checked its way to the edge at its start, by itself.
    Prechecked,
    /// By these checks no way leads to the edge.
    PrechecksFailed,
    /// Somebody else has the metrics port.
    MetricsPortTaken,
    /// The configuration cannot be used.
    ConfigRefused,
    /// The credentials file cannot be used.
    CredentialsUnreadable,
    /// It stops because it was told to.
    Stopping,
    /// It stops because its first connection failed.
    GaveUp,
    /// It crashed: its runtime prints where.
    Crashed,
    /// It serves by a configuration that Cloudflare pushed.
    Reconfigured,
    /// It is known, and says nothing about the tunnel.
    Chatter,
    /// It is in no row.
    Unknown,
}

impl Symptom {
    /// What the program complains of with it; `None`: of nothing that a cause could follow from. That a connection broke
    /// or that it tries again tells no cause. Words that are in no row, and that it gave up, tell that there is a cause.
    pub const fn complaint(self) -> Option<Complaint> {
        match self {
            Self::Unauthorized => Some(Complaint::Unauthorized),
            Self::TunnelDeleted => Some(Complaint::TunnelGone),
            Self::Rejected => Some(Complaint::EdgeRejected),
            Self::EdgeSilent => Some(Complaint::EdgeSilent),
            Self::EdgeUnreachable | Self::EdgeImpostor | Self::PrechecksFailed => Some(Complaint::EdgeUnreachable),
            Self::DnsFailed => Some(Complaint::DnsFailed),
            Self::MetricsPortTaken => Some(Complaint::PortTaken),
            Self::OriginUnreachable => Some(Complaint::OriginUnreachable),
            Self::ConfigRefused => Some(Complaint::ConfigRefused),
            Self::CredentialsUnreadable => Some(Complaint::CredentialsUnreadable),
            Self::GaveUp | Self::Unknown => Some(Complaint::Other),
            Self::ConnectorId
            | Self::Registered
            | Self::Unregistered
            | Self::ConnectionLost
            | Self::Retrying
            | Self::Prechecked
            | Self::Stopping
            | Self::Crashed
            | Self::Reconfigured
            | Self::Chatter => None,
        }
    }
}

impl Symptom {
    /// Whether the connection that the line names is not registered any more.
    pub const fn ends_connection(self) -> bool {
        matches!(self, Self::Unregistered | Self::ConnectionLost | Self::Retrying)
    }
}

/// What a line means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Meaning {
    /// The stable name of the event in our log.
    pub event: &'static str,
    /// What it says about the tunnel.
    pub symptom: Symptom,
    /// The level it has in our log: what repeats is debug, and only what a state follows from is more.
    pub level: Level,
}

/// One row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// What the lines mean.
    pub meaning: Meaning,
    /// Which lines it is about.
    pub when: When,
    /// Where the line was seen.
    pub source: Source,
}

/// A pattern. Every text is searched for anywhere in its field, and in the whole of a plain line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// The message.
    Message(&'static str),
    /// The error.
    Error(&'static str),
    /// The message and the error; an empty text takes any error, but not none.
    Both(&'static str, &'static str),
    /// The error of a line that has no message; an empty text takes any.
    Bare(&'static str),
    /// The message, and what else the line holds: a field, as JSON.
    Detail(&'static str, &'static str),
    /// A plain line only.
    Plain(&'static str),
    /// A plain line that begins with it.
    Begins(&'static str),
    /// A plain line that is a part of one or of several objects.
    Torn,
    /// A plain line with a date and a time in front, as Go's own logger prints what a library has to say.
    Dated,
}

/// Where a line was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// In this file of `tests/recorded/`, which the real 2026.8.2 printed.
    Recorded(&'static str),
    /// In this public issue or page, with a log of a real cloudflared.
    Reported(&'static str),
    /// In the public source of this release, which prints it.
    Printed(&'static str),
}

/// The meaning of the first row that fits. A line that is in none keeps its own level, but an error of the program's is
/// a warning of ours: error means that a person must act, which one line of it never proves.
pub fn classify(line: &Line) -> Meaning {
    let known = TABLE.iter().find(|row| row.when.fits(line)).map(|row| row.meaning);
    let level = line.level.unwrap_or(Level::WARN).max(Level::WARN);
    known.unwrap_or(Meaning { event: "other", symptom: Symptom::Unknown, level })
}

impl When {
    fn fits(self, line: &Line) -> bool {
        let message = |text: &str| line.message.contains(text);
        if line.is_plain() {
            return match self {
                Message(text) | Error(text) | Plain(text) => message(text),
                Begins(text) => line.message.starts_with(text),
                Both(text, other) | Detail(text, other) => message(text) && message(other),
                Bare(_) => false,
                Torn => is_torn(&line.message),
                Dated => is_dated(&line.message),
            };
        }
        let error = |text: &str| line.error.as_ref().is_some_and(|error| error.contains(text));
        match self {
            Message(text) => message(text),
            Error(text) => error(text),
            Both(text, cause) => message(text) && error(cause),
            Bare(cause) => line.message.is_empty() && error(cause),
            Detail(text, field) => message(text) && line.rest.as_ref().is_some_and(|rest| rest.contains(field)),
            Plain(_) | Begins(_) | Torn | Dated => false,
        }
    }
}

/// Whether it is a part of a line of JSON. The program writes an object field by field, so another thread's line may stand
/// between any two of them, or before the end: `{"a":1{"b":2}`, `{"a":1}{"b":2}`, and then `,"c":3}`, `}` or nothing.
fn is_torn(text: &str) -> bool {
    let text = text.trim();
    [r#"{""#, r#",""#].iter().any(|begin| text.starts_with(begin))
        || text.bytes().all(|byte| matches!(byte, b'{' | b'}'))
}

/// Whether it begins as in `2026/11/27 11:10:21 timeout waiting for SETTINGS frames from …`.
fn is_dated(text: &str) -> bool {
    const FORM: &[u8] = b"0000/00/00 00:00:00 ";
    let fits = |(byte, form): (&u8, &u8)| if *form == b'0' { byte.is_ascii_digit() } else { byte == form };
    text.len() > FORM.len() && text.as_bytes().iter().zip(FORM).all(fits)
}

#[cfg(test)]
mod tests;
