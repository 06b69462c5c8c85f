//! The checks beside the start: whether the edge answers over UDP and TCP. Nothing waits for them.

use super::http2;
use super::log::Level;
use super::quic;
use super::state::Shared;
use crate::edge::ids;
use serde_json::json;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout_at};

const DEADLINE: Duration = Duration::from_secs(10);
/// Between the tries of one check; each is tried once more than there are waits.
const WAITS: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(2)];
const UDP: &str = "UDP Connectivity";
const TCP: &str = "TCP Connectivity";
/// The stand-in asks no name server and talks to nobody but its edge: this one is always unreachable.
const API: &str = "api.cloudflare.com:443";
const API_ADVICE: &str = "cloudflared will still run, but automatic software updates are unavailable. Ensure port 443 \
    TCP to api.cloudflare.com is open if you want auto-updates.";

/// What one check found.
struct Finding {
    component: &'static str,
    target: String,
    passed: bool,
    details: &'static str,
    advice: &'static str,
}

impl Finding {
    fn row(&self) -> [String; 4] {
        let status = if self.passed { "PASS" } else { "FAIL" };
        [self.component.into(), self.target.clone(), status.into(), self.details.into()]
    }
}

/// Runs the checks, and logs what they found.
pub async fn run(shared: Arc<Shared>) {
    if shared.edges.is_empty() {
        return;
    }
    let deadline = Instant::now() + shared.time_out(DEADLINE);
    let api = async {
        for wait in WAITS {
            sleep(shared.scaled(wait)).await;
        }
    };
    let (udp, tcp, ()) = tokio::join!(each(&shared, UDP, deadline), each(&shared, TCP, deadline), api);
    let dns = shared.edges.iter().map(|edge| Finding {
        component: "DNS Resolution",
        target: edge.to_string(),
        passed: true,
        details: "DNS Resolved successfully",
        advice: "",
    });
    let unreachable = Finding {
        component: "Cloudflare API",
        target: API.into(),
        passed: false,
        details: "API Connection failed",
        advice: API_ADVICE,
    };
    let findings: Vec<_> = dns.chain(udp).chain(tcp).chain([unreachable]).collect();
    report(&shared, &findings);
}

/// Every edge address, one after the other.
async fn each(shared: &Arc<Shared>, component: &'static str, deadline: Instant) -> Vec<Finding> {
    let mut findings = vec![];
    for edge in &shared.edges {
        let passed = timeout_at(deadline, tried(shared, component, *edge)).await.unwrap_or(false);
        let (details, advice) = match (component, passed) {
            (UDP, true) => ("QUIC connection successful", ""),
            (UDP, false) => ("QUIC connection failed", "Allow outbound QUIC traffic on port 7844 or use HTTP2."),
            (_, true) => ("HTTP/2 connection successful", ""),
            (_, false) => ("HTTP/2 connection is blocked or unreachable", "Allow outbound TCP on port 7844."),
        };
        findings.push(Finding { component, target: edge.to_string(), passed, details, advice });
    }
    findings
}

async fn tried(shared: &Arc<Shared>, component: &str, edge: SocketAddr) -> bool {
    for wait in WAITS.into_iter().map(Some).chain([None]) {
        let passed = if component == UDP { quic::probe(shared, edge).await } else { http2::probe(shared, edge).await };
        match (passed, wait) {
            (true, _) => return true,
            (false, Some(wait)) => sleep(shared.scaled(wait)).await,
            (false, None) => {}
        }
    }
    false
}

fn report(shared: &Shared, findings: &[Finding]) {
    let failed = |component: &str| findings.iter().any(|finding| finding.component == component && !finding.passed);
    let hard = failed(UDP) && failed(TCP);
    let suggested = suggested(shared, failed(UDP), failed(TCP));
    for line in boxed(&lines(findings, hard, suggested)) {
        shared.log.info(&line);
    }
    let run = ids::uuid();
    for Finding { component, target, passed, details, .. } in findings {
        let status = if *passed { "pass" } else { "fail" };
        let fields = json!({
            "component": component, "target": target, "status": status, "details": details, "run_id": run,
        });
        shared.log.line(Level::Info, "precheck", fields);
    }
    let mut fields = json!({"hard_fail": hard, "run_id": run});
    if let Some(suggested) = suggested {
        fields["suggested_protocol"] = suggested.into();
    }
    shared.log.line(Level::Info, "precheck complete", fields);
}

/// What is set, if it works; else what works, QUIC first.
fn suggested(shared: &Shared, udp_failed: bool, tcp_failed: bool) -> Option<&'static str> {
    let set = shared.setup.flags.protocol.as_deref().or(shared.setup.config.protocol.as_deref());
    match (udp_failed, tcp_failed) {
        (_, false) if set == Some("http2") => Some("http2"),
        (false, _) => Some("quic"),
        (true, false) => Some("http2"),
        (true, true) => None,
    }
}

fn lines(findings: &[Finding], hard: bool, suggested: Option<&str>) -> Vec<String> {
    let head = ["COMPONENT", "TARGET", "STATUS", "DETAILS"].map(str::to_owned);
    let rows: Vec<[String; 4]> = std::iter::once(head).chain(findings.iter().map(Finding::row)).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or_default();
    let widths = [width(0), width(1), width(2)];
    let mut lines: Vec<String> = rows
        .iter()
        .map(|row| {
            let padded = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}  "));
            padded.collect::<String>() + &row[3]
        })
        .collect();
    let kind = if hard { "ERROR" } else { "WARNING" };
    let advice = findings.iter().filter(|finding| !finding.advice.is_empty());
    lines.extend(advice.map(|finding| format!("{kind}: {}", finding.advice)));
    lines.push(String::new());
    lines.push(match suggested {
        Some(protocol) => {
            format!("SUMMARY: Environment ready with degraded transport. cloudflared will proceed using '{protocol}'.")
        }
        None => "SUMMARY: Environment has critical failures. cloudflared may not be able to establish a tunnel.".into(),
    });
    lines
}

fn boxed(lines: &[String]) -> Vec<String> {
    const TITLE: &str = "CONNECTIVITY PRE-CHECKS";
    let width = lines.iter().map(String::len).max().unwrap_or_default().max(TITLE.len());
    let border = format!("+{}+", "-".repeat(width + 4));
    let left = (width - TITLE.len()) / 2;
    let title = format!("{}{TITLE}", " ".repeat(left));
    let inside = |line: &dyn fmt::Display| format!("|  {:width$}  |", line.to_string());
    let mut boxed = vec![border.clone(), inside(&title), border.clone()];
    boxed.extend(lines.iter().map(|line| inside(line)));
    boxed.push(border);
    boxed
}
