//! A running agent, and its output.

use super::{PATIENCE, eventually};
use anyhow::Context;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use std::fs;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::net::UnixDatagram;
use tokio::process::{Child, Command};

/// One line of the agent's log, and when it came.
#[derive(Debug, Clone)]
pub struct Line {
    /// When.
    pub at: Instant,
    /// The line, as JSON; text that is no JSON is a JSON string.
    pub json: Value,
}

/// A notice to systemd.
#[derive(Debug, Clone)]
pub struct Notice {
    /// When it came.
    pub at: Instant,
    /// The assignment: `READY=1`, `STATUS=…`.
    pub text: String,
    /// How busy the agent and the machine had been until then: what [`Agent::busy`] said.
    pub busy: Duration,
}

/// A running `cflared-agent run`. Dropping it kills it; the child of the agent dies with it.
pub struct Agent {
    child: Child,
    pid: u32,
    runtime_dir: PathBuf,
    log: Arc<Mutex<Vec<Line>>>,
    notices: Arc<Mutex<Vec<Notice>>>,
}

impl Agent {
    pub(super) fn start(mut command: Command, runtime_dir: PathBuf) -> anyhow::Result<Self> {
        // Beside the runtime directory: its name must fit into a socket's address.
        let notify = runtime_dir.join("../notify");
        let _ = fs::remove_file(&notify);
        let socket = UnixDatagram::bind(&notify)?;
        command.arg("run").env("NOTIFY_SOCKET", fs::canonicalize(&notify)?);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().context("failed to start the agent")?;
        let pid = child.id().context("the agent has no pid")?;
        let (log, notices) = (Arc::default(), Arc::default());
        collect(child.stdout.take().context("no stdout")?, Arc::clone(&log));
        collect(child.stderr.take().context("no stderr")?, Arc::clone(&log));
        tokio::spawn(listen(socket, pid, Arc::clone(&notices)));
        Ok(Self { child, pid, runtime_dir, log, notices })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Every line of its log so far, and its children's lines among them.
    pub fn log(&self) -> Vec<Line> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The whole log as text.
    pub fn log_text(&self) -> String {
        self.log().iter().map(|line| format!("{}\n", line.json)).collect()
    }

    /// Every assignment that systemd was told so far: `READY=1`, `STATUS=…`.
    pub fn notices(&self) -> Vec<String> {
        self.timed_notices().into_iter().map(|notice| notice.text).collect()
    }

    /// The same, each with the time at which it came.
    pub fn timed_notices(&self) -> Vec<Notice> {
        self.notices.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// For how long the agent's loop has run or waited for a core so far, and this test, too. Time less this is what the
    /// agent spent waiting for something else, however busy the machine is.
    pub fn busy(&self) -> Duration {
        busy(self.pid)
    }

    /// What `status.json` holds; null if there is none, or only that of an agent before this one.
    pub fn status(&self) -> Value {
        let bytes = fs::read(self.runtime_dir.join("status.json")).unwrap_or_default();
        let status: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        if status["agent"]["pid"] == self.pid { status } else { Value::Null }
    }

    /// The health that it shows.
    pub fn health(&self) -> String {
        self.status()["health"]["state"].as_str().unwrap_or_default().into()
    }

    /// Waits until the status is as wanted, and returns it.
    ///
    /// # Errors
    /// It never was, or the agent ended.
    pub async fn wait_status(&mut self, what: &str, mut wanted: impl FnMut(&Value) -> bool) -> anyhow::Result<Value> {
        let waited = eventually(what, async || Some(self.status()).filter(|status| wanted(status))).await;
        waited.with_context(|| format!("status: {:#}\nlog:\n{}", self.status(), self.log_text()))
    }

    /// Waits until it shows that health.
    ///
    /// # Errors
    /// It never did.
    pub async fn wait_health(&mut self, state: &str) -> anyhow::Result<Value> {
        self.wait_status(&format!("health {state}"), |status| status["health"]["state"] == state).await
    }

    /// Waits until a line of the log holds `part`.
    ///
    /// # Errors
    /// None ever did.
    pub async fn wait_log(&self, part: &str) -> anyhow::Result<Line> {
        let find = async || self.log().into_iter().find(|line| line.json.to_string().contains(part));
        eventually(&format!("`{part}` in the log"), find).await.with_context(|| self.log_text())
    }

    /// Waits until systemd was told `notice`.
    ///
    /// # Errors
    /// It never was.
    pub async fn wait_notice(&self, notice: &str) -> anyhow::Result<()> {
        let find = async || self.notices().into_iter().find(|told| told.starts_with(notice));
        eventually(notice, find).await.with_context(|| self.log_text()).map(drop)
    }

    /// The process id of its connector's child.
    pub fn connector_pid(&self) -> Option<u32> {
        self.status()["connectors"][0]["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok())
    }

    /// What `state.json` holds; null if there is none.
    pub fn state(&self) -> Value {
        let bytes = fs::read(self.runtime_dir.join("state.json")).unwrap_or_default();
        serde_json::from_slice(&bytes).unwrap_or_default()
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// It is gone.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        Ok(kill(Pid::from_raw(i32::try_from(self.pid)?), signal)?)
    }

    /// Stops it as systemd does, and waits for its end.
    ///
    /// # Errors
    /// It did not end.
    pub async fn stop(&mut self) -> anyhow::Result<ExitStatus> {
        self.signal(Signal::SIGTERM)?;
        self.wait().await
    }

    /// Kills it without a goodbye.
    ///
    /// # Errors
    /// It did not end.
    pub async fn crash(&mut self) -> anyhow::Result<ExitStatus> {
        self.signal(Signal::SIGKILL)?;
        self.wait().await
    }

    /// How it ended; `None` while it runs.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// It did not end.
    pub async fn wait(&mut self) -> anyhow::Result<ExitStatus> {
        let ended = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        Ok(ended.with_context(|| format!("the agent did not end\n{}", self.log_text()))??)
    }
}

fn collect(output: impl AsyncRead + Unpin + Send + 'static, log: Arc<Mutex<Vec<Line>>>) {
    tokio::spawn(async move {
        let mut output = BufReader::new(output);
        let mut bytes = Vec::new();
        while output.read_until(b'\n', &mut bytes).await.is_ok_and(|read| read > 0) {
            let text = String::from_utf8_lossy(&bytes).trim_end().to_owned();
            let json = serde_json::from_str(&text).unwrap_or(Value::String(text));
            log.lock().unwrap_or_else(PoisonError::into_inner).push(Line { at: Instant::now(), json });
            bytes.clear();
        }
    });
}

/// What the kernel counts of a process' main thread and of this thread: nanoseconds on a core, and in wait of one (the
/// first two numbers of `/proc/PID/schedstat`, as Documentation/scheduler/sched-stats.rst has it).
fn busy(pid: u32) -> Duration {
    let of = |path: &str| {
        let text = fs::read_to_string(path).unwrap_or_default();
        text.split(' ').take(2).filter_map(|number| number.parse::<u64>().ok()).sum()
    };
    Duration::from_nanos(of(&format!("/proc/{pid}/schedstat")))
        + Duration::from_nanos(of("/proc/thread-self/schedstat"))
}

async fn listen(socket: UnixDatagram, pid: u32, notices: Arc<Mutex<Vec<Notice>>>) {
    let mut buffer = vec![0; 65_536];
    while let Ok(length) = socket.recv(&mut buffer).await {
        let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
        let mut notices = notices.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, busy) = (Instant::now(), busy(pid));
        notices.extend(text.lines().map(|line| Notice { at, text: line.to_owned(), busy }));
    }
}
