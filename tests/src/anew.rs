//! Addresses that were in use a moment ago: a process that another thread is spawning holds a copy of each socket until it executes
//! its program, so one that was closed may still be there.

use socket2::{Domain, Socket, Type};
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep};

/// How long an address may stay in use, and how long it is until the next try.
const PATIENCE: Duration = Duration::from_secs(30);
const AGAIN: Duration = Duration::from_millis(5);

/// Listens at an address as soon as the copy is gone.
///
/// # Errors
/// The address cannot be had.
pub async fn listener(address: SocketAddr) -> io::Result<TcpListener> {
    let until = Instant::now() + PATIENCE;
    loop {
        match TcpListener::bind(address).await {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && Instant::now() < until => sleep(AGAIN).await,
            bound => return bound,
        }
    }
}

/// Binds an address beside the copy, which must have been bound for reuse, too. Packets go to the newer one.
///
/// # Errors
/// The address cannot be had.
pub fn socket(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}
