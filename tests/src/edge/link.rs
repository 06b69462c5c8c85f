//! One connector's connection, over whichever transport, as a way for the edge's own streams.

use super::Transport;
use super::door::Door;
use super::hush::Hush;
use super::orders::{self, Order};
use crate::tunnelrpc::configuration::{self, Applied, Push};
use crate::tunnelrpc::duplex::{Incoming, Outgoing};
use crate::tunnelrpc::streams::{self, Connect};
use crate::tunnelrpc::{Caller, headers};
use bytes::Bytes;
use h2::client::SendRequest;
use http::header::TRANSFER_ENCODING;
use http::{HeaderName, HeaderValue, Method, Request, StatusCode, Uri};
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// The longest answer to a pushed configuration.
const LONGEST_ANSWER: u64 = 1 << 20;

/// A connection.
#[derive(Clone)]
pub(super) enum Link {
    /// HTTP/2, of which the connector is the server.
    Http2 { requests: SendRequest<Bytes>, hush: Hush },
    /// QUIC.
    Quic { connection: quinn::Connection, door: Arc<Door> },
}

/// What a client wants.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) kind: Connect,
    pub(super) method: Method,
    /// For TCP only its authority counts.
    pub(super) uri: Uri,
    /// Without those of one hop (`Connection`, `Upgrade`, `Transfer-Encoding`).
    pub(super) headers: Vec<(String, String)>,
}

/// What comes from the connector.
pub(super) type Reading = Pin<Box<dyn AsyncRead + Send>>;
/// What goes to the connector.
pub(super) type Writing = Pin<Box<dyn AsyncWrite + Send>>;

/// What a client's stream was answered with.
pub(super) struct Answered {
    pub(super) status: StatusCode,
    pub(super) headers: Vec<(String, Vec<u8>)>,
    pub(super) body: Reading,
}

/// A client's stream that is not answered yet.
pub(super) struct Opening {
    pub(super) body: Writing,
    pub(super) answer: Answering,
}

/// The answer, once it comes.
pub(super) type Answering = Pin<Box<dyn Future<Output = io::Result<Answered>> + Send>>;

impl Link {
    pub(super) fn transport(&self) -> Transport {
        match self {
            Link::Http2 { .. } => Transport::Http2,
            Link::Quic { .. } => Transport::Quic,
        }
    }

    /// From now on nothing is heard or said on it.
    pub(super) fn silence(&self) {
        match self {
            Link::Http2 { hush, .. } => hush.silence(),
            Link::Quic { connection, door } => door.silence(connection.remote_address()),
        }
    }

    /// Begins a client's stream.
    ///
    /// # Errors
    /// The connection is gone, or what is wanted cannot be said in its transport.
    pub(super) async fn open(&self, wanted: &Wanted) -> io::Result<Opening> {
        match self {
            Link::Http2 { requests, .. } => over_http2(requests.clone(), wanted).await,
            Link::Quic { connection, .. } => over_quic(connection, wanted).await,
        }
    }

    /// Pushes a configuration, and waits until it is applied or not.
    ///
    /// # Errors
    /// The connection is gone, or the answer is none.
    pub(super) async fn push(&self, push: &Push) -> io::Result<Applied> {
        match self {
            Link::Http2 { requests, .. } => {
                let body = push.json()?;
                Ok(serde_json::from_slice(&post(requests.clone(), headers::CONFIGURATION, body).await?)?)
            }
            Link::Quic { connection, .. } => {
                let (interface, method) = (configuration::INTERFACE, configuration::UPDATE);
                let results = call(connection, interface, method, push.encode()).await?;
                Applied::decode(&results).map_err(io::Error::other)
            }
        }
    }

    /// Gives an order to a connector that takes orders.
    ///
    /// # Errors
    /// The connection is gone.
    pub(super) async fn order(&self, order: &Order) -> io::Result<()> {
        match self {
            Link::Http2 { requests, .. } => post(requests.clone(), orders::UPGRADE, order.json()).await.map(drop),
            Link::Quic { connection, .. } => {
                call(connection, orders::INTERFACE, orders::ORDER, order.encode()).await.map(drop)
            }
        }
    }
}

