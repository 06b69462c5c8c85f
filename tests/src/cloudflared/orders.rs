//! Misbehaving on order. No recording has these: they are what an agent has to survive.
//!
//! Orders come by a socket of their own, apart from the tunnel: an abstract one named after the connector's id, which
//! the edge knows from its registration. One line of JSON is one order; it is answered with a newline.

use super::state::Shared;
use crate::edge::Order;
use nix::sys::signal::{Signal, raise};
use nix::unistd::{dup2_stderr, dup2_stdout};
use rustix::net::sockopt::socket_peercred;
use std::fs::OpenOptions;
use std::io::{self, Read, Write};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};

/// How long an order may take to be answered: longer means that the connector is frozen.
const DEADLINE: Duration = Duration::from_secs(5);

fn address(connector: &str) -> io::Result<SocketAddr> {
    SocketAddr::from_abstract_name(format!("cloudflared-standin/{connector}"))
}

/// The process id of the connector with this id (a UUID in lower case); `None` if it is no stand-in, or does not run.
pub fn pid(connector: &str) -> Option<i32> {
    let stream = UnixStream::connect_addr(&address(connector).ok()?).ok()?;
    socket_peercred(&stream).ok().map(|peer| peer.pid.as_raw_nonzero().get())
}

/// Gives an order to the connector with this id, and waits until it has taken it.
///
/// # Errors
/// It is no stand-in, or does not run, or does not answer.
pub fn give(connector: &str, order: &Order) -> io::Result<()> {
    let mut stream = UnixStream::connect_addr(&address(connector)?)?;
    stream.set_read_timeout(Some(DEADLINE))?;
    let mut line = serde_json::to_vec(order)?;
    line.push(b'\n');
    stream.write_all(&line)?;
    stream.read_exact(&mut [0])
}

/// Takes orders from now on.
pub(super) fn listen(shared: &Arc<Shared>) -> io::Result<()> {
    let listener = UnixListener::bind_addr(&address(&shared.connector)?)?;
    listener.set_nonblocking(true)?;
    let listener = tokio::net::UnixListener::from_std(listener)?;
    let shared = shared.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // The edge that gave it may be gone.
            drop(tokio::spawn(take(shared.clone(), stream)));
        }
    });
    Ok(())
}

async fn take(shared: Arc<Shared>, stream: tokio::net::UnixStream) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    while stream.read_line(&mut line).await? > 0 {
        let order = serde_json::from_str(&line)?;
        line.clear();
        // Answered first: some leave nobody to answer.
        stream.write_all(b"\n").await?;
        obey(&shared, order);
    }
    Ok(())
}

/// Does as ordered.
pub(super) fn obey(shared: &Shared, order: Order) {
    match order {
        // The receiver is in `main` for as long as the process runs.
        Order::Exit { status } => drop(shared.exit.send(status)),
        Order::Crash => drop(raise(Signal::SIGKILL)),
        Order::Freeze => drop(raise(Signal::SIGSTOP)),
        Order::CloseOutput => close_output(),
        Order::Flood { bytes } => shared.log.raw(vec![b'#'; bytes]),
        Order::Print { line } => shared.log.plain(&line),
        Order::ForeignId { connector } => shared.state().shown_connector = connector,
    }
}

/// The reader of the pipes sees their end; the numbers 1 and 2 stay taken, so that no socket gets them.
fn close_output() {
    if let Ok(null) = OpenOptions::new().write(true).open("/dev/null") {
        // They cannot fail on a descriptor that is open.
        let _ = dup2_stdout(&null);
        let _ = dup2_stderr(&null);
    }
}
