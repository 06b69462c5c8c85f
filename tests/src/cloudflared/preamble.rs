//! The lines before the first connection.

use super::log::{Level, Log};
use super::setup::Setup;
use serde_json::{Value, json};

/// Of the program that was recorded.
const CHECKSUM: &str = "0df36f1a1ddfc1ccdddb317f5f37ba4a110707e441f8031cd954e41c38215cba";
const NO_DNS: &str = "on 10.0.0.2:53: dial udp 10.0.0.2:53: connect: network is unreachable";
const PING_GROUP: &str = "The user running cloudflared process has a GID (group ID) that is not within \
    ping_group_range. You might need to add that user to a group within that range, or instead update the range to \
    encompass a group the user is already in by modifying /proc/sys/net/ipv4/ping_group_range. Otherwise cloudflared \
    will not be able to ping this network";
const DIAGNOSE: [&str; 7] = [
    "Please try the following things to diagnose this issue:",
    "  1. ensure that argotunnel.com is returning \"origintunneld\" service records.",
    "     Run your system's equivalent of: dig srv _origintunneld._tcp.argotunnel.com",
    "  2. ensure that your DNS resolver is not returning compressed SRV records.",
    "     See GitHub issue https://github.com/golang/go/issues/27546",
    "     For example, you could use Cloudflare's 1.1.1.1 as your resolver:",
    "     https://developers.cloudflare.com/1.1.1.1/setting-up-1.1.1.1/",
];

/// Up to and with the connector's id.
pub fn before_the_rules(log: &Log, setup: &Setup, connector: &str) {
    log.line(Level::Info, "Starting tunnel", json!({"tunnelID": setup.named}));
    log.info(&format!("Version {} (Checksum {CHECKSUM})", super::args::VERSION));
    log.info("GOOS: linux, GOVersion: go1.26.6, GoArch: amd64");
    log.info(&setup.settings_line());
    if setup.flags.standin_bare_host {
        let error = format!("lookup cfd-features.argotunnel.com {NO_DNS}");
        log.error("Failed to fetch features, default to disable", &error);
    }
    log.info(&format!("Generated Connector ID: {connector}"));
}

/// Between the settings' check and the first connection.
pub fn after_the_rules(log: &Log, setup: &Setup) {
    icmp_sources(log);
    if setup.flags.standin_bare_host {
        let gid = "Group ID 0 is not between ping group 1 to 0";
        log.line(Level::Warn, PING_GROUP, json!({"error": gid}));
        let error = format!("cannot create ICMPv4 proxy: {gid} nor ICMPv6 proxy: socket: permission denied");
        log.line(Level::Warn, "ICMP proxy feature is disabled", json!({"error": error}));
        edge_not_found(log, &edge_lookup(setup));
    }
}

/// No name server says where the edge is.
pub fn edge_not_found(log: &Log, error: &str) {
    let message = "edge discovery: error looking up Cloudflare edge IPs: the DNS query failed";
    log.line(Level::Error, message, json!({"error": error, "event": 0}));
    for line in DIAGNOSE {
        log.line(Level::Error, line, json!({"event": 0}));
    }
}

/// Why the edge is not found by its name.
pub fn edge_lookup(setup: &Setup) -> String {
    lookup(setup, "_v2-origintunneld._tcp.argotunnel.com")
}

/// Why a name is not found: none is, as the stand-in asks no name server.
pub fn lookup(setup: &Setup, name: &str) -> String {
    if setup.flags.standin_bare_host {
        format!("lookup {name} {NO_DNS}")
    } else {
        format!("lookup {name} on 127.0.0.53:53: no such host")
    }
}

/// Between the rules' check and what depends on it.
pub fn protocol(log: &Log, setup: &Setup) {
    log.info(&format!("Initial protocol {}", setup.selector.first));
}

/// Without a name server the shares of the protocols are not known.
pub fn no_shares(log: &Log, setup: &Setup) {
    if setup.flags.standin_bare_host {
        log.line(Level::Warn, "Unable to lookup protocol percentage.", Value::Null);
    }
}

/// When the metrics server listens.
pub fn metrics_server(log: &Log, setup: &Setup, address: &str) {
    icmp_sources(log);
    log.info(&format!("Starting metrics server on {address}/metrics"));
    if setup.flags.standin_bare_host {
        let error = format!("lookup region1.v2.argotunnel.com {NO_DNS}");
        log.error("Failed to initialize DNS local resolver", &error);
    }
}

fn icmp_sources(log: &Log) {
    log.info("ICMP proxy will use 0.0.0.0 as source for IPv4");
    log.info("ICMP proxy will use ::1 in zone lo as source for IPv6");
}
