//! The edge, the origins, and the connector between them.

use super::Facts;
use crate::checks::Found;
use bundle::{Policy, check_pushed};
use cflared_verdict::{OriginProbe, Probe, Reach, Ready};
use cloudflared::sockets::{Listener, Sockets};
use observe::{Observer, Page, Pushed};
use probe::{Obstacle, Protocol, Tried};
use settings::RemoteConfiguration;
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
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
    pub tcp: Tried,
    /// UDP 7844.
    pub udp: Tried,
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
    /// What `/config` said, if anything: the configuration that Cloudflare pushed, or none.
    pub pushed: Option<Option<Pushed>>,
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
    let (observation, page, pushed) = tokio::join!(
        observer.look(metrics, id.as_deref(), listener),
        observer.metrics(metrics),
        observer.pushed(metrics)
    );
    Connector { metrics, ready: observation.ready, page: page.ok(), pushed: pushed.ok() }
}

/// No configuration of Cloudflare's is in force, or the settings allow it and it keeps the rules.
pub fn configuration(facts: &Facts) -> Found {
    let mut known = facts.connectors.iter().filter_map(|connector| connector.pushed.as_ref()).peekable();
    if known.peek().is_none() {
        return Found::not_known("no connector reports its configuration");
    }
    let Some(Pushed { version, page }) = known.flatten().next() else {
        return Found::pass("the connector serves the installed rules");
    };
    let told = format!("configuration {version} from Cloudflare is in force in place of the secret's");
    match (
        check_pushed(page, &Policy::of(&facts.settings, aws::metadata_address())),
        facts.settings.connector.remote_configuration,
    ) {
        (Err(rule), _) => Found::fail(format!("{told}, and breaks a rule")).and(rule.to_string()),
        (Ok(_), RemoteConfiguration::Hold) => Found::fail(told),
        (Ok(_), RemoteConfiguration::Allow) => Found::pass(format!("{told}, as the settings allow")),
    }
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
fn transport(facts: &Facts, of: fn(&Edge) -> (&Tried, &Tried), name: &str, unused: Protocol) -> Found {
    let edge = match &facts.edge {
        Ok(edge) => edge,
        Err(why) => return Found::fail(why),
    };
    let (this, other) = of(edge);
    let evidence = this.probe.evidence.clone();
    let fails = |tried: &Tried| matches!(tried.probe.reach, Reach::Failed | Reach::Silent);
    match this.probe.reach {
        Reach::Answered => Found::pass(evidence),
        Reach::Untried => Found::not_known(evidence),
        Reach::Failed | Reach::Silent if facts.edges.protocol == unused && !fails(other) => {
            Found::pass(format!("not needed: the connector's protocol is {}; {evidence}", unused.name()))
        }
        Reach::Failed | Reach::Silent => {
            let both = fails(other) && other.obstacle == this.obstacle;
            Found::fail(in_the_way(this.obstacle, name, both, facts.edges.source)).and(evidence)
        }
    }
}

/// What keeps a transport, or both for the same reason, from the edge, and who can change that.
fn in_the_way(obstacle: Option<Obstacle>, name: &str, both: bool, source: Option<IpAddr>) -> String {
    let (one, two) = if both { ("", ", TCP and UDP") } else { (name, "") };
    let port = format!("{one} 7844").trim_start().to_owned();
    match obstacle {
        None | Some(Obstacle::Dropped) => {
            format!("egress {port} is blocked{two}: allow TCP and UDP 7844 outbound in the security group")
        }
        Some(Obstacle::Refused) => format!(
            "the edge, or what stands in its place, refuses {port}{two}: packets pass, so it is no security group; see \
             what answers there"
        ),
        Some(Obstacle::NoRoute) => {
            format!("there is no route to the edge's {port}{two}: the subnet needs a NAT or internet gateway")
        }
        Some(Obstacle::Forbidden) => {
            format!("this host itself forbids {port}{two}: see its own firewall (`nft list ruleset`)")
        }
        Some(Obstacle::ForeignSource) => {
            let source = source.map(|source| source.to_string()).unwrap_or_default();
            format!("edge-bind-address {source} is not an address of this host: the connector cannot start from it")
        }
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
    let Some(status) = facts.status() else {
        return Found::not_known(
            "the agent has not reported the connector's \
        address",
        );
    };
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
            Ready::No => format!("{}/ready reports that it is not registered", one.metrics),
            Ready::Foreign { owner } => format!("{} is answered by {owner}", one.metrics),
            Ready::Unanswered { why } => why.clone(),
            Ready::Yes { .. } => continue,
        });
        if let Some(attempts) = one.page.as_ref().and_then(|page| page.ha_connections).filter(|attempts| *attempts > 0)
        {
            evidence.push(format!("the gauge ha_connections shows {attempts} nevertheless: it counts attempts"));
        }
    }
    let (state, why) = (&status.health.state, &status.health.why);
    evidence.push(format!(
        "the agent reports: {state} for {}: {why}",
        super::agent::span(status.health.since.age(facts.now))
    ));
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
        (0 | 1, _) => Found::not_applicable("the locations of fewer than two connections are known"),
        (seen, 1) => Found::warn(format!(
            "all {seen} connections end in {named}: one failure there would cut them \
            all"
        )),
        _ => Found::pass(format!("{seen} connections, in {named}")),
    }
}
