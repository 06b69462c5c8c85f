//! A connection over QUIC. Whatever goes wrong in a registration, it does not say so.

use super::connection::Failure;
use super::control::{self, Ended, Line};
use super::log::Level;
use super::orders;
use super::proxy::{self, Answers, Asked, Head};
use super::remote;
use super::setup::go_error;
use super::state::{Shared, Stop};
use super::tls::{self, PROBE_NAME};
use crate::edge::orders::{INTERFACE, Order};
use crate::tunnelrpc::configuration::Push;
use crate::tunnelrpc::streams::{
    Connect, HOST, Kind, METHOD, Request, Response, SERVER_NAME, STATUS, header_key, headers, read_kind, value,
};
use crate::tunnelrpc::{Callee, Struct};
use quinn::{ClientConfig, Connection, ConnectionError, Endpoint, RecvStream, SendStream, TransportConfig, VarInt};
use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// Of a handshake and of a connection.
const IDLE_TIMEOUT: Duration = Duration::from_secs(5);
/// However fast the rest is: a busy machine must not lose a connection that is there.
const LEAST_IDLE_TIMEOUT: Duration = Duration::from_secs(3);
const CLOSE_LEAVES: Duration = Duration::from_millis(50);
const PING_PERIOD: Duration = Duration::from_secs(1);
/// Of the first packets, so that they pass where the largest is 1,280 bytes.
const FIRST_PACKETS_V4: u16 = 1232;
const FIRST_PACKETS_V6: u16 = 1252;
const SILENT: &str = "timeout: no recent network activity";
const CONTROL_ENDED: &str = "control stream encountered a failure while serving";
const ACCEPT_ENDED: &str = "accept stream listener encountered a failure while serving";

/// One connection, for as long as it holds.
pub async fn serve(shared: &Arc<Shared>, line: Line) -> Result<(), Failure> {
    shared.state().quic.begin(line.index);
    let dialled = dial(shared, line.edge, SERVER_NAME).await;
    let served = match &dialled {
        Ok((_endpoint, connection)) => {
            shared.state().quic.connected(line.index, connection);
            Err(Failure::Served(hold(shared, &line, connection).await))
        }
        Err(words) => {
            let error = format!("failed to dial to edge with quic: {words}");
            shared.log.line(shared.trouble(), "Failed to dial a quic connection", line.with_error(&error));
            let broken = words == SILENT || words.contains("operation not permitted");
            Err(Failure::QuicDial { error, broken })
        }
    };
    shared.state().quic.end(line.index);
    if let Ok((endpoint, connection)) = dialled {
        connection.close(VarInt::from_u32(0), b"");
        // Time for that to leave; an edge that is gone is not waited for.
        let _ = timeout(CLOSE_LEAVES, endpoint.wait_idle()).await;
    }
    served
}

/// Whether the edge shakes hands.
pub async fn probe(shared: &Shared, edge: SocketAddr) -> bool {
    let Ok((endpoint, connection)) = dial(shared, edge, PROBE_NAME).await else { return false };
    connection.close(VarInt::from_u32(0), b"");
    // As below.
    let _ = timeout(CLOSE_LEAVES, endpoint.wait_idle()).await;
    true
}

async fn dial(shared: &Shared, edge: SocketAddr, name: &str) -> Result<(Endpoint, Connection), String> {
    let limit = shared.time_out(IDLE_TIMEOUT);
    sendable(shared, edge).map_err(|words| format!("INTERNAL_ERROR (local): {words}"))?;
    let local = local(shared, edge);
    let endpoint =
        Endpoint::client(local).map_err(|error| format!("listen udp {local}: bind: {}", go_error(&error)))?;
    let config = client_config(shared, edge)?;
    let connecting = endpoint.connect_with(config, edge, name).map_err(|error| error.to_string())?;
    match timeout(limit, connecting).await {
        Ok(Ok(connection)) => Ok((endpoint, connection)),
        Ok(Err(error)) => Err(words(&error)),
        Err(_) => Err(SILENT.into()),
    }
}

fn local(shared: &Shared, edge: SocketAddr) -> SocketAddr {
    let any: IpAddr = if edge.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    (shared.setup.bind_address().unwrap_or(any), 0).into()
}

/// Asks the kernel whether a datagram could leave: what it has against that, quinn keeps to itself.
fn sendable(shared: &Shared, edge: SocketAddr) -> Result<(), String> {
    let local = local(shared, edge);
    let connected = std::net::UdpSocket::bind(local).and_then(|socket| socket.connect(edge));
    connected.map_err(|error| format!("write udp [::]:0->{edge}: sendto: {}", go_error(&error)))
}

/// How many streams the edge may have open. The real one sets no bound worth the name (2^60); quinn keeps a place for each.
const MOST_STREAMS: VarInt = VarInt::from_u32(10_000);

