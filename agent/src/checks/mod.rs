//! The checks of an installation, and the one report of their results.
//!
//! The [`catalogue`] says what each check proves and how to mend it; [`image`] looks at a file tree, [`host`] at a running
//! host; [`Report`] collects
//! what was found and is written as text for a person or as JSON for a program. This room looks and tells: it must not
//! change, start or decide anything.

pub mod catalogue;
pub mod host;
pub mod image;

mod json;
mod program;
mod release;
mod report;
mod text;

pub use image::pattern::{forms as credential_forms, scan as credentials, spans as credentials_in};
pub use report::{Finding, Found, Outcome, Report, Skipped, Verdict};
pub use text::coloured;

#[cfg(test)]
mod tests;
