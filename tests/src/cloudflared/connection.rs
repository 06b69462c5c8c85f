//! One of the four connections: an attempt, what it logs, and the wait after it.

use super::backoff::{self, Backoff};
use super::dial;
use super::log::Level;
use super::state::{Registered, Shared, Stop};
use super::{notify, orders, stream};
use crate::edge::Who;
use crate::edge::wire::{self, Reader, ToConnector, ToEdge};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::tcp::OwnedWriteHalf;
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::timeout;

/// `start_hang`: 5 s from the attempt to the error.
const RPC_TIMEOUT: Duration = Duration::from_secs(5);
/// However long `--grace-period` is.
const LONGEST_GRACE: Duration = Duration::from_secs(180);
const CLOSED: &str = "connection with edge closed";
const TIMED_OUT: &str = "context deadline exceeded";

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The edge could not be reached.
    Unreachable(String),
    /// The registration was rejected, or not answered.
    Rejected(String),
    /// The edge closed the connection.
    Lost,
    /// It was unregistered, as the process stops.
    Unregistered,
    /// The process stops, and there was nothing to unregister.
    Stopped,
}

impl Ended {
    /// The error as it is logged.
    pub fn error(&self) -> Option<&str> {
        match self {
            Ended::Unreachable(error) | Ended::Rejected(error) => Some(error),
            Ended::Lost => Some(CLOSED),
            Ended::Unregistered | Ended::Stopped => None,
        }
    }
}

/// What a connection tells the supervisor.
pub enum News {
    /// It is registered.
    Registered,
    /// It is not, and its back-off is over: the connection, to be tried again.
    Ended(Connection, Ended),
}

/// A connection between its attempts.
pub struct Connection {
    /// 0 to 3.
    pub index: usize,
    backoff: Backoff,
    another_address: bool,
    unauthorized: u32,
}

impl Connection {
    /// A connection that was never tried, whose waits stop growing after `retries` doublings.
    pub fn new(index: usize, retries: u32) -> Self {
        Connection { index, backoff: Backoff::new(retries), another_address: false, unauthorized: 0 }
    }

    /// One attempt, for as long as it holds, and the wait after it.
    pub async fn serve(mut self, shared: Arc<Shared>, news: UnboundedSender<News>) {
        // Without any `--edge` nothing is started.
        let Some(edge) = shared.address(self.index, self.another_address) else { return };
        let ended = self.attempt(&shared, edge, &news).await;
        self.wait(&shared, edge, &ended).await;
        // The supervisor is gone only when the process ends.
        let _ = news.send(News::Ended(self, ended));
    }

    async fn attempt(&mut self, shared: &Arc<Shared>, edge: SocketAddr, news: &UnboundedSender<News>) -> Ended {
        const CURVES: &str = "Tunnel connection curve preferences: [X25519MLKEM768 CurveID(65074) CurveP256]";
        shared.log.line(Level::Info, CURVES, self.fields(edge));
        let who = Who {
            tunnel: shared.setup.credentials.tunnel_id.clone(),
            connector: shared.connector.clone(),
            index: self.index,
            pid: std::process::id().cast_signed(),
        };
        let registered = tokio::select! {
            registered = self.register(shared, edge, who) => registered,
            () = shared.stopped(Stop::Graceful) => Err(Ended::Stopped),
        };
        self.another_address = matches!(registered, Err(Ended::Unreachable(_)));
        let ended = match registered {
            Ok((read, write)) => {
                self.backoff.settle();
                // As above.
                let _ = news.send(News::Registered);
                self.hold(shared, edge, read, write).await
            }
            Err(ended) => ended,
        };
        self.report(shared, edge, &ended);
        shared.state().registered.remove(&self.index);
        ended
    }

    /// Dials, shakes hands and registers.
    async fn register(
        &mut self,
        shared: &Shared,
        edge: SocketAddr,
        who: Who,
    ) -> Result<(Reader, OwnedWriteHalf), Ended> {
        let (mut read, mut write) = dial::reach(shared, edge, who).await.map_err(Ended::Unreachable)?;
        let secret = shared.setup.credentials.tunnel_secret.clone();
        let since = Instant::now();
        let call = async {
            wire::say(&mut write, &ToEdge::Register { secret }).await?;
            wire::hear(&mut read).await
        };
        let answer = timeout(shared.time_out(RPC_TIMEOUT), call).await;
        let seconds = since.elapsed().as_secs_f64();
        shared.state().rpc("register_connection", seconds, matches!(answer, Ok(Ok(_))));
        match answer {
            Ok(Ok(ToConnector::Registered { connection, location })) => {
                self.registered(shared, edge, &connection, location);
                Ok((read, write))
            }
            Ok(Ok(ToConnector::Rejected { error })) => Err(self.rejected(shared, error)),
            Ok(_) => Err(Ended::Lost),
            Err(_) => Err(self.rejected(shared, TIMED_OUT.into())),
        }
    }

