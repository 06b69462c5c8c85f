//! The origins of the ingress rules.

use super::evidence::{Try, printable, probe, words};
use super::mysql::{self, Greeting};
use super::{CONNECTION, Streams, side_by_side};
use bundle::{Origin, Policy, Service};
use cflared_verdict::{OriginProbe, Reach};
use dns::{Cause, Resolver};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpStream, UnixStream};

/// The most origins that are tried.
const MOST: usize = 20;
/// The most addresses of one origin that are tried.
const ADDRESSES: usize = 3;
/// How long a server that speaks first may take to do so.
const GREETING: Duration = Duration::from_secs(1);
/// How long it may take to be connected to one of an origin's addresses.
const CONNECT: Duration = CONNECTION.saturating_sub(GREETING);

/// Tries the first [`MOST`]; the last entry names the others.
pub async fn all(
    resolver: &Resolver,
    policy: &Arc<Policy>,
    mut services: Vec<Service>,
    streams: Streams,
) -> Vec<OriginProbe> {
    let left_out = services.split_off(services.len().min(MOST));
    let tries = services.into_iter().map(|service| one(resolver.clone(), policy.clone(), service, streams));
    let mut probes = side_by_side(tries.collect::<Vec<_>>()).await;
    if !left_out.is_empty() {
        let names: Vec<_> = left_out.iter().take(MOST).map(Service::to_string).collect();
        let evidence = format!("not tried, because the limit is {MOST}: {}", names.join(", "));
        let service = format!("{} more", left_out.len());
        probes.push(OriginProbe { service, probe: probe(Reach::Untried, &evidence) });
    }
    probes
}

async fn one(resolver: Resolver, policy: Arc<Policy>, service: Service, streams: Streams) -> OriginProbe {
    let name = printable(&service.to_string());
    let tried = match service {
        Service::Network(origin) if streams == Streams::Spare && speaks_first(&origin) => {
            Try::untried("not tried again yet: a MySQL server counts connections without a login")
        }
        Service::Network(origin) => network(resolver, &policy, origin).await,
        Service::Socket { path, .. } => socket(path).await,
        Service::Answer(_) | Service::Proxy(_) => Try::untried("it has no address of its own"),
    };
    OriginProbe { service: name, probe: probe(tried.reach, &tried.said) }
}

async fn network(resolver: Resolver, policy: &Policy, origin: Origin) -> Try {
    let Some(port) = origin.port else {
        return Try::failed("no port that cloudflared could dial; write it behind the host");
    };
    let addresses = match resolver.lookup(&origin.host).await {
        Ok(addresses) => addresses,
        Err(unknown) => {
            let said = format!("{}: {}", origin.host, unknown.cause());
            let silent = *unknown.cause() == Cause::Silent;
            return if silent { Try::silent(said) } else { Try::failed(said) };
        }
    };
    if let Some((address, why)) = policy.forbidden_among(&addresses, origin.port) {
        return Try::failed(format!("{address}: the name {why}"));
    }
    // One after the other, for each connection counts at the server; what is silent must leave time for the next.
    let share = CONNECT / u32::try_from(addresses.len().min(ADDRESSES)).unwrap_or(1);
    let mut tries = Vec::new();
    for ip in addresses.into_iter().take(ADDRESSES) {
        let address = SocketAddr::new(ip, port);
        let mut tried = connect(address, share, speaks_first(&origin)).await;
        tried.said = format!("{address}: {}", tried.said);
        if tried.reach == Reach::Answered {
            return tried;
        }
        tries.push(tried);
    }
    let failed = tries.iter().any(|tried| tried.reach == Reach::Failed);
    let said: Vec<_> = tries.into_iter().map(|tried| tried.said).collect();
    if failed { Try::failed(said.join("; ")) } else { Try::silent(said.join("; ")) }
}

/// A greeting that nobody asked for is to be expected of this scheme alone.
fn speaks_first(origin: &Origin) -> bool {
    origin.scheme == "tcp"
}

async fn connect(address: SocketAddr, limit: Duration, speaks_first: bool) -> Try {
    match tokio::time::timeout(limit, TcpStream::connect(address)).await {
        Err(_) => Try::silent("no answer"),
        Ok(Err(error)) => Try::error(&error),
        Ok(Ok(stream)) if speaks_first => Try::answered(greeting(stream).await),
        Ok(Ok(_)) => Try::answered("connected"),
    }
}

async fn socket(path: PathBuf) -> Try {
    match tokio::time::timeout(CONNECT, UnixStream::connect(&path)).await {
        Ok(Ok(_)) => Try::answered("connected"),
        Ok(Err(error)) => Try::error(&error),
        Err(_) => Try::silent("no answer"),
    }
}

/// What the server says first, if it is MySQL's. It is connected, so it has answered, whatever comes now.
async fn greeting(mut stream: TcpStream) -> String {
    let mut heard = Vec::with_capacity(mysql::MOST);
    let mut ended = None;
    // It fails only by being late: then what was heard until now has to do.
    let _ = tokio::time::timeout(GREETING, async {
        while heard.len() < mysql::MOST && !matches!(Greeting::parse(&heard), Some(Greeting::Version(_))) {
            let mut limited = (&mut stream).take((mysql::MOST - heard.len()) as u64);
            match limited.read_buf(&mut heard).await {
                Ok(0) => return ended = Some("closed at once".to_owned()),
                Ok(_) => {}
                Err(error) => return ended = Some(words(&error)),
            }
        }
    })
    .await;
    match (Greeting::parse(&heard), ended) {
        (Some(Greeting::Version(version)), _) => format!("connected; MySQL {version}"),
        (Some(Greeting::Error { code, text }), _) => format!("connected; MySQL refuses with error {code}: {text}"),
        (None, Some(ended)) if heard.is_empty() => format!("connected, then {ended}"),
        (None, _) if heard.is_empty() => "connected".into(),
        (None, _) => "connected; the server speaks first, but is not MySQL".into(),
    }
}
