//! Facts about the child program: how it is spawned, its version, whether it accepts a configuration, and what its log
//! lines mean. A leaf: it knows no room.

mod command;
mod fence;
mod line;
mod once;
mod process;
pub mod sockets;
mod stamp;
mod strays;
mod symptom;
mod transcript;
mod validate;
mod version;
mod words;

pub use command::{command, forbid_core};
pub use fence::{Destination, Forbids};
pub use line::Line;
pub use process::{Process, SpawnError};
pub use stamp::Stamp;
pub use strays::adopt_strays;
pub use symptom::{Meaning, Row, Source, Symptom, TABLE, When, classify};
pub use transcript::Transcript;
pub use validate::{ValidateError, validate_ingress};
pub use version::{Release, Version, VersionError, release, version};
pub use words::{redacted, shown};

/// The target of the events that are lines of the program: the log shows it as their writer's name.
pub const LOG_TARGET: &str = "cloudflared";
