//! A person's "hands off": nothing is condemned, handed over or completed while it lasts.

use crate::Mono;
use serde::{Deserialize, Serialize};

/// Who holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Holder {
    /// Somebody on the host, by `cflared-agent hold`.
    Operator,
    /// The instance's tag.
    Tag,
}

/// A hold in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// When it ends by itself; `None`: when it is lifted.
    pub until: Option<Mono>,
    /// What was said of it: the tag's value, who held and why.
    pub note: String,
}
