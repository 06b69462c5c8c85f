//! A client's request or stream, from the edge to its origin. How the edge sent it is the transports' to know.

mod http;
mod pipe;

use super::control::Line;
use super::ingress::{Found, Service};
use super::log::Level;
use super::setup::go_error;
use super::state::{Proxied, Shared};
use crate::tunnelrpc::streams::Connect;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use serde_json::json;
use std::future::Future;
use std::io;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

const UNREACHABLE: &str = "Unable to reach the origin service. The service may be down or it may not be responding to traffic from cloudflared";
/// RFC 6455 §1.3.
const WEBSOCKET_GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// What a client wants.
#[derive(Debug)]
pub struct Asked {
    /// A request, one that becomes a WebSocket, or bytes.
    pub kind: Connect,
    /// Of a request.
    pub method: String,
    /// The public hostname; for bytes the address.
    pub host: String,
    /// With the query.
    pub path: String,
    /// Of a request.
    pub headers: Vec<(String, Vec<u8>)>,
    /// Whether the client sends a body.
    pub has_body: bool,
}

/// The head of an answer.
#[derive(Debug)]
pub struct Head {
    /// Its status.
    pub status: u16,
    /// Its headers.
    pub headers: Vec<(String, Vec<u8>)>,
}

/// What takes the answer to the client.
pub trait Answers: Send {
    /// Takes the bytes behind the head.
    type Write: AsyncWrite + Unpin + Send;

    /// Takes the head.
    fn begin(self, head: Head) -> impl Future<Output = io::Result<Self::Write>> + Send;
}

/// Why a client was not served.
#[derive(Debug)]
pub struct Failed {
    /// As it is logged.
    pub error: String,
}

impl Failed {
    fn new(error: impl Into<String>) -> Self {
        Failed { error: error.into() }
    }
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        Failed::new(go_error(&error))
    }
}

/// Serves one client. `answers` is taken when the head of an answer goes out.
///
/// # Errors
/// The origin did not answer, or either side hung up.
pub async fn serve<R, A>(
    shared: &Arc<Shared>,
    line: &Line,
    asked: Asked,
    read: R,
    answers: &mut Option<A>,
) -> Result<(), Failed>
where
    R: AsyncRead + Unpin + Send + 'static,
    A: Answers,
{
    let _in_flight = InFlight::new(shared, asked.kind);
    if asked.kind == Connect::Tcp {
        return to_address(shared, line, &asked.host, read, answers).await;
    }
    let found = shared.state().rules.find(&asked.host, &asked.path);
    let mut dialled = None;
    let served = match &found.service {
        Service::Http { .. } | Service::UnixHttp { .. } => http::serve(&found, asked, read, answers).await,
        Service::Stream { address } => {
            dialled = Some(found.text.clone());
            to_stream(address, &asked, read, answers).await
        }
        Service::Status(status) => local(answers, *status, b"").await,
        Service::HelloWorld => local(answers, 200, b"Congrats! You created a tunnel!\n").await,
        Service::Unserved => Err(Failed::new(format!("the stand-in does not serve {}", found.text))),
    };
    served.inspect_err(|failed| complain(shared, line, &found, dialled, failed))
}

/// The line of the rule, which has no message.
fn complain(shared: &Shared, line: &Line, found: &Found, dialled: Option<String>, failed: &Failed) {
    let mut state = shared.state();
    state.proxied.origin_errors += 1;
    state.proxied.stream_errors += u64::from(dialled.is_some());
    drop(state);
    let mut fields = json!({
        "error": failed.error, "connIndex": line.index, "event": 1, "ingressRule": found.number,
        "originService": found.text,
    });
    if let Some(dialled) = dialled {
        fields["destAddr"] = dialled.into();
    }
    shared.log.line(Level::Error, "", fields);
}

