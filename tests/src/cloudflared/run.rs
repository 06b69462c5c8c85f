//! `cloudflared tunnel … run`.

use super::args::{Flags, Switch};
use super::log::{Level, Log};
use super::setup::{Config, LastWords, Setup, go_error};
use super::state::{Shared, Stop};
use super::tls::Roots;
use super::{ingress, pages, preamble, prechecks, supervisor};
use crate::edge::ids;
use crate::http;
use nix::sys::signal::{SigHandler, Signal as Kill};
use serde_json::json;
use std::net::SocketAddr;
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
        Err(LastWords { status, words }) => {
            log.plain(&words);
            ExitCode::from(status)
        }
    }
}

async fn start(flags: Flags, config: Config, tunnel: Option<String>, log: &Log) -> Result<u8, LastWords> {
    let signals = Signals::catch().map_err(|error| format!("failed to catch signals: {error}"))?;
    let mut setup = Setup::read(flags, config, tunnel, log)?;
    let connector = ids::uuid();
    preamble::before_the_rules(log, &setup, &connector);
    let roots = prepare(&mut setup, log).inspect_err(|error| log.error("Couldn't start tunnel", error))?;
    preamble::after_the_rules(log, &setup);
    ingress::start(&setup.config.ingress)?;
    let (exit, mut exits) = mpsc::unbounded_channel();
    let edges = setup.flags.edge.iter().filter_map(|edge| edge.parse().ok()).collect();
    let shared = Shared::new(setup, roots, edges, log.clone(), connector, exit);
    if shared.setup.flags.no_prechecks == Switch::False {
        drop(tokio::spawn(prechecks::run(shared.clone())));
    }
    tokio::time::sleep(shared.scaled(START_UP)).await;
    let metrics = listen(&shared).await?;
    serve_metrics(&shared, metrics);
    let mut signalled = tokio::spawn(signals.watch(shared.clone()));
    tokio::select! {
        ended = tunnel_server(&shared) => {
            log.info("Tunnel server stopped");
            if let Err(error) = &ended {
                log.error("Initiating shutdown", error);
            }
            log.info("Metrics server stopped");
            Ok(ended.map(|()| 0)?)
        }
        Some(status) = exits.recv() => Ok(status),
        _ = &mut signalled => {
            log.plain("SIGQUIT: quit\nPC=0x0 m=0 sigcode=0\n\ngoroutine 0 [idle]:\nruntime.futex()");
            Ok(QUIT)
        }
    }
}

/// What is checked before anything listens, in cloudflared's order.
fn prepare(setup: &mut Setup, log: &Log) -> Result<Roots, String> {
    const NO_RULES: &str = "No ingress rules were defined in provided config (if any) nor from the cli, cloudflared will \
        return 503 for all incoming HTTP requests";
    setup.check_tags(log)?;
    ingress::check(&setup.config.ingress)?;
    if setup.config.ingress.is_empty() {
        log.line(Level::Warn, NO_RULES, serde_json::Value::Null);
    }
    preamble::no_shares(log, setup);
    setup.choose_protocol()?;
    preamble::protocol(log, setup);
    let roots = Roots::read(setup.flags.cacert.as_deref())?;
    setup.check_settings()?;
    Ok(roots)
}

/// Finds the edge, and keeps connections to it.
async fn tunnel_server(shared: &Arc<Shared>) -> Result<(), String> {
    let Shared { setup, log, edges, .. } = &**shared;
    if setup.flags.edge.is_empty() {
        let error = preamble::edge_lookup(setup);
        preamble::edge_not_found(log, &error);
        return Err(format!("Could not lookup srv records on _v2-origintunneld._tcp.argotunnel.com: {error}"));
    }
    for edge in setup.flags.edge.iter().filter(|edge| edge.parse::<SocketAddr>().is_err()) {
        let name = edge.rsplit_once(':').map_or(edge.as_str(), |(name, _)| name);
        let fields = json!({"address": edge, "error": preamble::lookup(setup, name), "event": 0});
        log.line(Level::Error, "edge discovery: failed to resolve to TCP address", fields);
    }
    if edges.is_empty() {
        return Err("failed to resolve any edge address".into());
    }
    supervisor::supervise(shared).await
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
            let (name, signal) = tokio::select! {
                Some(()) = self.terminate.recv() => ("terminated", Kill::SIGTERM),
                Some(()) = self.interrupt.recv() => ("interrupt", Kill::SIGINT),
                Some(()) = self.ignored.recv() => continue,
                _ = self.quit.recv() => return,
            };
            if shared.stopping(Stop::Graceful) {
                // Go listens to the first one only: the second does what it does to every program.
                die_of(signal);
            }
            shared.log.info(&format!("Initiating graceful shutdown due to signal {name} ..."));
            shared.stop.send_replace(Stop::Graceful);
            let over = shared.clone();
            drop(tokio::spawn(async move {
                tokio::time::sleep(over.setup.grace_period()).await;
                over.stop.send_replace(Stop::Now);
            }));
        }
    }
}

fn die_of(signal: Kill) {
    // SAFETY: the default action runs no code of this process.
    #[allow(unsafe_code)]
    let reset = unsafe { nix::sys::signal::signal(signal, SigHandler::SigDfl) };
    // Neither can fail for the signals that are caught here.
    let _ = reset.and_then(|_| nix::sys::signal::raise(signal));
}
