//! Starts moto for one test, and ends it with it.

use super::peer::sdk;
use aws_config::SdkConfig;
use cflared_tests::aws::Credentials;
use cflared_tests::world::venv;
use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

const START_DEADLINE: Duration = Duration::from_secs(60);

/// A running moto server.
pub struct Moto {
    child: Child,
    address: SocketAddr,
}

impl Moto {
    pub fn start() -> Self {
        let address = free_address();
        let log_path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("moto-{}.log", address.ip()));
        let log = File::create(&log_path).unwrap();
        let child = Command::new(venv("moto_server"))
            .args(["-H", &address.ip().to_string(), "-p", &address.port().to_string()])
            // Its own settings and proxies are none of ours.
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut moto = Self { child, address };
        moto.wait(&log_path);
        moto
    }

    /// The SDK's settings for it.
    pub fn sdk(&self) -> SdkConfig {
        sdk(&format!("http://{}", self.address), &Credentials::default(), None)
    }

    fn wait(&mut self, log: &Path) {
        let deadline = Instant::now() + START_DEADLINE;
        while TcpStream::connect_timeout(&self.address, Duration::from_secs(1)).is_err() {
            let exited = self.child.try_wait().unwrap();
            let said = || std::fs::read_to_string(log).unwrap_or_default();
            assert!(exited.is_none(), "moto exited, {}; it said:\n{}", exited.unwrap(), said());
            assert!(Instant::now() < deadline, "moto did not listen within {START_DEADLINE:?}; it said:\n{}", said());
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// An address in 127/8 that only this test uses, so that nobody takes the port between this look and moto's start.
fn free_address() -> SocketAddr {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let [high, low, ..] = std::process::id().to_le_bytes();
    let ip = Ipv4Addr::new(127, high.max(1), low, NEXT.fetch_add(1, Ordering::Relaxed));
    TcpListener::bind((ip, 0)).unwrap().local_addr().unwrap()
}
