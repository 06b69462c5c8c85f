//! The edge's names.

use super::edges::{Edges, Family, Place, known_hosts, service};
use super::evidence::{Told, probe};
use super::side_by_side;
use cflared_verdict::{Probe, Reach};
use dns::{Cause, Resolver, UnknownName};
use std::net::SocketAddr;

/// The most names that are followed from an SRV record; there are two.
const NAMES: usize = 4;
/// How many addresses of one name are tried; each has about ten, all announced from everywhere.
const OF_EACH: usize = 2;

/// What a look for the edge came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Looked {
    /// The result. [`Reach::Untried`] if the edge is given by address.
    pub probe: Probe,
    /// What to try next: two addresses of each name and family that the connector uses.
    pub addresses: Vec<SocketAddr>,
}

/// A name and what it has.
type Found = (String, Result<Vec<SocketAddr>, Failed>);

/// Why a name has nothing.
struct Failed {
    reach: Reach,
    why: String,
}

pub async fn look_up(resolver: &Resolver, edges: &Edges) -> Looked {
    match &edges.place {
        Place::Discovered { region } => discover(resolver, region.as_deref(), edges.family).await,
        Place::Named(names) => named(resolver, names, edges.family).await,
    }
}

async fn discover(resolver: &Resolver, region: Option<&str>, family: Family) -> Looked {
    let service = service(region);
    let found = resolver.lookup_service(&service).await.map_err(Failed::from);
    let (record, hosts) = match &found {
        Ok(hosts) => (format!("{} SRV records", hosts.len()), hosts.iter().take(NAMES).cloned().collect()),
        Err(failed) => (failed.why.clone(), known_hosts(region)),
    };
    let names =
        side_by_side(hosts.into_iter().map(|(host, port)| addresses(resolver.clone(), host, port, family))).await;
    let reach = match &found {
        Ok(_) => reached(&names),
        // Its connector would try a name server of Cloudflare's next (1.1.1.1, over TLS), which is no more than a hope.
        Err(failed) => failed.reach,
    };
    conclude(reach, Told::default().and(bare(&service), &record), names)
}

async fn named(resolver: &Resolver, edges: &[String], family: Family) -> Looked {
    let literal: Option<Vec<SocketAddr>> = edges.iter().map(|edge| edge.parse().ok()).collect();
    if let Some(addresses) = literal {
        return Looked { probe: probe(Reach::Untried, "the edge is given by address: --edge"), addresses };
    }
    let looked = edges.iter().cloned().map(|edge| {
        let resolver = resolver.clone();
        async move {
            match edge.rsplit_once(':').map(|(host, port)| (host.to_owned(), port.parse())) {
                Some((host, Ok(port))) => addresses(resolver, host, port, family).await,
                _ => (edge, Err(Failed { reach: Reach::Failed, why: "is not HOST:PORT".into() })),
            }
        }
    });
    let names = side_by_side(looked.collect::<Vec<_>>()).await;
    conclude(reached(&names), Told::default(), names)
}

async fn addresses(resolver: Resolver, host: String, port: u16, family: Family) -> Found {
    // A literal IPv6 address has brackets before its port.
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(&host);
    let found = resolver.lookup(bare).await.map_err(Failed::from);
    let found = found.and_then(|found| {
        let ours = found.into_iter().filter(|ip| family.has(*ip));
        let ours: Vec<_> = ours.map(|ip| SocketAddr::new(ip, port)).collect();
        if ours.is_empty() { Err(Failed { reach: Reach::Failed, why: none_of(family).into() }) } else { Ok(ours) }
    });
    (host, found)
}

/// What a name lacks whose addresses are all of the other family.
const fn none_of(family: Family) -> &'static str {
    match family {
        Family::Both => "it has no address",
        Family::V4 => "it has no IPv4 address, and the connector uses no other",
        Family::V6 => "it has no IPv6 address, and the connector uses no other",
    }
}

/// One name with an address is enough to go on with.
fn reached(names: &[Found]) -> Reach {
    if names.iter().any(|(_, found)| found.is_ok()) {
        return Reach::Answered;
    }
    let failed = names.iter().filter_map(|(_, found)| found.as_ref().err());
    failed.map(|failed| failed.reach).find(|reach| *reach == Reach::Failed).unwrap_or(Reach::Silent)
}

fn conclude(reach: Reach, mut told: Told, names: Vec<Found>) -> Looked {
    let mut addresses = Vec::new();
    for (name, found) in names {
        match found {
            Ok(found) => {
                told = told.and(bare(&name), &summary(&found));
                addresses.extend(preferred(found));
            }
            Err(failed) => told = told.and(bare(&name), &failed.why),
        }
    }
    Looked { probe: probe(reach, &told.text()), addresses }
}

/// The first of each family, IPv4 first.
fn preferred(found: Vec<SocketAddr>) -> impl Iterator<Item = SocketAddr> {
    let (v4, v6): (Vec<_>, Vec<_>) = found.into_iter().partition(SocketAddr::is_ipv4);
    v4.into_iter().take(OF_EACH).chain(v6.into_iter().take(OF_EACH))
}

/// A name as people write it.
fn bare(name: &str) -> &str {
    name.trim_end_matches('.')
}

fn summary(found: &[SocketAddr]) -> String {
    let first = found.first().map(|address| address.ip().to_string()).unwrap_or_default();
    match found.len() {
        0 | 1 => first,
        many => format!("{first} and {} more", many - 1),
    }
}

impl From<UnknownName> for Failed {
    fn from(unknown: UnknownName) -> Self {
        let reach = match unknown.cause() {
            Cause::Silent => Reach::Silent,
            Cause::Failed(_) => Reach::Failed,
        };
        Self { reach, why: unknown.cause().to_string() }
    }
}
