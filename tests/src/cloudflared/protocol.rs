//! How the edge is spoken to, and which way is tried after another.

use std::fmt;

/// How the edge is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocol {
    /// HTTP/2 over TLS over TCP.
    Http2,
    /// QUIC over UDP.
    Quic,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Protocol::Http2 => "http2",
            Protocol::Quic => "quic",
        })
    }
}

/// What a run begins with, and what it may fall back to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Selector {
    /// What it begins with.
    pub first: Protocol,
    /// What it may fall back to.
    pub fallback: Option<Protocol>,
}

const AVAILABLE: &str = "Available protocols: 'auto' - automatically chooses the best protocol over time (the default; \
    and also the recommended one); 'quic' - based on QUIC, relying on UDP egress to Cloudflare edge; 'http2' - using \
    Go's HTTP2 library, relying on TCP egress to Cloudflare edge";

impl Selector {
    /// Of a setting. `auto` begins with QUIC where a name server answers, and else with HTTP/2 (`no_listener_auto`).
    ///
    /// # Errors
    /// There is no such protocol; in cloudflared's words.
    pub fn of(setting: &str, name_server: bool) -> Result<Self, String> {
        let only = |first| Ok(Selector { first, fallback: None });
        match setting {
            "quic" => only(Protocol::Quic),
            "http2" | "h2mux" => only(Protocol::Http2),
            "auto" if name_server => Ok(Selector { first: Protocol::Quic, fallback: Some(Protocol::Http2) }),
            "auto" => only(Protocol::Http2),
            unknown => Err(format!("unknown protocol {unknown}, {AVAILABLE}")),
        }
    }
}
