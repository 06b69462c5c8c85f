//! What can be checked of an installation, and the one report that says how the checks came out.
//!
//! The [`catalogue`] says what each check proves and how to mend it; [`image`] looks at a file tree; [`Report`] collects
//! what was found and is written as text for a person or as JSON for a program. This room looks and tells: it must not
//! change, start or decide anything.

pub mod catalogue;
pub mod image;

mod json;
mod report;
mod text;

pub use report::{Finding, Found, Outcome, Report, Skipped, Verdict};

#[cfg(test)]
mod tests;
