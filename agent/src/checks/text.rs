//! The report for a person: the verdict first, then what fails, then the rest.

use super::{Finding, Outcome, Report, Skipped};
use std::fmt::Write;

/// The most that is written without `verbose`, in characters: what the short view of SSM Run Command keeps.
const LIMIT: usize = 2500;
/// How many of a check's evidences are shown without `verbose`.
const SHOWN: usize = 3;
/// How much of an evidence's line is, likewise, in characters.
const WIDTH: usize = 240;

impl Report {
    /// The text. Without `verbose` it has at most 2,500 characters, and what passed is only counted.
    pub fn text(&self, verbose: bool) -> String {
        let mut text = format!("{}\n", self.headline());
        let mut left_out = vec![];
        let footer = self.footer(verbose);
        for group in [is_fail, is_not_known, is_warn] {
            for finding in self.findings.iter().filter(|finding| group(finding)) {
                let block = block(finding, verbose);
                let room = LIMIT.saturating_sub(chars(&text) + chars(&footer) + NOTE);
                if verbose || (left_out.is_empty() && chars(&block) <= room) {
                    text.push_str(&block);
                } else {
                    left_out.push(finding.check.id);
                }
            }
        }
        if !left_out.is_empty() {
            let note = format!("\n{} more: --verbose shows all: {}", left_out.len(), left_out.join(", "));
            text.extend(note.chars().take(NOTE - 1));
            text.push('\n');
        }
        text.push_str(&footer);
        text
    }

    /// What needs no look: skipped and passed.
    fn footer(&self, verbose: bool) -> String {
        let mut text = String::from("\n");
        for Finding { check, found } in &self.findings {
            let why = found.evidence.first().map_or("", String::as_str);
            match found.outcome {
                Outcome::Skip(Skipped::Needs(_) | Skipped::NotApplicable) => {
                    let why: String = if verbose { why.into() } else { why.chars().take(WIDTH / 2).collect() };
                    let _ = writeln!(text, "SKIP {}: {why}", check.id);
                }
                Outcome::Pass if verbose => {
                    let _ = writeln!(text, "PASS {}: {}: {why}", check.id, check.title);
                }
                _ => {}
            }
        }
        let passed = self.findings.iter().filter(|finding| finding.found.outcome == Outcome::Pass).count();
        if !verbose {
            let _ = writeln!(text, "PASS {passed} checks");
        }
        text
    }
}

/// Room for the line that says what was left out.
const NOTE: usize = 400;

fn is_fail(finding: &Finding) -> bool {
    finding.found.outcome == Outcome::Fail
}

fn is_not_known(finding: &Finding) -> bool {
    finding.found.outcome == Outcome::Skip(Skipped::NotKnown)
}

fn is_warn(finding: &Finding) -> bool {
    finding.found.outcome == Outcome::Warn
}

fn block(Finding { check, found }: &Finding, verbose: bool) -> String {
    let word = match found.outcome {
        Outcome::Fail => "FAIL",
        Outcome::Warn => "WARN",
        Outcome::Skip(_) => "SKIP",
        Outcome::Pass => "PASS",
    };
    let mut text = format!("\n{word} {}: not so: {}\n", check.id, check.title);
    if is_not_known_outcome(found.outcome) {
        text = format!("\n{word} {}: not known: {}\n", check.id, check.title);
    }
    let shown = if verbose { usize::MAX } else { SHOWN };
    for evidence in found.evidence.iter().take(shown) {
        let width = if verbose { usize::MAX } else { WIDTH };
        let line: String = evidence.chars().map(|c| if c.is_control() { ' ' } else { c }).take(width).collect();
        let _ = writeln!(text, "  {line}");
    }
    if found.evidence.len() > shown {
        let _ = writeln!(text, "  and {} more", found.evidence.len() - shown);
    }
    let _ = writeln!(text, "  next: {}", check.remedy);
    text
}

fn is_not_known_outcome(outcome: Outcome) -> bool {
    outcome == Outcome::Skip(Skipped::NotKnown)
}

fn chars(text: &str) -> usize {
    text.chars().count()
}
