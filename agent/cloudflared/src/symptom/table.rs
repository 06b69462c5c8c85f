//! The rows.

use super::Source::{self, Printed, Recorded, Reported};
use super::When::{self, Bare, Begins, Both, Dated, Detail, Error, Message, Plain, Torn};
use super::{Meaning, Row, Symptom as S};
use tracing::Level;

const fn row(event: &'static str, symptom: S, level: Level, when: When, source: Source) -> Row {
    Row { meaning: Meaning { event, symptom, level }, when, source }
}

const EDGE: &str = "Unable to establish connection with Cloudflare edge";
const QUIC: &str = "Failed to dial a quic connection";
/// As [`QUIC`], until 2024.12.
const QUIC_2024: &str = "Failed to create new quic connection";
const REGISTER: &str = "Register tunnel error from server side";
const REQUEST: &str = "failed to serve incoming request";
const METRICS: &str = "Error opening metrics server listener";
const RESOLVE: &str = "edge discovery: failed to resolve to ";
const GAVE_UP: &str = "initial tunnel connection failed";
const SHUTDOWN: &str = "Initiating shutdown";
const START: &str = "Couldn't start tunnel";
const DOWN: &str = "Unable to reach the origin service. ";

/// All meanings; the first row that fits counts.
#[rustfmt::skip]
pub const TABLE: &[Row] = &[
    // They hold any text.
    row("settings", S::Chatter, Level::DEBUG, Message("Settings: map["), Recorded("logs/connected.log")),
    row("settings", S::Chatter, Level::DEBUG, Message("Environmental variables map["), Printed("2026.8.2")),

    row("connector_id", S::ConnectorId, Level::INFO, Message("Generated Connector ID: "), Recorded("logs/connected.log")),
    row("unregistered", S::Unregistered, Level::INFO, Message("Unregistered tunnel connection"), Recorded("logs/sig_SIGTERM.log")),
    row("registered", S::Registered, Level::INFO, Message("Registered tunnel connection"), Recorded("logs/connected.log")),
    row("retrying", S::Retrying, Level::DEBUG, Message("Retrying connection in up to "), Recorded("logs/start_edge_refused.log")),

    // It crashed. What its runtime prints after that is a trace of the place.
    row("crashed", S::Crashed, Level::WARN, Begins("panic: "), Printed("2026.8.2")),
    row("crashed", S::Crashed, Level::WARN, Begins("fatal error: "), Printed("2026.8.2")),
    row("crashed", S::Crashed, Level::WARN, Begins("runtime: "), Printed("2026.8.2")),
    row("crashed", S::Crashed, Level::WARN, Begins("[signal SIG"), Printed("2026.8.2")),
    row("crashed", S::Crashed, Level::WARN, Begins("unexpected fault address "), Printed("2026.8.2")),
    row("crashed", S::Crashed, Level::WARN, Begins("SIGSEGV: "), Printed("2026.8.2")),
    row("crashed", S::Crashed, Level::WARN, Begins("SIGBUS: "), Printed("2026.8.2")),
    row("crashed", S::Crashed, Level::WARN, Begins("SIGILL: "), Printed("2026.8.2")),
    row("crashed", S::Crashed, Level::WARN, Begins("SIGABRT: "), Printed("2026.8.2")),
    row("trace", S::Chatter, Level::DEBUG, Begins("goroutine "), Printed("2026.8.2")),

    // Two lines for each client: one of the rule, without a message (`originService`), and one of the request, which over
    // HTTP/2 is one that could not be served. An origin that is no HTTP server has only the error of the dial in both.
    row("client_gone", S::Chatter, Level::DEBUG, Error("Incoming request ended abruptly: "), Recorded("more/origin_names.log")),
    row("client_gone", S::Chatter, Level::DEBUG, Error("Failed to proxy HTTP: context canceled"), Recorded("more/origin_cut.log")),
    row("client_gone", S::Chatter, Level::DEBUG, Bare("context canceled"), Recorded("more/origin_cut.log")),
    row("origin_unreachable", S::OriginUnreachable, Level::WARN, Both("Request failed", DOWN), Recorded("more/origin_down_quic.log")),
    row("origin_unreachable", S::OriginUnreachable, Level::WARN, Both("Request failed", "dial "), Reported("brettscott/cloudflare-worker-tunnel-mysql-example, README")),
    row("origin_unreachable", S::OriginUnreachable, Level::WARN, Both("Request failed", "lookup "), Printed("2026.8.2")),
    row("origin_unreachable", S::OriginUnreachable, Level::DEBUG, Bare(DOWN), Recorded("more/origin_down.log")),
    row("origin_unreachable", S::OriginUnreachable, Level::DEBUG, Bare("dial "), Recorded("more/origin_names.log")),
    row("origin_unreachable", S::OriginUnreachable, Level::DEBUG, Bare("lookup "), Printed("2026.8.2")),
    row("origin_unreachable", S::OriginUnreachable, Level::WARN, Both(REQUEST, DOWN), Recorded("more/origin_down.log")),
    row("origin_unreachable", S::OriginUnreachable, Level::WARN, Both(REQUEST, "Failed to proxy HTTP: dial "), Recorded("more/origin_names.log")),
    row("origin_unreachable", S::OriginUnreachable, Level::WARN, Both(REQUEST, "Failed to proxy HTTP: lookup "), Printed("2026.8.2")),
    row("origin_unreachable", S::OriginUnreachable, Level::WARN, Both(REQUEST, "dial "), Printed("2026.8.2")),
    row("request_failed", S::Chatter, Level::DEBUG, Both(REQUEST, "Failed to proxy HTTP: "), Printed("2026.8.2")),
    row("request_failed", S::Chatter, Level::DEBUG, Both(REQUEST, "cloudflared received a "), Printed("2026.8.2")),
    row("request_failed", S::Chatter, Level::DEBUG, Both(REQUEST, "Received unknown connection type: "), Printed("2026.8.2")),
    row("request_failed", S::Chatter, Level::DEBUG, Message("Request failed"), Printed("2026.8.2")),
    row("request_failed", S::Chatter, Level::DEBUG, Bare(""), Printed("2026.8.2")),

    // The cause is in the error of several lines, of which the last is plain: logs/start_permanent.log. Over QUIC there is none.
    row("terminated", S::Chatter, Level::DEBUG, Message("Connection terminated"), Recorded("logs/connected.log")),
    row("unauthorized", S::Unauthorized, Level::WARN, Error("Unauthorized"), Recorded("logs/start_unauthorized.log")),
    row("tunnel_deleted", S::TunnelDeleted, Level::WARN, Error("tunnel was deleted"), Recorded("logs/start_permanent.log")),
    row("registration_timed_out", S::EdgeSilent, Level::WARN, Both(REGISTER, "context deadline exceeded"), Recorded("logs/start_hang.log")),
    row("registration_timed_out", S::EdgeSilent, Level::WARN, Plain("context deadline exceeded"), Recorded("logs/start_hang.log")),
    row("rejected", S::Rejected, Level::WARN, Both(REGISTER, ""), Recorded("logs/start_retry.log")),
    row("duplicate", S::Chatter, Level::DEBUG, Message("Unable to establish connection."), Printed("2026.8.2")),

    row("edge_left", S::Chatter, Level::DEBUG, Both(EDGE, "operation was canceled"), Printed("2026.8.2")),
    row("edge_left", S::Chatter, Level::DEBUG, Both(EDGE, "context canceled"), Printed("2026.8.2")),
    row("edge_impostor", S::EdgeImpostor, Level::WARN, Both(EDGE, "x509: "), Recorded("more/wrong_ca_http2.log")),
    row("edge_impostor", S::EdgeImpostor, Level::WARN, Both(EDGE, "tls: "), Printed("2026.8.2")),
    row("edge_refused", S::EdgeUnreachable, Level::WARN, Both(EDGE, "connection refused"), Recorded("logs/start_edge_refused.log")),
    row("edge_timed_out", S::EdgeUnreachable, Level::WARN, Both(EDGE, "i/o timeout"), Recorded("logs/start_blackhole.log")),
    row("edge_cut", S::EdgeUnreachable, Level::WARN, Both(EDGE, "EOF"), Recorded("logs/start_drop.log")),
    row("edge_cut", S::EdgeUnreachable, Level::WARN, Both(EDGE, "connection reset by peer"), Recorded("logs/start_drop.log")),
    row("edge_unreachable", S::EdgeUnreachable, Level::WARN, Message(EDGE), Recorded("more/unreachable_net.log")),
    row("edge_left", S::Chatter, Level::DEBUG, Both(QUIC, "context canceled"), Printed("2026.8.2")),
    row("edge_impostor", S::EdgeImpostor, Level::WARN, Both(QUIC, "CRYPTO_ERROR"), Recorded("more/wrong_ca_quic.log")),
    row("edge_impostor", S::EdgeImpostor, Level::WARN, Both(QUIC, "x509: "), Printed("2024.12.2")),
    row("edge_unreachable_quic", S::EdgeUnreachable, Level::WARN, Message(QUIC), Recorded("more/blackhole_udp_quic.log")),
    row("edge_impostor", S::EdgeImpostor, Level::WARN, Both(QUIC_2024, "CRYPTO_ERROR"), Printed("2024.2.1")),
    row("edge_impostor", S::EdgeImpostor, Level::WARN, Both(QUIC_2024, "x509: "), Printed("2024.2.1")),
    row("edge_unreachable_quic", S::EdgeUnreachable, Level::WARN, Message(QUIC_2024), Printed("2024.2.1")),
    row("edge_unreachable_quic", S::EdgeUnreachable, Level::WARN, Plain("failed to dial to edge with quic: "), Printed("2026.8.2")),
    row("quic_blocked", S::Chatter, Level::INFO, Message("If this log occurs persistently, and cloudflared is unable to connect"), Recorded("more/udp_blocked_auto.log")),
    row("fallback", S::Chatter, Level::INFO, Message("Switching to fallback protocol "), Recorded("more/udp_blocked_auto.log")),
    row("protocol", S::Chatter, Level::INFO, Message("Changing protocol to "), Printed("2026.8.2")),

    row("connection_lost", S::ConnectionLost, Level::INFO, Message("Lost connection with the edge"), Recorded("logs/connected.log")),
    row("connection_lost_quic", S::ConnectionLost, Level::INFO, Message("failed to serve tunnel connection"), Recorded("quic/start_hang_quic/cloudflared.log")),
    row("connection_lost_quic", S::ConnectionLost, Level::INFO, Message("Failed to serve tunnel connection"), Printed("2025.8.0")),
    row("connection_lost_quic", S::ConnectionLost, Level::INFO, Message("Failed to serve quic connection"), Reported("cloudflare/cloudflared#1228")),
    row("connection_lost_quic", S::ConnectionLost, Level::INFO, Message("Failed to create new tunnel connection"), Printed("2025.8.0")),
    // Before and after that line, of the same loss.
    row("serve_failed", S::Chatter, Level::DEBUG, Message("failed to accept incoming stream requests"), Recorded("quic/then_drop_quic/cloudflared.log")),
    row("serve_failed", S::Chatter, Level::DEBUG, Message("failed to run the datagram handler"), Recorded("quic/start_hang_quic/cloudflared.log")),
    row("serve_failed", S::Chatter, Level::DEBUG, Message("failed to serve the control stream"), Printed("2026.8.2")),
    row("serve_failed", S::Chatter, Level::DEBUG, Message("Serve tunnel error"), Recorded("logs/connected.log")),

    row("dns_failed", S::DnsFailed, Level::WARN, Message("edge discovery: error looking up Cloudflare edge IPs"), Recorded("logs/connected.log")),
    row("edge_address_refused", S::ConfigRefused, Level::WARN, Both(RESOLVE, "missing port in address"), Recorded("starts/flag_edge_noport.log")),
    row("edge_address_refused", S::ConfigRefused, Level::WARN, Both(RESOLVE, "invalid port"), Recorded("starts/flag_edge_port.log")),
    row("edge_address_refused", S::ConfigRefused, Level::WARN, Both(RESOLVE, "unknown port"), Recorded("starts/flag_edge_word.log")),
    row("edge_address_refused", S::ConfigRefused, Level::WARN, Both(RESOLVE, "too many colons in address"), Printed("2026.8.2")),
    row("dns_failed", S::DnsFailed, Level::WARN, Message(RESOLVE), Recorded("more/named_edge.log")),
    // What discovery of the edge ends with, in the error of the last line and as a plain one.
    row("dns_failed", S::DnsFailed, Level::WARN, Both(SHUTDOWN, "Could not lookup srv records on "), Recorded("more/no_dns.log")),
    row("dns_failed", S::DnsFailed, Level::WARN, Both(SHUTDOWN, "Couldn't resolve SRV record "), Recorded("starts/dns_targets_unknown.log")),
    row("dns_failed", S::DnsFailed, Level::WARN, Both(SHUTDOWN, "SRV record "), Printed("2026.8.2")),
    row("dns_failed", S::DnsFailed, Level::WARN, Both(SHUTDOWN, "SRV only returned "), Recorded("starts/dns_one_region.log")),
    row("dns_failed", S::DnsFailed, Level::WARN, Both(SHUTDOWN, "failed to resolve any edge address"), Recorded("more/named_edge.log")),
    row("dns_failed", S::DnsFailed, Level::WARN, Both(SHUTDOWN, "no such host"), Printed("2026.8.2")),
    row("dns_failed", S::DnsFailed, Level::WARN, Both(SHUTDOWN, "lookup "), Printed("2026.8.2")),
    row("no_edge_address", S::DnsFailed, Level::WARN, Both(SHUTDOWN, "there are no free edge addresses left"), Recorded("starts/dns_no_ipv6.log")),
    row("no_edge_address", S::DnsFailed, Level::WARN, Both(GAVE_UP, "there are no free edge addresses left"), Recorded("starts/dns_no_ipv6.log")),
    row("no_edge_address", S::DnsFailed, Level::WARN, Plain("there are no free edge addresses left"), Printed("2026.8.2")),
    row("dns_failed", S::DnsFailed, Level::WARN, Both(GAVE_UP, "SRV "), Printed("2026.8.2")),
    row("dns_failed", S::DnsFailed, Level::WARN, Both(GAVE_UP, "failed to resolve any edge address"), Printed("2026.8.2")),
    row("dns_failed", S::DnsFailed, Level::WARN, Both(GAVE_UP, "lookup "), Printed("2026.8.2")),
    row("dns_failed", S::DnsFailed, Level::WARN, Begins("lookup "), Printed("2026.8.2")),
    row("dns_failed", S::DnsFailed, Level::WARN, Plain("Could not lookup srv records on "), Recorded("more/no_dns.log")),
    row("dns_failed", S::DnsFailed, Level::WARN, Plain("Couldn't resolve SRV record "), Printed("2026.8.2")),
    row("dns_failed", S::DnsFailed, Level::WARN, Plain("SRV record "), Printed("2026.8.2")),
    row("dns_failed", S::DnsFailed, Level::WARN, Plain("SRV only returned "), Printed("2026.8.2")),
    row("dns_failed", S::DnsFailed, Level::WARN, Plain("failed to resolve any edge address"), Recorded("more/named_edge.log")),
    row("dns_advice", S::Chatter, Level::DEBUG, Message("Please try the following things to diagnose this issue:"), Recorded("logs/connected.log")),
    row("dns_advice", S::Chatter, Level::DEBUG, Message("  1. ensure that argotunnel.com is returning "), Recorded("logs/connected.log")),
    row("dns_advice", S::Chatter, Level::DEBUG, Message("     Run your system's equivalent of: dig srv "), Recorded("logs/connected.log")),
    row("dns_advice", S::Chatter, Level::DEBUG, Message("  2. ensure that your DNS resolver is not returning "), Recorded("logs/connected.log")),
    row("dns_advice", S::Chatter, Level::DEBUG, Message("     See GitHub issue https://github.com/golang/go/issues/27546"), Recorded("logs/connected.log")),
    row("dns_advice", S::Chatter, Level::DEBUG, Message("     For example, you could use Cloudflare's 1.1.1.1"), Recorded("logs/connected.log")),
    row("dns_advice", S::Chatter, Level::DEBUG, Message("     https://developers.cloudflare.com/1.1.1.1/"), Recorded("logs/connected.log")),
    row("edge_discovery", S::Chatter, Level::DEBUG, Message("edge discovery: "), Printed("2026.8.2")),

    // Its own checks of the way to the edge. The last line says what they amount to; the table in a frame repeats them.
    row("prechecks_failed", S::PrechecksFailed, Level::WARN, Detail("precheck complete", r#""hard_fail":true"#), Recorded("more/prechecks_blocked.log")),
    row("prechecked", S::Prechecked, Level::INFO, Message("precheck complete"), Recorded("more/prechecks_ok.log")),
    row("precheck_failed", S::Prechecked, Level::INFO, Detail("precheck", r#""status":"fail""#), Recorded("more/prechecks_blocked.log")),
    row("prechecked", S::Prechecked, Level::DEBUG, Message("precheck"), Recorded("more/prechecks_ok.log")),
    row("prechecked", S::Prechecked, Level::DEBUG, Message("|  "), Recorded("more/prechecks_ok.log")),
    row("prechecked", S::Prechecked, Level::DEBUG, Message("+-----"), Recorded("more/prechecks_ok.log")),
    row("prechecked", S::Prechecked, Level::DEBUG, Message(" probe TLS config"), Printed("2026.8.2")),

    row("metrics_port_taken", S::MetricsPortTaken, Level::WARN, Both(METRICS, "address already in use"), Recorded("logs/metrics_port_in_use.log")),
    row("metrics_address_refused", S::ConfigRefused, Level::WARN, Message(METRICS), Recorded("starts/flag_metrics_foreign.log")),
    row("metrics_failed", S::Chatter, Level::WARN, Message("Metrics server failed"), Printed("2026.8.2")),

    // Before anything runs, the credentials and the configuration are read.
    row("credentials_missing", S::CredentialsUnreadable, Level::WARN, Plain("Tunnel credentials file '"), Recorded("logs/cfg_nocreds.log")),
    row("credentials_missing", S::CredentialsUnreadable, Level::WARN, Plain("tunnel credentials file not found"), Printed("2026.8.2")),
    row("credentials_not_json", S::CredentialsUnreadable, Level::WARN, Message("contained invalid JSON. This is probably caused by passing the wrong filepath"), Recorded("logs/creds_garbage.log")),
    row("credentials_not_json", S::CredentialsUnreadable, Level::WARN, Message("Invalid JSON when parsing "), Recorded("logs/creds_garbage.log")),
    row("credentials_not_json", S::CredentialsUnreadable, Level::WARN, Plain("couldn't read tunnel credentials from "), Printed("2026.8.2")),
    row("credentials_not_json", S::CredentialsUnreadable, Level::WARN, Plain("The tunnel credentials file should be .json"), Printed("2026.8.2")),
    row("config_not_yaml", S::ConfigRefused, Level::WARN, Plain("error parsing YAML in config file at "), Recorded("logs/cfg_badyaml.log")),
    row("config_not_yaml", S::ConfigRefused, Level::WARN, Plain("  line "), Recorded("more/cfg_bad_origin_request.log")),
    row("config_empty", S::ConfigRefused, Level::WARN, Message("Configuration file "), Recorded("more/cfg_empty.log")),
    row("config_bad_type", S::ConfigRefused, Level::WARN, Both("expected ", " found "), Recorded("starts/ip_version.log")),
    row("config_bad_type", S::ConfigRefused, Level::WARN, Plain("time: invalid duration "), Recorded("starts/autoupdate_word.log")),
    row("config_bad_type", S::ConfigRefused, Level::WARN, Plain("time: missing unit in duration "), Printed("2026.8.2")),
    row("config_bad_type", S::ConfigRefused, Level::WARN, Plain("time: unknown unit "), Printed("2026.8.2")),
    row("usage", S::ConfigRefused, Level::WARN, Plain("Incorrect Usage"), Recorded("more/bad_flag.log")),
    row("usage", S::ConfigRefused, Level::WARN, Plain("\"cloudflared tunnel run\" "), Recorded("more/cfg_empty.log")),
    row("usage", S::ConfigRefused, Level::WARN, Plain("use `cloudflared tunnel run` to start tunnel "), Recorded("starts/flag_value_missing.log")),
    row("usage", S::ConfigRefused, Level::WARN, Plain("Provided Tunnel token is not valid."), Recorded("starts/token_bad.log")),
    row("usage", S::ConfigRefused, Level::WARN, Plain("Failed to read token file: "), Recorded("starts/tokenfile_missing.log")),
    row("usage", S::Chatter, Level::DEBUG, Plain("See 'cloudflared "), Recorded("more/cfg_empty.log")),
    // Then whatever they hold is looked at; the last words repeat the error. All of it is what the two files and the
    // command line say, whatever the error is.
    row("config_no_catch_all", S::ConfigRefused, Level::WARN, Error("The last ingress rule must match all URLs"), Recorded("logs/cfg_nocatchall.log")),
    row("config_bad_service", S::ConfigRefused, Level::WARN, Error("is an invalid address, "), Recorded("logs/cfg_bad_service.log")),
    row("config_refused", S::ConfigRefused, Level::WARN, Message(START), Recorded("more/bad_protocol.log")),
    row("config_refused", S::ConfigRefused, Level::WARN, Message("Tag parse failure"), Recorded("starts/tag_list.log")),
    row("config_refused", S::ConfigRefused, Level::WARN, Plain("failed to start origin: "), Recorded("more/cfg_ca_pool.log")),
    row("config_missing", S::ConfigRefused, Level::WARN, Plain("no such file or directory"), Recorded("logs/cfg_missing.log")),
    row("config_missing", S::ConfigRefused, Level::WARN, Both("open ", "permission denied"), Printed("2026.8.2")),
    row("config_unset", S::Chatter, Level::INFO, Message("Cannot determine default configuration path."), Printed("2026.8.2")),
    row("no_ingress_rules", S::Chatter, Level::WARN, Message("No ingress rules were defined"), Recorded("more/cfg_no_ingress.log")),
    row("setting_ignored", S::Chatter, Level::WARN, Message("Failed to parse log level "), Recorded("starts/loglevel.log")),
    row("setting_ignored", S::Chatter, Level::WARN, Message("Falling back to a default logger "), Recorded("starts/logdir_file.log")),
    row("setting_ignored", S::Chatter, Level::WARN, Message("Your config includes values for both "), Printed("2026.8.2")),
    row("setting_ignored", S::Chatter, Level::WARN, Message("Overriding edge-ip-version"), Printed("2026.8.2")),
    row("setting_ignored", S::Chatter, Level::WARN, Message("Invalid edge-ip-version value, using auto"), Printed("2026.8.2")),
    row("setting_ignored", S::Chatter, Level::WARN, Message("h2mux is no longer a supported protocol"), Printed("2026.8.2")),
    row("setting_ignored", S::Chatter, Level::WARN, Message(" temporary trace "), Printed("2026.8.2")),
    row("setting_ignored", S::Chatter, Level::WARN, Message("Failed to start trace"), Printed("2026.8.2")),
    row("setting_ignored", S::Chatter, Level::WARN, Message("Unable to write pid"), Printed("2026.8.2")),

    // It stops. The cause was said before, in words that are in a row or not.
    row("stopping", S::Stopping, Level::INFO, Message("Initiating graceful shutdown due to signal "), Recorded("logs/sig_SIGTERM.log")),
    row("stopping", S::Chatter, Level::DEBUG, Message("Graceful shutdown signalled"), Printed("2026.8.2")),
    row("gave_up", S::GaveUp, Level::WARN, Message(GAVE_UP), Recorded("logs/start_unauthorized.log")),
    row("gave_up", S::GaveUp, Level::WARN, Plain("connection with edge closed"), Recorded("logs/start_unauthorized.log")),
    row("gave_up", S::GaveUp, Level::DEBUG, Both(SHUTDOWN, ""), Recorded("logs/start_unauthorized.log")),
    row("stopped", S::Chatter, Level::DEBUG, Message(SHUTDOWN), Printed("2026.8.2")),
    row("stopped", S::Chatter, Level::DEBUG, Message("no more connections active and exiting"), Recorded("logs/sig_SIGTERM.log")),
    row("stopped", S::Chatter, Level::DEBUG, Message("Tunnel server stopped"), Recorded("logs/sig_SIGTERM.log")),
    row("stopped", S::Chatter, Level::DEBUG, Message("Metrics server stopped"), Recorded("logs/sig_SIGTERM.log")),

    // The control stream is a request too. What it fails with when it ends, and what the registration was refused with.
    row("serve_failed", S::Chatter, Level::DEBUG, Both(REQUEST, "Error shutting down control stream"), Recorded("logs/connected.log")),
    row("serve_failed", S::Chatter, Level::DEBUG, Both(REQUEST, "context "), Recorded("logs/start_hang.log")),
    row("serve_failed", S::Chatter, Level::DEBUG, Both(REQUEST, "EOF"), Printed("2026.8.2")),
    row("rejected", S::Rejected, Level::WARN, Both(REQUEST, ""), Recorded("logs/start_retry.log")),

    row("starting", S::Chatter, Level::DEBUG, Message("Starting tunnel"), Recorded("logs/connected.log")),
    row("version", S::Chatter, Level::INFO, Message("Version 20"), Recorded("logs/connected.log")),
    row("platform", S::Chatter, Level::DEBUG, Message("GOOS: "), Recorded("logs/connected.log")),
    row("features_unknown", S::Chatter, Level::DEBUG, Message("Failed to fetch features, default to disable"), Recorded("logs/connected.log")),
    row("features_unknown", S::Chatter, Level::DEBUG, Message("Failed to refresh feature selector"), Printed("2026.8.2")),
    row("protocol_share_unknown", S::Chatter, Level::DEBUG, Message("Unable to lookup protocol percentage."), Recorded("logs/connected.log")),
    row("protocol_share", S::Chatter, Level::DEBUG, Message("Fetched protocol: "), Recorded("starts/logdir_file.log")),
    row("protocol_share_unknown", S::Chatter, Level::DEBUG, Message("Failed to refresh protocol"), Printed("2026.8.2")),
    row("protocol", S::Chatter, Level::INFO, Message("Initial protocol "), Recorded("logs/connected.log")),
    row("remote_configuration", S::Reconfigured, Level::INFO, Message("Updated to new configuration"), Printed("2026.8.2")),
    row("fewer_connections", S::Chatter, Level::INFO, Message(" HA connections but I can give you at most "), Recorded("more/two_edges.log")),
    row("icmp", S::Chatter, Level::DEBUG, Message("ICMP proxy "), Recorded("logs/connected.log")),
    row("icmp", S::Chatter, Level::DEBUG, Message("that is not within ping_group_range"), Recorded("logs/connected.log")),
    row("icmp", S::Chatter, Level::DEBUG, Message("Failed to determine the IPv"), Recorded("starts/logdir_file.log")),
    row("icmp", S::Chatter, Level::DEBUG, Message("icmp router terminated"), Printed("2026.8.2")),
    row("configuration_not_told", S::Chatter, Level::DEBUG, Message("unable to send local configuration"), Printed("2026.8.2")),
    row("local_resolver_failed", S::Chatter, Level::DEBUG, Message(" DNS local resolver"), Recorded("logs/connected.log")),
    row("curves", S::Chatter, Level::DEBUG, Message("Tunnel connection curve preferences: "), Recorded("logs/connected.log")),
    row("curves", S::Chatter, Level::DEBUG, Message(" as curve preferences"), Printed("2025.4.0")),
    row("metrics_served", S::Chatter, Level::DEBUG, Message("Starting metrics server on "), Recorded("logs/connected.log")),
    row("diagnosed", S::Chatter, Level::DEBUG, Message("Collection started"), Recorded("logs/connected.log")),
    row("diagnosed", S::Chatter, Level::DEBUG, Message("Collection finished"), Recorded("logs/connected.log")),
    row("observer_full", S::Chatter, Level::DEBUG, Message("observer channel buffer is full"), Printed("2026.8.2")),
    row("datagram_failed", S::Chatter, Level::DEBUG, Message("Failed to demux datagram"), Printed("2026.8.2")),
    row("datagram_failed", S::Chatter, Level::DEBUG, Message(" udp session"), Printed("2026.8.2")),
    row("datagram_failed", S::Chatter, Level::DEBUG, Message(" udp proxy"), Printed("2026.8.2")),
    row("datagram_failed", S::Chatter, Level::DEBUG, Message("flow registration failure"), Printed("2026.8.2")),
    row("datagram_failed", S::Chatter, Level::DEBUG, Message("flow closed "), Printed("2026.8.2")),
    row("datagram_failed", S::Chatter, Level::DEBUG, Message("flow ("), Printed("2026.8.2")),
    row("datagram_failed", S::Chatter, Level::DEBUG, Message("flow payload to origin"), Printed("2026.8.2")),
    row("stream_cut", S::Chatter, Level::DEBUG, Message("Closing quic stream due to timeout while writing"), Printed("2026.8.2")),
    row("stream_cut", S::Chatter, Level::DEBUG, Message("Error setting write deadline for "), Printed("2026.8.2")),
    row("stream_cut", S::Chatter, Level::DEBUG, Message("failed handling RPC stream"), Printed("2024.2.1")),

    // What a library has to say of one connection or one client; the program says the same in its own words if it matters.
    row("library", S::Chatter, Level::DEBUG, Dated, Printed("2026.8.2")),

    // A line that another one was written into, or the rest of it, where nothing else of it is known.
    row("torn", S::Chatter, Level::DEBUG, Torn, Recorded("quic/then_blackhole_quic/cloudflared.log")),
];
