//! What the program's log lines mean: one table.

use super::Line;
use cflared_verdict::Complaint;
use tracing::Level;

/// What a line says about the tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Symptom {
    /// It named itself.
    ConnectorId,
    /// A connection is registered.
    Registered,
    /// A connection was unregistered, in good order.
    Unregistered,
    /// The edge does not know the credentials.
    Unauthorized,
    /// The edge knows that the tunnel was deleted.
    TunnelDeleted,
    /// The edge refused a registration, for another reason.
    Rejected,
    /// The edge did not answer a registration.
    EdgeSilent,
    /// The edge cannot be reached.
    EdgeUnreachable,
    /// A connection that was registered broke.
    ConnectionLost,
    /// It will try again.
    Retrying,
    /// The edge's names do not resolve.
    DnsFailed,
    /// An origin did not take a client's connection.
    OriginUnreachable,
    /// Somebody else has the metrics port.
    MetricsPortTaken,
    /// The configuration cannot be used.
    ConfigRefused,
    /// The credentials file cannot be used.
    CredentialsUnreadable,
    /// It stops because it was told to.
    Stopping,
    /// It stops because its first connection failed.
    GaveUp,
    /// It is known, and says nothing about the tunnel.
    Chatter,
    /// It is in no row.
    Unknown,
}

impl Symptom {
    /// What the program complains of with it; `None`: of nothing that a cause could follow from. That a connection broke
    /// or that it tries again tells no cause, and that it gave up follows a line that does.
    pub const fn complaint(self) -> Option<Complaint> {
        match self {
            Self::Unauthorized => Some(Complaint::Unauthorized),
            Self::TunnelDeleted => Some(Complaint::TunnelGone),
            Self::Rejected => Some(Complaint::EdgeRejected),
            Self::EdgeSilent => Some(Complaint::EdgeSilent),
            Self::EdgeUnreachable => Some(Complaint::EdgeUnreachable),
            Self::DnsFailed => Some(Complaint::DnsFailed),
            Self::MetricsPortTaken => Some(Complaint::PortTaken),
            Self::OriginUnreachable => Some(Complaint::OriginUnreachable),
            Self::ConfigRefused => Some(Complaint::ConfigRefused),
            Self::CredentialsUnreadable => Some(Complaint::CredentialsUnreadable),
            Self::ConnectorId
            | Self::Registered
            | Self::Unregistered
            | Self::ConnectionLost
            | Self::Retrying
            | Self::Stopping
            | Self::GaveUp
            | Self::Chatter
            | Self::Unknown => None,
        }
    }
}

impl Symptom {
    /// Whether the connection that the line names is not registered any more.
    pub const fn ends_connection(self) -> bool {
        matches!(self, Self::Unregistered | Self::ConnectionLost | Self::Retrying)
    }
}

/// What a line means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Meaning {
    /// The stable name of the event in our log.
    pub event: &'static str,
    /// What it says about the tunnel.
    pub symptom: Symptom,
    /// The level it has in our log: what repeats is debug, and only what a state follows from is more.
    pub level: Level,
}

/// One row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// What the lines mean.
    pub meaning: Meaning,
    /// Which lines it is about.
    pub when: When,
    /// Where the line was seen.
    pub source: Source,
}

