//! Takes clients: one task each, which nobody waits for.

use super::{Asked, Command, question, read_line, reply};
use cflared_verdict::{Answer, Ended};
use nix::unistd::geteuid;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tracing::{debug, info, warn};

/// How many clients there may be at once.
pub const CLIENTS: usize = 16;
/// How long a client may take to ask, and to take its answer.
pub const LINE: Duration = Duration::from_secs(5);
/// When clients are taken again after the host could not give one.
const ACCEPT_AGAIN: Duration = Duration::from_secs(1);

/// Takes clients until it is stopped; then no more, and it ends when those that are left were told something.
pub async fn serve(listener: UnixListener, ask: mpsc::UnboundedSender<Asked>, mut stopped: oneshot::Receiver<()>) {
    let mut clients = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            _ = &mut stopped => break,
            Some(_) = clients.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) if clients.len() < CLIENTS => drop(clients.spawn(attend(stream, ask.clone()))),
                Ok((stream, _)) => turn_away(&stream, Ended::Failed, "so many ask already that no more are heard; ask again later"),
                Err(error) => {
                    warn!(%error, event = "command_not_taken", "failed to accept a client of the control socket");
                    tokio::time::sleep(ACCEPT_AGAIN).await;
                }
            },
        }
    }
    drop((listener, ask));
    while clients.join_next().await.is_some() {}
}

async fn attend(mut stream: UnixStream, ask: mpsc::UnboundedSender<Asked>) {
    let uid = match stream.peer_cred() {
        Ok(peer) if [0, geteuid().as_raw()].contains(&peer.uid()) => peer.uid(),
        Ok(peer) => {
            warn!(uid = peer.uid(), event = "command_turned_away", "rejected a client of another user");
            let why = "only root and the agent's user may send commands; run this as root: sudo cflared-agent reload";
            return turn_away(&stream, Ended::Refused, why);
        }
        Err(error) => return debug!(%error, event = "command_cut", "a client of the control socket is gone"),
    };
    let answer = match tokio::time::timeout(LINE, read_line(&mut stream)).await {
        Err(_) => return debug!(event = "command_late", "a client of the control socket did not ask in time"),
        Ok(read) => match read.and_then(|line| question(&line)) {
            Ok(command) => {
                info!(uid, ?command, event = "command", "command received");
                match wait(&mut stream, &ask, command).await {
                    Some(answer) => answer,
                    None => {
                        return info!(
                            uid,
                            ?command,
                            event = "command_goes_on",
                            "who asked is gone; what was asked for goes on"
                        );
                    }
                }
            }
            Err(why) => Answer {
                ended: Ended::Refused,
                text: format!("the question cannot be understood: {why}; command and agent may differ in version"),
            },
        },
    };
    // Who does not take it has stopped waiting.
    let _ = tokio::time::timeout(LINE, stream.write_all(&reply(answer))).await;
}

/// Asks, and waits for the answer; `None` if the client went away before, or went on talking.
async fn wait(stream: &mut UnixStream, ask: &mpsc::UnboundedSender<Asked>, command: Command) -> Option<Answer> {
    let (answer, told) = oneshot::channel();
    // An agent that ends drops it, which the next line tells.
    let _ = ask.send(Asked { command, answer });
    tokio::select! {
        biased;
        told = told => Some(told.unwrap_or_else(|_| ending())),
        _ = stream.read_u8() => None,
    }
}

fn ending() -> Answer {
    let text = "the agent stopped before that was done; ask again when it runs: systemctl status cflared-agent";
    Answer { ended: Ended::Failed, text: text.into() }
}

/// Tells a client why it is not heard. A new socket takes so little at once; if it does not, its end tells as well.
fn turn_away(stream: &UnixStream, ended: Ended, why: &str) {
    let _ = stream.try_write(&reply(Answer { ended, text: why.into() }));
}
