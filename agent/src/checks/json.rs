//! The report for a program. Within a schema version fields are only added.

use super::{Finding, Outcome, Report, Skipped, Verdict};
use serde_json::{Value, json};

/// The schema that is written.
const SCHEMA: u32 = 1;

impl Report {
    /// The JSON: every check with what it found, what it proves and how to mend it.
    pub fn json(&self) -> String {
        let verdict = match self.verdict() {
            Verdict::Fine => "fine",
            Verdict::NotFine => "not_fine",
            Verdict::Unknown => "unknown",
        };
        let report = json!({
            "schema": SCHEMA,
            "command": self.command,
            "subject": self.subject,
            "at": self.at,
            "verdict": verdict,
            "headline": self.headline(),
            "checks": self.findings.iter().map(|finding| self.finding(finding)).collect::<Vec<_>>(),
        });
        format!("{report:#}\n")
    }

    fn finding(&self, Finding { check, found }: &Finding) -> Value {
        let (outcome, skipped) = match found.outcome {
            Outcome::Pass => ("pass", None),
            Outcome::Warn => ("warn", None),
            Outcome::Fail => ("fail", None),
            Outcome::Skip(Skipped::Needs(_)) => ("skip", Some("needs")),
            Outcome::Skip(Skipped::NotApplicable) => ("skip", Some("not_applicable")),
            Outcome::Skip(Skipped::NotKnown) => ("skip", Some("not_known")),
        };
        json!({
            "id": check.id,
            "title": check.title,
            "outcome": outcome,
            "skipped": skipped,
            "evidence": found.evidence,
            "proves": check.proves,
            "remedy": self.next(check),
            "needs": check.needs.iter().map(|check| check.id).collect::<Vec<_>>(),
        })
    }
}
