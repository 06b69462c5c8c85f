//! The HTTP server that every stand-in is made of: HTTP/1.1, whole bodies, one handler.

pub mod control;
pub mod faults;
pub mod requests;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::CONTENT_TYPE;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::future::Future;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};

/// A request with its body read.
pub type Asked = Request<Bytes>;
/// A response with its body at hand.
pub type Answer = Response<Full<Bytes>>;

/// Serves every connection of `listener` with `handler`, for ever. A handler that never ends leaves its client waiting.
///
/// # Errors
/// Accepting failed, as when the process has no descriptor left.
pub async fn serve<H, F>(listener: TcpListener, handler: H) -> std::io::Result<()>
where
    H: Fn(Asked) -> F + Clone + Send + 'static,
    F: Future<Output = Answer> + Send + 'static,
{
    loop {
        let stream = accept(&listener).await?;
        tokio::spawn(serve_connection(stream, handler.clone()));
    }
}

/// The next connection. What is written to it goes out at once: else the end of an answer in two parts waits 40 ms for
/// the client to acknowledge the first.
///
/// # Errors
/// Accepting failed.
pub async fn accept(listener: &TcpListener) -> std::io::Result<TcpStream> {
    let (stream, _) = listener.accept().await?;
    // A client that is gone already shows when it is served.
    let _ = stream.set_nodelay(true);
    Ok(stream)
}

/// Serves one connection, which may be a TLS one, until either side closes it.
pub async fn serve_connection<S, H, F>(stream: S, handler: H)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    H: Fn(Asked) -> F + Clone + Send + 'static,
    F: Future<Output = Answer> + Send + 'static,
{
    let service = service_fn(move |request: Request<Incoming>| {
        let handler = handler.clone();
        async move {
            let (head, body) = request.into_parts();
            let answer = match body.collect().await {
                Ok(body) => handler(Request::from_parts(head, body.to_bytes())).await,
                Err(error) => text(StatusCode::BAD_REQUEST, error.to_string()),
            };
            Ok::<_, Infallible>(answer)
        }
    });
    // A client that hangs up is its own business.
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

/// An answer of plain text.
pub fn text(status: StatusCode, body: impl Into<Bytes>) -> Answer {
    answer(status, "text/plain; charset=utf-8", body)
}

/// An answer of JSON.
pub fn json(status: StatusCode, body: &impl serde::Serialize) -> Answer {
    let body = serde_json::to_vec(body).expect("the stand-ins' own types serialize");
    answer(status, "application/json", body)
}

/// An answer of any type.
pub fn answer(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(content_type));
    answer
}
