//! `control.sock`: where the commands of this host ask the agent for something and wait for its answer.
//!
//! A Unix stream socket in the runtime directory, for root and the agent's user alone. One line of JSON each way:
//! `{"schema":1,"command":"reload"}`, then, when that has come to its end, `{"schema":1,"ended":"done","text":"…"}`. A client
//! that goes away withdraws nothing. Bounded in the length of a line, in the time for it and in the number of clients, so
//! that no client can hold up the agent or another client.

mod client;
mod server;
mod socket;

pub use client::{AskError, ask};

use cflared_verdict::{Answer, Ended, Mono};
use input::file;
use serde::{Deserialize, Serialize};
use socket::Place;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tracing::{info, warn};

/// The name of the socket in the runtime directory.
pub const SOCKET: &str = "control.sock";
/// The schema of both lines.
const SCHEMA: u32 = 1;
/// The longest line, in bytes, its end included.
const LONGEST: u64 = 16 * 1024;
/// How often it is looked whether the socket still has its name.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

/// What can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Hand over now.
    Reload,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Question {
    schema: u32,
    command: Command,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Reply {
    schema: u32,
    ended: Ended,
    text: String,
}

/// Somebody asks.
#[derive(Debug)]
pub struct Asked {
    /// For what.
    pub command: Command,
    /// Where the answer goes; dropped, the client is told that the agent ends.
    pub answer: oneshot::Sender<Answer>,
}

/// The agent's end of the socket.
#[derive(Debug)]
pub struct Control {
    path: PathBuf,
    listening: Option<Listening>,
    ask: mpsc::UnboundedSender<Asked>,
    asked: mpsc::UnboundedReceiver<Asked>,
    looked: Option<Mono>,
    /// Why nobody can ask, as it was logged.
    trouble: Option<String>,
}

#[derive(Debug)]
struct Listening {
    place: Place,
    /// Ends the taking of clients.
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Control {
    /// One that does not listen yet.
    pub fn new(runtime_dir: &Path) -> Self {
        // No bound: there are at most as many as there are clients.
        let (ask, asked) = mpsc::unbounded_channel();
        Self { path: runtime_dir.join(SOCKET), listening: None, ask, asked, looked: None, trouble: None }
    }

    /// Listens, if it does not yet or the socket has lost its name; it is looked once a minute, and costs a stat. The agent
    /// runs on without a socket. It is a tmpfs that is worked on: nobody waits.
    pub fn keep(&mut self, now: Mono) {
        if self.looked.is_some_and(|looked| now.since(looked) < LOOK_AGAIN) {
            return;
        }
        self.looked = Some(now);
        if self.listening.as_ref().is_some_and(|listening| socket::is_at(&self.path, listening.place)) {
            return;
        }
        let trouble = match socket::open(&self.path) {
            Ok((listener, place)) => {
                let (stop, stopped) = oneshot::channel();
                // A socket without a name may still have clients that wait: they are answered.
                let task = tokio::spawn(server::serve(listener, self.ask.clone(), stopped));
                if self.listening.replace(Listening { place, stop, task }).is_some() || self.trouble.is_some() {
                    info!(path = %self.path.display(), event = "commands_taken_again", "commands are accepted again");
                }
                None
            }
            Err(error) => Some(error.to_string()),
        };
        if let Some(cause) = trouble.as_ref().filter(|cause| self.trouble.as_ref() != Some(cause)) {
            warn!(%cause, event = "commands_not_taken", "commands are not accepted");
        }
        self.trouble = trouble;
    }

    /// Waits until somebody asks.
    pub async fn asked(&mut self) -> Asked {
        self.asked.recv().await.expect("this holds a sender itself")
    }

    /// Removes the socket, and waits until everybody who is connected was told something: that the agent ends, unless there is
    /// an answer already. For how long is up to the caller.
    pub async fn close(&mut self) {
        let Some(Listening { place, stop, task }) = self.listening.take() else { return };
        if socket::is_at(&self.path, place) {
            // What cannot be removed is replaced by the next agent.
            let _ = std::fs::remove_file(&self.path);
        }
        // It has ended already if nobody hears that.
        let _ = stop.send(());
        self.asked.close();
        while self.asked.try_recv().is_ok() {}
        let _ = task.await;
    }
}

/// Reads a line; its end is a newline, so that one that was cut off is no line.
async fn read_line(stream: impl AsyncRead + Unpin) -> Result<Vec<u8>, String> {
    let mut line = Vec::new();
    let mut limited = stream.take(LONGEST);
    while !line.ends_with(b"\n") {
        match limited.read_buf(&mut line).await {
            Ok(0) if limited.limit() == 0 => return Err(format!("the line has more than {LONGEST} bytes")),
            Ok(0) => return Err("the line has no end".into()),
            Ok(_) => {}
            Err(error) => return Err(error.to_string()),
        }
    }
    Ok(line)
}

/// A line that says that.
fn line(says: &impl Serialize) -> Vec<u8> {
    let mut line = serde_json::to_vec(says).expect("it has string keys only, so it is always JSON");
    line.push(b'\n');
    line
}

fn reply(Answer { ended, text }: Answer) -> Vec<u8> {
    line(&Reply { schema: SCHEMA, ended, text })
}

fn question(line: &[u8]) -> Result<Command, String> {
    file::parse::<Question>(line, SCHEMA).map(|question| question.command)
}

#[cfg(test)]
mod tests;
