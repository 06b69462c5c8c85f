//! The task that owns one run.

use super::complaints::Complaints;
use super::ports::{Given, Taken};
use super::respawn::Respawn;
use super::{Deciding, Manner, RestartError, Restarted, Spec, relay, seen, transport};
use cflared_verdict::{Ending, Purpose, RunFact, RunId, Transport};
use cloudflared::sockets::Sockets;
use cloudflared::{Process, Stamp, command};
use std::net::SocketAddr;
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

/// What a child that held no connection may take to say goodbye on one that it has got since; it takes 10 ms (observed, 2026.8.2).
const GOODBYE: Duration = Duration::from_secs(1);

/// How long its last lines are waited for after an exit. They are in the pipe already, and its end behind them, unless a
/// process that left the group holds it open; a busy host may take this long to get round to reading them.
const LAST_LINES: Duration = Duration::from_secs(1);

// What the program does unless the settings' arguments say otherwise; the tunnel's own configuration cannot.

/// At this level its log names the connector and what is wrong (observed, 2026.8.2).
const LOG_LEVEL: [&str; 2] = ["--loglevel", "info"];
/// Where UDP is dropped, it gives up QUIC after a dial and so many more: registered over HTTP/2 after 13 s instead of 94 s (observed,
/// 2026.8.2).
const REDIALS: u32 = 1;
/// Between two tries it sleeps a random part of 2^N seconds, and after a connection was lost of another 10 · 2^N (its public
/// source, `retry` and `supervisor`): with its own 5 up to 352 s, in which nothing is heard of it; here 88 s.
pub(super) const RETRIES: u32 = 3;

/// Over HTTP/2 the program says why a registration is refused, over QUIC it never does (observed, 2026.8.2).
const OPINION: [&str; 2] = ["--protocol", "http2"];

/// What the holder of a handle wants.
pub(super) enum Order {
    Restart(Deciding, Restarting),
    Drain(Deciding),
    /// It is there to serve from now on.
    Adopt,
    /// The next child is to give up QUIC after its first dial.
    HastenFallback,
}

/// Who is told what came of a restart.
type Restarting = oneshot::Sender<Result<Restarted, RestartError>>;

/// What comes after a child.
enum Next {
    /// Another one; `None`: only if somebody asks for it.
    Spawn {
        after: Option<Duration>,
    },
    End,
}

