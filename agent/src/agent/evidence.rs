//! What was decided, and on which evidence, goes to the log.

use super::Agent;
use cflared_verdict::{Blame, Decision, DecisionKind, Mark, Mono};
use tracing::{error, info, warn};

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

    /// Writes the whole status and the connectors' last lines to the log.
    pub(super) fn log_evidence(&self, occasion: &str) {
        let status = serde_json::to_string(&self.status(self.clock.mono())).unwrap_or_default();
        error!(status, event = "evidence", "{occasion}: the evidence");
        for (run, connector) in &self.connectors {
            for line in connector.handle.seen().last_lines {
                error!(%run, line, event = "evidence_lines", "{occasion}: its last lines");
            }
        }
    }
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
