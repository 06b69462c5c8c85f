//! The task that owns one run.

use super::complaints::Complaints;
use super::respawn::Respawn;
use super::{RestartError, Spec, relay, seen};
use crate::cloudflared::{Process, SpawnError, Stamp, command};
use cflared_verdict::{Ending, RunFact, RunId};
use std::sync::Arc;
use std::time::Duration;
use tokio::process::Command;
use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tracing::{info, warn};

/// What a child may take to end for a restart: it is restarted because it serves nothing, so it has nothing to finish.
const RESTART_GRACE: Duration = Duration::from_secs(5);

/// What a child gets beyond the grace period that it was told: it exits only after that.
const EXIT_MARGIN: Duration = Duration::from_secs(1);

/// How long its last lines are waited for after an exit. They are in the pipe already, and its end behind them, unless a
/// process that left the group holds it open; a busy host may take this long to get round to reading them.
const LAST_LINES: Duration = Duration::from_secs(1);

/// What the holder of a handle wants.
#[derive(Debug)]
pub(super) enum Order {
    Restart(oneshot::Sender<Result<(), RestartError>>),
    Drain,
}

/// What comes after a child.
enum Next {
    Spawn { after: Duration },
    End,
}

pub(super) struct Owner {
    spec: Spec,
    facts: mpsc::UnboundedSender<(RunId, RunFact)>,
    orders: mpsc::UnboundedReceiver<Order>,
    seen: Arc<seen::Shared>,
    complaints: Arc<Complaints>,
    respawn: Respawn,
    /// Who is told when the next child was executed.
    restarting: Vec<oneshot::Sender<Result<(), RestartError>>>,
}

impl Owner {
    pub fn new(
        spec: Spec,
        facts: mpsc::UnboundedSender<(RunId, RunFact)>,
        orders: mpsc::UnboundedReceiver<Order>,
        seen: Arc<seen::Shared>,
        complaints: Arc<Complaints>,
    ) -> Self {
        let respawn = Respawn::new(spec.respawn, spec.seed);
        Self { spec, facts, orders, seen, complaints, respawn, restarting: Vec::new() }
    }

    /// Runs children until the run is drained or its handle is dropped.
    pub async fn run(mut self) {
        loop {
            // Before the spawn: a file that is replaced in between then counts as another one, and not the other way round.
            let file = Stamp::of(&self.spec.binary);
            let next = match Process::spawn(self.command()) {
                Ok(process) => self.attend(process, file).await,
                Err(error) => self.not_spawned(&error),
            };
            let Next::Spawn { after } = next else { return };
            if !self.pause(after).await {
                return;
            }
        }
    }

    /// Ours come last, for of a flag that is given twice the program takes the last.
    fn command(&self) -> Command {
        let Spec { binary, config, credentials, metrics, grace, extra_args, .. } = &self.spec;
        let mut command = command(binary);
        command.arg("tunnel").args(extra_args);
        command.arg("--config").arg(config).arg("--cred-file").arg(credentials);
        command.arg("--metrics").arg(metrics.to_string()).args(["--no-autoupdate", "--output", "json"]);
        command.arg("--grace-period").arg(format!("{}s", grace.as_secs_f64())).arg("run");
        command
    }

    fn not_spawned(&mut self, error: &SpawnError) -> Next {
        let (run, why) = (self.spec.run, error.to_string());
        let respawn_in = self.respawn.after(Duration::ZERO);
        warn!(%run, why, ?respawn_in, event = "connector_not_started", "connector not started");
        for restarting in self.restarting.drain(..) {
            // Whoever asked may have stopped waiting.
            let _ = restarting.send(Err(RestartError::NotSpawned { why: why.clone() }));
        }
        self.tell(RunFact::NotSpawned { why, respawn_in: Some(respawn_in) });
        Next::Spawn { after: respawn_in }
    }

