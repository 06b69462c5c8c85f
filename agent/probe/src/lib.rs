//! Tests what this host can reach: DNS, the edge over TCP and over UDP, and the origins.
//!
//! Run on order and by `doctor`; each part can be asked for by itself. Everything is tried side by side, is bounded in
//! time and in what it reads, and sends nothing that a connector would not cause, except one QUIC packet of a version
//! that nobody speaks. This room must not know when it is run, what is concluded, or what a connector does.
//!
//! One name may take 2 s, one connection 3 s. A whole probe is therefore over within 7 s: the edge's names in two steps,
//! then its addresses; and beside both the origins, each its name and then its connection.

mod allowance;
mod compare;
mod discovery;
mod edges;
mod evidence;
mod mysql;
mod origin;
mod quic;
mod tls;

pub use allowance::Allowance;
pub use discovery::Looked;
pub use edges::{Edges, Family, Place, Protocol};
pub use evidence::{Obstacle, Tried};

use bundle::{Policy, Service};
use cflared_verdict::{OriginProbe, Probes};
use dns::Resolver;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

/// How long one name may take.
const NAME: Duration = Duration::from_secs(2);
/// How long one connection may take, with what is read from it; for an origin, all of its addresses together.
const CONNECTION: Duration = Duration::from_secs(3);
/// How many addresses of the edge are tried.
const ADDRESSES: usize = 8;

/// Whether origins that may be MySQL servers (`tcp://`) are connected to: see [`Allowance`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Streams {
    /// They are.
    Try,
    /// They are not, this time.
    Spare,
}

/// Tries things from this host. Clones are alike.
#[derive(Debug, Clone)]
pub struct Prober {
    resolver: Resolver,
    edges: Edges,
    policy: Arc<Policy>,
}

impl Prober {
    /// One that asks the name servers of `resolver`, but believes nothing that it remembers.
    pub fn new(resolver: &Resolver, edges: Edges) -> Self {
        Self { resolver: resolver.clone(), edges, policy: Arc::default() }
    }

    /// The same, and an origin that `policy` forbids, whatever its name resolves to by now, is not tried.
    #[must_use]
    pub fn within(&self, policy: Policy) -> Self {
        Self { policy: Arc::new(policy), ..self.clone() }
    }

    /// The same for an edge that is reached otherwise.
    #[must_use]
    pub fn towards(&self, edges: Edges) -> Self {
        Self { edges, ..self.clone() }
    }

    /// Tries everything, within 7 s.
    pub async fn probe(&self, services: Vec<Service>, streams: Streams) -> Probes {
        let edge = async {
            let Looked { probe, addresses } = self.dns().await;
            let (tcp, udp) = tokio::join!(self.tcp(&addresses), self.udp(&addresses));
            (probe, tcp, udp)
        };
        let ((dns, tcp, udp), origins) = tokio::join!(edge, self.origins(services, streams));
        Probes { dns, tcp: tcp.probe, udp: udp.probe, origins }
    }

    /// Looks the edge up: its SRV record, then the addresses of the names in it, within 4 s. If there is no such record,
    /// the names that it is known for are looked up all the same, so that there is something to try.
    pub async fn dns(&self) -> Looked {
        discovery::look_up(&self.resolver.afresh(NAME), &self.edges).await
    }

    /// Sends a TLS hello to each of the edge's addresses, within 3 s. One that answers is enough.
    ///
    /// An answer proves that the address takes connections from here and that what listens there speaks TLS. It does
    /// not prove that this is Cloudflare: no certificate is looked at, and a middlebox that opens TLS answers too.
    pub async fn tcp(&self, edges: &[SocketAddr]) -> Tried {
        let source = self.edges.source;
        let tries = side_by_side(edges.iter().take(ADDRESSES).map(|edge| tls::hello(*edge, source))).await;
        evidence::best(edges, tries)
    }

    /// Sends a QUIC packet of a reserved version to each of the edge's addresses, within 3 s. One that answers is
    /// enough.
    ///
    /// An answer proves that datagrams of QUIC's size pass both ways, and that what listens there speaks QUIC; it does
    /// not prove that a handshake would succeed. A server should answer and need not (RFC 9000 §6.1), and nothing tells
    /// a datagram that was lost from one that was ignored, so no answer proves nothing.
    pub async fn udp(&self, edges: &[SocketAddr]) -> Tried {
        let source = self.edges.source;
        let tries = side_by_side(edges.iter().take(ADDRESSES).map(|edge| quic::ask(*edge, source))).await;
        evidence::best(edges, tries)
    }

    /// Connects to each origin, within 5 s, and hears what a MySQL server says first. The first 20 are tried; if there
    /// are more, one more entry says which were left out.
    ///
    /// Each try is one connection without a login at a MySQL server, which counts them: [`Allowance`] says how many are
    /// safe.
    pub async fn origins(&self, services: Vec<Service>, streams: Streams) -> Vec<OriginProbe> {
        origin::all(&self.resolver.afresh(NAME), &self.policy, services, streams).await
    }
}

/// Runs all at the same time; the results in the order of the tries. Dropping it ends them.
async fn side_by_side<T: Send + 'static, F>(tries: impl IntoIterator<Item = F>) -> Vec<T>
where
    F: Future<Output = T> + Send + 'static,
{
    let mut running = JoinSet::new();
    for (place, one) in tries.into_iter().enumerate() {
        running.spawn(async move { (place, one.await) });
    }
    let mut done = Vec::new();
    while let Some(ended) = running.join_next().await {
        done.push(ended.expect("a try does not panic, and nobody ends it"));
    }
    done.sort_unstable_by_key(|(place, _)| *place);
    done.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests;