    fn registered(&self, shared: &Shared, edge: SocketAddr, connection: &str, location: String) {
        let mut fields = self.fields(edge);
        fields["connection"] = connection.into();
        fields["location"] = location.as_str().into();
        fields["protocol"] = shared.setup.protocol().into();
        let mut state = shared.state();
        state.registrations += 1;
        state.registered.insert(self.index, Registered { edge });
        state.locations.insert(self.index, location);
        if self.index == 0 {
            state.pushes += 1;
            state.rpc("update_local_configuration", 0.0009, true);
        }
        let first = state.registrations == 1;
        drop(state);
        shared.log.line(Level::Info, "Registered tunnel connection", fields);
        if first {
            notify::ready(&shared.log);
        }
    }

    /// `start_unauthorized`: of three `Unauthorized` in a row at the start, the third shows as a closed connection.
    fn rejected(&mut self, shared: &Shared, error: String) -> Ended {
        shared.state().rejections += 1;
        shared.log.error("failed to serve incoming request", &error);
        let never_registered = shared.state().registrations == 0;
        self.unauthorized += u32::from(never_registered && error.starts_with("Unauthorized"));
        if self.unauthorized == 3 { Ended::Lost } else { Ended::Rejected(error) }
    }

    /// Holds a registered connection until the edge closes it, or the process stops.
    async fn hold(&self, shared: &Arc<Shared>, edge: SocketAddr, mut read: Reader, mut write: OwnedWriteHalf) -> Ended {
        loop {
            tokio::select! {
                heard = wire::hear(&mut read) => match heard {
                    Ok(ToConnector::Order { order }) => orders::obey(shared, order),
                    Ok(ToConnector::Open { stream, dial, hostname }) => stream::spawn(shared, stream, dial, hostname),
                    Ok(_) => {}
                    Err(_) => return Ended::Lost,
                },
                () = shared.stopped(Stop::Graceful) => break,
            }
        }
        let unregistered = timeout(shared.time_out(RPC_TIMEOUT), unregister(shared, &mut read, &mut write)).await;
        shared.state().rpc("unregister_connection", 0.0001, matches!(unregistered, Ok(Ok(()))));
        shared.state().registered.remove(&self.index);
        shared.log.line(Level::Info, "Unregistered tunnel connection", self.fields(edge));
        tokio::select! {
            () = stream::none_in_flight(shared) => {}
            () = tokio::time::sleep(shared.setup.flags.grace_period.min(LONGEST_GRACE)) => {}
            () = shared.stopped(Stop::Now) => {}
        }
        Ended::Unregistered
    }

    fn report(&self, shared: &Shared, edge: SocketAddr, ended: &Ended) {
        let mut fields = self.fields(edge);
        fields["error"] = ended.error().unwrap_or_default().into();
        let trouble = |message: &str| shared.log.line(shared.trouble(), message, fields.clone());
        match ended {
            Ended::Unreachable(_) => {
                trouble("Unable to establish connection with Cloudflare edge");
                trouble("Serve tunnel error");
            }
            Ended::Rejected(_) => trouble("Register tunnel error from server side"),
            Ended::Lost => {
                shared.log.line(Level::Info, "Lost connection with the edge", json!({"connIndex": self.index}));
                trouble("Serve tunnel error");
                if shared.state().registered.contains_key(&self.index) {
                    shared.state().rpc("unregister_connection", 0.000_003, false);
                    let error = "Error shutting down control stream: client disconnected";
                    shared.log.error("failed to serve incoming request", error);
                }
            }
            Ended::Unregistered | Ended::Stopped => {}
        }
    }

    async fn wait(&mut self, shared: &Shared, edge: SocketAddr, ended: &Ended) {
        if *ended == Ended::Stopped {
            return;
        }
        let retry = self.backoff.next();
        let message = format!("Retrying connection in up to {}", backoff::go(retry.said));
        shared.log.line(Level::Info, &message, self.fields(edge));
        let never_registered = shared.state().registrations == 0;
        let wait = match ended {
            Ended::Rejected(_) | Ended::Lost if never_registered => backoff::most_of(retry.limit),
            _ => backoff::up_to(retry.limit),
        };
        tokio::select! {
            () = tokio::time::sleep(shared.scaled(wait)) => {}
            () = shared.stopped(Stop::Graceful) => {}
        }
    }

    fn fields(&self, edge: SocketAddr) -> Value {
        json!({"connIndex": self.index, "event": 0, "ip": edge.ip().to_string()})
    }
}

/// Asks to be unregistered. Streams that the edge asked for before it heard are served too.
async fn unregister(shared: &Arc<Shared>, read: &mut Reader, write: &mut OwnedWriteHalf) -> std::io::Result<()> {
    wire::say(write, &ToEdge::Unregister).await?;
    loop {
        match wire::hear(read).await? {
            ToConnector::Open { stream, dial, hostname } => stream::spawn(shared, stream, dial, hostname),
            ToConnector::Unregistered => return Ok(()),
            _ => {}
        }
    }
}
