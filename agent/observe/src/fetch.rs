//! One GET, bounded in time and size.

use super::Error;
use reqwest::{Client, redirect};
use std::net::SocketAddr;
use std::time::Duration;

/// A whole answer.
#[derive(Debug)]
pub struct Answer {
    /// What was asked for.
    pub url: String,
    /// The HTTP status.
    pub status: u16,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// This answer if it is a 200.
    pub fn expect_ok(self) -> Result<Self, Error> {
        match self.status {
            200 => Ok(self),
            status => Err(Error::Status { url: self.url, status }),
        }
    }
}

/// A client for loopback: no proxy whatever the environment says, no redirect, one idle connection a server.
pub fn client() -> Result<Client, Error> {
    Client::builder()
        .no_proxy()
        .redirect(redirect::Policy::none())
        .pool_max_idle_per_host(1)
        // The server closes what is idle too long (cloudflared: after 10 s); a limit here would only wake us up.
        .pool_idle_timeout(None)
        .build()
        .map_err(|error| Error::Client(innermost(&error)))
}

/// Nothing but loopback is asked.
fn url(server: SocketAddr, path: &str) -> Result<String, Error> {
    if server.ip().is_loopback() { Ok(format!("http://{server}{path}")) } else { Err(Error::NotLoopback(server)) }
}

/// Asks `server` for `path` and reads the whole answer: at most `limit` bytes of it, and at most for `timeout`.
pub async fn get(
    client: &Client,
    timeout: Duration,
    server: SocketAddr,
    path: &str,
    limit: usize,
) -> Result<Answer, Error> {
    let url = url(server, path)?;
    match tokio::time::timeout(timeout, read(client, &url, limit)).await {
        Ok(answer) => answer,
        Err(_) => Err(Error::TimedOut { url, within: timeout }),
    }
}

/// The same for a page that is kept and not understood: what is beyond `limit` is left out, and so is what has not come when the
/// time is over. An answer that has not begun by then is an error.
pub async fn get_beginning(
    client: &Client,
    timeout: Duration,
    server: SocketAddr,
    path: &str,
    limit: usize,
) -> Result<Answer, Error> {
    let url = url(server, path)?;
    let mut answer = Answer { url: url.clone(), status: 0, body: vec![] };
    let ended = tokio::time::timeout(timeout, read_beginning(client, &mut answer, limit)).await;
    match ended {
        Ok(Err(error)) if answer.body.is_empty() => Err(error),
        Err(_) if answer.body.is_empty() => Err(Error::TimedOut { url, within: timeout }),
        Ok(_) | Err(_) => Ok(answer),
    }
}

async fn read_beginning(client: &Client, answer: &mut Answer, limit: usize) -> Result<(), Error> {
    let url = answer.url.clone();
    let broken = |error: reqwest::Error| Error::Broken { url: url.clone(), cause: innermost(&error) };
    let mut response = client.get(&answer.url).send().await.map_err(broken)?;
    answer.status = response.status().as_u16();
    while let Some(chunk) = response.chunk().await.map_err(broken)? {
        let room = limit - answer.body.len();
        answer.body.extend_from_slice(&chunk[..room.min(chunk.len())]);
        if chunk.len() >= room {
            return Ok(());
        }
    }
    Ok(())
}

async fn read(client: &Client, url: &str, limit: usize) -> Result<Answer, Error> {
    let broken = |error: reqwest::Error| Error::Broken { url: url.into(), cause: innermost(&error) };
    let mut response = match client.get(url).send().await {
        // The server may close an idle connection just as we use it again, which says nothing about its health.
        Err(error) if error.is_request() && !error.is_connect() => client.get(url).send().await.map_err(broken)?,
        sent => sent.map_err(broken)?,
    };
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(broken)? {
        if body.len() + chunk.len() > limit {
            return Err(Error::TooLong { url: url.into(), limit });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Answer { url: url.into(), status: response.status().as_u16(), body })
}

/// The cause under all wrappers: `connection refused` says more than `error sending request`.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}
