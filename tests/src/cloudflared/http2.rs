//! A connection over HTTP/2: cloudflared dials, and is the server on it.

use super::connection::Failure;
use super::control::{self, Ended, Line};
use super::log::Level;
use super::orders::obey;
use super::proxy::{self, Answers, Asked, Head};
use super::remote;
use super::setup::go_error;
use super::state::{Shared, Stop};
use super::tls::{self, HTTP2_NAME, PROBE_NAME};
use crate::edge::orders;
use crate::tunnelrpc::configuration::Push;
use crate::tunnelrpc::duplex::{Incoming, Outgoing};
use crate::tunnelrpc::headers::{
    CONFIGURATION, CONTROL_STREAM, FROM_CLOUDFLARED, FROM_ORIGIN, META, PACKED, TCP_SOURCE, UPGRADE, WEBSOCKET, pack,
};
use crate::tunnelrpc::streams::Connect;
use bytes::Bytes;
use h2::RecvStream;
use h2::server::SendResponse;
use http::{Request, Response, StatusCode};
use serde_json::json;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::oneshot;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::ServerName;

/// `start_blackhole`: 15 s from the attempt to the error.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(15);
/// How long Go's server waits for the client's first bytes.
const PREFACE_TIMEOUT: Duration = Duration::from_secs(10);
/// What is left of a control stream when its connection has ended: only its own reading of that.
const CONTROL_ENDS: Duration = Duration::from_secs(5);
const CLOSED: &str = "connection with edge closed";
const DUPLICATE: &str = "already connected to this server, trying another address";

/// One connection, for as long as it holds.
pub async fn serve(shared: &Arc<Shared>, mut line: Line, third_unauthorized: bool) -> Result<(), Failure> {
    let stream = match reach(shared, line.edge, HTTP2_NAME).await {
        Ok(stream) => stream,
        Err(error) => {
            let fields = line.with_error(&error);
            shared.log.line(shared.trouble(), "Unable to establish connection with Cloudflare edge", fields);
            return Err(Failure::Dial(error));
        }
    };
    line.local = stream.get_ref().0.local_addr().ok().map(|address| address.ip());
    // The real one lets the edge open as many streams as it likes.
    let mut server = h2::server::Builder::new();
    server.max_concurrent_streams(u32::MAX);
    let handshake = timeout(shared.time_out(PREFACE_TIMEOUT), server.handshake(stream)).await;
    let control = match handshake {
        Ok(Ok(connection)) => accept(shared, &line, connection).await,
        Ok(Err(_)) | Err(_) => None,
    };
    match control {
        Some(Ended::Unregistered) => Ok(()),
        Some(Ended::Duplicate) => Err(Failure::Duplicate),
        Some(Ended::Refused { cause, retryable }) if !(third_unauthorized && cause.contains("Unauthorized")) => {
            Err(Failure::Refused { cause, retryable })
        }
        // In the real one two goroutines race, and one of them has the cause: `start_unauthorized` shows the other one
        // win the third time.
        Some(Ended::Refused { .. } | Ended::Lost) | None => {
            shared.log.line(Level::Info, "Lost connection with the edge", json!({"connIndex": line.index}));
            let after_a_registration = control == Some(Ended::Lost);
            Err(Failure::Closed { error: CLOSED.into(), after_a_registration })
        }
    }
}

/// Whether the edge shakes hands.
pub async fn probe(shared: &Shared, edge: SocketAddr) -> bool {
    reach(shared, edge, PROBE_NAME).await.is_ok()
}

