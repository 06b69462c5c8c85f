//! Requests to an origin that speaks HTTP, and WebSockets through it.

use super::{Answers, Asked, Failed, Head, UNREACHABLE, begin, dial, pipe};
use crate::cloudflared::ingress::{Found, Service};
use crate::cloudflared::setup::go_error;
use crate::cloudflared::tls::UNKNOWN_AUTHORITY;
use crate::tunnelrpc::streams::Connect;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty};
use hyper::body::{Body, Bytes, Frame};
use hyper::header::{CONNECTION, HOST, HeaderName, HeaderValue, SEC_WEBSOCKET_VERSION, TRANSFER_ENCODING, UPGRADE};
use hyper::{Request, Response, StatusCode, upgrade};
use hyper_util::rt::TokioIo;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::UnixStream;

const PIECE: usize = 16 << 10;

type Out = UnsyncBoxBody<Bytes, io::Error>;

/// Serves one request.
pub(super) async fn serve<R, A>(found: &Found, asked: Asked, read: R, answers: &mut Option<A>) -> Result<(), Failed>
where
    R: AsyncRead + Unpin + Send + 'static,
    A: Answers,
{
    let websocket = asked.kind == Connect::WebSocket;
    let (body, read) = if asked.has_body && !websocket {
        (Reading { read }.boxed_unsync(), None)
    } else {
        (Empty::new().map_err(|never| match never {}).boxed_unsync(), Some(read))
    };
    let request = request(&asked, body)?;
    let mut response = match &found.service {
        Service::UnixHttp { path } => {
            let words = |error: io::Error| format!("dial unix {path}: connect: {}", go_error(&error));
            let stream = UnixStream::connect(path).await.map_err(|error| unreachable(&words(error)))?;
            exchange(stream, request).await?
        }
        Service::Http { address, tls } => {
            let stream = dial(address).await.map_err(|failed| unreachable(&failed.error))?;
            if *tls {
                // No roots are stood in for, and so nobody is trusted.
                return Err(unreachable(UNKNOWN_AUTHORITY));
            }
            exchange(stream, request).await?
        }
        Service::Stream { .. } | Service::Status(_) | Service::HelloWorld | Service::Unserved => {
            return Err(Failed::new(format!("{} is spoken no HTTP to", found.text)));
        }
    };
    let headers = response.headers().iter();
    let headers = headers.map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec())).collect();
    let status = response.status();
    let mut write = begin(answers, Head { status: status.as_u16(), headers }).await?;
    if let (StatusCode::SWITCHING_PROTOCOLS, Some(read)) = (status, read) {
        let origin = upgrade::on(&mut response).await.map_err(|error| Failed::new(error.to_string()))?;
        pipe::bytes(read, write, TokioIo::new(origin)).await;
        return Ok(());
    }
    while let Some(frame) = response.frame().await {
        let frame = frame.map_err(|error| Failed::new(error.to_string()))?;
        if let Ok(data) = frame.into_data() {
            write.write_all(&data).await?;
            write.flush().await?;
        }
    }
    Ok(write.shutdown().await?)
}

async fn exchange<S>(stream: S, request: Request<Out>) -> Result<Response<hyper::body::Incoming>, Failed>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let failed = |error: hyper::Error| {
        unreachable(if error.is_incomplete_message() { "EOF" } else { "malformed HTTP response" })
    };
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(failed)?;
    // What goes wrong in it shows in the answer.
    drop(tokio::spawn(connection.with_upgrades()));
    sender.send_request(request).await.map_err(failed)
}

fn unreachable(why: &str) -> Failed {
    Failed::new(format!("{UNREACHABLE}: {why}"))
}

fn request(asked: &Asked, body: Out) -> Result<Request<Out>, Failed> {
    let malformed = |error: hyper::http::Error| Failed::new(error.to_string());
    let path = if asked.path.is_empty() { "/" } else { &asked.path };
    let mut request = Request::builder().method(asked.method.as_str()).uri(path).body(body).map_err(malformed)?;
    let headers = request.headers_mut();
    for (name, value) in &asked.headers {
        let header = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_bytes(value));
        if let (Ok(name), Ok(value)) = header
            && !matches!(name, HOST | CONNECTION | UPGRADE | TRANSFER_ENCODING)
        {
            headers.append(name, value);
        }
    }
    let host = HeaderValue::from_str(&asked.host).map_err(|error| Failed::new(error.to_string()))?;
    headers.insert(HOST, host);
    if asked.kind == Connect::WebSocket {
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
    }
    Ok(request)
}

/// A client's body as it is read.
struct Reading<R> {
    read: R,
}

impl<R: AsyncRead + Unpin> Body for Reading<R> {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let mut buffer = vec![0; PIECE];
        let mut read = ReadBuf::new(&mut buffer);
        ready!(Pin::new(&mut self.read).poll_read(context, &mut read))?;
        let length = read.filled().len();
        buffer.truncate(length);
        Poll::Ready((length > 0).then(|| Ok(Frame::data(buffer.into()))))
    }
}