pub(super) struct Owner {
    spec: Spec,
    facts: mpsc::UnboundedSender<(RunId, RunFact)>,
    orders: mpsc::UnboundedReceiver<Order>,
    seen: Arc<seen::Shared>,
    complaints: Arc<Complaints>,
    respawn: Respawn,
    /// How often the next child dials over QUIC after its first try.
    redials: u32,
    /// Who is told when the next child was executed.
    restarting: Vec<Restarting>,
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
        Self { spec, facts, orders, seen, complaints, respawn, redials: REDIALS, restarting: Vec::new() }
    }

    /// Runs children until the run is drained or its handle is dropped.
    pub async fn run(mut self) {
        while let Next::Spawn { after } = self.next_child().await {
            if !self.pause(after).await {
                break;
            }
        }
        self.spec.ports.give_back(self.spec.run);
    }

    async fn next_child(&mut self) -> Next {
        let (metrics, pinned) = match self.look_around().await {
            Ok(found) => found,
            Err(why) => return self.not_spawned(format!("failed to find a port for the metrics: {why}")),
        };
        // Before the spawn: a file that is replaced in between then counts as another one, and not the other way round.
        let file = Stamp::of(&self.spec.binary);
        let command = self.command(metrics);
        self.redials = REDIALS;
        match Process::spawn_fenced(command, self.spec.forbids.clone()).await {
            Ok(process) => self.attend(process, metrics, pinned, file).await,
            Err(error) => self.not_spawned(error.to_string()),
        }
    }

    /// Where the next child serves its metrics, and to which transport it is bound.
    async fn look_around(&self) -> Result<(SocketAddr, Option<Transport>), String> {
        let Spec { run, slot, ports, config, extra_args, .. } = self.spec.clone();
        let purpose = self.spec.purpose;
        let found = tokio::task::spawn_blocking(move || {
            let pinned = match purpose {
                Purpose::Serve => transport::pinned(&extra_args, &config),
                Purpose::Opinion => Some(Transport::Http2),
            };
            ports.give(run, slot, &Sockets::default()).map(|given| (given, pinned))
        });
        let (given, pinned) = found.await.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
        let Given { address, taken } = given;
        for Taken { address: port, by } in &taken {
            warn!(%run, %port, by, instead = %address, event = "metrics_port_moved", "metrics port taken: another is used");
        }
        self.seen.taken(taken);
        Ok((address, pinned))
    }

    /// Of a flag that is given twice the program takes the last, and it takes any over its file. So ours come last, but for the
    /// defaults of ours, which come first.
    fn command(&self, metrics: SocketAddr) -> Command {
        let Spec { binary, config, credentials, grace, extra_args, .. } = &self.spec;
        let mut command = command(binary);
        command.arg("tunnel").args(LOG_LEVEL);
        command.arg("--max-edge-addr-retries").arg(self.redials.to_string());
        command.arg("--retries").arg(RETRIES.to_string()).args(extra_args);
        command.arg("--config").arg(config).arg("--cred-file").arg(credentials);
        if self.spec.purpose == Purpose::Opinion {
            command.args(OPINION);
        }
        command.arg("--metrics").arg(metrics.to_string()).args(["--no-autoupdate", "--output", "json"]);
        command.arg("--grace-period").arg(format!("{}s", grace.as_secs_f64())).arg("run");
        command
    }

    fn not_spawned(&mut self, why: String) -> Next {
        let run = self.spec.run;
        let respawn_in = self.respawn_in(Duration::ZERO);
        warn!(%run, why, ?respawn_in, event = "connector_not_started", "connector not started");
        for restarting in self.restarting.drain(..) {
            // Whoever asked may have stopped waiting.
            let _ = restarting.send(Err(RestartError::NotSpawned { why: why.clone() }));
        }
        self.tell(RunFact::NotSpawned { why, respawn_in });
        Next::Spawn { after: respawn_in }
    }

    /// When the child after one that ran for so long is executed; `None`: never.
    fn respawn_in(&mut self, ran: Duration) -> Option<Duration> {
        match self.spec.purpose {
            Purpose::Serve => Some(self.respawn.after(ran)),
            Purpose::Opinion => None,
        }
    }

    /// Stays with a child from its first to its last moment.
    async fn attend(
        &mut self,
        mut process: Process,
        metrics: SocketAddr,
        pinned: Option<Transport>,
        file: Option<Stamp>,
    ) -> Next {
        let (run, pid, spawned) = (self.spec.run, process.pid(), now());
        info!(%run, pid, %metrics, event = "connector_started", "connector started");
        self.seen.new_child(pid, metrics, file);
        let mut outputs = self.relay(&mut process);
        for restarting in self.restarting.drain(..) {
            // As above.
            let _ = restarting.send(Ok(Restarted::NewChild));
        }
        self.tell(RunFact::Spawned { pid, pinned });
        let next = loop {
            let order = tokio::select! {
                () = process.exited() => return self.exited(process, now() - spawned, outputs).await,
                order = self.orders.recv() => order,
            };
            match order {
                Some(Order::Restart(deciding, done)) => match decided(&mut process, deciding).await {
                    Some(Manner::Spare) => {
                        info!(%run, pid, event = "connector_spared", "connector not restarted: it is registered");
                        // As above.
                        let _ = done.send(Ok(Restarted::Spared));
                    }
                    manner => {
                        info!(%run, pid, ?manner, event = "connector_restarting", "connector restarting");
                        self.restarting.push(done);
                        stop(run, process, manner, RESTART_GRACE.min(self.spec.grace)).await;
                        break Next::Spawn { after: Some(Duration::ZERO) };
                    }
                },
                Some(Order::Drain(deciding)) => {
                    let manner = decided(&mut process, deciding).await;
                    info!(%run, pid, ?manner, event = "connector_draining", "connector draining");
                    stop(run, process, manner, self.spec.grace + EXIT_MARGIN).await;
                    break Next::End;
                }
                Some(Order::Adopt) => self.spec.purpose = Purpose::Serve,
                Some(Order::HastenFallback) => self.redials = 0,
                // Nobody holds the handle: nobody waits either.
                None => {
                    drop(process);
                    break Next::End;
                }
            }
        };
        last_lines(&mut outputs).await;
        next
    }

    async fn exited(&mut self, process: Process, after: Duration, mut outputs: JoinSet<()>) -> Next {
        let run = self.spec.run;
        let ended = process.reap().await;
        last_lines(&mut outputs).await;
        let (how, by_itself) = match ended {
            Ok(status) => (status.to_string(), status.code().is_some()),
            Err(error) => (format!("not known: {error}"), true),
        };
        let ending = if by_itself && !self.seen.crashed() { Ending::Status } else { Ending::Crash };
        let respawn_in = self.respawn_in(after);
        let pause = respawn_in.map(tracing::field::debug);
        warn!(%run, how, ?ending, ?after, respawn_in = pause, event = "connector_exited", "connector exited");
        self.tell(RunFact::Exited { how, ending, after, respawn_in });
        Next::Spawn { after: respawn_in }
    }

    /// Waits for the time of the next child; not to its end if a restart is ordered. Says whether there is to be one.
    async fn pause(&mut self, mut time: Option<Duration>) -> bool {
        loop {
            let order = match time {
                Some(Duration::ZERO) => match self.orders.try_recv() {
                    Ok(order) => Some(order),
                    Err(TryRecvError::Empty) => return true,
                    Err(TryRecvError::Disconnected) => None,
                },
                Some(time) => tokio::select! {
                    biased;
                    order = self.orders.recv() => order,
                    () = sleep(time) => return true,
                },
                None => self.orders.recv().await,
            };
            match order {
                Some(Order::Restart(_, done)) => {
                    self.restarting.push(done);
                    time = Some(Duration::ZERO);
                }
                Some(Order::Adopt) => {
                    self.spec.purpose = Purpose::Serve;
                    time = Some(time.unwrap_or_default());
                }
                Some(Order::HastenFallback) => self.redials = 0,
                Some(Order::Drain(_)) | None => return false,
            }
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

/// How it is to be stopped; `None`: it has ended meanwhile.
async fn decided(process: &mut Process, deciding: Deciding) -> Option<Manner> {
    tokio::select! {
        () = process.exited() => None,
        manner = deciding => Some(manner),
    }
}

/// Stops a child within `grace`, and reaps it.
async fn stop(run: RunId, mut process: Process, manner: Option<Manner>, grace: Duration) {
    let asked = now();
    match manner {
        Some(Manner::Kill) | None => {}
        Some(Manner::Hurry) => {
            process.terminate();
            // That it does not listen in a back-off is no fault: it is killed by the reaping.
            let _ = timeout(GOODBYE.min(grace), process.exited()).await;
        }
        Some(Manner::Ask | Manner::Spare) => {
            process.terminate();
            if timeout(grace, process.exited()).await.is_err() {
                warn!(%run, ?grace, event = "connector_killed", "connector did not stop in time: killed");
            }
        }
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
