//! The journal of decisions.

use crate::{Blame, Mono};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::hash::{Hash, Hasher};

/// How many decisions are kept.
pub const KEPT: usize = 50;

/// One entry of the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// When.
    pub at: Mono,
    /// What kind.
    pub kind: DecisionKind,
    /// What was seen, changed, was chosen or was refused.
    pub what: String,
    /// Whose fault it was held to be.
    #[serde(default)]
    pub blame: Option<Blame>,
    /// What it rests on.
    pub evidence: String,
}

/// What kind of decision it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DecisionKind {
    /// The blame changed: what was seen.
    Finding,
    /// The health changed.
    Transition,
    /// Something was ordered.
    Action,
    /// Something was called for and is put off: it is tried again by itself.
    Delay,
    /// Something was asked for, or called for, and not done: a person should look.
    Refusal,
}

/// The last decisions, and those that nobody has polled yet.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Journal {
    kept: VecDeque<Decision>,
    #[serde(skip)]
    unread: VecDeque<Decision>,
}

/// Nothing is decided by what is past.
impl Hash for Journal {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

impl Journal {
    pub(crate) fn note(&mut self, decision: Decision) {
        if self.kept.len() == KEPT {
            self.kept.pop_front();
        }
        self.kept.push_back(decision.clone());
        self.unread.push_back(decision);
    }

    pub(crate) fn poll(&mut self) -> Option<Decision> {
        self.unread.pop_front()
    }

    /// The decisions that are kept, oldest first.
    pub fn kept(&self) -> impl DoubleEndedIterator<Item = &Decision> {
        self.kept.iter()
    }
}
