//! The edge, the origins, and the connector between them.

use super::Facts;
use crate::checks::Found;
use crate::connector::sockets::{Listener, Sockets};
use crate::observe::{Observer, Page};
use cflared_verdict::{OriginProbe, Probe, Reach, Ready};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

/// How long the edge is tried: names in two steps, then addresses. See the probe's own limits.
pub const EDGE: Duration = Duration::from_secs(8);
/// How long origins are tried.
pub const ORIGINS: Duration = Duration::from_secs(6);

/// What was tried of the edge.
#[derive(Debug, Clone, Default)]
pub struct Edge {
    /// Its names.
    pub dns: Probe,
    /// TCP 7844.
    pub tcp: Probe,
    /// UDP 7844.
    pub udp: Probe,
}

/// A connector that the status names, and what it answered just now.
#[derive(Debug, Clone)]
pub struct Connector {
    /// Its metrics server.
    pub metrics: SocketAddr,
    /// What `/ready` said.
    pub ready: Ready,
    /// What `/metrics` said, if anything.
    pub page: Option<Page>,
}

/// The name servers of `/etc/resolv.conf`. Blocks.
pub fn name_servers() -> Vec<String> {
    let text = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    let server = |line: &str| line.trim().strip_prefix("nameserver")?.split_whitespace().next().map(String::from);
    text.lines().filter_map(server).collect()
}

/// Looks at a connector whose child is `pid`, and whose id is `id`.
pub async fn connector(observer: Observer, metrics: SocketAddr, pid: Option<u32>, id: Option<String>) -> Connector {
    let listener = async {
        let find = move || Sockets::default().listener(metrics, pid);
        tokio::task::spawn_blocking(find).await.unwrap_or(Listener::Unclear)
    };
    let (observation, page) = tokio::join!(observer.look(metrics, id.as_deref(), listener), observer.metrics(metrics));
    Connector { metrics, ready: observation.ready, page: page.ok() }
}

/// What the settings let cloudflared use (`--protocol` of `connector.extra_args`; `auto` begins with QUIC).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Protocol {
    Auto,
    Http2,
    Quic,
}

fn protocol(arguments: &[String]) -> Protocol {
    let mut words = arguments.iter().map(String::as_str);
    let mut chosen = Protocol::Auto;
    while let Some(word) = words.next() {
        let value = match word.trim_start_matches('-').split_once('=') {
            Some(("protocol" | "p", value)) => value,
            None if matches!(word, "--protocol" | "-protocol" | "-p" | "--p") => words.next().unwrap_or_default(),
            _ => continue,
        };
        chosen = match value {
            "http2" => Protocol::Http2,
            "quic" => Protocol::Quic,
            _ => Protocol::Auto,
        };
    }
    chosen
}

/// Names resolve: the edge's, and that of AWS.
pub fn dns(facts: &Facts) -> Found {
    let edge = match &facts.edge {
        Ok(edge) => &edge.dns,
        Err(why) => return Found::fail(why),
    };
    let aws = facts.cloud.as_ref().ok().and_then(|cloud| cloud.name.as_ref());
    let aws = aws.and_then(|name| name.as_ref().err()).cloned();
    let asked = match &facts.name_servers {
        Ok(servers) if servers.is_empty() => " (/etc/resolv.conf names no server)".into(),
        Ok(servers) => format!(" (asked: {})", servers.join(", ")),
        Err(_) => String::new(),
    };
    let edge_fails = matches!(edge.reach, Reach::Failed | Reach::Silent);
    match (edge_fails, aws) {
        (true, aws) => {
            aws.into_iter().fold(Found::fail(format!("names do not resolve{asked}: {}", edge.evidence)), Found::and)
        }
        (false, Some(aws)) => Found::fail(format!("names do not resolve{asked}: {aws}")).and(edge.evidence.clone()),
        (false, None) if edge.reach == Reach::Untried => Found::pass("no name is needed: the edge is given by address"),
        (false, None) => Found::pass(edge.evidence.clone()),
    }
}

/// One transport of the edge. `unused` is the choice that makes it unneeded.
fn transport(facts: &Facts, of: fn(&Edge) -> (&Probe, &Probe), name: &str, unused: Protocol) -> Found {
    let edge = match &facts.edge {
        Ok(edge) => edge,
        Err(why) => return Found::fail(why),
    };
    let (this, other) = of(edge);
    let blocked = matches!(other.reach, Reach::Failed | Reach::Silent);
    match this.reach {
        Reach::Answered => Found::pass(this.evidence.clone()),
        Reach::Untried => Found::not_known(this.evidence.clone()),
        _ if protocol(&facts.settings.connector.extra_args) == unused && !blocked => {
            Found::pass(format!("not needed, by --protocol in connector.extra_args; {}", this.evidence))
        }
        _ if blocked => {
            Found::fail("egress 7844 is blocked, TCP and UDP: the security group needs TCP and UDP 7844 out")
                .and(this.evidence.clone())
        }
        _ => Found::fail(format!("egress {name} 7844 is blocked: the security group needs TCP and UDP 7844 out"))
            .and(this.evidence.clone()),
    }
}

