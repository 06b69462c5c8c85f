//! A place to run a cloudflared: addresses, an edge, files, and the process with its output.

use cflared_tests::dns::Dns;
use cflared_tests::edge::{Block, Edge};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::sync::watch;

/// The stand-in.
pub const STANDIN: &str = env!("CARGO_BIN_EXE_cloudflared-standin");
/// The recordings' tunnel.
pub const TUNNEL: &str = "6ff42ae2-765d-4adf-8112-31c55c1551ef";
/// A made-up secret.
pub const SECRET: &str = "bWFkZSB1cCBmb3IgdGhpcyB0ZXN0IGFuZCBubyBvdGhlcg==";
/// Longer than anything should take that has no waits of its own.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// The program under test: the real cloudflared, if `CLOUDFLARED` names it, else the stand-in. The real one runs in the
/// network namespace of the test, which should have nothing but `lo`.
pub fn program() -> String {
    std::env::var("CLOUDFLARED").unwrap_or_else(|_| STANDIN.into())
}

/// Whether the real cloudflared is under test. It waits for as long as it waits.
pub fn is_real() -> bool {
    program() != STANDIN
}

/// Longer than anything should take, the waits of the program included.
pub fn patience() -> Duration {
    if is_real() { DEADLINE * 10 } else { DEADLINE }
}

/// A place to run a cloudflared. Its files go with it.
pub struct World {
    /// How it is told to speak to the edge.
    pub protocol: &'static str,
    /// Its addresses.
    pub block: Block,
    /// Its edge.
    pub edge: Edge,
    /// Its files: a good `config.yml` and credentials to begin with.
    pub directory: PathBuf,
}

impl World {
    /// Over HTTP/2, as most recordings.
    pub async fn new() -> World {
        World::over("http2").await
    }

    pub async fn over(protocol: &'static str) -> World {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let block = Block::take().unwrap();
        let edge = Edge::start(&block.edge_addresses()).await.unwrap();
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let directory = std::env::temp_dir().join(format!("cflared-conformance-{}-{number}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let world = World { protocol, block, edge, directory };
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

    /// The recordings' command line, scaled if it can be, with the config `config`, of the program under test.
    pub fn command(&self, config: &str, scale: f64) -> Command {
        self.command_of(&program(), config, scale)
    }

    /// The same of the stand-in, for what only it can do.
    pub fn command_of_the_standin(&self, config: &str, scale: f64) -> Command {
        self.command_of(STANDIN, config, scale)
    }

    /// The same of the program under test on a host that has a name server, which only the real one asks.
    pub async fn command_with_names(&self, config: &str, scale: f64) -> Command {
        let command = self.command(config, scale);
        let given = command.as_std().get_args().filter(|argument| *argument != "--standin-bare-host");
        if !is_real() {
            let mut with_names = Command::new("env");
            with_names.args(given);
            return with_names;
        }
        let dns = Dns::start(self.block.address(53, 53)).await.unwrap();
        dns.edge(&self.edge.addresses());
        let file = self.write("resolv.conf", &format!("nameserver {}\n", dns.address().ip()));
        let mut with_names = Command::new("unshare");
        let mount = "mount --bind \"$0\" /etc/resolv.conf && exec env \"$@\"";
        with_names.args(["--mount", "sh", "-c", mount]).arg(file).args(given);
        with_names
    }

    fn command_of(&self, program: &str, config: &str, scale: f64) -> Command {
        // As systemd starts it: an ignored SIGHUP, as nohup(1) leaves behind, would be inherited.
        let mut command = Command::new("env");
        command.args(["--default-signal=HUP", program]);
        command.args(["tunnel", "--config"]).arg(self.directory.join(config));
        command.arg("--cred-file").arg(self.directory.join(format!("{TUNNEL}.json")));
        command.args(["--metrics", &self.metrics().to_string(), "--no-autoupdate", "--protocol", self.protocol]);
        command.args(["--no-prechecks", "--output", "json"]);
        command.args(self.edge.arguments());
        if program == STANDIN {
            command.args(["--standin-scale", &scale.to_string(), "--standin-bare-host"]);
        }
        command
    }

    /// Runs `config.yml` as the recordings did.
    pub fn run(&self, scale: f64) -> Running {
        self.run_config("config.yml", scale)
    }

    /// Runs another config as the recordings did.
    pub fn run_config(&self, config: &str, scale: f64) -> Running {
        self.run_with(config, scale, &[])
    }

    /// Runs another config with more flags.
    pub fn run_with(&self, config: &str, scale: f64, flags: &[&str]) -> Running {
        let mut command = self.command(config, scale);
        command.args(flags).arg("run");
        Running::spawn(command)
    }

    /// Runs the stand-in, for what only it can do.
    pub fn run_the_standin(&self, scale: f64) -> Running {
        let mut command = self.command_of_the_standin("config.yml", scale);
        command.arg("run");
        Running::spawn(command)
    }

    /// Waits for this many connections.
    pub async fn connections(&self, wanted: usize) {
        let reached = self.edge.wait_registered(TUNNEL, patience(), |now| now.connections == wanted).await;
        reached.unwrap_or_else(|now| panic!("{wanted} connections wanted, {now:?}"));
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// A running cloudflared. It is killed when this goes.
pub struct Running {
    child: Child,
    output: watch::Receiver<String>,
}

impl Running {
    pub fn spawn(mut command: Command) -> Running {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let (append, output) = watch::channel(String::new());
        let append = Arc::new(append);
        tokio::spawn(collect(child.stdout.take().unwrap(), append.clone()));
        tokio::spawn(collect(child.stderr.take().unwrap(), append));
        Running { child, output }
    }

    pub fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().unwrap().cast_signed())
    }

    pub fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).unwrap();
    }

    /// Waits for its output to fit.
    pub async fn says(&mut self, fits: impl Fn(&str) -> bool) {
        let waited = tokio::time::timeout(patience(), self.output.wait_for(|output| fits(output))).await;
        let fitted = waited.is_ok_and(|open| open.is_ok());
        assert!(fitted, "it never said so:\n{}", *self.output.borrow());
    }

    /// Waits until it has said of four connections that they are registered. The edge knows before.
    pub async fn registers(&mut self) {
        self.says(|log| log.matches("Registered tunnel connection").count() == 4).await;
    }

    /// Waits until its output has ended: the pipe is closed.
    pub async fn output_ends(&mut self) {
        let ended = async { while self.output.changed().await.is_ok() {} };
        tokio::time::timeout(patience(), ended).await.expect("its output ends");
    }

    /// Waits for its end; its status and all that it said.
    pub async fn ends(mut self) -> (ExitStatus, String) {
        let status = tokio::time::timeout(patience(), self.child.wait()).await.expect("it ends").unwrap();
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
        tokio::time::timeout(patience(), frozen).await.expect("it freezes");
    }

    /// Kills it; all that it said.
    pub async fn kill(self) -> String {
        self.signal(Signal::SIGKILL);
        self.ends().await.1
    }
}

async fn collect(mut stream: impl AsyncRead + Unpin, append: Arc<watch::Sender<String>>) {
    let mut buffer = vec![0; 65_536];
    while let Ok(read @ 1..) = stream.read(&mut buffer).await {
        append.send_modify(|output| output.push_str(&String::from_utf8_lossy(&buffer[..read])));
    }
}

/// The status and the body of a page.
pub async fn get(address: SocketAddr, path: &str) -> std::io::Result<(u16, String)> {
    // Go sends a long page in chunks, unless it is asked in the language of before there were any.
    request(address, &format!("GET {path} HTTP/1.0\r\nHost: x\r\n\r\n")).await
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