/// Dials and shakes hands. What goes wrong is in cloudflared's words.
async fn reach(shared: &Shared, edge: SocketAddr, name: &'static str) -> Result<TlsStream<TcpStream>, String> {
    let limit = shared.time_out(HANDSHAKE_TIMEOUT);
    let stream = match timeout(limit, dial(shared, edge)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return Err(format!("DialContext error: dial tcp {edge}: connect: {}", go_error(&error))),
        Err(_) => return Err(format!("DialContext error: dial tcp {edge}: i/o timeout")),
    };
    // An edge that is gone already shows in the handshake.
    let _ = stream.set_nodelay(true);
    let local = stream.local_addr().map_err(|error| go_error(&error))?;
    let config = shared.roots.over_tcp().map_err(|error| error.to_string())?;
    let name = ServerName::try_from(name).map_err(|error| error.to_string())?;
    let route = format!("{local}->{edge}");
    let words = match timeout(limit, TlsConnector::from(config).connect(name, stream)).await {
        Ok(Ok(stream)) => return Ok(stream),
        Ok(Err(error)) => tls::words(&error, &route),
        Err(_) => format!("read tcp {route}: i/o timeout"),
    };
    Err(format!("TLS handshake with edge error: {words}"))
}

async fn dial(shared: &Shared, edge: SocketAddr) -> io::Result<TcpStream> {
    let socket = if edge.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if let Some(ip) = shared.setup.bind_address() {
        socket.bind((ip, 0).into())?;
    }
    socket.connect(edge).await
}

/// Serves what the edge asks for until the connection ends; how its control stream ended, if there was one.
async fn accept(
    shared: &Arc<Shared>,
    line: &Line,
    mut connection: h2::server::Connection<TlsStream<TcpStream>, Bytes>,
) -> Option<Ended> {
    let (tell, control) = oneshot::channel();
    let mut tell = Some(tell);
    let mut streams = tokio::task::JoinSet::new();
    loop {
        tokio::select! {
            accepted = connection.accept() => match accepted {
                Some(Ok((request, respond))) => {
                    let upgrade = request.headers().get(UPGRADE).map(|upgrade| upgrade.as_bytes().to_vec());
                    let (shared, line) = (shared.clone(), line.clone());
                    match (upgrade.as_deref(), tell.is_some()) {
                        (Some(upgrade), true) if upgrade == CONTROL_STREAM.as_bytes() => {
                            let tell = tell.take();
                            drop(tokio::spawn(run_control(shared, line, request, respond, tell)));
                        }
                        (Some(upgrade), _) if upgrade == CONFIGURATION.as_bytes() => {
                            drop(streams.spawn(configure(shared, request, respond)));
                        }
                        (Some(upgrade), _) if upgrade == orders::UPGRADE.as_bytes() => {
                            drop(streams.spawn(order(shared, request, respond)));
                        }
                        (upgrade, _) => {
                            let websocket = upgrade == Some(WEBSOCKET.as_bytes());
                            drop(streams.spawn(client(shared, line, request, respond, websocket)));
                        }
                    }
                }
                Some(Err(_)) | None => break,
            },
            Some(_) = streams.join_next() => {}
            () = shared.stopped(Stop::Now) => break,
        }
    }
    drop(connection);
    drop(streams);
    if tell.is_some() {
        return None;
    }
    timeout(CONTROL_ENDS, control).await.ok()?.ok()
}

async fn run_control(
    shared: Arc<Shared>,
    line: Line,
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    tell: Option<oneshot::Sender<Ended>>,
) {
    let Ok(write) = respond.send_response(Response::new(()), false) else { return };
    let ended = control::serve(&shared, &line, Incoming::new(request.into_body()), Outgoing::new(write)).await;
    match &ended {
        Ended::Refused { cause, .. } => shared.log.error("failed to serve incoming request", cause),
        Ended::Duplicate => shared.log.error("failed to serve incoming request", DUPLICATE),
        Ended::Lost | Ended::Unregistered => {}
    }
    if let Some(tell) = tell {
        // The connection waits for it.
        let _ = tell.send(ended);
    }
}

