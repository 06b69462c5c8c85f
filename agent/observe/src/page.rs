//! The few numbers of `/metrics` that are used.

use super::printable;
use super::registrations::Registrations;
use super::sample::Sample;
use cflared_verdict::Tries;
use std::collections::BTreeMap;

/// What a page of cloudflared's `/metrics` says; `None` where it does not (a counter appears with its first event).
///
/// Counters count since the process started. Nothing is decided by any of these but [`Page::tries`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// `cloudflared_tunnel_ha_connections`: attempts in progress. 1 on a connector that never reached the edge, 2 to 4
    /// for moments while nothing is registered (observed, 2026.8.2).
    pub ha_connections: Option<u32>,
    /// The version in `build_info`.
    pub version: Option<String>,
    /// Registrations that succeeded.
    pub registered: Option<u64>,
    /// Registrations that the edge answered with an error, or not in 5 s.
    pub register_failures: Option<u64>,
    /// What it has tried to register; `None`: this version counts otherwise.
    pub tries: Option<Tries>,
    /// Requests proxied.
    pub requests: Option<u64>,
    /// Requests that could not be proxied to their origin.
    pub request_errors: Option<u64>,
    /// Requests in flight.
    pub concurrent_requests: Option<u64>,
    /// Open TCP and UDP sessions.
    pub active_sessions: Option<u64>,
    /// The edge location of each connection, by its number. Never reset by cloudflared (observed, 2026.8.2): it means
    /// something only for a connection that is up.
    pub edge_locations: BTreeMap<u8, String>,
    /// The resident memory of the process, in bytes.
    pub resident_memory: Option<u64>,
}

/// How the metrics of cloudflared's own begin.
const OWN: &str = "cloudflared_";

impl Page {
    /// Reads a page in the text format of Prometheus; lines that make no sense are passed over. The error says why it
    /// is no page of cloudflared.
    pub(super) fn parse(body: &[u8]) -> Result<Self, String> {
        let text = String::from_utf8_lossy(body);
        if !text.lines().any(|line| line.starts_with(OWN)) {
            return Err("it holds no metric of cloudflared".into());
        }
        let (mut page, mut registrations) = (Self::default(), Registrations::default());
        for sample in text.lines().filter_map(Sample::parse) {
            let Some(value) = whole(sample.value) else { continue };
            page.take(&sample, value);
            registrations.take(&sample, value);
        }
        page.tries = registrations.tries();
        Ok(page)
    }

    fn take(&mut self, sample: &Sample<'_>, value: u64) {
        let add = |total: &mut Option<u64>| *total = Some(total.unwrap_or(0).saturating_add(value));
        match sample.name {
            "build_info" => self.version = sample.label("version").map(|version| printable(version, 64)),
            "cloudflared_tunnel_ha_connections" => self.ha_connections = u32::try_from(value).ok(),
            "cloudflared_tunnel_tunnel_register_success" => add(&mut self.registered),
            "cloudflared_tunnel_tunnel_register_fail" => add(&mut self.register_failures),
            "cloudflared_tunnel_total_requests" => add(&mut self.requests),
            "cloudflared_tunnel_request_errors" => add(&mut self.request_errors),
            "cloudflared_tunnel_concurrent_requests_per_tunnel" => add(&mut self.concurrent_requests),
            "cloudflared_tcp_active_sessions" | "cloudflared_udp_active_sessions" => add(&mut self.active_sessions),
            "cloudflared_tunnel_server_locations" if value > 0 => self.take_location(sample),
            "process_resident_memory_bytes" => self.resident_memory = Some(value),
            _ => {}
        }
    }

    fn take_location(&mut self, sample: &Sample<'_>) {
        let connection = sample.label("connection_id").and_then(|id| id.parse().ok());
        if let (Some(connection), Some(location)) = (connection, sample.label("edge_location")) {
            self.edge_locations.insert(connection, printable(location, 32));
        }
    }
}

/// A sample's value as a count; none if it is no count (negative, NaN, infinite, or larger than 2^53).
fn whole(value: f64) -> Option<u64> {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "in range; only a fraction is cut")]
    (0.0..=9_007_199_254_740_992.0).contains(&value).then_some(value as u64)
}
