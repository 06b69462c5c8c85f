//! The earlier lines of a child, as far as they decide the meaning of the next one.

use super::Line;
use super::symptom::{Meaning, Symptom, classify};
use cflared_verdict::Complaint;
use std::collections::VecDeque;
use tracing::Level;

/// How many errors are remembered. The last words repeat one of the last three lines that hold an error.
const ERRORS: usize = 8;

/// Reads the lines of one output of one child.
///
/// A line says less than its place: the last words are plain and repeat the error of a line before, without the message
/// that says what failed; and behind the first line of a crash, or of a usage error, a page of plain text follows.
#[derive(Debug, Default)]
pub struct Transcript {
    page: Option<Page>,
    errors: VecDeque<(String, Meaning)>,
    explained: bool,
}

/// What the plain lines of an output belong to from some line on.
#[derive(Debug, Clone, Copy)]
enum Page {
    Trace,
    Usage,
}

impl Page {
    const fn meaning(self) -> Meaning {
        let event = match self {
            Self::Trace => "trace",
            Self::Usage => "usage",
        };
        Meaning { event, symptom: Symptom::Chatter, level: Level::DEBUG }
    }

    fn begins(line: &Line, meaning: Meaning) -> Option<Self> {
        match meaning {
            Meaning { symptom: Symptom::Crashed, .. } => Some(Self::Trace),
            Meaning { event: "usage", .. } if line.is_plain() => Some(Self::Usage),
            _ => None,
        }
    }
}

impl Transcript {
    /// What the next line means.
    pub fn read(&mut self, line: &Line) -> Meaning {
        if let Some(page) = self.page.filter(|_| line.is_plain()) {
            return page.meaning();
        }
        let meaning = self.repeated(line).unwrap_or_else(|| classify(line));
        self.page = self.page.or(Page::begins(line, meaning));
        if let Some(error) = line.error.as_ref().filter(|_| line.is_words()) {
            self.remember(error, meaning);
        }
        meaning
    }

    /// What the line just read complains of. Only [words](Line::is_words) complain, and what its own checks found; words
    /// that explain nothing do so only if no line before them explained anything.
    pub fn complaint(&mut self, line: &Line, meaning: Meaning) -> Option<Complaint> {
        let counts = line.is_words() || meaning.symptom == Symptom::PrechecksFailed;
        let complaint = meaning.symptom.complaint().filter(|_| counts)?;
        if complaint == Complaint::Other {
            return (!self.explained).then_some(complaint);
        }
        self.explained |= complaint != Complaint::OriginUnreachable;
        Some(complaint)
    }

    /// The meaning of a plain line that repeats an error.
    fn repeated(&self, line: &Line) -> Option<Meaning> {
        let same = |(error, _): &&(String, Meaning)| line.is_plain() && *error == line.message;
        self.errors.iter().find(same).map(|(_, meaning)| *meaning)
    }

    /// Of several lines with one error, the first that complains of something says what it means.
    fn remember(&mut self, error: &str, meaning: Meaning) {
        let Some(complaint) = meaning.symptom.complaint() else { return };
        if let Some((_, known)) = self.errors.iter_mut().find(|(known, _)| known == error) {
            if known.symptom.complaint() == Some(Complaint::Other) && complaint != Complaint::Other {
                *known = meaning;
            }
            return;
        }
        if self.errors.len() == ERRORS {
            self.errors.pop_front();
        }
        self.errors.push_back((error.to_owned(), meaning));
    }
}

#[cfg(test)]
mod tests;
