//! Helpers for the tests of every crate: directories, addresses and waits that no other program can disturb.

#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::new_without_default)] // it is a part of tests

pub mod fake;
pub mod fuzz;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpSocket, TcpStream};

/// How long anything is waited for before a test calls it missing. Generous: the machine may be busy.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until it is so.
// What a test waits for happens in real time, whatever the clock of the code under test says.
#[allow(clippy::disallowed_methods)]
pub async fn until(what: &str, mut so: impl FnMut() -> bool) {
    let began = std::time::Instant::now();
    while !so() {
        assert!(began.elapsed() < PATIENCE, "never: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Waits for the end of something that must end.
pub async fn ended<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("it never ended")
}

/// Runs a test on a current_thread runtime, as the agent does.
/// # Panics
/// There is no runtime to be had.
pub fn run(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test);
}

/// A directory with a name that nobody else has, removed with its contents.
pub struct Directory {
    path: PathBuf,
    _removed: TempDir,
}

impl Directory {
    /// Makes it.
    pub fn new() -> Self {
        let directory = tempfile::Builder::new().prefix("cflared-test-").tempdir().unwrap();
        // As short as the path of a socket must be, and with no link in it.
        Self { path: directory.path().canonicalize().unwrap(), _removed: directory }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path of that name in it.
    pub fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

/// A path at which nothing is, nor anything above it: for that, it begins in a directory that was just removed.
pub fn missing(name: &str) -> PathBuf {
    Directory::new().join(name)
}

/// A loopback address where connections are refused, and that is given to nobody else as long as this lives: a socket is
/// bound to it, which does not listen.
pub struct Refusing(TcpSocket);

impl Refusing {
    /// Takes a port.
    pub fn new() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        // So that the code under test may listen there all the same.
        socket.set_reuseaddr(true).unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        Self(socket)
    }

    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.0.local_addr().unwrap()
    }

    /// The same, as a URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    /// Connections are taken from now on.
    pub fn listen(self) -> TcpListener {
        self.0.listen(64).unwrap()
    }
}

/// A listener whose queue is full: the kernel drops what would connect.
pub struct Full {
    /// Where it is.
    pub address: SocketAddr,
    _held: (TcpListener, TcpStream),
}

impl Full {
    /// Fills its queue.
    pub async fn new() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        // The queue has room for one more than that.
        let listener = socket.listen(0).unwrap();
        let address = listener.local_addr().unwrap();
        let waiting = TcpStream::connect(address).await.unwrap();
        // A client is connected a moment before it is in the queue.
        until("the queue is full", || queued(address) == Some(1)).await;
        Self { address, _held: (listener, waiting) }
    }
}

/// How many clients a listener has not accepted yet: what proc(5) calls its receive queue.
fn queued(listener: SocketAddr) -> Option<u32> {
    let SocketAddr::V4(address) = listener else { return None };
    let name = format!("{:08X}:{:04X}", u32::from_ne_bytes(address.ip().octets()), address.port());
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let row = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let mut listening = row.filter(|words| words.get(1) == Some(&name.as_str()) && words.get(3) == Some(&"0A"));
    u32::from_str_radix(listening.next()?.get(4)?.split_once(':')?.1, 16).ok()
}
