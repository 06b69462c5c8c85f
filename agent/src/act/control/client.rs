//! Asks the agent of this host.

use super::{Command, Question, Reply, SCHEMA, line, read_line};
use cflared_verdict::Answer;
use input::file;
use std::io;
use std::path::{Path, PathBuf};
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// No agent listens.
    #[error("failed to reach the agent: no process listens on {}", path.display())]
    NoAgent {
        /// The socket.
        path: PathBuf,
    },
    /// Only root and the agent's user may ask.
    #[error(
        "failed to reach the agent: only root and the agent's user may send commands; run this as root: sudo \
        cflared-agent …"
    )]
    Denied,
    /// It took no client, or went away.
    #[error("failed to reach the agent: {cause}; see: systemctl status cflared-agent; journalctl -u cflared-agent")]
    Cut {
        /// What happened.
        cause: String,
    },
}

/// Asks the agent that listens at `path`, and waits for its answer as long as it takes.
///
/// # Errors
/// There is no agent, or it ended before it answered.
pub async fn ask(path: &Path, command: Command) -> Result<Answer, AskError> {
    let cut = |cause: String| AskError::Cut { cause };
    let mut stream = UnixStream::connect(path).await.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => AskError::NoAgent { path: path.into() },
        io::ErrorKind::PermissionDenied => AskError::Denied,
        io::ErrorKind::WouldBlock => cut("it does not take anybody any more; it hangs".into()),
        _ => cut(error.to_string()),
    })?;
    // Who is turned away is told so before this arrives: what counts is the answer.
    let asked = stream.write_all(&line(&Question { schema: SCHEMA, command })).await;
    let read = read_line(&mut stream).await;
    let bytes =
        read.map_err(|why| cut(asked.map_or_else(|error| error.to_string(), |()| format!("no answer: {why}"))))?;
    let Reply { ended, text, .. } =
        file::parse(&bytes, SCHEMA).map_err(|why| cut(format!("its answer is strange: {why}")))?;
    Ok(Answer { ended, text })
}
