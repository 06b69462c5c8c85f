//! The exact record of who was registered when, and questions to it.

use super::who::Who;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

/// Microseconds since the edge started, on the monotonic clock.
pub type Micros = u64;

/// One thing that happened at the edge.
#[derive(Clone, Debug, Serialize)]
pub struct Event {
    /// When, since the edge started.
    pub at: Micros,
    /// When, in microseconds since 1970.
    pub wall: u64,
    /// Who it happened to.
    pub who: Who,
    /// The registered connection's UUID; empty if it never was registered.
    pub connection: String,
    /// The edge address that the connector dialled.
    pub edge: SocketAddr,
    /// What happened.
    pub what: What,
}

/// What can happen at the edge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum What {
    /// A connection was registered. Stamped before the connector hears of it.
    Registered,
    /// The connector asked to be unregistered.
    Unregistered,
    /// A registered connection went away without being unregistered.
    Lost,
    /// The edge dropped a registered connection, on command.
    Dropped,
    /// A registration was rejected with this error.
    Rejected(String),
    /// A registration was heard and never answered.
    Hung,
    /// The handshake failed, on command: `eof`, `reset`, `black-hole` or `garbage`.
    TurnedAway(&'static str),
}

/// How much of a tunnel is registered at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Registered {
    /// Connectors with at least one connection.
    pub connectors: usize,
    /// Connections of all of them.
    pub connections: usize,
}

/// A time in which a tunnel had no connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Gap {
    /// Its first moment.
    pub from: Micros,
    /// The moment a connection was there again, if one came before the end of the question.
    pub until: Option<Micros>,
}

/// Events in the order of their time.
#[derive(Default)]
pub(super) struct Journal(Vec<Event>);

impl Journal {
    pub(super) fn push(&mut self, event: Event) {
        self.0.push(event);
    }

    pub(super) fn events(&self) -> Vec<Event> {
        self.0.clone()
    }

    /// What of `tunnel` was registered at `at`, events of that very moment included.
    pub(super) fn registered(&self, tunnel: &str, at: Micros) -> Registered {
        let mut live = BTreeMap::new();
        for event in self.of(tunnel).take_while(|event| event.at <= at) {
            apply(&mut live, event);
        }
        Registered { connectors: live.values().collect::<BTreeSet<_>>().len(), connections: live.len() }
    }

    /// The first time in `from..=until` in which nothing of `tunnel` was registered.
    pub(super) fn first_gap(&self, tunnel: &str, from: Micros, until: Micros) -> Option<Gap> {
        let mut zero_since = (self.registered(tunnel, from).connections == 0).then_some(from);
        let mut live = BTreeMap::new();
        for event in self.of(tunnel).take_while(|event| event.at <= until) {
            apply(&mut live, event);
            match (event.at > from, live.is_empty(), zero_since) {
                (true, true, None) => zero_since = Some(event.at),
                (true, false, Some(since)) => return Some(Gap { from: since, until: Some(event.at) }),
                _ => {}
            }
        }
        zero_since.map(|since| Gap { from: since, until: None })
    }

    fn of<'a>(&'a self, tunnel: &'a str) -> impl Iterator<Item = &'a Event> {
        self.0.iter().filter(move |event| event.who.tunnel == tunnel)
    }
}

fn apply<'a>(live: &mut BTreeMap<&'a str, &'a str>, event: &'a Event) {
    match event.what {
        What::Registered => {
            live.insert(&event.connection, &event.who.connector);
        }
        What::Unregistered | What::Lost | What::Dropped => {
            live.remove(event.connection.as_str());
        }
        What::Rejected(_) | What::Hung | What::TurnedAway(_) => {}
    }
}

#[cfg(test)]
mod tests;
