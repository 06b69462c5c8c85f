//! How the edge treats who comes.

use super::{Micros, Scope, Transport, Who};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// How an address of the edge treats new connections.
///
/// Over QUIC a connection that is turned away is: closed with code 0 after the handshake (`eof`), refused in the handshake
/// (`reset`), never answered (`black-hole`), answered with datagrams that are no QUIC (`garbage`).
///
/// What ends a handshake can be had for certain connectors or indexes too: then it begins when the edge has learnt who
/// comes, which is in the registration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Conduct {
    /// Registers who has the right secret.
    #[default]
    Accept,
    /// Does not listen: the connection is refused. Over QUIC the port is closed once nothing is registered there any more;
    /// until then who comes is not answered.
    Refuse,
    /// Closes in the handshake: the connector reads the end of the stream.
    Eof,
    /// Resets in the handshake.
    Reset,
    /// Accepts, and never says anything.
    BlackHole,
    /// Answers everything with what is no answer to it.
    Garbage,
    /// Closes after the handshake, before the registration is answered. Over QUIC with code 1.
    Drop,
    /// Rejects with `Unauthorized: Invalid tunnel secret`.
    Unauthorized,
    /// Rejects with `Unauthorized: Tunnel not found`.
    Deleted,
    /// Rejects with `Internal: tunnel was deleted`.
    Permanent,
    /// Rejects with `edge is overloaded`, and a time to try again after, which cloudflared ignores.
    Retry,
    /// Rejects as a duplicate of a connection that is registered.
    Duplicate,
    /// Never answers the registration.
    Hang,
    /// Answers the registration late.
    Slow,
    /// Registers, and then falls silent: nothing is heard or said on the connection any more.
    SilentAfter,
}

/// How those who are meant are treated, whatever the conduct of the address is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Rule {
    /// Who is meant.
    #[serde(flatten)]
    pub scope: Scope,
    /// Meant are only those who register with this secret (as in `TunnelSecret`).
    pub secret: Option<String>,
    /// What happens to them.
    pub conduct: Conduct,
}

impl Rule {
    pub(super) fn fits(&self, who: &Who, edge: SocketAddr, transport: Transport, secret: &str) -> bool {
        self.scope.holds(who, edge, transport) && self.secret.as_ref().is_none_or(|right| right == secret)
    }
}

impl Conduct {
    /// What a registration is refused with, if it is: the cause, and after how long it may be tried again, if it may.
    pub fn refusal(self) -> Option<(&'static str, Option<Micros>)> {
        match self {
            Self::Unauthorized => Some((UNAUTHORIZED, None)),
            Self::Deleted => Some(("Unauthorized: Tunnel not found", None)),
            Self::Permanent => Some(("Internal: tunnel was deleted", None)),
            Self::Retry => Some(("edge is overloaded", Some(60_000_000))),
            Self::Duplicate => Some((crate::tunnelrpc::registration::DUPLICATE, None)),
            Self::Accept
            | Self::Refuse
            | Self::Eof
            | Self::Reset
            | Self::BlackHole
            | Self::Garbage
            | Self::Drop
            | Self::Hang
            | Self::Slow
            | Self::SilentAfter => None,
        }
    }
}

/// What who has the wrong secret is refused with.
pub(super) const UNAUTHORIZED: &str = "Unauthorized: Invalid tunnel secret";
