//! The findings, and their verdict.

use super::catalogue::Check;
use super::text::shortened;
use status::Timestamp;
use std::time::SystemTime;

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It is as it should be.
    Pass,
    /// It is not, and that costs something; it does not make the whole unfit.
    Warn,
    /// It is not.
    Fail,
    /// It was not looked at.
    Skip(Skipped),
}

/// Why a check was not made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Skipped {
    /// That check has not passed, without which this one says nothing.
    Needs(&'static Check),
    /// It cannot be made of such a subject.
    NotApplicable,
    /// It could not be made: whether all is well is not known.
    NotKnown,
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// How it came out.
    pub outcome: Outcome,
    /// What was seen, most telling first. Names places, never a secret's value.
    pub evidence: Vec<String>,
}

impl Found {
    /// All is well.
    pub fn pass(evidence: impl Into<String>) -> Self {
        Self { outcome: Outcome::Pass, evidence: vec![evidence.into()] }
    }

    /// It could be better.
    pub fn warn(evidence: impl Into<String>) -> Self {
        Self { outcome: Outcome::Warn, evidence: vec![evidence.into()] }
    }

    /// It is wrong.
    pub fn fail(evidence: impl Into<String>) -> Self {
        Self { outcome: Outcome::Fail, evidence: vec![evidence.into()] }
    }

    /// It cannot be looked at in such a subject.
    pub fn not_applicable(why: impl Into<String>) -> Self {
        Self { outcome: Outcome::Skip(Skipped::NotApplicable), evidence: vec![why.into()] }
    }

    /// That other check has not passed, which explains it.
    pub fn needs(check: &'static Check) -> Self {
        Self { outcome: Outcome::Skip(Skipped::Needs(check)), evidence: vec![format!("needs {}", check.id)] }
    }

    /// The most telling of what was seen.
    pub fn why(&self) -> &str {
        self.evidence.first().map_or("", String::as_str)
    }

    /// The same, with one more thing that was seen.
    #[must_use]
    pub fn and(mut self, evidence: impl Into<String>) -> Self {
        self.evidence.push(evidence.into());
        self
    }

    /// Looking failed.
    pub fn not_known(why: impl Into<String>) -> Self {
        Self { outcome: Outcome::Skip(Skipped::NotKnown), evidence: vec![why.into()] }
    }

    /// Wrong if something `wrong` was seen; else not known, if something could not be looked at; else as `fine` says.
    pub fn from_wrongs(wrong: Vec<String>, unseen: Vec<String>, fine: impl Into<String>) -> Self {
        if !wrong.is_empty() {
            Self { outcome: Outcome::Fail, evidence: [wrong, unseen].concat() }
        } else if !unseen.is_empty() {
            Self { outcome: Outcome::Skip(Skipped::NotKnown), evidence: unseen }
        } else {
            Self::pass(fine)
        }
    }
}

/// A check and what it found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The check.
    pub check: &'static Check,
    /// What it found.
    pub found: Found,
}

/// What the findings come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing failed.
    Fine,
    /// Something failed.
    NotFine,
    /// Nothing failed of what could be looked at.
    Unknown,
}

/// The findings of one command about one subject.
#[derive(Debug, Clone)]
pub struct Report {
    /// The command, as a person types it.
    pub command: &'static str,
    /// What was looked at, as a sentence's subject.
    pub subject: String,
    /// When.
    pub at: Timestamp,
    /// The page that has a section for every check, if there is one.
    pub guide: Option<&'static str>,
    /// In the order in which they were made.
    pub findings: Vec<Finding>,
}

impl Report {
    /// An empty report.
    pub fn new(command: &'static str, subject: impl Into<String>, at: SystemTime) -> Self {
        Self { command, subject: subject.into(), at: at.into(), guide: None, findings: vec![] }
    }

