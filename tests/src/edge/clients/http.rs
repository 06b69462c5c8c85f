//! Clients that speak HTTP/1.1: each request is a stream of its own.

use super::super::Edge;
use super::super::link::{Answered, Opening, Reading, Wanted, Writing};
use super::carry::{EndedBy, one_way, until_either_ended};
use super::{Carrier, Route, accepted, answered, host, opened, taken};
use crate::tunnelrpc::streams::Connect;
use ::http::header::{CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING, UPGRADE};
use ::http::{HeaderMap, Request, Response, StatusCode, Uri};
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::{Body, Bytes, Frame, Incoming};
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

/// How much of a body is read at once.
const PIECE: usize = 16 << 10;

type Answer = Response<UnsyncBoxBody<Bytes, io::Error>>;

/// Serves a client's connection.
pub(super) async fn serve(client: TcpStream, edge: Edge, route: Route) {
    let service = service_fn(move |request| {
        let (edge, route) = (edge.clone(), route.clone());
        async move { Ok::<_, Infallible>(proxied(request, edge, route).await.unwrap_or_else(unavailable)) }
    });
    let connection = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(client), service);
    // What goes wrong is the client's to see.
    let _ = connection.with_upgrades().await;
}

/// What Cloudflare says when no connector is there; here for everything that is refused.
fn unavailable() -> Answer {
    let mut answer = Response::new(UnsyncBoxBody::default());
    *answer.status_mut() = StatusCode::from_u16(530).unwrap_or(StatusCode::BAD_GATEWAY);
    answer
}

/// `None` if it is refused.
async fn proxied(mut request: Request<Incoming>, edge: Edge, route: Route) -> Option<Answer> {
    let mut carrier = accepted(&edge, &route)?;
    let wanted = wanted(&request, host(&edge, &route, &carrier).await, route.hostname.is_some());
    let Opening { body, answer } = opened(&edge, &mut carrier, &wanted).await?;
    if wanted.kind == Connect::WebSocket {
        let upgrade = hyper::upgrade::on(&mut request);
        let it = answered(&edge, &mut carrier, answer).await?;
        if !taken(&it) {
            return Some(passed_on(Stream { edge, carrier, sending: None }, it));
        }
        let mut head = Response::builder().status(StatusCode::SWITCHING_PROTOCOLS);
        head = head.header(CONNECTION, "Upgrade").header(UPGRADE, "websocket");
        for (name, value) in &it.headers {
            if name.to_ascii_lowercase().starts_with("sec-websocket") {
                head = head.header(name, value.as_slice());
            }
        }
        tokio::spawn(upgraded(upgrade, edge, carrier, body, it.body));
        return head.body(UnsyncBoxBody::default()).ok();
    }
    // An origin may answer before it has the whole body, or after it.
    let sending = Some(tokio::spawn(send(request.into_body(), body)));
    let it = answered(&edge, &mut carrier, answer).await?;
    Some(passed_on(Stream { edge, carrier, sending }, it))
}

fn wanted(request: &Request<Incoming>, host: String, named: bool) -> Wanted {
    let headers = request.headers();
    let says = |name, what: &str| {
        let value = headers.get(name).and_then(|value: &::http::HeaderValue| value.to_str().ok()).unwrap_or_default();
        value.to_ascii_lowercase().contains(what)
    };
    let kind = if says(UPGRADE, "websocket") { Connect::WebSocket } else { Connect::Http };
    // A client that names a host means it, unless the listener is for one.
    let host = if named { host } else { header(headers, HOST).unwrap_or(host) };
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    let uri = Uri::builder().scheme("https").authority(host).path_and_query(path).build().unwrap_or_default();
    let hops = [CONNECTION, UPGRADE, TRANSFER_ENCODING, HOST];
    let kept = headers.iter().filter(|(name, _)| !hops.contains(name));
    let mut kept: Vec<_> =
        kept.filter_map(|(name, value)| Some((name.to_string(), value.to_str().ok()?.to_owned()))).collect();
    if headers.contains_key(TRANSFER_ENCODING) && !headers.contains_key(CONTENT_LENGTH) {
        // Only the QUIC side needs to know; over HTTP/2 the header is not allowed, and is left out there.
        kept.push((TRANSFER_ENCODING.to_string(), "chunked".to_owned()));
    }
    Wanted { kind, method: request.method().clone(), uri, headers: kept }
}

fn header(headers: &HeaderMap, name: ::http::HeaderName) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

async fn send(mut from: Incoming, mut to: Writing) -> io::Result<()> {
    while let Some(frame) = from.frame().await {
        if let Ok(data) = frame.map_err(io::Error::other)?.into_data() {
            to.write_all(&data).await?;
        }
    }
    to.shutdown().await
}

/// A stream that is on record once it has ended.
struct Stream {
    edge: Edge,
    carrier: Carrier,
    /// Sends the request's body.
    sending: Option<JoinHandle<io::Result<()>>>,
}

/// The answer to a client. The stream ends with its body.
fn passed_on(stream: Stream, it: Answered) -> Answer {
    let mut answer = Response::builder().status(it.status);
    let hops = [CONNECTION, TRANSFER_ENCODING, UPGRADE];
    for (name, value) in it.headers {
        if !hops.iter().any(|hop| name.eq_ignore_ascii_case(hop.as_str())) {
            answer = answer.header(name, value);
        }
    }
    answer.body(Piped { body: it.body, stream, ended: false }.boxed_unsync()).unwrap_or_else(|_| unavailable())
}

/// The body of an answer, as it comes.
struct Piped {
    body: Reading,
    stream: Stream,
    ended: bool,
}

impl Piped {
    fn end(&mut self, finished: bool) {
        self.ended = true;
        let Stream { edge, carrier, sending } = &self.stream;
        if let Some(sending) = sending {
            sending.abort();
        }
        // A request ends with its answer, so nobody has broken it off.
        edge.lock().stream_ended(carrier, finished, finished);
    }
}

impl Drop for Piped {
    fn drop(&mut self) {
        if !self.ended {
            // The client did not want the rest.
            self.end(true);
        }
    }
}

impl Body for Piped {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let mut piece = [0; PIECE];
        let mut buffer = ReadBuf::new(&mut piece);
        match ready!(self.body.as_mut().poll_read(context, &mut buffer)) {
            Ok(()) if !buffer.filled().is_empty() => {
                Poll::Ready(Some(Ok(Frame::data(Bytes::copy_from_slice(buffer.filled())))))
            }
            Ok(()) => {
                self.end(true);
                Poll::Ready(None)
            }
            Err(error) => {
                self.end(false);
                Poll::Ready(Some(Err(error)))
            }
        }
    }
}

/// A WebSocket, whose frames go through as they are.
async fn upgraded(upgrade: OnUpgrade, edge: Edge, mut carrier: Carrier, mut body: Writing, mut answer: Reading) {
    let carried = async {
        let client = TokioIo::new(upgrade.await.map_err(io::Error::other)?);
        let (mut read, mut write) = tokio::io::split(client);
        until_either_ended(one_way(&mut read, &mut body), one_way(&mut answer, &mut write)).await
    };
    let ended = tokio::select! {
        biased;
        ended = carried => ended.ok(),
        _ = carrier.task.changed() => None,
    };
    edge.lock().stream_ended(&carrier, ended.is_some(), ended == Some(EndedBy::Client));
}
