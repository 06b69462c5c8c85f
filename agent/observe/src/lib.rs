//! One bounded look at a connector's metrics server.
//!
//! [`Observer`] asks the metrics server of one cloudflared, on loopback, and turns what comes back into facts:
//! `/ready` (the only truthful signal), `/metrics` (numbers to report, never to decide by), `/diag/tunnel` (which
//! edge address each connection has) and `/config` (whether its rules are still the bundle's). Whoever listens on that
//! port may be anybody, so each answer is bounded in time and size and never trusted to be what it should be; whether it
//! is ours is known by the socket. This room must not know when or why somebody looks, nor what is concluded from it.
//!
//! [`hang`] looks at a process that does not answer, by what the kernel shows of it; [`memory`] looks at the host instead: how much room there is for another connector.

mod config;
mod diag;
mod fetch;
pub mod hang;
pub mod memory;
mod page;
mod ready;
mod registrations;
mod sample;

pub use config::Pushed;
pub use diag::{Diag, EdgeConnection};
pub use page::Page;

use cflared_verdict::{Observation, Ready};
use cloudflared::sockets::Listener;
use std::net::SocketAddr;
use std::time::Duration;

/// The most that `/ready` and `/diag/tunnel` may answer, in bytes; real answers have 88 and 372 (observed, 2026.8.2).
const SMALL: usize = 64 * 1024;
/// The most that `/metrics` may answer, in bytes; a real page has about 15,000 (observed, 2026.8.2).
const LARGE: usize = 1024 * 1024;

/// Looks at metrics servers. One for the agent's life: it keeps a connection to each server open between looks.
#[derive(Debug, Clone)]
pub struct Observer {
    client: reqwest::Client,
    timeout: Duration,
}

/// Why a page of a metrics server could not be had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The HTTP client could not be made.
    #[error("failed to make the client for the metrics server: {0}")]
    Client(String),
    /// The address is not on this host's loopback, where alone a connector of ours listens.
    #[error("failed to ask {0}: only loopback addresses are allowed; correct connector.metrics in the settings")]
    NotLoopback(SocketAddr),
    /// The server answered nothing, or not all of it, in time.
    #[error("failed to read {url}: no complete answer within {}", humantime::format_duration(*.within))]
    TimedOut {
        /// What was asked for.
        url: String,
        /// How long it was waited for.
        within: Duration,
    },
    /// Refused, cut, or not HTTP.
    #[error("failed to read {url}: {cause}")]
    Broken {
        /// What was asked for.
        url: String,
        /// The innermost cause.
        cause: String,
    },
    /// The answer has more than may be read.
    #[error("failed to read {url}: the answer has more than {limit} bytes, so it is not cloudflared's")]
    TooLong {
        /// What was asked for.
        url: String,
        /// The most that is read, in bytes.
        limit: usize,
    },
    /// The answer came with another status than 200.
    #[error("failed to read {url}: the answer is HTTP {status}")]
    Status {
        /// What was asked for.
        url: String,
        /// The status.
        status: u16,
    },
    /// The answer is whole and holds nothing that is known.
    #[error("failed to understand {url}: {cause}")]
    Garbage {
        /// What was asked for.
        url: String,
        /// What is wrong with it.
        cause: String,
    },
}

impl Observer {
    /// An observer whose every look takes at most `timeout`, connecting included.
    ///
    /// # Errors
    /// The HTTP client cannot be made.
    pub fn new(timeout: Duration) -> Result<Self, Error> {
        Ok(Self { client: fetch::client()?, timeout })
    }

    /// Asks `/ready` of the connector that listens on `metrics`, whose log named it `expected_connector`, if it did. `listener`
    /// finds out who has the port, and is only waited for if something answers there.
    ///
    /// Never fails: what goes wrong is [`Ready::Unanswered`] with the cause. `ha_connections` is not asked for here and always
    /// `None`.
    pub async fn look(
        &self,
        metrics: SocketAddr,
        expected_connector: Option<&str>,
        listener: impl Future<Output = Listener>,
    ) -> Observation {
        let ready = match self.get(metrics, "/ready", SMALL).await {
            Ok(answer) => ready::judge(answer.status, &answer.body, expected_connector, &listener.await),
            Err(error) => Ready::Unanswered { why: error.to_string() },
        };
        Observation { ready, ha_connections: None, tries: None, transport: None }
    }

    /// Reads the few numbers of `/metrics` that are reported.
    ///
    /// # Errors
    /// There was no whole answer in time, or it holds no metric of cloudflared.
    pub async fn metrics(&self, metrics: SocketAddr) -> Result<Page, Error> {
        let answer = self.get(metrics, "/metrics", LARGE).await?.expect_ok()?;
        Page::parse(&answer.body).map_err(|cause| Error::Garbage { url: answer.url, cause })
    }

    /// Reads which edge addresses the connector's connections have, from `/diag/tunnel`.
    ///
    /// # Errors
    /// There was no whole answer in time, or it is not the JSON of cloudflared.
    pub async fn diag(&self, metrics: SocketAddr) -> Result<Diag, Error> {
        let answer = self.get(metrics, "/diag/tunnel", SMALL).await?.expect_ok()?;
        Diag::parse(&answer.body).map_err(|cause| Error::Garbage { url: answer.url, cause })
    }

    /// Reads from `/config` which configuration that was pushed is in force; `None`: none is.
    ///
    /// # Errors
    /// There was no whole answer in time, or it is not the JSON of cloudflared.
    pub async fn pushed(&self, metrics: SocketAddr) -> Result<Option<Pushed>, Error> {
        let answer = self.get(metrics, "/config", LARGE).await?.expect_ok()?;
        let url = answer.url;
        Pushed::parse(answer.body).map_err(|cause| Error::Garbage { url, cause })
    }

    /// The beginning of a page, as it is: for a person. `most` bytes of it, and what comes in time.
    ///
    /// # Errors
    /// No answer has begun in time, it is no HTTP, or it came with another status than 200 or 503, which `/ready` has.
    pub async fn page(&self, metrics: SocketAddr, path: &str, most: usize) -> Result<String, Error> {
        let answer = fetch::get_beginning(&self.client, self.timeout, metrics, path, most).await?;
        let answer = if answer.status == 503 { answer } else { answer.expect_ok()? };
        Ok(String::from_utf8_lossy(&answer.body).into_owned())
    }

    async fn get(&self, metrics: SocketAddr, path: &str, limit: usize) -> Result<fetch::Answer, Error> {
        fetch::get(&self.client, self.timeout, metrics, path, limit).await
    }
}

/// `text` as it may stand in a log line or a status: at most `most` characters, each of them printable ASCII.
fn printable(text: &str, most: usize) -> String {
    text.chars().take(most).map(|c| if c.is_ascii_graphic() { c } else { '?' }).collect()
}

#[cfg(test)]
mod tests;
