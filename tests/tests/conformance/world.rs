//! A place to run the stand-in: addresses, an edge, files, and the process with its output.

use cflared_tests::edge::{Block, Edge};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::sync::watch;

/// The program under test.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_cloudflared-standin");
/// The recordings' tunnel.
pub const TUNNEL: &str = "6ff42ae2-765d-4adf-8112-31c55c1551ef";
/// A made-up secret.
pub const SECRET: &str = "bWFkZSB1cCBmb3IgdGhpcyB0ZXN0IGFuZCBubyBvdGhlcg==";
/// Longer than anything should take.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// A place to run the stand-in. Its files go with it.
pub struct World {
    /// Its addresses.
    pub block: Block,
    /// Its edge.
    pub edge: Edge,
    /// Its files: a good `config.yml` and credentials to begin with.
    pub directory: PathBuf,
}

impl World {
    pub async fn new() -> World {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let block = Block::take().unwrap();
        let edge = Edge::start(&block.edge_addresses()).await.unwrap();
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let directory = std::env::temp_dir().join(format!("cflared-conformance-{}-{number}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let world = World { block, edge, directory };
        world.write("config.yml", &world.config(TUNNEL, "http_status:404"));
        let credentials = format!(r#"{{"AccountTag":"a","TunnelSecret":"{SECRET}","TunnelID":"{TUNNEL}"}}"#);
        world.write(&format!("{TUNNEL}.json"), &credentials);
        world
    }

    /// A config with the recordings' rule and a last one to `service`.
    pub fn config(&self, tunnel: &str, service: &str) -> String {
        let origin = self.origin();
        let credentials = self.directory.join(format!("{TUNNEL}.json"));
        format!(
            "tunnel: {tunnel}\ncredentials-file: {}\ningress:\n  - hostname: db-console-dev.example.dev\n    \
             service: tcp://{origin}\n  - service: {service}\n",
            credentials.display()
        )
    }

    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.directory.join(name);
        fs::write(&path, text).unwrap();
        path
    }

    pub fn metrics(&self) -> SocketAddr {
        self.block.address(10, 2000)
    }

    /// Where the rule's origin would listen.
    pub fn origin(&self) -> SocketAddr {
        self.block.address(20, 3306)
    }

    /// The recordings' command line, scaled, with the config `config`.
    pub fn command(&self, config: &str, scale: f64) -> Command {
        // As systemd starts it: an ignored SIGHUP, as nohup(1) leaves behind, would be inherited.
        let mut command = Command::new("env");
        command.args(["--default-signal=HUP", PROGRAM]);
        command.args(["tunnel", "--config"]).arg(self.directory.join(config));
        command.arg("--cred-file").arg(self.directory.join(format!("{TUNNEL}.json")));
        command.args(["--metrics", &self.metrics().to_string(), "--no-autoupdate", "--protocol", "http2"]);
        command.args(["--no-prechecks", "--output", "json", "--standin-scale", &scale.to_string()]);
        command.args(self.edge.arguments());
        command
    }

    /// Runs `config.yml` as the recordings did.
    pub fn run(&self, scale: f64) -> Standin {
        self.run_config("config.yml", scale)
    }

    /// Runs another config as the recordings did.
    pub fn run_config(&self, config: &str, scale: f64) -> Standin {
        let mut command = self.command(config, scale);
        command.args(["--standin-bare-host", "run"]);
        Standin::spawn(command)
    }

    /// Waits for this many connections.
    pub async fn connections(&self, wanted: usize) {
        let reached = self.edge.wait_registered(TUNNEL, DEADLINE, |now| now.connections == wanted).await;
        reached.unwrap_or_else(|now| panic!("{wanted} connections wanted, {now:?}"));
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// A running stand-in. It is killed when this goes.
pub struct Standin {
    child: Child,
    output: watch::Receiver<String>,
}

impl Standin {
    pub fn spawn(mut command: Command) -> Standin {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let mut stderr = child.stderr.take().unwrap();
        let (append, output) = watch::channel(String::new());
        tokio::spawn(async move {
            let mut buffer = vec![0; 65_536];
            while let Ok(read @ 1..) = stderr.read(&mut buffer).await {
                append.send_modify(|output| output.push_str(&String::from_utf8_lossy(&buffer[..read])));
            }
        });
        Standin { child, output }
    }

    pub fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().unwrap().cast_signed())
    }

    pub fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).unwrap();
    }

    /// Waits for its output to fit.
    pub async fn says(&mut self, fits: impl Fn(&str) -> bool) {
        let waited = tokio::time::timeout(DEADLINE, self.output.wait_for(|output| fits(output))).await;
        let fitted = waited.is_ok_and(|open| open.is_ok());
        assert!(fitted, "it never said so:\n{}", *self.output.borrow());
    }

    /// Waits until its output has ended: the pipe is closed.
    pub async fn output_ends(&mut self) {
        let ended = async { while self.output.changed().await.is_ok() {} };
        tokio::time::timeout(DEADLINE, ended).await.expect("its output ends");
    }

    /// Waits for its end; its status and all that it said.
    pub async fn ends(mut self) -> (ExitStatus, String) {
        let status = tokio::time::timeout(DEADLINE, self.child.wait()).await.expect("it ends").unwrap();
        self.output_ends().await;
        (status, self.output.borrow().clone())
    }

    pub fn runs(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits until it is frozen: by a signal, or by its own doing.
    pub async fn is_frozen(&self) {
        let state = || {
            let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap();
            stat.rsplit_once(')').unwrap().1.trim_start().chars().next()
        };
        let frozen = async {
            while state() != Some('T') {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(DEADLINE, frozen).await.expect("it freezes");
    }

    /// Kills it; all that it said.
    pub async fn kill(self) -> String {
        self.signal(Signal::SIGKILL);
        self.ends().await.1
    }
}

/// The status and the body of a page.
pub async fn get(address: SocketAddr, path: &str) -> std::io::Result<(u16, String)> {
    request(address, &format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")).await
}

/// The status and the body of the answer to a POST.
pub async fn post(address: SocketAddr, path: &str, body: &str) -> std::io::Result<(u16, String)> {
    let length = body.len();
    let head = format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
    request(address, &(head + body)).await
}

async fn request(address: SocketAddr, request: &str) -> std::io::Result<(u16, String)> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default();
    Ok((status, body.to_owned()))
}

/// A file of the recordings.
pub fn recorded(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("recorded").join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
