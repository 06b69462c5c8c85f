//! `cflared-agent run`.

use super::{Exit, complain};
use crate::{agent, log};
use settings::{Mode, Settings};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Run the tunnel as usual, but only log when this instance would be marked unhealthy
    #[arg(long)]
    dry_run: bool,
}

pub fn main(settings: Settings, args: &Args) -> Exit {
    let dry_run = args.dry_run || settings.mode == Mode::DryRun;
    let log = match log::init(settings.log.format) {
        Ok(log) => log,
        Err(error) => {
            complain(format_args!("failed to start the log: {error}"));
            return Exit::TryAgain;
        }
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, event = "runtime_not_started", "failed to start the runtime");
            return Exit::TryAgain;
        }
    };
    let result = runtime.block_on(agent::run(settings, dry_run, log.handle()));
    // Blocking work that hangs, as on a dead disk, must not keep the process.
    runtime.shutdown_background();
    match result {
        Ok(()) => Exit::Fine,
        Err(error) => {
            tracing::error!(event = "run_failed", "{error}");
            match error {
                agent::Error::Endpoint(_) | agent::Error::Metadata(_) | agent::Error::Proxy(_) => Exit::Config,
                agent::Error::Busy(_) | agent::Error::Observe(_) | agent::Error::Host { .. } => Exit::TryAgain,
            }
        }
    }
}
