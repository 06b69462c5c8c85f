//! The dialogue on the control stream, which is the same over both transports: register, push the configuration, hold,
//! unregister.

use super::log::Level;
use super::notify;
use super::protocol::Protocol;
use super::state::{Registered, Shared, Stop};
use crate::edge::orders;
use crate::tunnelrpc::registration::{Answer, Client, DUPLICATE, Details, INTERFACE, Refusal, Registration, Request};
use crate::tunnelrpc::{Caller, Failure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::timeout;
use uuid::Uuid;

/// `start_hang`: 5 s from the attempt to the error.
const RPC_TIMEOUT: Duration = Duration::from_secs(5);
const FEATURES: [&str; 6] = [
    "allow_remote_config",
    "serialized_headers",
    "support_datagram_v2",
    "support_quic_eof",
    "management_logs",
    orders::FEATURE,
];

/// The connection whose control stream it is.
#[derive(Clone)]
pub struct Line {
    /// One of four.
    pub index: usize,
    /// Where it goes.
    pub edge: SocketAddr,
    /// How.
    pub protocol: Protocol,
    /// From where.
    pub local: Option<IpAddr>,
    /// How often it was tried before.
    pub earlier_attempts: u32,
    /// Hears when it is registered.
    pub registered: UnboundedSender<usize>,
}

impl Line {
    /// The fields that every line about it has.
    pub fn fields(&self) -> Value {
        json!({"connIndex": self.index, "event": 0, "ip": self.edge.ip().to_string()})
    }

    /// The same with an error.
    pub fn with_error(&self, error: &str) -> Value {
        let mut fields = self.fields();
        fields["error"] = error.into();
        fields
    }
}

/// How a control stream ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It was unregistered, as the process stops.
    Unregistered,
    /// It was registered, and was lost.
    Lost,
    /// The edge knows a connection with this index already.
    Duplicate,
    /// The edge refused, or did not answer: as it is logged, and whether it may be tried again.
    Refused {
        /// Why.
        cause: String,
        /// Whether the edge asked to be tried again.
        retryable: bool,
    },
}

/// Registers, and holds until the process stops or the stream is lost.
pub async fn serve<R, W>(shared: &Arc<Shared>, line: &Line, read: R, write: W) -> Ended
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let mut caller = Caller::new(read, write);
    let details = match register(shared, line, &mut caller).await {
        Ok(details) => details,
        Err(ended) => {
            close(&mut caller).await;
            return ended;
        }
    };
    registered(shared, line, &details);
    if line.index == 0 && !details.remotely_managed {
        push(shared, &mut caller).await;
    }
    let lost = tokio::select! {
        failure = caller.ended() => Some(failure),
        () = shared.stopped(Stop::Graceful) => None,
    };
    if lost.is_some() {
        shared.state().rpc("unregister_connection", Duration::from_micros(3), false);
        return Ended::Lost;
    }
    shared.state().registered.remove(&line.index);
    let grace = shared.setup.grace_period();
    let unregistered = call(shared, "unregister_connection", grace, &mut caller, &Request::Unregister).await;
    close(&mut caller).await;
    match unregistered {
        Ok(_) => {
            shared.log.line(Level::Info, "Unregistered tunnel connection", line.fields());
            Ended::Unregistered
        }
        Err(_) => Ended::Lost,
    }
}

async fn register<R, W>(shared: &Arc<Shared>, line: &Line, caller: &mut Caller<R, W>) -> Result<Details, Ended>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let request = Request::Register(Box::new(registration(shared, line)));
    let limit = shared.time_out(RPC_TIMEOUT);
    let answer = call(shared, "register_connection", limit, caller, &request).await;
    let refusal = match answer {
        Ok(Answer::Registered(details)) => return Ok(details),
        Ok(Answer::Refused(refusal)) => refusal,
        Err(cause) => Refusal { cause, ..Refusal::default() },
    };
    // When it may be tried again, the edge says too: cloudflared does not look at that.
    let Refusal { cause, should_retry: retryable, .. } = refusal;
    let duplicate = cause == DUPLICATE;
    let kind = if duplicate { "dup_edge_conn" } else { "server_error" };
    *shared.state().refused.entry(kind).or_default() += 1;
    Err(if duplicate { Ended::Duplicate } else { Ended::Refused { cause, retryable } })
}

