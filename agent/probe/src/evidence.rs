//! The evidence of a probe, short and printable, because a stranger may have worded part of it.

use cflared_verdict::{Probe, Reach};
use input::plain::is_harmless;
use std::io;
use std::net::SocketAddr;

/// The longest evidence, in characters.
pub const LONGEST: usize = 200;

/// What keeps an address from answering.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Obstacle {
    /// What is sent disappears: a security group, a network ACL or a firewall drops it.
    Dropped,
    /// Somebody has it and refuses, or answers as no edge does: the edge, or what stands in its place. No security group
    /// does that.
    Refused,
    /// No way leads there from this host.
    NoRoute,
    /// This host's own firewall forbids it.
    Forbidden,
    /// The address that it is to come from is not this host's.
    ForeignSource,
}

impl Obstacle {
    /// What an error of the kernel's says of it.
    fn of(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::TimedOut => Self::Dropped,
            io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable => Self::NoRoute,
            io::ErrorKind::PermissionDenied => Self::Forbidden,
            io::ErrorKind::AddrNotAvailable => Self::ForeignSource,
            _ => Self::Refused,
        }
    }
}

/// What one address gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Try {
    pub reach: Reach,
    /// What came back; [`best`] adds who was asked.
    pub said: String,
    /// What is in the way, if something is.
    pub obstacle: Option<Obstacle>,
}

impl Try {
    pub fn answered(said: impl Into<String>) -> Self {
        Self { reach: Reach::Answered, said: said.into(), obstacle: None }
    }

    pub fn untried(said: impl Into<String>) -> Self {
        Self { reach: Reach::Untried, said: said.into(), obstacle: None }
    }

    pub fn silent(said: impl Into<String>) -> Self {
        Self { reach: Reach::Silent, said: said.into(), obstacle: Some(Obstacle::Dropped) }
    }

    /// It was taken, and nothing came back.
    pub fn mute(said: impl Into<String>) -> Self {
        Self { obstacle: Some(Obstacle::Refused), ..Self::silent(said) }
    }

    pub fn failed(said: impl Into<String>) -> Self {
        Self { reach: Reach::Failed, said: said.into(), obstacle: Some(Obstacle::Refused) }
    }

    /// What the kernel says: its own time-out is silence, all else a refusal by somebody.
    pub fn error(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::TimedOut => Self::silent("no answer"),
            _ => Self { obstacle: Some(Obstacle::of(error)), ..Self::failed(words(error)) },
        }
    }
}

/// What the tries of one transport came to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tried {
    /// The result.
    pub probe: Probe,
    /// What is in the way, if nothing answered.
    pub obstacle: Option<Obstacle>,
}

/// The kernel's words without its number.
pub fn words(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_lowercase()
}

/// Who was asked and what came back; those that said the same are named together.
#[derive(Debug, Default)]
pub struct Told(Vec<(Vec<String>, String)>);

impl Told {
    pub fn and(mut self, who: &str, what: &str) -> Self {
        match self.0.last_mut() {
            Some((names, same)) if same == what => names.push(who.into()),
            _ => self.0.push((vec![who.into()], what.into())),
        }
        self
    }

    pub fn text(&self) -> String {
        let parts: Vec<_> = self.0.iter().map(|(names, what)| format!("{}: {what}", names.join(", "))).collect();
        parts.join("; ")
    }
}

/// One result of many tries at the edge: the best, for one address that answers is enough. `tries` are of the first of
/// `edges`, in their order.
///
/// A host of one network has no way to the addresses of the other: that is said only if it is all there is to say.
pub fn best(edges: &[SocketAddr], tries: Vec<Try>) -> Tried {
    let mut tries: Vec<_> = edges.iter().zip(tries).collect();
    let no_way = |one: &Try| one.obstacle == Some(Obstacle::NoRoute);
    for ours in [SocketAddr::is_ipv4 as fn(&SocketAddr) -> bool, SocketAddr::is_ipv6] {
        let (mine, others): (Vec<_>, Vec<_>) = tries.iter().partition(|(edge, _)| ours(edge));
        if others.iter().any(|(_, one)| !no_way(one)) && mine.iter().all(|(_, one)| no_way(one)) {
            tries.retain(|(edge, _)| !ours(edge));
        }
    }
    // What the result rests on is told first.
    let rank = |reach| [Reach::Answered, Reach::Failed, Reach::Silent].iter().position(|known| *known == reach);
    tries.sort_by_key(|(_, one)| rank(one.reach));
    let Some((_, first)) = tries.first() else {
        return Tried { probe: probe(Reach::Untried, "no address of the edge is known"), obstacle: None };
    };
    let all = tries.iter().fold(Told::default(), |told, (edge, one)| told.and(&edge.to_string(), &one.said));
    Tried { probe: probe(first.reach, &all.text()), obstacle: first.obstacle }
}

/// A result with its evidence made printable.
pub fn probe(reach: Reach, evidence: &str) -> Probe {
    Probe { reach, evidence: printable(evidence) }
}

/// At most [`LONGEST`] characters, none of which moves a cursor or turns the line around.
pub fn printable(text: &str) -> String {
    let mut shown: String = text.chars().take(LONGEST + 1).map(|c| if is_harmless(c) { c } else { '?' }).collect();
    if shown.chars().count() > LONGEST {
        shown = shown.chars().take(LONGEST - 1).collect();
        shown.push('…');
    }
    shown
}
