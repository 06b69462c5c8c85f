//! The metrics page. Its own counters are made here; Go's, the process' and the exporter's are as recorded.

use super::args;
use super::quic_counts::Shown;
use super::state::{Rpc, State};
use std::fmt::{Display, Write};

/// From the recording `connected`: what an idle cloudflared's runtime said.
const RUNTIME: &str = include_str!("runtime_metrics.txt");
const SCRAPES: &str = "promhttp_metric_handler_requests_total{code=\"200\"} ";
const LATENCY_BUCKETS: [(&str, f64); 6] = [
    ("0.05", 0.05),
    ("0.15000000000000002", 0.15),
    ("0.45000000000000007", 0.45),
    ("1.35", 1.35),
    ("4.050000000000001", 4.05),
    ("+Inf", f64::INFINITY),
];

/// What quic-go says that it takes in a datagram.
const LARGEST_PAYLOAD: u16 = 1452;

/// Renders the page, and counts that it did.
pub fn page(state: &mut State) -> String {
    state.scrapes += 1;
    let mut page = Page::default();
    build_and_config(&mut page, state);
    rpcs(&mut page, state);
    tunnel(&mut page, state);
    let mut rest = RUNTIME.replace(&format!("{SCRAPES}1"), &format!("{SCRAPES}{}", state.scrapes));
    // The page is sorted by name, and nothing comes after it.
    if state.quic.begun > 0 {
        rest.push_str(&quic(state));
    }
    page.0 + &rest
}

fn build_and_config(page: &mut Page, state: &State) {
    page.family("build_info", "gauge", "Build and version information");
    let labels = format!("goversion=\"go1.26.6\",revision=\"{}\",type=\"\",version=\"{}\"", args::BUILT, args::VERSION);
    page.sample(&format!("build_info{{{labels}}}"), 1);
    let pushes = "Number of local configuration pushes to the edge";
    page.single("cloudflared_config_local_config_pushes", "counter", pushes, state.pushes);
    let errors = "Number of errors occurred during local configuration pushes";
    page.single("cloudflared_config_local_config_pushes_errors", "counter", errors, state.push_errors);
    let replies = "Total count of ICMP replies that have been proxied from any origin";
    page.single("cloudflared_icmp_total_replies", "counter", replies, 0);
    let requests = "Total count of ICMP requests that have been proxied to any origin";
    page.single("cloudflared_icmp_total_requests", "counter", requests, 0);
    page.single(
        "cloudflared_orchestration_config_version",
        "gauge",
        "Configuration Version",
        state.rules.version.max(0),
    );
    let latency = "cloudflared_proxy_connect_latency";
    page.family(latency, "histogram", "Time it takes to establish and acknowledge connections in milliseconds");
    for bound in ["1", "10", "25", "50", "100", "500", "1000", "5000", "+Inf"] {
        page.sample(&format!("{latency}_bucket{{le=\"{bound}\"}}"), 0);
    }
    page.sample(&format!("{latency}_sum"), 0);
    page.sample(&format!("{latency}_count"), 0);
    let errors = "Total count of failure to establish and acknowledge connections";
    page.single("cloudflared_proxy_connect_streams_errors", "counter", errors, state.proxied.stream_errors);
}

fn rpcs(page: &mut Page, state: &State) {
    let labels = |method: &str| format!("handler=\"registration\",method=\"{method}\"");
    let failed: Vec<_> = state.rpcs.iter().filter(|(_, rpc)| rpc.failures > 0).collect();
    if !failed.is_empty() {
        let name = "cloudflared_rpc_client_failures";
        page.family(name, "counter", "Number of rpc method failures by handler requested");
        for (method, rpc) in failed {
            page.sample(&format!("{name}{{{}}}", labels(method)), rpc.failures);
        }
    }
    if state.rpcs.is_empty() {
        return;
    }
    let name = "cloudflared_rpc_client_latency_secs";
    page.family(name, "histogram", "Latency of rpc methods by handler requested");
    for (method, Rpc { calls, .. }) in &state.rpcs {
        for (bound, most) in LATENCY_BUCKETS {
            let within = calls.iter().filter(|took| **took <= most).count();
            page.sample(&format!("{name}_bucket{{{},le=\"{bound}\"}}", labels(method)), within);
        }
        page.sample(&format!("{name}_sum{{{}}}", labels(method)), calls.iter().sum::<f64>());
        page.sample(&format!("{name}_count{{{}}}", labels(method)), calls.len());
    }
    let name = "cloudflared_rpc_client_operations";
    page.family(name, "counter", "Number of rpc methods by handler requested");
    for (method, rpc) in &state.rpcs {
        page.sample(&format!("{name}{{{}}}", labels(method)), rpc.calls.len());
    }
}