    /// Whether that check is to be made. If one that it needs has not passed, the report says so instead.
    pub fn wants(&mut self, check: &'static Check) -> bool {
        let not_passed = |need: &&&'static Check| {
            let found = self.of(need).map(|finding| finding.found.outcome);
            found.is_some_and(|outcome| !matches!(outcome, Outcome::Pass | Outcome::Warn))
        };
        let Some(need) = check.needs.iter().find(not_passed) else { return true };
        // What that one needs in turn is what is to be mended.
        let outcome = self.of(need).map(|finding| finding.found.outcome);
        let root = if let Some(Outcome::Skip(Skipped::Needs(root))) = outcome { root } else { need };
        self.record(check, Found::needs(root));
        false
    }

    /// The same, for checks that have their sections in `page`.
    #[must_use]
    pub fn guided_by(mut self, page: &'static str) -> Self {
        self.guide = Some(page);
        self
    }

    /// Adds what a check found.
    pub fn record(&mut self, check: &'static Check, found: Found) {
        self.findings.push(Finding { check, found });
    }

    /// Makes that check, if it is wanted.
    pub fn look(&mut self, check: &'static Check, look: impl FnOnce() -> Found) {
        if self.wants(check) {
            self.record(check, look());
        }
    }

    /// What that check found, if it was made or skipped.
    pub fn of(&self, check: &Check) -> Option<&Finding> {
        self.findings.iter().find(|finding| finding.check == check)
    }

    /// The first of those checks that failed.
    pub fn failed(&self, among: &[&'static Check]) -> Option<&'static Check> {
        let failed = |check: &Check| self.of(check).is_some_and(|finding| finding.found.outcome == Outcome::Fail);
        among.iter().copied().find(|check| failed(check))
    }

    /// What a person does about a check that has not passed.
    pub fn next(&self, check: &Check) -> String {
        match self.guide {
            Some(page) => format!("{}; {page}#{}", check.remedy, check.id),
            None => check.remedy.into(),
        }
    }

    /// What it all comes to.
    pub fn verdict(&self) -> Verdict {
        let any = |wanted: Outcome| self.findings.iter().any(|finding| finding.found.outcome == wanted);
        if any(Outcome::Fail) {
            Verdict::NotFine
        } else if any(Outcome::Skip(Skipped::NotKnown)) {
            Verdict::Unknown
        } else {
            Verdict::Fine
        }
    }

    /// The verdict and its cause, in a line. The first failure is the cause: what depends on it is skipped.
    pub fn headline(&self) -> String {
        let (subject, all) = (&self.subject, self.findings.len());
        let ids = |wanted: Outcome| {
            let found = self.findings.iter().filter(|finding| finding.found.outcome == wanted);
            found.map(|finding| finding.check.id).collect::<Vec<_>>()
        };
        let first = |wanted: Outcome| {
            let finding = self.findings.iter().find(|finding| finding.found.outcome == wanted);
            let (id, why) = finding.map_or(("", ""), |Finding { check, found }| (check.id, found.why()));
            format!("{id}: {}", shortened(why, CAUSE))
        };
        // Of one, the name was told.
        let named = |ids: &[&str]| if ids.len() > 1 { format!(": {}", ids.join(", ")) } else { String::new() };
        match self.verdict() {
            Verdict::Fine => match ids(Outcome::Warn) {
                ids if ids.is_empty() => format!("fine: {subject} fails none of {all} checks"),
                ids => format!("fine: {subject} fails none of {all} checks; warnings: {}", ids.join(", ")),
            },
            Verdict::NotFine => {
                let (cause, ids) = (first(Outcome::Fail), ids(Outcome::Fail));
                format!("NOT FINE: {cause}; {subject} fails {} of {all} checks{}", ids.len(), named(&ids))
            }
            Verdict::Unknown => {
                let not_known = Outcome::Skip(Skipped::NotKnown);
                let (cause, ids) = (first(not_known), ids(not_known));
                format!(
                    "not known: {cause}; {subject} could not be checked for {} of {all} checks{}",
                    ids.len(),
                    named(&ids)
                )
            }
        }
    }
}

/// How much of the cause the headline holds, in characters.
const CAUSE: usize = 200;
