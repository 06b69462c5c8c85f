//! The cases: transport × conduct × start.

use super::scene::protocol;
use crate::edge::{Conduct, Transport};
use std::fmt;

/// Since when the edge behaves so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// Before cloudflared was started.
    FromTheStart,
    /// After four connections were registered; the edge drops them at that moment.
    Later,
}

/// One world to be played.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Case {
    /// What cloudflared speaks.
    pub transport: Transport,
    /// How the edge behaves.
    pub conduct: Conduct,
    /// Since when.
    pub start: Start,
}

/// How an edge that does not register anybody may behave.
const CONDUCTS: [Conduct; 13] = [
    Conduct::Refuse,
    Conduct::Eof,
    Conduct::Reset,
    Conduct::BlackHole,
    Conduct::Garbage,
    Conduct::Drop,
    Conduct::Unauthorized,
    Conduct::Deleted,
    Conduct::Permanent,
    Conduct::Retry,
    Conduct::Duplicate,
    Conduct::Hang,
    Conduct::SilentAfter,
];

impl Case {
    /// Every case, in the order of the page.
    pub fn all() -> Vec<Self> {
        let mut all = vec![];
        for transport in [Transport::Quic, Transport::Http2] {
            for start in [Start::FromTheStart, Start::Later] {
                all.extend(CONDUCTS.map(|conduct| Self { transport, conduct, start }));
            }
        }
        all
    }

    /// Whether the edge says no to every instance: a new one would be told the same. A duplicate is none: it is said of a
    /// connection of this connector, and a new one is another.
    pub fn is_refusal(self) -> bool {
        self.conduct.refusal().is_some() && self.conduct != Conduct::Duplicate
    }

    /// The conduct as the edge's control names it.
    pub fn conduct_name(self) -> String {
        serde_json::to_value(self.conduct).ok().and_then(|name| name.as_str().map(str::to_owned)).unwrap_or_default()
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let start = match self.start {
            Start::FromTheStart => "start",
            Start::Later => "later",
        };
        write!(f, "{}/{start}/{:?}", protocol(self.transport), self.conduct)
    }
}
