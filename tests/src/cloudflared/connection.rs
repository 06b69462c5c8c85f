//! One of the four connections: an attempt over one transport, what is logged of it, the wait after it, and whether the
//! next one goes another way.

use super::backoff::{self, Backoff};
use super::control::Line;
use super::log::Level;
use super::protocol::{Protocol, Selector};
use super::state::{Shared, Stop};
use super::{http2, quic};
use serde_json::json;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::UnboundedSender;

const UDP_IS_BLOCKED: &str = "If this log occurs persistently, and cloudflared is unable to connect to Cloudflare Network \
    with `quic` protocol, then most likely your machine/network is getting its egress UDP to port 7844 (or others) blocked \
    or dropped. Make sure to allow egress connectivity as per \
    https://developers.cloudflare.com/cloudflare-one/connections/connect-apps/configuration/ports-and-ips/\n\
    If you are using private routing to this Tunnel, then ICMP, UDP (and Private DNS Resolution) will not work unless your \
    cloudflared can connect with Cloudflare Network with `quic`.";
/// Between tries when there is no other address to try: the real one does not wait at all (35,000 lines a second).
const NO_ADDRESS: Duration = Duration::from_millis(10);

/// Why a connection is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Every address of the edge has a connection.
    NoAddress,
    /// HTTP/2: the edge could not be reached.
    Dial(String),
    /// QUIC: the edge could not be reached.
    QuicDial {
        /// Why.
        error: String,
        /// Whether it looks as if UDP did not pass.
        broken: bool,
    },
    /// The edge has this connection already.
    Duplicate,
    /// HTTP/2: the edge refused it.
    Refused {
        /// Why.
        cause: String,
        /// Whether it may be tried again.
        retryable: bool,
    },
    /// HTTP/2: it was closed.
    Closed {
        /// As it is logged.
        error: String,
        /// Whether it had been registered.
        after_a_registration: bool,
    },
    /// QUIC: which part of it ended first.
    Served(&'static str),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Failure::NoAddress => "there are no free edge addresses left to resolve to",
            Failure::Duplicate => "already connected to this server, trying another address",
            Failure::Served(which) => which,
            Failure::Dial(error)
            | Failure::QuicDial { error, .. }
            | Failure::Refused { cause: error, .. }
            | Failure::Closed { error, .. } => error,
        })
    }
}

impl Failure {
    /// Whether the first connection of a run tries again after it, without the others.
    pub fn first_tries_again(&self) -> bool {
        match self {
            Failure::NoAddress
            | Failure::Dial(_)
            | Failure::QuicDial { .. }
            | Failure::Duplicate
            | Failure::Served(_) => true,
            Failure::Refused { cause, .. } => cause.contains("Unauthorized"),
            Failure::Closed { .. } => false,
        }
    }

    /// Whether another protocol may be tried after it, as far as it is up to the failure.
    fn recoverable(&self) -> bool {
        match self {
            Failure::Served(_) | Failure::Closed { .. } | Failure::Refused { retryable: true, .. } => true,
            Failure::NoAddress
            | Failure::Dial(_)
            | Failure::QuicDial { .. }
            | Failure::Duplicate
            | Failure::Refused { .. } => false,
        }
    }
}

/// A connection, between its attempts and in them.
#[derive(Debug)]
pub struct Connection {
    /// 0 to 3.
    pub index: usize,
    /// How it is tried.
    pub protocol: Protocol,
    backoff: Backoff,
    in_fallback: bool,
    /// How many addresses were tried in vain.
    vain: u8,
    unauthorized: u32,
}

impl Connection {
    /// A connection that was never tried.
    pub fn new(index: usize, protocol: Protocol, shared: &Shared) -> Self {
        let backoff = Backoff::new(shared.setup.retries());
        Connection { index, protocol, backoff, in_fallback: false, vain: 0, unauthorized: 0 }
    }

