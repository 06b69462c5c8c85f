//! Versions of the secret, each made from the one before it.

use cflared_tests::world::{Payload, TUNNEL};
use std::fmt::Write;
use std::net::SocketAddr;

/// The hostname that the clients use all the time.
pub const DATABASE: &str = "db.example.dev";
/// The hostname that comes and goes.
pub const REPORTS: &str = "reports.example.dev";

/// What a version of the secret says.
#[derive(Clone, Debug)]
pub struct Version {
    /// Which of the tunnel's secrets it has.
    pub key: u8,
    /// Where the database is.
    pub database: SocketAddr,
    /// Where the reports are, if anywhere.
    pub reports: Option<SocketAddr>,
    /// What its comment says.
    pub comment: u32,
}

/// What can be new in a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    TunnelSecret,
    Ingress,
    Comment,
}

impl Change {
    /// The change number `n`: each in turn.
    pub fn numbered(n: u8) -> Self {
        [Self::TunnelSecret, Self::Ingress, Self::Comment][usize::from(n) % 3]
    }

    /// How many connectors it needs beside the one that serves. A comment is nothing to a connector.
    pub fn successors(self) -> usize {
        usize::from(self != Self::Comment)
    }
}

impl Version {
    pub fn first(database: SocketAddr) -> Self {
        Self { key: 1, database, reports: None, comment: 1 }
    }

    /// The next one, with that change. `reports` is where the reports are when there are any.
    pub fn changed(&self, change: Change, reports: SocketAddr) -> Self {
        let mut next = self.clone();
        match change {
            Change::TunnelSecret => next.key += 1,
            Change::Ingress => next.reports = if self.reports.is_none() { Some(reports) } else { None },
            Change::Comment => next.comment += 1,
        }
        next
    }

    /// The text of the secret.
    pub fn text(&self) -> String {
        let mut config = format!("# version {}\ntunnel: {TUNNEL}\ningress:\n", self.comment);
        let reports = self.reports.map(|reports| (REPORTS, reports));
        for (hostname, origin) in reports.into_iter().chain([(DATABASE, self.database)]) {
            // Writing to a string does not fail.
            let _ = write!(config, "  - hostname: {hostname}\n    service: tcp://{origin}\n");
        }
        config += "  - service: http_status:404\n";
        Payload { config, ..Payload::numbered(self.key) }.text()
    }
}
