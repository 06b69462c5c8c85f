//! `cloudflared tunnel … run`.

use super::args::Flags;
use super::log::Log;
use super::setup::{Config, Setup, go_error};
use super::state::{Shared, Stop};
use super::{ingress, orders, pages, preamble, supervisor};
use crate::edge::ids;
use crate::http;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

/// From exec to the metrics server.
const START_UP: Duration = Duration::from_millis(50);
/// Go's exit status for a process that is killed by SIGQUIT.
const QUIT: u8 = 2;

/// Runs, and gives the exit status. What has to be said is written by then, or in the log's queue.
pub async fn run(flags: Flags, config: Config, tunnel: Option<String>, log: Log) -> ExitCode {
    match start(flags, config, tunnel, &log).await {
        Ok(status) => ExitCode::from(status),
        Err(last_words) => {
            log.plain(&last_words);
            ExitCode::FAILURE
        }
    }
}

async fn start(flags: Flags, config: Config, tunnel: Option<String>, log: &Log) -> Result<u8, String> {
    let signals = Signals::catch().map_err(|error| format!("failed to catch signals: {error}"))?;
    let setup = Setup::read(flags, config, tunnel, log)?;
    let connector = ids::uuid();
    preamble::before_the_rules(log, &setup, &connector);
    ingress::check(&setup.config.ingress).inspect_err(|error| log.error("Couldn't start tunnel", error))?;
    preamble::after_the_rules(log, &setup);
    if setup.flags.edge.is_empty() {
        return Err("the stand-in looks no edge up in DNS: give --edge".into());
    }
    let (exit, mut exits) = mpsc::unbounded_channel();
    let shared = Shared::new(setup, log.clone(), connector, exit);
    orders::listen(&shared).map_err(|error| format!("failed to listen for orders: {error}"))?;
    tokio::time::sleep(shared.scaled(START_UP)).await;
    let metrics = listen(&shared).await?;
    serve_metrics(&shared, metrics);
    let mut signalled = tokio::spawn(signals.watch(shared.clone()));
    tokio::select! {
        ended = supervisor::supervise(&shared) => {
            log.info("Tunnel server stopped");
            if let Err(error) = &ended {
                log.error("Initiating shutdown", error);
            }
            log.info("Metrics server stopped");
            ended.map(|()| 0)
        }
        Some(status) = exits.recv() => Ok(status),
        _ = &mut signalled => {
            log.plain("SIGQUIT: quit\nPC=0x0 m=0 sigcode=0\n\ngoroutine 0 [idle]:\nruntime.futex()");
            Ok(QUIT)
        }
    }
}

/// Listens on the address of the command line, else of the config, else on the first free default port.
async fn listen(shared: &Shared) -> Result<TcpListener, String> {
    let setup = &shared.setup;
    let Some(address) = setup.flags.metrics.as_ref().or(setup.config.metrics.as_ref()) else {
        for port in (20_241..=20_245).chain([0]) {
            if let Ok(listener) = TcpListener::bind(("127.0.0.1", port)).await {
                return Ok(listener);
            }
        }
        return Err("Error opening metrics server listener: no port is free".into());
    };
    TcpListener::bind(address).await.map_err(|error| {
        let error = go_error(&error);
        let error = format!("failed to bind to address ({address}): listen tcp {address}: bind: {error}");
        shared.log.error("Error opening metrics server listener", &error);
        format!("Error opening metrics server listener: {error}")
    })
}

fn serve_metrics(shared: &Arc<Shared>, listener: TcpListener) {
    let address = listener.local_addr().map(|address| address.to_string()).unwrap_or_default();
    preamble::metrics_server(&shared.log, &shared.setup, &address);
    let shared = shared.clone();
    tokio::spawn(http::serve(listener, move |asked| pages::respond(shared.clone(), asked)));
}

/// SIGHUP is not caught: it kills.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    quit: Signal,
    ignored: Signal,
}

impl Signals {
    fn catch() -> std::io::Result<Self> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
            ignored: signal(SignalKind::user_defined1())?,
        })
    }

    /// Passes on what asks to stop; returns at SIGQUIT.
    async fn watch(mut self, shared: Arc<Shared>) {
        loop {
            let name = tokio::select! {
                Some(()) = self.terminate.recv() => "terminated",
                Some(()) = self.interrupt.recv() => "interrupt",
                Some(()) = self.ignored.recv() => continue,
                _ = self.quit.recv() => return,
            };
            if *shared.stop.borrow() == Stop::Run {
                shared.log.info(&format!("Initiating graceful shutdown due to signal {name} ..."));
                shared.stop.send_replace(Stop::Graceful);
            } else {
                shared.stop.send_replace(Stop::Now);
            }
        }
    }
}