    /// Stays with a child from its first to its last moment.
    async fn attend(&mut self, mut process: Process, file: Option<Stamp>) -> Next {
        let (run, pid, spawned) = (self.spec.run, process.pid(), now());
        info!(%run, pid, event = "connector_started", "connector started");
        self.seen.new_child(file);
        let mut outputs = self.relay(&mut process);
        for restarting in self.restarting.drain(..) {
            // As above.
            let _ = restarting.send(Ok(()));
        }
        self.tell(RunFact::Spawned { pid, pinned: None });
        let order = tokio::select! {
            () = process.exited() => None,
            order = self.orders.recv() => Some(order),
        };
        let next = match order {
            None => return self.exited(process, now() - spawned, outputs).await,
            Some(Some(Order::Restart(done))) => {
                info!(%run, pid, event = "connector_restarting", "connector restarting");
                self.restarting.push(done);
                stop(run, process, RESTART_GRACE.min(self.spec.grace)).await;
                Next::Spawn { after: Duration::ZERO }
            }
            Some(Some(Order::Drain)) => {
                info!(%run, pid, event = "connector_draining", "connector draining");
                stop(run, process, self.spec.grace + EXIT_MARGIN).await;
                Next::End
            }
            // Nobody holds the handle: nobody waits either.
            Some(None) => {
                drop(process);
                Next::End
            }
        };
        last_lines(&mut outputs).await;
        next
    }

    async fn exited(&mut self, process: Process, after: Duration, mut outputs: JoinSet<()>) -> Next {
        let run = self.spec.run;
        let (how, ending) = match process.reap().await {
            Ok(status) if status.code().is_some() => (status.to_string(), Ending::Status),
            Ok(status) => (status.to_string(), Ending::Crash),
            Err(error) => (format!("not known: {error}"), Ending::Status),
        };
        last_lines(&mut outputs).await;
        let respawn_in = self.respawn.after(after);
        warn!(%run, how, ?after, ?respawn_in, event = "connector_exited", "connector exited");
        self.tell(RunFact::Exited { how, ending, after, respawn_in: Some(respawn_in) });
        Next::Spawn { after: respawn_in }
    }

    /// Waits for the time of the next child; not to its end if a restart is ordered. Says whether there is to be one.
    async fn pause(&mut self, mut time: Duration) -> bool {
        loop {
            let order = if time.is_zero() {
                match self.orders.try_recv() {
                    Ok(order) => Some(order),
                    Err(TryRecvError::Empty) => return true,
                    Err(TryRecvError::Disconnected) => None,
                }
            } else {
                tokio::select! {
                    biased;
                    order = self.orders.recv() => order,
                    () = sleep(time) => return true,
                }
            };
            let Some(Order::Restart(done)) = order else { return false };
            self.restarting.push(done);
            time = Duration::ZERO;
        }
    }

    fn relay(&self, process: &mut Process) -> JoinSet<()> {
        let mut outputs = JoinSet::new();
        let (stdout, stderr) = process.take_outputs();
        let (run, seen, complaints) = (self.spec.run, &self.seen, &self.complaints);
        if let Some(stdout) = stdout {
            outputs.spawn(relay::relay(run, stdout, Arc::clone(seen), Arc::clone(complaints)));
        }
        if let Some(stderr) = stderr {
            outputs.spawn(relay::relay(run, stderr, Arc::clone(seen), Arc::clone(complaints)));
        }
        outputs
    }

    fn tell(&self, fact: RunFact) {
        // Nobody listens any more: the agent is about to end.
        let _ = self.facts.send((self.spec.run, fact));
    }
}

/// Asks a child to end, kills it when it does not within `grace`, and reaps it.
async fn stop(run: RunId, mut process: Process, grace: Duration) {
    process.terminate();
    let asked = now();
    if timeout(grace, process.exited()).await.is_err() {
        warn!(%run, ?grace, event = "connector_killed", "connector did not stop when told to: killed");
    }
    match process.reap().await {
        Ok(status) => {
            info!(%run, how = %status, after = ?(now() - asked), event = "connector_stopped", "connector stopped")
        }
        Err(error) => warn!(%run, %error, event = "connector_exit_lost", "connector stopped, its exit status was lost"),
    }
}

async fn last_lines(outputs: &mut JoinSet<()>) {
    // What did not end by then is aborted with the set.
    let _ = timeout(LAST_LINES, async { while outputs.join_next().await.is_some() {} }).await;
}

// How long a child ran is measured here, where its exit is seen: no decision of the verdict hangs on this clock.
#[allow(clippy::disallowed_methods)]
fn now() -> Instant {
    Instant::now()
}
