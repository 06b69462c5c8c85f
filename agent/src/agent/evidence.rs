//! Logs the decisions with their evidence.

use super::Agent;
use crate::log::split;
use cflared_verdict::{Blame, Decision, DecisionKind, Mark, Mono};
use serde::Serialize;
use std::time::SystemTime;
use tracing::{error, info, warn};

/// How much of an exhibit one line of the log holds, in bytes as it is printed. The fields beside it take less than what is left of
/// the bound on a line in the journal ([`crate::log::MESSAGE`]).
const PIECE: usize = 3800;

impl Agent {
    /// Before a mark is made, the whole evidence goes to the log: the post-mortem must survive the host.
    pub(super) fn testify(&mut self, now: Mono) {
        let view = self.verdict.view(now);
        let due = !matches!(view.mark, Mark::None);
        if due && !self.mark_was_due {
            self.log_evidence("about to be condemned");
        }
        self.mark_was_due = due;
    }

    /// Writes the status, the decisions and the connectors' last lines to the log, the newest first, in numbered pieces that a reader
    /// of the journal takes whole. `docs/logs.md` has the query that puts them together.
    pub(super) fn log_evidence(&self, occasion: &str) {
        let mut status = self.status(self.clock.mono());
        let decisions = std::mem::take(&mut status.journal);
        let mut exhibits = vec![Exhibit::json("status", &status)];
        exhibits.extend(decisions.iter().rev().map(|decision| Exhibit::json("decision", decision)));
        for (run, connector) in &self.connectors {
            let lines = connector.handle.seen().last_lines;
            exhibits
                .extend(lines.iter().rev().map(|line| Exhibit { kind: format!("line of {run}"), text: line.clone() }));
        }
        exhibits
            .extend(self.told.log.first_lines().into_iter().map(|text| Exhibit { kind: "first line".into(), text }));
        let evidence = self.clock.wall().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        error!(evidence, event = "evidence_begins", "{occasion}: the evidence follows");
        for Piece { part, kind, text } in pieces(exhibits) {
            error!(evidence, part, kind, event = "evidence", "{text}");
        }
    }
}

/// Something that a post-mortem needs.
struct Exhibit {
    kind: String,
    text: String,
}

/// What fits into one line of the log.
#[derive(Debug, PartialEq)]
struct Piece {
    /// `007/251`: sorted as text, the pieces are in order.
    part: String,
    kind: String,
    text: String,
}

impl Exhibit {
    fn json(kind: &str, value: &impl Serialize) -> Self {
        let text = serde_json::to_string(value).unwrap_or_else(|error| format!("not written: {error}"));
        Self { kind: kind.into(), text }
    }
}

fn pieces(exhibits: Vec<Exhibit>) -> Vec<Piece> {
    let cut: Vec<_> = exhibits
        .iter()
        .flat_map(|Exhibit { kind, text }| split(text, PIECE).into_iter().map(move |text| (kind, text)))
        .collect();
    let count = cut.len();
    let numbered = cut.into_iter().enumerate();
    numbered
        .map(|(index, (kind, text))| Piece { part: format!("{:03}/{count:03}", index + 1), kind: kind.clone(), text })
        .collect()
}

/// Logs a decision: what was found and what changed is told, what was done or put off is a warning, and what was refused is
/// for a person.
pub(super) fn announce(decision: &Decision) {
    let Decision { kind, what, blame, evidence, .. } = decision;
    let (kind, blame) = (kind_name(*kind), blame.map(Blame::name));
    match decision.kind {
        DecisionKind::Finding => info!(kind, what, evidence, blame, event = "blame", "blame"),
        DecisionKind::Transition => info!(kind, what, evidence, blame, event = "health", "health"),
        DecisionKind::Action => warn!(kind, what, evidence, blame, event = "decision", "decision"),
        DecisionKind::Delay => warn!(kind, what, evidence, blame, event = "delay", "delay"),
        DecisionKind::Refusal => error!(kind, what, evidence, blame, event = "refusal", "refusal"),
    }
}

/// The kind's name in the log and in the status file.
pub(super) fn kind_name(kind: DecisionKind) -> &'static str {
    match kind {
        DecisionKind::Finding => "finding",
        DecisionKind::Transition => "transition",
        DecisionKind::Action => "action",
        DecisionKind::Delay => "delay",
        DecisionKind::Refusal => "refusal",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_numbered_in_order_and_lose_nothing() {
        let long = "é\u{1b}\"".repeat(2000);
        let exhibits = [("status", long.as_str()), ("decision", "newest"), ("decision", "oldest"), ("line of 1", "")];
        let exhibits = exhibits.map(|(kind, text)| Exhibit { kind: kind.into(), text: text.into() });
        let pieces = pieces(exhibits.into());
        let parts: Vec<_> = (1..=pieces.len()).map(|part| format!("{part:03}/{:03}", pieces.len())).collect();
        assert_eq!(pieces.iter().map(|piece| piece.part.clone()).collect::<Vec<_>>(), parts);
        let of =
            |kind: &str| pieces.iter().filter(|piece| piece.kind == kind).map(|piece| &*piece.text).collect::<Vec<_>>();
        assert_eq!(of("status").concat(), long.replace('\u{1b}', "\\u{1b}"));
        assert_eq!(of("decision"), ["newest", "oldest"]);
        assert_eq!(of("line of 1"), [""]);
        assert!(pieces.iter().all(|piece| piece.text.len() <= PIECE));
    }
}
