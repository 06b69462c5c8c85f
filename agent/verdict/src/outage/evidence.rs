//! The evidence for a cause: the child's own words and the probes from this host.

use crate::Transport;
use serde::{Deserialize, Serialize};

/// What a child complained of. The table that knows its texts is the agent's; here are only the meanings that decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Complaint {
    /// The edge does not know the credentials.
    Unauthorized,
    /// The edge knows no such tunnel (any more).
    TunnelGone,
    /// The configuration cannot be used.
    ConfigRefused,
    /// The credentials file cannot be used.
    CredentialsUnreadable,
    /// Somebody else has the metrics port.
    PortTaken,
    /// The edge's names do not resolve.
    DnsFailed,
    /// The edge cannot be reached: refused, timed out, cut in the TLS handshake.
    EdgeUnreachable,
    /// The edge took the connection and did not answer the registration.
    EdgeSilent,
    /// The edge refused the registration for a reason of its own.
    EdgeRejected,
    /// An origin did not take a client's connection.
    OriginUnreachable,
    /// Something else: a line at error or fatal, or a plain one, that is in no row of the table.
    Other,
}

impl Complaint {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Unauthorized,
        Self::TunnelGone,
        Self::ConfigRefused,
        Self::CredentialsUnreadable,
        Self::PortTaken,
        Self::DnsFailed,
        Self::EdgeUnreachable,
        Self::EdgeSilent,
        Self::EdgeRejected,
        Self::OriginUnreachable,
        Self::Other,
    ];
}

/// What was tried from this host, all at the same time.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, Hash)]
pub struct Probes {
    /// The edge's names: the SRV record, then the regions' addresses.
    pub dns: Probe,
    /// TCP to the edge's port 7844, and an answer to a TLS hello.
    pub tcp: Probe,
    /// UDP to the edge's port 7844: a QUIC version negotiation.
    pub udp: Probe,
    /// The origins of the ingress rules, in their order.
    pub origins: Vec<OriginProbe>,
}

/// What one try gave.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, Hash)]
pub struct Probe {
    /// The result: all that is decided by.
    pub reach: Reach,
    /// Who was asked and what came back, for a person.
    pub evidence: String,
}

/// The result of one try.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, Hash)]
#[serde(rename_all = "snake_case")]
pub enum Reach {
    /// It was not tried: switched off, or what it depends on failed.
    #[default]
    Untried,
    /// The other side answered.
    Answered,
    /// Nobody answered in time. On UDP that is no proof: a server should answer and need not (RFC 9000 §6.1).
    Silent,
    /// The other side, or this host, refused.
    Failed,
}

/// What a try of one origin gave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Hash)]
pub struct OriginProbe {
    /// The ingress rule's service, as in `tcp://db.internal:3306`; no path, no user, no secret.
    pub service: String,
    /// What came of it.
    pub probe: Probe,
}

impl Probes {
    /// Whether the edge can be reached by either protocol; `None` when nothing was tried.
    pub fn edge_reachable(&self) -> Option<bool> {
        let tried = [&self.dns, &self.tcp, &self.udp].iter().any(|probe| probe.reach != Reach::Untried);
        let answered = [&self.tcp, &self.udp].iter().any(|probe| probe.reach == Reach::Answered);
        tried.then_some(answered)
    }

    /// The same for a connector that may only use that transport; `None`: it may use either.
    pub fn edge_reachable_by(&self, pinned: Option<Transport>) -> Option<bool> {
        let only = match pinned {
            None => return self.edge_reachable(),
            Some(Transport::Quic) => &self.udp,
            Some(Transport::Http2) => &self.tcp,
        };
        match (self.dns.reach, only.reach) {
            (Reach::Failed | Reach::Silent, Reach::Untried) => Some(false),
            (_, Reach::Untried) => self.edge_reachable(),
            (_, reach) => Some(reach == Reach::Answered),
        }
    }
}