    /// One attempt, for as long as it holds, and the wait after it.
    ///
    /// # Errors
    /// Why it is over; none if the process stops.
    pub async fn serve(&mut self, shared: &Arc<Shared>, registered: &UnboundedSender<usize>) -> Result<(), Failure> {
        let _attempt = Attempt::new(shared);
        let Some(edge) = shared.address(self.index) else {
            tokio::time::sleep(NO_ADDRESS).await;
            return Err(Failure::NoAddress);
        };
        let line = Line {
            index: self.index,
            edge,
            protocol: self.protocol,
            local: None,
            earlier_attempts: self.backoff.retries(),
            registered: registered.clone(),
        };
        let before = shared.state().registrations_of(self.index);
        let served = self.attempt(shared, line.clone()).await;
        shared.state().registered.remove(&self.index);
        if shared.state().registrations_of(self.index) > before {
            self.backoff.settle();
            self.in_fallback = false;
        }
        let mut fall_back = served.as_ref().err().is_some_and(Failure::recoverable);
        match served.as_ref().err() {
            Some(Failure::Dial(_) | Failure::QuicDial { .. }) => {
                fall_back = self.vain >= shared.setup.max_edge_addr_retries();
                self.vain = if fall_back { 0 } else { self.vain + 1 };
                if !shared.another_address(self.index) {
                    tokio::time::sleep(NO_ADDRESS).await;
                    return Err(Failure::NoAddress);
                }
            }
            Some(Failure::Duplicate) if !shared.another_address(self.index) => return Err(Failure::NoAddress),
            _ => {}
        }
        self.wait(shared, &line).await;
        if shared.stopping(Stop::Graceful) {
            return Ok(());
        }
        if let (Err(failure), true) = (&served, fall_back) {
            self.other_way(shared, &line, failure);
        }
        served
    }

    async fn attempt(&mut self, shared: &Arc<Shared>, line: Line) -> Result<(), Failure> {
        const CURVES: &str = "Tunnel connection curve preferences: [X25519MLKEM768 CurveID(65074) CurveP256]";
        shared.log.line(Level::Info, CURVES, line.fields());
        let served = match self.protocol {
            Protocol::Http2 => {
                let third = !shared.state().was_registered() && self.unauthorized == 2;
                http2::serve(shared, line.clone(), third).await
            }
            Protocol::Quic => quic::serve(shared, line.clone()).await,
        };
        if let Err(failure) = &served {
            self.unauthorized += u32::from(failure.to_string().contains("Unauthorized"));
            report(shared, &line, failure);
        }
        served
    }

    async fn wait(&mut self, shared: &Shared, line: &Line) {
        let retry = self.backoff.next();
        let message = format!("Retrying connection in up to {}", backoff::go(retry.said));
        shared.log.line(Level::Info, &message, line.fields());
        tokio::select! {
            () = tokio::time::sleep(shared.scaled(backoff::up_to(retry.limit))) => {}
            () = shared.stopped(Stop::Graceful) => {}
        }
    }

    /// Goes another way, if what the run begins with never worked: to the fallback after enough tries, and back to the
    /// beginning otherwise.
    fn other_way(&mut self, shared: &Shared, line: &Line, failure: &Failure) {
        let Selector { first, fallback } = shared.setup.selector;
        if shared.state().registered_over.values().any(|protocol| *protocol == first) {
            return;
        }
        let info = |message: String| shared.log.line(Level::Info, &message, line.fields());
        let broken = matches!(failure, Failure::QuicDial { broken: true, .. });
        if self.backoff.at_its_longest() || broken && fallback.is_some() {
            if broken {
                shared.log.line(Level::Warn, UDP_IS_BLOCKED, line.fields());
            }
            if let Some(fallback) = fallback
                && self.protocol != fallback
            {
                info(format!("Switching to fallback protocol {fallback}"));
                self.protocol = fallback;
                self.backoff.settle();
                self.in_fallback = true;
            }
        } else if !self.in_fallback && self.protocol != first {
            self.protocol = first;
            info(format!("Changing protocol to {first}"));
        }
    }
}

/// The lines of a failure that its transport has not logged.
fn report(shared: &Shared, line: &Line, failure: &Failure) {
    let error = failure.to_string();
    let trouble = |message: &str| shared.log.line(shared.trouble(), message, line.with_error(&error));
    match failure {
        Failure::Dial(_) | Failure::Served(_) => trouble("Serve tunnel error"),
        Failure::Duplicate => trouble("Unable to establish connection."),
        Failure::Refused { .. } => trouble("Register tunnel error from server side"),
        Failure::Closed { after_a_registration, .. } => {
            trouble("Serve tunnel error");
            if *after_a_registration {
                let error = "Error shutting down control stream: client disconnected";
                shared.log.line(Level::Error, "failed to serve incoming request", json!({"error": error}));
            }
        }
        Failure::NoAddress | Failure::QuicDial { .. } => {}
    }
}

/// Counts an attempt for as long as it lasts.
struct Attempt(Arc<Shared>);

impl Attempt {
    fn new(shared: &Arc<Shared>) -> Self {
        shared.state().attempts += 1;
        Attempt(shared.clone())
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        self.0.state().attempts -= 1;
    }
}