fn client_config(shared: &Shared, edge: SocketAddr) -> Result<ClientConfig, String> {
    let idle = shared.scaled(IDLE_TIMEOUT).max(LEAST_IDLE_TIMEOUT);
    let tls = shared.roots.over_udp().map_err(|error| error.to_string())?;
    let mut transport = TransportConfig::default();
    transport
        .initial_mtu(if edge.is_ipv4() { FIRST_PACKETS_V4 } else { FIRST_PACKETS_V6 })
        .max_concurrent_bidi_streams(MOST_STREAMS)
        .max_idle_timeout(Some(idle.try_into().map_err(|_| "the idle time-out is too long")?))
        .keep_alive_interval(Some(shared.scaled(PING_PERIOD).max(idle / 5)));
    let mut config = ClientConfig::new(tls);
    config.transport_config(Arc::new(transport));
    Ok(config)
}

/// Go's words for how a connection ended.
fn words(error: &ConnectionError) -> String {
    match error {
        ConnectionError::TimedOut => SILENT.into(),
        ConnectionError::ApplicationClosed(close) => {
            let code = close.error_code.into_inner();
            let reason = String::from_utf8_lossy(&close.reason);
            let colon = if reason.is_empty() { "" } else { ": " };
            format!("Application error 0x{code:x} (remote){colon}{reason}")
        }
        ConnectionError::ConnectionClosed(close) => {
            let reason = String::from_utf8_lossy(&close.reason);
            let colon = if reason.is_empty() { "" } else { ": " };
            format!("{} (remote){colon}{reason}", transport_code(u64::from(close.error_code)))
        }
        ConnectionError::TransportError(error) => {
            // Of what TLS has against the other side only the words are left. Go sends another alert for it.
            if error.reason.contains("UnknownIssuer") {
                return format!("CRYPTO_ERROR 0x12a (local): {}", tls::UNKNOWN_AUTHORITY);
            }
            format!("{} (local): {}", transport_code(u64::from(error.code)), error.reason)
        }
        ConnectionError::VersionMismatch => "no compatible QUIC version found".into(),
        ConnectionError::Reset => "received a stateless reset".into(),
        ConnectionError::LocallyClosed => "Application error 0x0 (local)".into(),
        ConnectionError::CidsExhausted => "connection ids exhausted".into(),
    }
}

/// RFC 9000 §20.1, as quic-go prints it.
fn transport_code(code: u64) -> String {
    const NAMES: [&str; 17] = [
        "NO_ERROR",
        "INTERNAL_ERROR",
        "CONNECTION_REFUSED",
        "FLOW_CONTROL_ERROR",
        "STREAM_LIMIT_ERROR",
        "STREAM_STATE_ERROR",
        "FINAL_SIZE_ERROR",
        "FRAME_ENCODING_ERROR",
        "TRANSPORT_PARAMETER_ERROR",
        "CONNECTION_ID_LIMIT_ERROR",
        "PROTOCOL_VIOLATION",
        "INVALID_TOKEN",
        "APPLICATION_ERROR",
        "CRYPTO_BUFFER_EXCEEDED",
        "KEY_UPDATE_ERROR",
        "AEAD_LIMIT_REACHED",
        "NO_VIABLE_PATH",
    ];
    match usize::try_from(code).ok().and_then(|code| NAMES.get(code)) {
        Some(name) => (*name).into(),
        None if (0x100..0x200).contains(&code) => format!("CRYPTO_ERROR 0x{code:x}"),
        None => format!("unknown error code: 0x{code:x}"),
    }
}

/// Holds a connection until it ends; which of its parts was the first to.
async fn hold(shared: &Arc<Shared>, line: &Line, connection: &Connection) -> &'static str {
    let control = control_stream(shared, line, connection);
    let accept = accept(shared, line, connection);
    tokio::pin!(control, accept);
    let ended = tokio::select! {
        biased;
        ended = &mut control => match ended {
            // What is in flight goes on until the edge closes the connection, or the grace period is over.
            Some(Ended::Unregistered) => tokio::select! {
                _ = &mut accept => ACCEPT_ENDED,
                () = shared.stopped(Stop::Now) => CONTROL_ENDED,
            },
            // The other parts say what happened to the connection; why it was refused, nobody does.
            Some(Ended::Lost) | None => return lost(shared, line, &mut accept).await,
            Some(Ended::Duplicate | Ended::Refused { .. }) => match connection.close_reason() {
                Some(_) => return lost(shared, line, &mut accept).await,
                None => CONTROL_ENDED,
            },
        },
        error = &mut accept => {
            // The control stream counts its own end.
            let _ = timeout(Duration::from_millis(100), &mut control).await;
            complain(shared, line, &error);
            ACCEPT_ENDED
        }
    };
    shared.state().registered.remove(&line.index);
    shared.log.line(Level::Error, "failed to run the datagram handler", line.with_error("context canceled"));
    report(shared, line, ended);
    ended
}

async fn lost(
    shared: &Shared,
    line: &Line,
    accept: &mut (impl Future<Output = ConnectionError> + Unpin),
) -> &'static str {
    // A stream can end before its connection does; then it is the control stream's own failure.
    let ended = match timeout(Duration::from_millis(500), accept).await {
        Ok(error) => {
            complain(shared, line, &error);
            ACCEPT_ENDED
        }
        Err(_) => CONTROL_ENDED,
    };
    shared.state().registered.remove(&line.index);
    shared.log.line(Level::Error, "failed to run the datagram handler", line.with_error("context canceled"));
    report(shared, line, ended);
    ended
}