/// A configuration that the edge pushes.
async fn configure(shared: Arc<Shared>, request: Request<RecvStream>, mut respond: SendResponse<Bytes>) {
    let mut body = vec![];
    // A body that is cut is no configuration.
    let read = Incoming::new(request.into_body()).read_to_end(&mut body).await;
    let pushed =
        read.map_err(|error| error.to_string()).and_then(|_| Push::from_json(&body).map_err(|error| error.to_string()));
    let status = match &pushed {
        Ok(_) => StatusCode::OK,
        Err(error) => {
            shared.log.error("failed to serve incoming request", error);
            StatusCode::BAD_GATEWAY
        }
    };
    let answer = pushed.ok().map(|push| remote::apply(&shared, &push));
    let answer = answer.map(|applied| serde_json::to_vec(&applied).unwrap_or_default()).unwrap_or_default();
    let mut head = Response::new(());
    *head.status_mut() = status;
    // The edge may have gone.
    if let Ok(mut write) = respond.send_response(head, false).map(Outgoing::new) {
        let _ = write.write_all(&answer).await;
        let _ = write.shutdown().await;
    }
}

async fn order(shared: Arc<Shared>, request: Request<RecvStream>, mut respond: SendResponse<Bytes>) {
    let mut body = vec![];
    // One that is cut is none.
    let read = Incoming::new(request.into_body()).read_to_end(&mut body).await;
    if let (Ok(_), Ok(order)) = (read, serde_json::from_slice(&body)) {
        obey(&shared, order);
    }
    // The edge may have gone.
    let _ = respond.send_response(Response::new(()), true);
}

/// A client's request or stream.
async fn client(
    shared: Arc<Shared>,
    line: Line,
    request: Request<RecvStream>,
    respond: SendResponse<Bytes>,
    websocket: bool,
) {
    let (head, body) = request.into_parts();
    let kind = match (websocket, head.headers.contains_key(TCP_SOURCE)) {
        (true, _) => Connect::WebSocket,
        (false, true) => Connect::Tcp,
        (false, false) => Connect::Http,
    };
    let host = head.uri.authority().map(ToString::to_string);
    let host = host.or_else(|| head.headers.get(http::header::HOST)?.to_str().ok().map(str::to_owned));
    let headers = head.headers.iter().filter(|(name, _)| *name != UPGRADE && *name != TCP_SOURCE);
    let asked = Asked {
        kind,
        method: head.method.to_string(),
        host: host.unwrap_or_default(),
        path: head.uri.path_and_query().map(ToString::to_string).unwrap_or_default(),
        headers: headers.map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect(),
        has_body: !body.is_end_stream(),
    };
    let mut respond = respond;
    let proxied = if kind == Connect::Tcp { "" } else { "Failed to proxy HTTP: " };
    let mut answers = Some(OverHttp2 { respond: &mut respond });
    let served = proxy::serve(&shared, &line, asked, Incoming::new(body), &mut answers).await;
    let answered = answers.is_none();
    if let Err(failed) = served {
        shared.log.error("failed to serve incoming request", &format!("{proxied}{}", failed.error));
        if answered {
            respond.send_reset(h2::Reason::INTERNAL_ERROR);
        } else {
            let head = Response::builder().status(StatusCode::BAD_GATEWAY).header(META, FROM_CLOUDFLARED).body(());
            // The edge may have gone.
            let _ = head.map(|head| respond.send_response(head, true));
        }
    }
}

struct OverHttp2<'a> {
    respond: &'a mut SendResponse<Bytes>,
}

impl Answers for OverHttp2<'_> {
    type Write = Outgoing;

    async fn begin(self, head: Head) -> io::Result<Outgoing> {
        // HTTP/2 has no 101.
        let status = if head.status == 101 { 200 } else { head.status };
        let packed = pack(head.headers.iter().map(|(name, value)| (name.as_str(), value.as_slice())));
        let mut answer = Response::builder().status(status).header(META, FROM_ORIGIN).header(PACKED, packed);
        let length = head.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
        if let Some((name, length)) = length {
            answer = answer.header(name.as_str(), length.as_slice());
        }
        let answer = answer.body(()).map_err(io::Error::other)?;
        self.respond.send_response(answer, false).map(Outgoing::new).map_err(io::Error::other)
    }
}
