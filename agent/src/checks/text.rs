//! The report for a person: first the verdict, then the failures, then the rest.

use super::{Finding, Outcome, Report, Skipped};
use input::plain;
use std::fmt::Write;

/// The most that is written without `verbose`, in characters: what the short view of SSM Run Command keeps.
const LIMIT: usize = 2500;
/// How many of a check's evidences are shown without `verbose`.
const SHOWN: usize = 3;
/// How much of an evidence's line is, likewise, in characters.
const WIDTH: usize = 240;
/// How much of what needs no look is, likewise.
const FOOTER: usize = 700;
/// Room for the line that says what was left out.
const NOTE: usize = 400;

impl Report {
    /// The text. Without `verbose` it has at most 2,500 characters, and what passed is only counted.
    pub fn text(&self, verbose: bool) -> String {
        let mut text = format!("{}\n", self.headline());
        let mut left_out = vec![];
        let footer = self.footer(verbose);
        for group in [is_fail, is_not_known, is_warn] {
            for finding in self.findings.iter().filter(|finding| group(finding)) {
                let block = self.block(finding, verbose);
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

    /// What needs no look: skipped and passed. Without `verbose`, what was skipped for the same reason shares a line.
    fn footer(&self, verbose: bool) -> String {
        let mut skipped: Vec<(String, Vec<&str>)> = vec![];
        let mut passed = vec![];
        for Finding { check, found } in &self.findings {
            let why = printable(found.why());
            match found.outcome {
                Outcome::Skip(Skipped::Needs(_) | Skipped::NotApplicable) => {
                    match skipped.iter_mut().find(|(same, _)| !verbose && *same == why) {
                        Some((_, ids)) => ids.push(check.id),
                        None => skipped.push((why, vec![check.id])),
                    }
                }
                Outcome::Pass => passed.push(format!("PASS {}: {}: {why}\n", check.id, check.title)),
                _ => {}
            }
        }
        let lines = skipped.into_iter().map(|(why, ids)| format!("SKIP {}: {why}\n", ids.join(", ")));
        if verbose {
            return format!("\n{}{}", lines.collect::<String>(), passed.concat());
        }
        let cut = |line: String| if chars(&line) > WIDTH { format!("{}…\n", first(&line, WIDTH - 2)) } else { line };
        let mut text = first(&format!("\n{}", lines.map(cut).collect::<String>()), FOOTER);
        if !text.ends_with('\n') {
            text.push_str("…\n");
        }
        let _ = writeln!(text, "PASS {} checks", passed.len());
        text
    }

    fn block(&self, Finding { check, found }: &Finding, verbose: bool) -> String {
        let word = match found.outcome {
            Outcome::Fail => "FAIL",
            Outcome::Warn => "WARN",
            Outcome::Skip(_) => "SKIP",
            Outcome::Pass => "PASS",
        };
        let (shown, width) = if verbose { (usize::MAX, usize::MAX) } else { (SHOWN, WIDTH) };
        let mut text = format!("\n{word} {}: {}\n", check.id, shortened(found.why(), width));
        for evidence in found.evidence.iter().take(shown).skip(1) {
            let _ = writeln!(text, "  {}", shortened(evidence, width));
        }
        if found.evidence.len() > shown {
            let _ = writeln!(text, "  and {} more", found.evidence.len() - shown);
        }
        let _ = writeln!(text, "  next: {}", self.next(check));
        text
    }
}

fn is_fail(finding: &Finding) -> bool {
    finding.found.outcome == Outcome::Fail
}

fn is_not_known(finding: &Finding) -> bool {
    finding.found.outcome == Outcome::Skip(Skipped::NotKnown)
}

fn is_warn(finding: &Finding) -> bool {
    finding.found.outcome == Outcome::Warn
}

/// The verdict and the words that begin a block, in the colours that terminals have for them.
pub fn coloured(text: &str) -> String {
    let colours =
        [("FAIL", 31), ("NOT FINE", 31), ("WARN", 33), ("not known", 33), ("SKIP", 36), ("PASS", 32), ("fine", 32)];
    let paint = |line: &str| match colours.iter().find(|(word, _)| line.starts_with(word)) {
        Some((word, colour)) => format!("\u{1b}[{colour}m{word}\u{1b}[0m{}\n", &line[word.len()..]),
        None => format!("{line}\n"),
    };
    text.lines().map(paint).collect()
}

/// What others wrote, on one line and without what moves a cursor.
fn printable(text: &str) -> String {
    plain::line(text, usize::MAX)
}

/// The text on one line of so many characters. Cut between words, and before a bracket that would stay open: what a service
/// itself said, which is the first to go.
pub(super) fn shortened(text: &str, most: usize) -> String {
    let text = printable(text);
    if chars(&text) <= most {
        return text;
    }
    let mut kept = first(&text, most - 1);
    let open = kept.rfind(" (").filter(|at| !kept[*at..].contains(')'));
    if let Some(end) = open.or(kept.rfind(' ')).filter(|end| *end >= kept.len() / 2) {
        kept.truncate(end);
    }
    kept + "…"
}

fn first(text: &str, most: usize) -> String {
    text.chars().take(most).collect()
}

fn chars(text: &str) -> usize {
    text.chars().count()
}