async fn local<A: Answers>(answers: &mut Option<A>, status: u16, body: &[u8]) -> Result<(), Failed> {
    let mut write = begin(answers, Head { status, headers: vec![] }).await?;
    write.write_all(body).await?;
    Ok(write.shutdown().await?)
}

/// A stream through a WebSocket, to a rule's `tcp://` or the like.
async fn to_stream<R, A>(address: &str, asked: &Asked, read: R, answers: &mut Option<A>) -> Result<(), Failed>
where
    R: AsyncRead + Unpin + Send + 'static,
    A: Answers,
{
    let origin = dial(address).await?;
    let key = asked.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("sec-websocket-key"));
    let mut headers =
        vec![("Connection".to_owned(), b"Upgrade".to_vec()), ("Upgrade".to_owned(), b"websocket".to_vec())];
    if let Some((_, key)) = key {
        headers.push(("Sec-Websocket-Accept".to_owned(), accept(key).into_bytes()));
    }
    let write = begin(answers, Head { status: 101, headers }).await?;
    pipe::frames(read, write, origin).await;
    Ok(())
}

/// A stream of bytes, to an address of a private network.
async fn to_address<R, A>(
    shared: &Shared,
    line: &Line,
    address: &str,
    read: R,
    answers: &mut Option<A>,
) -> Result<(), Failed>
where
    R: AsyncRead + Unpin + Send + 'static,
    A: Answers,
{
    let parsed: Result<std::net::SocketAddr, _> = address.parse();
    let dialled = match parsed {
        Ok(parsed) => dial(&parsed.to_string()).await,
        Err(_) => Err(Failed::new(format!("invalid ip:port \"{address}\""))),
    };
    let origin = dialled.inspect_err(|failed| {
        shared.state().proxied.origin_errors += 1;
        let fields = json!({
            "error": failed.error, "connIndex": line.index, "event": 2, "originService": "warp-routing", "flowID": "",
            "destAddr": address,
        });
        shared.log.line(Level::Error, "", fields);
    })?;
    let write = begin(answers, Head { status: 200, headers: vec![] }).await?;
    pipe::bytes(read, write, origin).await;
    Ok(())
}

async fn dial(address: &str) -> Result<TcpStream, Failed> {
    let stream = TcpStream::connect(address).await.map_err(|error| Failed::new(unreachable(address, &error)))?;
    // One that is gone already shows when it is read.
    let _ = stream.set_nodelay(true);
    Ok(stream)
}

/// Go's words for an address that was not reached, or a name that was not found.
fn unreachable(address: &str, error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(_) => format!("dial tcp {address}: connect: {}", go_error(error)),
        None => {
            let name = address.rsplit_once(':').map_or(address, |(name, _)| name);
            format!("dial tcp: lookup {name} on 127.0.0.53:53: no such host")
        }
    }
}

async fn begin<A: Answers>(answers: &mut Option<A>, head: Head) -> Result<A::Write, Failed> {
    match answers.take() {
        Some(answers) => Ok(answers.begin(head).await?),
        None => Err(Failed::new("answered before")),
    }
}

/// RFC 6455 §4.2.2.
fn accept(key: &[u8]) -> String {
    STANDARD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, &[key, WEBSOCKET_GUID.as_bytes()].concat()))
}

/// Counts a client for as long as it is served.
struct InFlight {
    shared: Arc<Shared>,
    kind: Connect,
}

impl InFlight {
    fn new(shared: &Arc<Shared>, kind: Connect) -> Self {
        let counted = InFlight { shared: shared.clone(), kind };
        counted.count(|total, now| {
            *total += 1;
            *now += 1;
        });
        counted
    }

    fn count(&self, with: impl Fn(&mut u64, &mut u64)) {
        let Proxied { requests, requests_now, sessions, sessions_now, .. } = &mut self.shared.state().proxied;
        match self.kind {
            Connect::Http | Connect::WebSocket => with(requests, requests_now),
            Connect::Tcp => with(sessions, sessions_now),
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.count(|_, now| *now -= 1);
    }
}