fn complain(shared: &Shared, line: &Line, error: &ConnectionError) {
    let error = format!("failed to accept QUIC stream: {}", words(error));
    let message = "failed to accept incoming stream requests";
    shared.log.line(Level::Error, message, line.with_error(&error));
}

fn report(shared: &Shared, line: &Line, ended: &str) {
    shared.log.line(shared.trouble(), "failed to serve tunnel connection", line.with_error(ended));
}

/// The control stream; `None` if it could not be opened.
async fn control_stream(shared: &Arc<Shared>, line: &Line, connection: &Connection) -> Option<Ended> {
    let (write, read) = connection.open_bi().await.ok()?;
    Some(control::serve(shared, line, read, write).await)
}

/// Serves what the edge opens until the connection ends.
async fn accept(shared: &Arc<Shared>, line: &Line, connection: &Connection) -> ConnectionError {
    let mut streams = tokio::task::JoinSet::new();
    loop {
        tokio::select! {
            accepted = connection.accept_bi() => match accepted {
                Ok((write, read)) => drop(streams.spawn(stream(shared.clone(), line.clone(), write, read))),
                Err(error) => return error,
            },
            Some(_) = streams.join_next() => {}
        }
    }
}

async fn stream(shared: Arc<Shared>, line: Line, mut write: SendStream, mut read: RecvStream) {
    let served = match read_kind(&mut read).await {
        Ok(Kind::Calls) => return calls(&shared, write, read).await,
        Ok(Kind::Data) => Request::read(&mut read).await,
        Err(error) => Err(error.into()),
    };
    match served {
        Ok(request) => client(shared, line, request, write, read).await,
        // It can only have been cut already.
        Err(_) => drop(write.reset(VarInt::from_u32(0))),
    }
}

/// Configurations that the edge pushes, and orders.
async fn calls(shared: &Shared, write: SendStream, read: RecvStream) {
    let mut callee = Callee::new(read, write);
    // Whatever goes wrong is the edge's to notice.
    while let Ok(Some(call)) = callee.next().await {
        let answer = if call.interface == INTERFACE {
            Order::decode(&call).map(|order| {
                orders::obey(shared, order);
                Struct::default()
            })
        } else {
            Push::decode(&call).map(|push| remote::apply(shared, &push).encode())
        };
        if callee.answer(call.question, answer).await.is_err() {
            return;
        }
    }
    let _ = callee.finish().await;
}

async fn client(shared: Arc<Shared>, line: Line, request: Request, write: SendStream, read: RecvStream) {
    let Request { destination, kind, metadata } = request;
    let asked = asked(&destination, kind, &metadata);
    let mut answers = Some(OverQuic { write });
    let served = proxy::serve(&shared, &line, asked, read, &mut answers).await;
    let Err(failed) = served else { return };
    let mut fields = line.with_error(&failed.error);
    fields["dest"] = destination.into();
    fields["type"] = match kind {
        Connect::Http => "http",
        Connect::WebSocket => "ws",
        Connect::Tcp => "tcp",
    }
    .into();
    shared.log.line(Level::Error, "Request failed", fields);
    if let Some(OverQuic { mut write }) = answers {
        let response = Response { error: failed.error, metadata: vec![] };
        // The client may have gone.
        let _ = response.write(&mut write).await;
        let _ = write.finish();
    }
}

fn asked(destination: &str, kind: Connect, metadata: &[(String, String)]) -> Asked {
    let headers: Vec<_> = headers(metadata).map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec())).collect();
    let has = |wanted: &str, fits: fn(&str) -> bool| {
        headers
            .iter()
            .any(|(name, value)| name.eq_ignore_ascii_case(wanted) && std::str::from_utf8(value).is_ok_and(fits))
    };
    let has_body = has("content-length", |length| length.parse().is_ok_and(|length: u64| length > 0))
        || has("transfer-encoding", |coding| coding.to_ascii_lowercase().contains("chunked"));
    let (host, path) = match kind {
        Connect::Tcp => (destination.to_owned(), String::new()),
        Connect::Http | Connect::WebSocket => {
            let behind_scheme = destination.split_once("://").map_or(destination, |(_, rest)| rest);
            let path = behind_scheme.find('/').map_or("/", |at| &behind_scheme[at..]);
            (value(metadata, HOST).unwrap_or_default().to_owned(), path.to_owned())
        }
    };
    let method = value(metadata, METHOD).unwrap_or("GET").to_owned();
    Asked { kind, method, host, path, headers, has_body }
}

struct OverQuic {
    write: SendStream,
}

impl Answers for OverQuic {
    type Write = SendStream;

    async fn begin(mut self, head: Head) -> io::Result<SendStream> {
        let status = (STATUS.to_owned(), head.status.to_string());
        let headers =
            head.headers.iter().map(|(name, value)| (header_key(name), String::from_utf8_lossy(value).into()));
        let metadata = std::iter::once(status).chain(headers).collect();
        Response { error: String::new(), metadata }.write(&mut self.write).await?;
        Ok(self.write)
    }
}
