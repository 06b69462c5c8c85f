//! A checked pair of config and credentials, installed as one generation or not at all.
//!
//! [`Bundle::check`] holds a payload against every rule that needs no other program. A [`Store`] reads what is
//! installed; [`Store::lock`] makes the caller its only writer, who stages a bundle, publishes it as a generation and
//! commits it, so that the pair is always whole and changes at one instant. This room must not know where a payload
//! comes from, when one is wanted, or what runs on it. Its methods wait for the disk: the loop calls them on another
//! thread.

mod broken;
mod choices;
mod equivalence;
mod error;
mod files;
mod install;
mod intake;
mod lock;
mod meta;
mod payload;
mod policy;
mod pushed;
mod rules;
mod service;
mod store;
mod writer;

pub use broken::RuleBroken;
pub use choices::Choices;
pub use error::{Error, Unusable};
pub use install::{Made, Staged};
pub use intake::{Intake, NotTaken, Taken, check_names};
pub use lock::Locked;
pub use meta::Meta;
pub use payload::{FieldsError, MAX_BYTES, Payload, PayloadError, SecretText};
pub use policy::{Forbidden, Policy};
pub use pushed::check_pushed;
pub use rules::Bundle;
pub use service::{Origin, Proxy, Rule, Service};
pub use store::{Found, Store, setting};
pub use writer::Writer;

#[cfg(test)]
mod tests;
