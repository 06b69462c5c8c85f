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

/// One result of many tries at the edge: the best, for one address that answers is enough. `tries` are of the first of
/// `edges`, in their order.
pub fn best(edges: &[SocketAddr], tries: Vec<Try>) -> Probe {
    let asked = tries.len();
    let tries: Vec<_> = edges.iter().zip(tries).collect();
    let of = |reach| tries.iter().filter(move |(_, one)| one.reach == reach);
    let told = |(edge, one): &(&SocketAddr, Try)| format!("{edge}: {}", one.said);
    if let Some(first) = of(Reach::Answered).next() {
        let answered = of(Reach::Answered).count();
        let others = tries.iter().filter(|(_, one)| one.reach != Reach::Answered).map(told);
        let mut parts = vec![told(first)];
        if asked > 1 {
            parts.push(format!("{answered} of {asked} answered"));
        }
        parts.extend(others);
        return probe(Reach::Answered, &parts.join("; "));
    }
    let all: Vec<_> = tries.iter().map(told).collect();
    match [Reach::Failed, Reach::Silent].into_iter().find(|reach| of(*reach).next().is_some()) {
        Some(reach) => probe(reach, &all.join("; ")),
        None => probe(Reach::Untried, "no address of the edge is known"),
    }
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
