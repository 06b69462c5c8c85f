//! `cflared-agent doctor`: finds faults, and the next step for each.

use super::owner::become_owner;
use super::{Exit, complain, say_json, show};
use crate::agent::Clock;
use crate::checks::host::{Early, Facts, Subject, judge};
use crate::checks::{Found, Report, Verdict, coloured};
use input::plain::Plain;
use settings::{DEFAULT_PATH, Settings};
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The page with a section for every check.
const GUIDE: &str = "/usr/share/cflared-agent/runbook.md";
/// How long reading the settings may take.
const SETTINGS: Duration = Duration::from_secs(1);

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
    /// Print all evidence, and the checks that passed
    #[arg(long, conflicts_with = "json")]
    verbose: bool,
}

/// `named` are the settings that the command line names.
pub fn main(named: Option<&Path>, args: &Args) -> Exit {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            complain(format_args!("failed to start the runtime: {error}"));
            return Exit::Unknown;
        }
    };
    let progress = Progress::show();
    let clock = Clock::start();
    let file = named.unwrap_or(Path::new(DEFAULT_PATH)).to_owned();
    let (settings, settings_found) = runtime.block_on(settings(named.map(Path::to_owned)));
    let early = runtime.block_on(Early::look(&settings, &file));
    // What root may do says nothing of what the agent may.
    if early.owner.is_ok()
        && let Err(error) = become_owner(&settings.paths.config_dir)
    {
        complain(format_args!("{error:#}; the report shows what root sees"));
    }
    let subject = Subject {
        settings,
        settings_file: file,
        settings_found,
        version: env!("CARGO_PKG_VERSION"),
        clock: || Clock::start().wall(),
        mono: clock.mono(),
    };
    let facts = runtime.block_on(Facts::gather(subject, early));
    // What did not answer in time is left behind.
    runtime.shutdown_background();
    let mut report = Report::new("doctor", "this host", clock.wall()).guided_by(GUIDE);
    judge(&facts, &mut report);
    drop(progress);
    let terminal = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    if args.json {
        say_json(&report.json());
    } else {
        let text = Plain::text(&report.text(args.verbose));
        // That the reader left changes no exit status.
        let _ = show(std::io::stdout(), &if terminal { text.drawn(coloured) } else { text });
    }
    match report.verdict() {
        Verdict::Fine => Exit::Fine,
        Verdict::NotFine => Exit::NotFine,
        Verdict::Unknown => Exit::Unknown,
    }
}

/// The settings. If they are not valid, that is a finding, and the defaults serve to look at the rest.
async fn settings(named: Option<PathBuf>) -> (Settings, Found) {
    let load = tokio::task::spawn_blocking(move || Settings::load(named.as_deref()));
    match tokio::time::timeout(SETTINGS, load).await {
        Ok(Ok(Ok(settings))) => (settings, Found::pass("the settings are valid")),
        Ok(Ok(Err(error))) => (Settings::default(), Found::fail(error.to_string())),
        Ok(Err(error)) => (Settings::default(), Found::not_known(error.to_string())),
        Err(_) => {
            (Settings::default(), Found::fail("failed to read the settings: no answer within 1s; is the disk well?"))
        }
    }
}

/// A line on a terminal while somebody waits, gone when this is dropped.
pub(super) struct Progress(bool);

impl Progress {
    pub(super) fn show() -> Self {
        let terminal = std::io::stderr().is_terminal();
        if terminal {
            // Whoever does not see it waits all the same.
            let _ = show(std::io::stderr(), &Plain::text("looking at this host; it takes 15 s at most …"));
        }
        Self(terminal)
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.0 {
            // As above.
            let _ = show(std::io::stderr(), &Plain::text("").drawn(|_| "\r\u{1b}[K".into()));
        }
    }
}
