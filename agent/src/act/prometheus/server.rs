//! The smallest server of one page over HTTP/1.1: a request a connection, on loopback, bounded in every way.
//!
//! It is not hyper, which is in the binary as a client only: of a server of its kind nothing would be used but the
//! parsing of one line.

use super::{Numbers, families, page};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

/// So many clients are answered at the same time; whoever else comes is turned away.
const CLIENTS: usize = 8;
/// How long a client may take for all it does.
const PATIENCE: Duration = Duration::from_secs(3);
/// The largest head of a request, in bytes. A real one has about 300.
const HEAD: usize = 8 * 1024;
/// What is still read of a client that says more than it should, so that it gets its answer before the connection ends.
const REST: u64 = 256 * 1024;
/// When what failed on this host is tried again.
const AGAIN: Duration = Duration::from_secs(5);

/// Answers until the runtime ends.
pub async fn serve(listen: SocketAddr, numbers: watch::Receiver<Option<Numbers>>) {
    let listener = bind(listen).await;
    let clients = Arc::new(Semaphore::new(CLIENTS));
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // No descriptor is left: others may free one.
            sleep(AGAIN).await;
            continue;
        };
        if let Ok(place) = Arc::clone(&clients).try_acquire_owned() {
            let numbers = numbers.clone();
            tokio::spawn(async move {
                // A client that does not keep to this is not told so, and nobody else minds.
                let _ = timeout(PATIENCE, attend(stream, &numbers)).await;
                drop(place);
            });
        }
    }
}

/// Listens, however long it takes to get the address: a tunnel without metrics is better than none.
async fn bind(listen: SocketAddr) -> TcpListener {
    let mut failed = None;
    loop {
        match TcpListener::bind(listen).await {
            Ok(listener) => {
                info!(%listen, event = "own_metrics_served", "metrics are served");
                return listener;
            }
            Err(error) => {
                let error = error.to_string();
                if failed.as_ref() != Some(&error) {
                    warn!(%listen, error, event = "own_metrics_not_served", "metrics are not served; the agent tries again every 5 s");
                    failed = Some(error);
                }
                sleep(AGAIN).await;
            }
        }
    }
}

async fn attend(mut stream: TcpStream, numbers: &watch::Receiver<Option<Numbers>>) -> io::Result<()> {
    let answer = match head(&mut stream).await? {
        Head::None => return Ok(()),
        Head::TooLong => text("431 Request Header Fields Too Large", "the request is too long\n"),
        Head::Whole(head) => answer(&head, || numbers.borrow().as_ref().map(families::page)),
    };
    stream.write_all(&answer).await?;
    stream.shutdown().await?;
    // With bytes unread the kernel would reset the connection, and the client might not see its answer.
    tokio::io::copy(&mut stream.take(REST), &mut tokio::io::sink()).await.map(drop)
}

enum Head {
    /// The client went away.
    None,
    TooLong,
    Whole(Vec<u8>),
}

async fn head(stream: &mut TcpStream) -> io::Result<Head> {
    let mut head = Vec::with_capacity(512);
    while head.len() < HEAD {
        if stream.read_buf(&mut head).await? == 0 {
            return Ok(Head::None);
        }
        if head.windows(4).any(|end| end == b"\r\n\r\n") {
            return Ok(Head::Whole(head));
        }
    }
    Ok(Head::TooLong)
}

/// The answer to a request, of which only the first line matters.
fn answer(head: &[u8], metrics: impl FnOnce() -> Option<String>) -> Vec<u8> {
    let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let words: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
    let (method, target) = match words[..] {
        [method, target, version] if version.starts_with(b"HTTP/1.") => (method, target),
        _ => return text("400 Bad Request", "this is not HTTP/1.1\n"),
    };
    if !matches!(method, b"GET" | b"HEAD") {
        return text("405 Method Not Allowed", "only GET and HEAD\n");
    }
    let path = target.split(|byte| *byte == b'?').next().unwrap_or_default();
    let mut answer = match (path == b"/metrics").then(metrics) {
        Some(Some(page)) => response("200 OK", page::TYPE, &page),
        Some(None) => text("503 Service Unavailable", "the agent has only just started\n"),
        None => text("404 Not Found", "the metrics are at /metrics\n"),
    };
    if method == b"HEAD" {
        let head = answer.windows(4).position(|end| end == b"\r\n\r\n").map_or(answer.len(), |at| at + 4);
        answer.truncate(head);
    }
    answer
}

fn text(status: &str, body: &str) -> Vec<u8> {
    response(status, "text/plain; charset=utf-8", body)
}

fn response(status: &str, content_type: &str, body: &str) -> Vec<u8> {
    let allow = if status.starts_with("405") { "Allow: GET, HEAD\r\n" } else { "" };
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n{allow}Connection: close\r\n\r\n{body}"
    )
    .into_bytes()
}

#[cfg(test)]
mod tests;
