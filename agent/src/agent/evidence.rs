//! What was decided, and on which evidence, goes to the log.

use super::Agent;
use cflared_verdict::{Decision, DecisionKind, Mark, Mono};
use tracing::{error, info, warn};

impl Agent {
    /// Before a mark is made, the whole evidence goes to the log: the post-mortem must survive the host.
    pub(super) fn testify(&mut self, now: Mono) {
        let view = self.verdict.view(now);
        let due = !matches!(view.mark, Mark::None);
        if due && !self.mark_was_due {
            let status = serde_json::to_string(&self.status(now)).unwrap_or_default();
            error!(status, "about to be condemned: the evidence");
            for (run, connector) in &self.connectors {
                for line in connector.handle.seen().last_lines {
                    error!(%run, line, "about to be condemned: its last lines");
                }
            }
        }
        self.mark_was_due = due;
    }
}

/// Logs a decision: what only changed is told, what was done is a warning, and what was refused is for a person.
pub(super) fn announce(decision: &Decision) {
    let Decision { kind, what, evidence, .. } = decision;
    match kind {
        DecisionKind::Transition => info!(kind = "transition", what, evidence, "health"),
        DecisionKind::Action => warn!(kind = "action", what, evidence, "decision"),
        DecisionKind::Refusal => error!(kind = "refusal", what, evidence, "refusal"),
    }
}