async fn over_http2(requests: SendRequest<Bytes>, wanted: &Wanted) -> io::Result<Opening> {
    let mut request = Request::builder().method(wanted.method.clone()).uri(wanted.uri.clone());
    // HTTP/2 has its own way to send a body in pieces (RFC 9113 §8.2.2).
    for (name, value) in wanted.headers.iter().filter(|(name, _)| *name != TRANSFER_ENCODING.as_str()) {
        request = request.header(name, value);
    }
    request = match wanted.kind {
        Connect::Http => request,
        Connect::WebSocket => request.header(headers::UPGRADE, headers::WEBSOCKET),
        Connect::Tcp => request.header(headers::TCP_SOURCE, "127.0.0.1"),
    };
    let request = request.body(()).map_err(io::Error::other)?;
    let (answer, body) =
        requests.ready().await.map_err(io::Error::other)?.send_request(request, false).map_err(io::Error::other)?;
    let answer = async move {
        let (head, body) = answer.await.map_err(io::Error::other)?.into_parts();
        let packed = head.headers.get(headers::PACKED).and_then(|packed| packed.to_str().ok()).unwrap_or_default();
        let headers = headers::unpack(packed).ok_or(ErrorKind::InvalidData)?;
        Ok(Answered { status: head.status, headers, body: Box::pin(Incoming::new(body)) as Reading })
    };
    Ok(Opening { body: Box::pin(Outgoing::new(body)), answer: Box::pin(answer) })
}

async fn over_quic(connection: &quinn::Connection, wanted: &Wanted) -> io::Result<Opening> {
    let (mut send, mut receive) = connection.open_bi().await?;
    let authority = wanted.uri.authority().map(ToString::to_string).unwrap_or_default();
    let mut metadata =
        vec![(streams::METHOD.to_owned(), wanted.method.to_string()), (streams::HOST.to_owned(), authority.clone())];
    metadata.extend(wanted.headers.iter().map(|(name, value)| (streams::header_key(name), value.clone())));
    let destination = if wanted.kind == Connect::Tcp { authority } else { wanted.uri.to_string() };
    streams::Request { destination, kind: wanted.kind, metadata }.write(&mut send).await?;
    let answer = async move {
        let answer = streams::Response::read(&mut receive).await.map_err(io::Error::other)?;
        let status = streams::value(&answer.metadata, streams::STATUS).and_then(|status| status.parse().ok());
        let status = match status {
            _ if !answer.error.is_empty() => StatusCode::BAD_GATEWAY,
            // TCP has none.
            None => StatusCode::OK,
            Some(status) => status,
        };
        let headers = streams::headers(&answer.metadata);
        let headers = headers.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec())).collect();
        Ok(Answered { status, headers, body: Box::pin(receive) as Reading })
    };
    Ok(Opening { body: Box::pin(send), answer: Box::pin(answer) })
}

/// Sends a request that is for the connector itself, and gives the answer's body.
async fn post(requests: SendRequest<Bytes>, upgrade: &str, body: Vec<u8>) -> io::Result<Vec<u8>> {
    let request = Request::builder()
        .method(Method::PUT)
        .uri("https://connector.invalid/")
        .header(HeaderName::from_static(headers::UPGRADE), HeaderValue::from_str(upgrade).map_err(io::Error::other)?)
        .body(())
        .map_err(io::Error::other)?;
    let (answer, send) =
        requests.ready().await.map_err(io::Error::other)?.send_request(request, false).map_err(io::Error::other)?;
    let mut send = Outgoing::new(send);
    send.write_all(&body).await?;
    send.shutdown().await?;
    let answer = answer.await.map_err(io::Error::other)?;
    if answer.status() != StatusCode::OK {
        return Err(io::Error::other(format!("answered with {}", answer.status())));
    }
    let mut body = vec![];
    Incoming::new(answer.into_body()).take(LONGEST_ANSWER).read_to_end(&mut body).await?;
    Ok(body)
}

async fn call(
    connection: &quinn::Connection,
    interface: u64,
    method: u16,
    parameters: crate::tunnelrpc::Struct,
) -> io::Result<crate::tunnelrpc::Struct> {
    let (mut send, receive) = connection.open_bi().await?;
    streams::begin_calls(&mut send).await?;
    let mut caller = Caller::new(receive, send);
    let results = caller.call(interface, method, parameters).await.map_err(io::Error::other)?;
    // The answer is there: whether the other side hears the end does not matter.
    let _ = caller.close("rpc: shutdown").await;
    Ok(results)
}

/// The address of TCP's target, as an URI with an authority.
pub(super) fn target(address: SocketAddr) -> Uri {
    Uri::builder().scheme("https").authority(address.to_string()).path_and_query("/").build().unwrap_or_default()
}