/// Calls, and counts. A call that fails says so in cloudflared's words.
async fn call<R, W>(
    shared: &Arc<Shared>,
    method: &'static str,
    limit: Duration,
    caller: &mut Caller<R, W>,
    request: &Request,
) -> Result<Answer, String>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let (number, parameters) = request.encode();
    let since = Instant::now();
    let answer = match timeout(limit, caller.call(INTERFACE, number, parameters)).await {
        Err(_) => Err("context deadline exceeded".to_owned()),
        Ok(Err(failure)) => Err(words(&failure)),
        Ok(Ok(results)) => match request {
            Request::Register(_) => Answer::decode(&results).map_err(|error| error.to_string()),
            Request::Unregister | Request::LocalConfiguration(_) => Ok(Answer::Registered(Details::default())),
        },
    };
    let answered = matches!(answer, Ok(Answer::Registered(_)));
    // In the real program's time: a call that hangs takes all of it, however much is given to it here.
    let took = since.elapsed().mul_f64(RPC_TIMEOUT.div_duration_f64(limit));
    shared.state().rpc(method, took, answered);
    answer
}

fn words(failure: &Failure) -> String {
    match failure {
        Failure::Frames(_) | Failure::Ended => "rpc: connection closed".into(),
        Failure::Aborted(exception) => format!("rpc: aborted by remote: {}", exception.reason),
        Failure::Refused(exception) => exception.reason.clone(),
        Failure::Protocol(_) => failure.to_string(),
    }
}

async fn close<R, W>(caller: &mut Caller<R, W>)
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    // The other side may have gone before.
    let _ = caller.close("rpc: shutdown").await;
}

fn registration(shared: &Shared, line: &Line) -> Registration {
    let credentials = &shared.setup.credentials;
    Registration {
        account: credentials.account_tag.clone(),
        // It was decoded when the file was read.
        secret: STANDARD.decode(&credentials.tunnel_secret).unwrap_or_default(),
        tunnel: uuid(&credentials.tunnel_id),
        index: u8::try_from(line.index).unwrap_or(u8::MAX),
        replace_existing: false,
        compression: 0,
        earlier_attempts: u8::try_from(line.earlier_attempts).unwrap_or(u8::MAX),
        local_ip: match line.local {
            Some(IpAddr::V4(ip)) => ip.to_ipv6_mapped().octets().to_vec(),
            Some(IpAddr::V6(ip)) => ip.octets().to_vec(),
            None => vec![],
        },
        client: Client {
            connector: uuid(&shared.connector),
            features: FEATURES.map(str::to_owned).to_vec(),
            version: super::args::VERSION.into(),
            arch: "linux_amd64".into(),
        },
    }
}

/// What is no UUID is one of zeroes, as nobody reads it.
fn uuid(text: &str) -> [u8; 16] {
    text.parse().map(Uuid::into_bytes).unwrap_or_default()
}

fn registered(shared: &Shared, line: &Line, details: &Details) {
    let mut fields = line.fields();
    fields["connection"] = Uuid::from_bytes(details.connection).to_string().into();
    fields["location"] = details.location.as_str().into();
    fields["protocol"] = line.protocol.to_string().into();
    let mut state = shared.state();
    let first = !state.was_registered();
    *state.registrations.entry(line.index).or_default() += 1;
    state.registered.insert(line.index, Registered { edge: line.edge, protocol: line.protocol });
    state.registered_over.insert(line.index, line.protocol);
    state.locations.insert(line.index, details.location.clone());
    drop(state);
    shared.log.line(Level::Info, "Registered tunnel connection", fields);
    // The supervisor is gone only when the process ends.
    let _ = line.registered.send(line.index);
    if first {
        notify::ready(&shared.log);
    }
}

async fn push<R, W>(shared: &Arc<Shared>, caller: &mut Caller<R, W>)
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let config = shared.setup.local_configuration(&shared.state().rules);
    let request = Request::LocalConfiguration(config.to_string().into_bytes());
    let limit = shared.time_out(RPC_TIMEOUT);
    let pushed = call(shared, "update_local_configuration", limit, caller, &request).await;
    let mut state = shared.state();
    state.pushes += 1;
    if let Err(error) = pushed {
        state.push_errors += 1;
        drop(state);
        shared.log.error("unable to send local configuration", &error);
    }
}