fn tunnel(page: &mut Page, state: &State) {
    let active = "Concurrent count of TCP sessions that are being proxied to any origin";
    page.single("cloudflared_tcp_active_sessions", "gauge", active, state.proxied.sessions_now);
    let total = "Total count of TCP sessions that have been proxied to any origin";
    page.single("cloudflared_tcp_total_sessions", "counter", total, state.proxied.sessions);
    let concurrent = "Concurrent requests proxied through each tunnel";
    page.single("cloudflared_tunnel_concurrent_requests_per_tunnel", "gauge", concurrent, state.proxied.requests_now);
    let attempts = "Number of active ha connections";
    page.single("cloudflared_tunnel_ha_connections", "gauge", attempts, state.attempts);
    let errors = "Count of error proxying to origin";
    page.single("cloudflared_tunnel_request_errors", "counter", errors, state.proxied.origin_errors);
    if !state.locations.is_empty() {
        let name = "cloudflared_tunnel_server_locations";
        let help = "Where each tunnel is connected to. 1 means current location, 0 means previous locations.";
        page.family(name, "gauge", help);
        for (index, location) in &state.locations {
            page.sample(&format!("{name}{{connection_id=\"{index}\",edge_location=\"{location}\"}}"), 1);
        }
    }
    let requests = "Amount of requests proxied through all the tunnels";
    page.single("cloudflared_tunnel_total_requests", "counter", requests, state.proxied.requests);
    if !state.refused.is_empty() {
        let name = "cloudflared_tunnel_tunnel_register_fail";
        page.family(name, "counter", "Count of tunnel registration errors by type");
        for (error, count) in &state.refused {
            page.sample(&format!("{name}{{error=\"{error}\",rpcName=\"registerConnection\"}}"), count);
        }
    }
    if state.was_registered() {
        let name = "cloudflared_tunnel_tunnel_register_success";
        page.family(name, "counter", "Count of successful tunnel registrations");
        let registrations: u64 = state.registrations.values().sum();
        page.sample(&format!("{name}{{rpcName=\"registerConnection\"}}"), registrations);
    }
    let active = "Concurrent count of UDP sessions that are being proxied to any origin";
    page.single("cloudflared_udp_active_sessions", "gauge", active, 0);
    let total = "Total count of UDP sessions that have been proxied to any origin";
    page.single("cloudflared_udp_total_sessions", "counter", total, 0);
}

/// There once a QUIC connection was begun.
fn quic(state: &State) -> String {
    let mut page = Page::default();
    let name = |name: &str| format!("quic_client_{name}");
    let closed = "Number of connections that has been closed";
    page.single(&name("closed_connections"), "counter", closed, state.quic.ended);
    let shown: Vec<_> = state.quic.shown().collect();
    let gauge = |page: &mut Page, which: &str, help: &str, value: &dyn Fn(&Shown) -> u128| {
        page.family(&name(which), "gauge", help);
        for (index, of_index) in &shown {
            page.sample(&format!("{}{{conn_index=\"{index}\"}}", name(which)), value(of_index));
        }
    };
    let help = "Current congestion control state (0=slow_start, 1=congestion_avoidance, 2=application_limited, \
        3=recovery, -1=unknown)";
    gauge(&mut page, "congestion_state", help, &|of| if of.bytes_received > 0 { 2 } else { 0 });
    // quic-go gives it for the moment of a change only, and none was seen.
    gauge(&mut page, "congestion_window", "Current congestion window size", &|_| 0);
    gauge(&mut page, "latest_rtt", "Latest RTT measured on a connection", &|_| 0);
    if shown.iter().any(|(_, of)| of.bytes_received > 0) {
        let help = "Maximum UDP payload size in bytes for a QUIC packet";
        gauge(&mut page, "max_udp_payload", help, &|_| u128::from(LARGEST_PAYLOAD));
    }
    gauge(&mut page, "min_rtt", "Lowest RTT measured on a connection in millisec", &|_| 0);
    if shown.iter().any(|(_, of)| of.mtu > 0) {
        gauge(&mut page, "mtu", "Current maximum transmission unit (MTU) of a connection", &|of| u128::from(of.mtu));
    }
    let help = "Count of packets received from origin that are too big to send to the edge and are dropped as a result";
    page.single(&name("packet_too_big_dropped"), "counter", help, 0);
    let ways = [
        ("receive_bytes", "received_frames", "received", (|of: &Shown| of.bytes_received) as fn(&Shown) -> u64),
        ("sent_bytes", "sent_frames", "sent", |of: &Shown| of.bytes_sent),
    ];
    for (bytes, frames, way, count) in ways {
        let any = shown.iter().any(|(_, of)| count(of) > 0);
        if !any {
            continue;
        }
        page.family(&name(bytes), "counter", &format!("Number of bytes that have been {way} through a connection"));
        for (index, of_index) in &shown {
            page.sample(&format!("{}{{conn_index=\"{index}\"}}", name(bytes)), count(of_index));
        }
        page.family(&name(frames), "counter", &format!("Number of frames that have been {way} through a connection"));
        for (index, of_index) in &shown {
            let counts = if way == "sent" { &of_index.frames_sent } else { &of_index.frames_received };
            for (kind, count) in counts {
                page.sample(&format!("{}{{conn_index=\"{index}\",frame_type=\"{kind}\"}}", name(frames)), count);
            }
        }
    }
    let help = "Calculated smoothed RTT measured on a connection in millisec";
    gauge(&mut page, "smoothed_rtt", help, &|of| of.round_trip);
    page.single(&name("total_connections"), "counter", "Number of connections initiated", state.quic.begun);
    page.0
}

#[derive(Default)]
struct Page(String);

impl Page {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a string cannot fail, here and below.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, series: &str, value: impl Display) {
        let _ = writeln!(self.0, "{series} {value}");
    }

    fn single(&mut self, name: &str, kind: &str, help: &str, value: impl Display) {
        self.family(name, kind, help);
        self.sample(name, value);
    }
}
