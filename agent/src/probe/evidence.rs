//! What came back, in words that are short and can be printed: some of them are a stranger's.

use cflared_verdict::{Probe, Reach};
use std::io;
use std::net::SocketAddr;

/// The longest evidence, in characters.
pub const LONGEST: usize = 200;

/// What one address gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Try {
    pub reach: Reach,
    /// What came back; [`best`] adds who was asked.
    pub said: String,
}

impl Try {
    pub fn answered(said: impl Into<String>) -> Self {
        Self { reach: Reach::Answered, said: said.into() }
    }

    pub fn silent(said: impl Into<String>) -> Self {
        Self { reach: Reach::Silent, said: said.into() }
    }

    pub fn failed(said: impl Into<String>) -> Self {
        Self { reach: Reach::Failed, said: said.into() }
    }

    /// What the kernel says: its own time-out is silence, all else a refusal by somebody.
    pub fn error(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::TimedOut => Self::silent("no answer"),
            _ => Self::failed(words(error)),
        }
    }
}

/// The kernel's words without its number.
pub fn words(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_lowercase()
}

/// Who was asked and what came back; those that said the same are named together.
#[derive(Debug, Default)]
pub struct Told(Vec<(Vec<String>, String)>);

impl Told {
    pub fn and(mut self, who: &str, what: &str) -> Self {
        match self.0.last_mut() {
            Some((names, same)) if same == what => names.push(who.into()),
            _ => self.0.push((vec![who.into()], what.into())),
        }
        self
    }

    pub fn text(&self) -> String {
        let parts: Vec<_> = self.0.iter().map(|(names, what)| format!("{}: {what}", names.join(", "))).collect();
        parts.join("; ")
    }
}

/// One result of many tries at the edge: the best, for one address that answers is enough. `tries` are of the first of
/// `edges`, in their order.
pub fn best(edges: &[SocketAddr], tries: Vec<Try>) -> Probe {
    let mut tries: Vec<_> = edges.iter().zip(tries).collect();
    // What the result rests on is told first.
    let rank = |reach| [Reach::Answered, Reach::Failed, Reach::Silent].iter().position(|known| *known == reach);
    tries.sort_by_key(|(_, one)| rank(one.reach));
    let Some((_, first)) = tries.first() else { return probe(Reach::Untried, "no address of the edge is known") };
    let all = tries.iter().fold(Told::default(), |told, (edge, one)| told.and(&edge.to_string(), &one.said));
    probe(first.reach, &all.text())
}

/// A result with its evidence made printable.
pub fn probe(reach: Reach, evidence: &str) -> Probe {
    Probe { reach, evidence: printable(evidence) }
}

/// At most [`LONGEST`] characters, none of which moves a cursor or turns the line around.
pub fn printable(text: &str) -> String {
    let mut shown: String = text.chars().take(LONGEST + 1).map(|c| if is_plain(c) { c } else { '?' }).collect();
    if shown.chars().count() > LONGEST {
        shown = shown.chars().take(LONGEST - 1).collect();
        shown.push('…');
    }
    shown
}

fn is_plain(c: char) -> bool {
    c.is_alphanumeric() || c.is_ascii_graphic() || matches!(c, ' ' | '…')
}
