//! Keeps the four connections: the first alone, then the others, then all in rounds.

use super::backoff::{self, Rounds};
use super::connection::{Connection, Ended, News};
use super::log::Level;
use super::state::{Shared, Stop};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::time::{Instant, sleep_until};

/// As many as cloudflared makes.
const CONNECTIONS: usize = 4;
/// Between the connections after the first. In every recording the second comes in the same second as the first.
const SPACING: Duration = Duration::from_secs(1);

/// Runs until the process is to end.
///
/// # Errors
/// The first connection failed for good: the last words.
pub async fn supervise(shared: &Arc<Shared>) -> Result<(), String> {
    let (news, receive) = mpsc::unbounded_channel();
    let edges = shared.setup.flags.edge.len();
    if edges < CONNECTIONS {
        let message = format!("You requested {CONNECTIONS} HA connections but I can give you at most {edges}.");
        shared.log.info(&message);
    }
    let mut supervisor = Supervisor { shared, news, receive, wanted: edges.min(CONNECTIONS), waiting: Vec::new() };
    if supervisor.first().await? {
        supervisor.keep().await;
    }
    Ok(())
}

struct Supervisor<'a> {
    shared: &'a Arc<Shared>,
    news: UnboundedSender<News>,
    receive: UnboundedReceiver<News>,
    wanted: usize,
    /// Connections that wait for the next round.
    waiting: Vec<Connection>,
}

impl Supervisor<'_> {
    /// Attempts are counted here, so that the gauge never shows the moment between two tries of the first one.
    fn start(&mut self, connection: Connection) {
        self.shared.state().attempts += 1;
        tokio::spawn(connection.serve(self.shared.clone(), self.news.clone()));
    }

    /// Makes the first connection. An edge that cannot be reached is tried for ever, and so is `Unauthorized`, until it
    /// shows as a closed connection; any other failure is final. False when the process stops before.
    async fn first(&mut self) -> Result<bool, String> {
        self.start(Connection::new(0, self.shared.setup.retries()));
        while let Some(news) = self.receive.recv().await {
            let (connection, ended) = match news {
                News::Registered => return Ok(true),
                News::Ended(connection, ended) => (connection, ended),
            };
            self.shared.state().attempts -= 1;
            if *self.shared.stop.borrow() >= Stop::Graceful {
                return Ok(false);
            }
            match ended {
                Ended::Rejected(error) if !error.starts_with("Unauthorized") => return Err(self.give_up(error)),
                Ended::Lost => return Err(self.give_up("connection with edge closed".into())),
                _ => self.start(connection),
            }
        }
        Ok(false)
    }

    fn give_up(&self, error: String) -> String {
        self.shared.log.error("initial tunnel connection failed", &error);
        error
    }

    /// Starts the other connections and keeps all of them, until the process stops and none is left.
    async fn keep(&mut self) {
        let mut next = 1;
        let mut next_at = Instant::now();
        let mut rounds = Rounds::new(self.shared.setup.retries());
        let mut round_at = None;
        loop {
            let far = Instant::now() + Duration::from_secs(3600);
            tokio::select! {
                Some(news) = self.receive.recv() => match news {
                    News::Registered => {
                        if self.waiting.is_empty() && self.shared.state().registered.len() == self.wanted {
                            rounds.settle();
                        }
                    }
                    News::Ended(connection, ended) => {
                        self.shared.state().attempts -= 1;
                        self.ended(connection, &ended);
                        if round_at.is_none() && !self.waiting.is_empty() {
                            round_at = Some(Instant::now() + backoff::up_to(self.shared.scaled(rounds.next())));
                        }
                    }
                },
                () = sleep_until(next_at), if next < self.wanted => {
                    self.start(Connection::new(next, self.shared.setup.retries()));
                    next += 1;
                    next_at += self.shared.scaled(SPACING);
                }
                () = sleep_until(round_at.unwrap_or(far)), if round_at.is_some() => {
                    round_at = None;
                    for connection in std::mem::take(&mut self.waiting) {
                        self.start(connection);
                    }
                }
                () = self.shared.stopped(Stop::Graceful) => return self.finish().await,
            }
        }
    }

    /// The process stops: waits for the connections that are active, and starts none.
    async fn finish(&mut self) {
        while self.shared.state().attempts > 0 {
            if let Some(News::Ended(connection, ended)) = self.receive.recv().await {
                self.shared.state().attempts -= 1;
                if ended == Ended::Unregistered {
                    let fields = json!({"connIndex": connection.index});
                    self.shared.log.line(Level::Error, "Connection terminated", fields);
                }
            }
        }
        self.shared.log.line(Level::Error, "no more connections active and exiting", Value::Null);
    }

    fn ended(&mut self, connection: Connection, ended: &Ended) {
        if let Some(error) = ended.error() {
            let fields = json!({"connIndex": connection.index, "error": error});
            self.shared.log.line(self.shared.trouble(), "Connection terminated", fields);
            self.waiting.push(connection);
        }
    }
}