/// TCP 7844.
pub fn tcp(facts: &Facts) -> Found {
    transport(facts, |edge| (&edge.tcp, &edge.udp), "TCP", Protocol::Quic)
}

/// UDP 7844.
pub fn udp(facts: &Facts) -> Found {
    transport(facts, |edge| (&edge.udp, &edge.tcp), "UDP", Protocol::Http2)
}

/// The origins answer.
pub fn origins(facts: &Facts) -> Found {
    let origins = match &facts.origins {
        Ok(origins) => origins,
        Err(why) => return Found::not_known(why),
    };
    let down = |one: &&OriginProbe| matches!(one.probe.reach, Reach::Failed | Reach::Silent);
    let told = |one: &OriginProbe| format!("{}: {}", one.service, one.probe.evidence);
    let wrong: Vec<_> = origins
        .iter()
        .filter(down)
        .map(|one| format!("{} does not answer: {}", one.service, one.probe.evidence))
        .collect();
    let refuses = |one: &&OriginProbe| one.probe.evidence.contains("MySQL refuses");
    let answered: Vec<_> = origins.iter().filter(|one| one.probe.reach == Reach::Answered).map(told).collect();
    match origins.iter().find(refuses) {
        Some(one) if wrong.is_empty() => Found::warn(told(one)),
        _ if wrong.is_empty() && answered.is_empty() => {
            Found::not_applicable("no rule names an origin with an address")
        }
        _ => Found::from_wrongs(wrong, vec![], answered.join("; ")),
    }
}

/// Registered, by `/ready` of the connector itself.
pub fn ready(facts: &Facts) -> Found {
    let Some(status) = facts.status() else { return Found::not_known("the agent has not told where the connector is") };
    let up: u32 = facts
        .connectors
        .iter()
        .map(|one| if let Ready::Yes { connections } = one.ready { connections } else { 0 })
        .sum();
    if up > 0 {
        return Found::pass(format!("{up} connections"));
    }
    let whose = status
        .blame
        .as_ref()
        .map(|blame| format!("{} ({}): {}", blame.blame.replace('_', " "), blame.confidence, blame.evidence));
    let mut evidence: Vec<_> = whose.map(|whose| format!("the agent blames {whose}")).into_iter().collect();
    if facts.connectors.is_empty() {
        evidence.push("no connector runs".into());
    }
    for one in &facts.connectors {
        evidence.push(match &one.ready {
            Ready::No => format!("{}/ready says that it is not registered", one.metrics),
            Ready::Foreign { owner } => format!("{} is answered by {owner}", one.metrics),
            Ready::Unanswered { why } => why.clone(),
            Ready::Yes { .. } => continue,
        });
        if let Some(attempts) = one.page.as_ref().and_then(|page| page.ha_connections).filter(|attempts| *attempts > 0)
        {
            evidence.push(format!("the gauge ha_connections says {attempts} all the same: it counts attempts"));
        }
    }
    let (state, why) = (&status.health.state, &status.health.why);
    evidence
        .push(format!("the agent says: {state} for {}: {why}", super::agent::span(status.health.since.age(facts.now))));
    Found { outcome: crate::checks::Outcome::Fail, evidence }
}

/// More than one place.
pub fn metro(facts: &Facts) -> Found {
    let (mut metros, mut seen) = (BTreeSet::new(), 0);
    for one in &facts.connectors {
        let (Ready::Yes { connections }, Some(page)) = (&one.ready, &one.page) else { continue };
        // Locations of connections that are gone stay on the page.
        if page.edge_locations.len() as u32 == *connections {
            seen += page.edge_locations.len();
            // `fra08` is in fra.
            metros.extend(
                page.edge_locations.values().map(|at| at.trim_end_matches(|c: char| c.is_ascii_digit()).to_owned()),
            );
        }
    }
    let named = metros.iter().cloned().collect::<Vec<_>>().join(", ");
    match (seen, metros.len()) {
        (0 | 1, _) => Found::not_applicable("the places of fewer than two connections are known"),
        (seen, 1) => Found::warn(format!("all {seen} connections end in {named}: they are lost together")),
        _ => Found::pass(format!("{seen} connections, in {named}")),
    }
}
