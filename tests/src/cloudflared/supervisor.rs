//! Keeps the four connections: the first alone, then the others, then those that are down in rounds.

use super::backoff::Rounds;
use super::connection::{Connection, Failure};
use super::state::{Shared, Stop};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::time::{Instant, sleep, sleep_until, timeout};

/// As many as cloudflared makes.
const CONNECTIONS: usize = 4;
/// Between the starts of the connections after the first.
const SPACING: Duration = Duration::from_secs(1);
/// How long the connections may take to end when the grace period is over.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// A connection that is over, and why; no why if the process stops.
type Over = (Connection, Result<(), Failure>);

/// Runs until the process is to end.
///
/// # Errors
/// The first connection failed for good: the last words.
pub async fn supervise(shared: &Arc<Shared>) -> Result<(), String> {
    let edges = shared.edges.len();
    if edges < CONNECTIONS {
        let message = format!("You requested {CONNECTIONS} HA connections but I can give you at most {edges}.");
        shared.log.info(&message);
    }
    let (registered, hear) = mpsc::unbounded_channel();
    let (end, ended) = mpsc::unbounded_channel();
    let wanted = edges.min(CONNECTIONS);
    let rounds = Rounds::new(shared.setup.retries());
    let mut supervisor = Supervisor {
        shared,
        registered,
        hear,
        end,
        ended,
        active: wanted,
        connecting: BTreeSet::new(),
        waiting: vec![],
        rounds,
        round_at: None,
    };
    if supervisor.first().await? {
        supervisor.others(wanted).await;
        supervisor.keep().await;
    }
    Ok(())
}

struct Supervisor<'a> {
    shared: &'a Arc<Shared>,
    registered: UnboundedSender<usize>,
    hear: UnboundedReceiver<usize>,
    end: UnboundedSender<Over>,
    ended: UnboundedReceiver<Over>,
    /// How many connections are not waiting for a round, and not over for good.
    active: usize,
    /// The connections that were begun and are not registered yet.
    connecting: BTreeSet<usize>,
    /// Connections that wait for the next round.
    waiting: Vec<Connection>,
    rounds: Rounds,
    round_at: Option<Instant>,
}

impl Supervisor<'_> {
    /// Makes the first connection, which tries by itself for as long as its failures are of the kinds that pass. False
    /// when the process stops before.
    async fn first(&mut self) -> Result<bool, String> {
        let (shared, registered, end) = (self.shared.clone(), self.registered.clone(), self.end.clone());
        let mut connection = Connection::new(0, shared.setup.selector.first, &shared);
        tokio::spawn(async move {
            let served = loop {
                let served = connection.serve(&shared, &registered).await;
                if shared.stopping(Stop::Now) || !served.as_ref().is_err_and(Failure::first_tries_again) {
                    break served;
                }
            };
            // The supervisor is gone only when the process ends.
            let _ = end.send((connection, served));
        });
        tokio::select! {
            Some(_) = self.hear.recv() => Ok(true),
            Some((_, served)) = self.ended.recv() => match served {
                Ok(()) => Ok(false),
                Err(failure) => {
                    let error = failure.to_string();
                    self.shared.log.error("initial tunnel connection failed", &error);
                    Err(error)
                }
            },
            () = self.shared.stopped(Stop::Graceful) => Ok(false),
        }
    }

    /// Starts the others, over what the first one is registered over. Nothing else is done meanwhile, not even stopping.
    async fn others(&mut self, wanted: usize) {
        let first = self.shared.state().registered_over.get(&0).copied();
        let protocol = first.unwrap_or(self.shared.setup.selector.first);
        for index in 1..wanted {
            self.start(Connection::new(index, protocol, self.shared));
            tokio::select! {
                () = sleep(self.shared.scaled(SPACING)) => {}
                () = self.shared.stopped(Stop::Now) => return,
            }
        }
    }

    fn start(&mut self, mut connection: Connection) {
        let (shared, registered, end) = (self.shared.clone(), self.registered.clone(), self.end.clone());
        self.connecting.insert(connection.index);
        tokio::spawn(async move {
            let served = connection.serve(&shared, &registered).await;
            // As above.
            let _ = end.send((connection, served));
        });
    }

    /// Keeps all of them, until the process stops and none is left. One that waits for its round keeps the process until
    /// the grace period is over: it is not told.
    async fn keep(&mut self) {
        loop {
            let far = Instant::now() + Duration::from_secs(3600);
            tokio::select! {
                Some((connection, served)) = self.ended.recv() => {
                    if self.over(connection, served) {
                        return;
                    }
                }
                () = sleep_until(self.round_at.unwrap_or(far)), if self.round_at.is_some() => {
                    self.round_at = None;
                    self.active += self.waiting.len();
                    for connection in std::mem::take(&mut self.waiting) {
                        self.start(connection);
                    }
                }
                Some(index) = self.hear.recv() => {
                    self.connecting.remove(&index);
                    if self.connecting.is_empty() && self.waiting.is_empty() {
                        self.rounds.settle(Instant::now(), |longest| self.shared.scaled(longest));
                    }
                }
                () = self.shared.stopped(Stop::Now) => return self.last_words().await,
            }
        }
    }

    /// One connection is over. Whether it was the last.
    fn over(&mut self, connection: Connection, served: Result<(), Failure>) -> bool {
        self.active -= 1;
        let mut fields = json!({"connIndex": connection.index});
        if let Err(failure) = &served {
            fields["error"] = failure.to_string().into();
        }
        self.shared.log.line(self.shared.trouble(), "Connection terminated", fields);
        if served.is_err() && !self.shared.stopping(Stop::Graceful) {
            self.connecting.remove(&connection.index);
            self.waiting.push(connection);
            if self.round_at.is_none() {
                let wait = self.rounds.next(Instant::now());
                self.round_at = Some(Instant::now() + self.shared.scaled(wait));
            }
        } else if self.active == 0 {
            self.shared.log.line(self.shared.trouble(), "no more connections active and exiting", Value::Null);
            return true;
        }
        false
    }

    async fn last_words(&mut self) {
        let all = async {
            while self.active > 0 && self.ended.recv().await.is_some() {
                self.active -= 1;
            }
        };
        // One that does not end ends with the process.
        let _ = timeout(LAST_WORDS, all).await;
    }
}