/// A pattern. Every text is searched for anywhere in its field, and in the whole of a plain line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// The message.
    Message(&'static str),
    /// The error.
    Error(&'static str),
    /// The message and the error; an empty text takes any error, but not none.
    Both(&'static str, &'static str),
    /// The error of a line that has no message.
    Bare(&'static str),
    /// A plain line only.
    Plain(&'static str),
}

/// Where a line was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// In this file of `agent/tests/recorded/`, which the real 2026.8.2 printed.
    Recorded(&'static str),
    /// In this public issue or page, with a log of a real cloudflared.
    Reported(&'static str),
}

use Source::{Recorded, Reported};
use Symptom as S;
use When::{Bare, Both, Error, Message, Plain};

const fn row(event: &'static str, symptom: Symptom, level: Level, when: When, source: Source) -> Row {
    Row { meaning: Meaning { event, symptom, level }, when, source }
}

/// All meanings; the first row that fits counts.
#[rustfmt::skip]
pub const TABLE: &[Row] = &[
    row("connector_id", S::ConnectorId, Level::INFO, Message("Generated Connector ID: "), Recorded("connected.log")),
    row("unregistered", S::Unregistered, Level::INFO, Message("Unregistered tunnel connection"), Recorded("sig_SIGTERM.log")),
    row("registered", S::Registered, Level::INFO, Message("Registered tunnel connection"), Recorded("connected.log")),

    // The cause is in the error of several lines, of which the last is plain: start_permanent.log.
    row("terminated", S::Chatter, Level::DEBUG, Message("Connection terminated"), Recorded("connected.log")),
    row("unauthorized", S::Unauthorized, Level::WARN, Error("Unauthorized: "), Recorded("start_unauthorized.log")),
    row("tunnel_deleted", S::TunnelDeleted, Level::WARN, Error("tunnel was deleted"), Recorded("start_permanent.log")),
    row("registration_timed_out", S::EdgeSilent, Level::WARN, Both("Register tunnel error from server side", "context deadline exceeded"), Recorded("start_hang.log")),
    row("registration_timed_out", S::EdgeSilent, Level::WARN, Plain("context deadline exceeded"), Recorded("start_hang.log")),
    row("rejected", S::Rejected, Level::WARN, Both("Register tunnel error from server side", ""), Recorded("start_retry.log")),

    row("edge_refused", S::EdgeUnreachable, Level::WARN, Both("Unable to establish connection with Cloudflare edge", "connection refused"), Recorded("start_edge_refused.log")),
    row("edge_timed_out", S::EdgeUnreachable, Level::WARN, Both("Unable to establish connection with Cloudflare edge", "i/o timeout"), Recorded("start_blackhole.log")),
    row("edge_cut", S::EdgeUnreachable, Level::WARN, Both("Unable to establish connection with Cloudflare edge", "EOF"), Recorded("start_drop.log")),
    row("edge_cut", S::EdgeUnreachable, Level::WARN, Both("Unable to establish connection with Cloudflare edge", "connection reset by peer"), Recorded("start_drop.log")),
    row("edge_unreachable_quic", S::EdgeUnreachable, Level::WARN, Message("Failed to dial a quic connection"), Reported("cloudflare/cloudflared#1503")),
    row("connection_lost", S::ConnectionLost, Level::INFO, Message("Lost connection with the edge"), Recorded("connected.log")),
    row("connection_lost_quic", S::ConnectionLost, Level::INFO, Message("Failed to serve quic connection"), Reported("cloudflare/cloudflared#1228")),
    row("retrying", S::Retrying, Level::DEBUG, Message("Retrying connection in up to "), Recorded("start_edge_refused.log")),

    row("dns_failed", S::DnsFailed, Level::WARN, Message("edge discovery: error looking up Cloudflare edge IPs"), Recorded("connected.log")),
    row("dns_advice", S::Chatter, Level::DEBUG, Message("Please try the following things to diagnose this issue:"), Recorded("connected.log")),
    row("dns_advice", S::Chatter, Level::DEBUG, Message("  1. ensure that argotunnel.com is returning "), Recorded("connected.log")),
    row("dns_advice", S::Chatter, Level::DEBUG, Message("     Run your system's equivalent of: dig srv "), Recorded("connected.log")),
    row("dns_advice", S::Chatter, Level::DEBUG, Message("  2. ensure that your DNS resolver is not returning "), Recorded("connected.log")),
    row("dns_advice", S::Chatter, Level::DEBUG, Message("     See GitHub issue https://github.com/golang/go/issues/27546"), Recorded("connected.log")),
    row("dns_advice", S::Chatter, Level::DEBUG, Message("     For example, you could use Cloudflare's 1.1.1.1"), Recorded("connected.log")),
    row("dns_advice", S::Chatter, Level::DEBUG, Message("     https://developers.cloudflare.com/1.1.1.1/"), Recorded("connected.log")),

    // Two lines for each client: one of the rule, without a message (`originService`), and one of the request.
    // An origin that is no HTTP server has nothing but the error of the dial in both.
    row("origin_unreachable", S::OriginUnreachable, Level::WARN, Both("Request failed", "Unable to reach the origin service. "), Reported("cloudflare/cloudflared#976")),
    row("origin_unreachable", S::OriginUnreachable, Level::DEBUG, Error("Unable to reach the origin service. "), Reported("homeassistant-apps/app-cloudflared#671")),
    row("origin_unreachable", S::OriginUnreachable, Level::WARN, Both("Request failed", "dial tcp "), Reported("brettscott/cloudflare-worker-tunnel-mysql-example, README")),
    row("origin_unreachable", S::OriginUnreachable, Level::DEBUG, Bare("dial tcp "), Reported("brettscott/cloudflare-worker-tunnel-mysql-example, README")),

    row("metrics_port_taken", S::MetricsPortTaken, Level::WARN, Both("Error opening metrics server listener", "address already in use"), Recorded("metrics_port_in_use.log")),
    row("config_missing", S::ConfigRefused, Level::WARN, Plain("no such file or directory"), Recorded("cfg_missing.log")),
    row("config_not_yaml", S::ConfigRefused, Level::WARN, Plain("error parsing YAML in config file at "), Recorded("cfg_badyaml.log")),
    row("config_no_catch_all", S::ConfigRefused, Level::WARN, Error("The last ingress rule must match all URLs"), Recorded("cfg_nocatchall.log")),
    row("config_bad_service", S::ConfigRefused, Level::WARN, Error("is an invalid address, please make sure it has a scheme and a hostname"), Recorded("cfg_bad_service.log")),
    row("credentials_missing", S::CredentialsUnreadable, Level::WARN, Plain("Tunnel credentials file '"), Recorded("cfg_nocreds.log")),
    row("credentials_not_json", S::CredentialsUnreadable, Level::WARN, Message("contained invalid JSON. This is probably caused by passing the wrong filepath"), Recorded("creds_garbage.log")),
    row("credentials_not_json", S::CredentialsUnreadable, Level::WARN, Message("Invalid JSON when parsing "), Recorded("creds_garbage.log")),

    row("gave_up", S::GaveUp, Level::WARN, Message("initial tunnel connection failed"), Recorded("start_unauthorized.log")),
    row("gave_up", S::GaveUp, Level::WARN, Plain("connection with edge closed"), Recorded("start_unauthorized.log")),
    row("gave_up", S::Chatter, Level::DEBUG, Message("Initiating shutdown"), Recorded("start_unauthorized.log")),
    row("stopping", S::Stopping, Level::INFO, Message("Initiating graceful shutdown due to signal "), Recorded("sig_SIGTERM.log")),
    row("stopped", S::Chatter, Level::DEBUG, Message("no more connections active and exiting"), Recorded("sig_SIGTERM.log")),
    row("stopped", S::Chatter, Level::DEBUG, Message("Tunnel server stopped"), Recorded("sig_SIGTERM.log")),
    row("stopped", S::Chatter, Level::DEBUG, Message("Metrics server stopped"), Recorded("sig_SIGTERM.log")),

    // Each follows a line above that says the same.
    row("serve_failed", S::Chatter, Level::DEBUG, Both("Serve tunnel error", "connection with edge closed"), Recorded("connected.log")),
    row("serve_failed", S::Chatter, Level::DEBUG, Both("Serve tunnel error", "TLS handshake with edge error: "), Recorded("start_drop.log")),
    row("serve_failed", S::Chatter, Level::DEBUG, Both("Serve tunnel error", "DialContext error: "), Recorded("start_edge_refused.log")),
    row("serve_failed", S::Chatter, Level::DEBUG, Both("failed to serve incoming request", "Error shutting down control stream"), Recorded("connected.log")),
    row("serve_failed", S::Chatter, Level::DEBUG, Both("failed to serve incoming request", "context deadline exceeded"), Recorded("start_hang.log")),

    row("starting", S::Chatter, Level::DEBUG, Message("Starting tunnel"), Recorded("connected.log")),
    row("version", S::Chatter, Level::INFO, Message("Version 20"), Recorded("connected.log")),
    row("platform", S::Chatter, Level::DEBUG, Message("GOOS: "), Recorded("connected.log")),
    row("settings", S::Chatter, Level::DEBUG, Message("Settings: map["), Recorded("connected.log")),
    row("features_unknown", S::Chatter, Level::DEBUG, Message("Failed to fetch features, default to disable"), Recorded("connected.log")),
    row("protocol_share_unknown", S::Chatter, Level::DEBUG, Message("Unable to lookup protocol percentage."), Recorded("connected.log")),
    row("protocol", S::Chatter, Level::INFO, Message("Initial protocol "), Recorded("connected.log")),
    row("icmp", S::Chatter, Level::DEBUG, Message("ICMP proxy "), Recorded("connected.log")),
    row("icmp", S::Chatter, Level::DEBUG, Message("that is not within ping_group_range"), Recorded("connected.log")),
    row("local_resolver_failed", S::Chatter, Level::DEBUG, Message("Failed to initialize DNS local resolver"), Recorded("connected.log")),
    row("curves", S::Chatter, Level::DEBUG, Message("Tunnel connection curve preferences: "), Recorded("connected.log")),
    row("metrics_served", S::Chatter, Level::DEBUG, Message("Starting metrics server on "), Recorded("connected.log")),
    row("diagnosed", S::Chatter, Level::DEBUG, Message("Collection started"), Recorded("connected.log")),
    row("diagnosed", S::Chatter, Level::DEBUG, Message("Collection finished"), Recorded("connected.log")),
];

/// The meaning of the first row that fits. A line that is in none keeps its own level, but an error of the program's is
/// a warning of ours: error means that a person must act, which one line of it never proves.
pub fn classify(line: &Line) -> Meaning {
    let known = TABLE.iter().find(|row| row.when.fits(line)).map(|row| row.meaning);
    let level = line.level.unwrap_or(Level::WARN).max(Level::WARN);
    known.unwrap_or(Meaning { event: "other", symptom: Symptom::Unknown, level })
}

impl When {
    fn fits(self, line: &Line) -> bool {
        let message = |text: &str| line.message.contains(text);
        if line.is_plain() {
            return match self {
                Message(text) | Error(text) | Plain(text) => message(text),
                Both(text, error) => message(text) && message(error),
                Bare(_) => false,
            };
        }
        let error = |text: &str| line.error.as_ref().is_some_and(|error| error.contains(text));
        match self {
            Message(text) => message(text),
            Error(text) => error(text),
            Both(text, cause) => message(text) && error(cause),
            Bare(cause) => line.message.is_empty() && error(cause),
            Plain(_) => false,
        }
    }
}

#[cfg(test)]
mod tests;
