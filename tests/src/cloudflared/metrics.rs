//! The metrics page. Its own counters are made here; Go's, the process' and the exporter's are as recorded.

use super::args;
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

/// Renders the page, and counts that it did.
pub fn page(state: &mut State) -> String {
    state.scrapes += 1;
    let mut page = Page::default();
    build_and_config(&mut page, state);
    rpcs(&mut page, state);
    tunnel(&mut page, state);
    page.0 + &RUNTIME.replace(&format!("{SCRAPES}1"), &format!("{SCRAPES}{}", state.scrapes))
}

fn build_and_config(page: &mut Page, state: &State) {
    page.family("build_info", "gauge", "Build and version information");
    let labels = format!("goversion=\"go1.26.6\",revision=\"{}\",type=\"\",version=\"{}\"", args::BUILT, args::VERSION);
    page.sample(&format!("build_info{{{labels}}}"), 1);
    let pushes = "Number of local configuration pushes to the edge";
    page.single("cloudflared_config_local_config_pushes", "counter", pushes, state.pushes);
    let errors = "Number of errors occurred during local configuration pushes";
    page.single("cloudflared_config_local_config_pushes_errors", "counter", errors, 0);
    let replies = "Total count of ICMP replies that have been proxied from any origin";
    page.single("cloudflared_icmp_total_replies", "counter", replies, 0);
    let requests = "Total count of ICMP requests that have been proxied to any origin";
    page.single("cloudflared_icmp_total_requests", "counter", requests, 0);
    page.single("cloudflared_orchestration_config_version", "gauge", "Configuration Version", 0);
    let latency = "cloudflared_proxy_connect_latency";
    page.family(latency, "histogram", "Time it takes to establish and acknowledge connections in milliseconds");
    for bound in ["1", "10", "25", "50", "100", "500", "1000", "5000", "+Inf"] {
        page.sample(&format!("{latency}_bucket{{le=\"{bound}\"}}"), 0);
    }
    page.sample(&format!("{latency}_sum"), 0);
    page.sample(&format!("{latency}_count"), 0);
    let errors = "Total count of failure to establish and acknowledge connections";
    page.single("cloudflared_proxy_connect_streams_errors", "counter", errors, 0);
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
    for (method, rpc) in &state.rpcs {
        let Rpc { calls, seconds, .. } = *rpc;
        // Only the mean is known, which is enough for calls that are all alike.
        #[allow(clippy::cast_precision_loss)]
        let mean = seconds / calls as f64;
        for (bound, most) in LATENCY_BUCKETS {
            let within = if mean <= most { calls } else { 0 };
            page.sample(&format!("{name}_bucket{{{},le=\"{bound}\"}}", labels(method)), within);
        }
        page.sample(&format!("{name}_sum{{{}}}", labels(method)), seconds);
        page.sample(&format!("{name}_count{{{}}}", labels(method)), calls);
    }
    let name = "cloudflared_rpc_client_operations";
    page.family(name, "counter", "Number of rpc methods by handler requested");
    for (method, rpc) in &state.rpcs {
        page.sample(&format!("{name}{{{}}}", labels(method)), rpc.calls);
    }
}

fn tunnel(page: &mut Page, state: &State) {
    let active = "Concurrent count of TCP sessions that are being proxied to any origin";
    page.single("cloudflared_tcp_active_sessions", "gauge", active, state.in_flight);
    let total = "Total count of TCP sessions that have been proxied to any origin";
    page.single("cloudflared_tcp_total_sessions", "counter", total, state.streams);
    let concurrent = "Concurrent requests proxied through each tunnel";
    page.single("cloudflared_tunnel_concurrent_requests_per_tunnel", "gauge", concurrent, state.in_flight);
    let attempts = "Number of active ha connections";
    page.single("cloudflared_tunnel_ha_connections", "gauge", attempts, state.attempts);
    let errors = "Count of error proxying to origin";
    page.single("cloudflared_tunnel_request_errors", "counter", errors, state.origin_errors);
    if !state.locations.is_empty() {
        let name = "cloudflared_tunnel_server_locations";
        let help = "Where each tunnel is connected to. 1 means current location, 0 means previous locations.";
        page.family(name, "gauge", help);
        for (index, location) in &state.locations {
            page.sample(&format!("{name}{{connection_id=\"{index}\",edge_location=\"{location}\"}}"), 1);
        }
    }
    let requests = "Amount of requests proxied through all the tunnels";
    page.single("cloudflared_tunnel_total_requests", "counter", requests, state.streams);
    if state.rejections > 0 {
        let name = "cloudflared_tunnel_tunnel_register_fail";
        page.family(name, "counter", "Count of tunnel registration errors by type");
        let labels = "error=\"server_error\",rpcName=\"registerConnection\"";
        page.sample(&format!("{name}{{{labels}}}"), state.rejections);
    }
    if state.registrations > 0 {
        let name = "cloudflared_tunnel_tunnel_register_success";
        page.family(name, "counter", "Count of successful tunnel registrations");
        page.sample(&format!("{name}{{rpcName=\"registerConnection\"}}"), state.registrations);
    }
    let active = "Concurrent count of UDP sessions that are being proxied to any origin";
    page.single("cloudflared_udp_active_sessions", "gauge", active, 0);
    let total = "Total count of UDP sessions that have been proxied to any origin";
    page.single("cloudflared_udp_total_sessions", "counter", total, 0);
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
