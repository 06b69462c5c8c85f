//! Passes a child's output on to our log, line by line.

use super::complaints::Complaints;
use super::seen::Shared;
use super::split::Splitter;
use cflared_verdict::RunId;
use cloudflared::{LOG_TARGET, Line, Transcript, redacted, shown};
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncReadExt};
use tracing::Level;

/// Reads an output until it ends, so that the child never waits for a reader.
pub(super) async fn relay(
    run: RunId,
    mut output: impl AsyncRead + Unpin,
    seen: Arc<Shared>,
    complaints: Arc<Complaints>,
) {
    let mut splitter = Splitter::default();
    let mut bytes = vec![0; 4096];
    let mut transcript = Transcript::default();
    let mut ended = |text: &[u8], discarded: u64| pass_on(run, text, discarded, &mut transcript, &seen, &complaints);
    // An output that cannot be read any more has ended.
    while let Ok(length @ 1..) = output.read(&mut bytes).await {
        splitter.push(&bytes[..length], &mut ended);
    }
    splitter.end(ended);
}

fn pass_on(
    run: RunId,
    text: &[u8],
    discarded: u64,
    transcript: &mut Transcript,
    seen: &Shared,
    complaints: &Complaints,
) {
    let line = Line::parse(text);
    let meaning = transcript.read(&line);
    seen.note(text, &line, meaning.symptom, discarded);
    if let Some(complaint) = transcript.complaint(&line, meaning) {
        complaints.hear(complaint, || shown(&line));
    }
    // What a child says goes to people and shippers: keys stay here.
    let safe = |text: &Option<String>| text.as_deref().map(redacted);
    macro_rules! event {
        ($level:expr) => {
            tracing::event!(
                target: LOG_TARGET,
                $level,
                run = run.0,
                event = meaning.event,
                conn_index = line.conn_index,
                error = safe(&line.error),
                connection = safe(&line.connection),
                ip = safe(&line.ip),
                location = safe(&line.location),
                protocol = safe(&line.protocol),
                rest = safe(&line.rest),
                discarded_bytes = (discarded > 0).then_some(discarded),
                "{}",
                redacted(&line.message)
            )
        };
    }
    // An event's level must be a constant.
    match meaning.level {
        Level::ERROR | Level::WARN => event!(Level::WARN),
        Level::INFO => event!(Level::INFO),
        _ => event!(Level::DEBUG),
    }
}

#[cfg(test)]
mod tests;
