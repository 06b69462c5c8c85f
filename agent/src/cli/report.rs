//! `cflared-agent report`: one file for a ticket or a post-mortem.

mod output;

use super::doctor::Progress;
use super::{Exit, complain, say};
use crate::agent::Clock;
use crate::report::{self, Subject};
use cflared_verdict::Mono;
use output::{Output, Target};
use settings::{DEFAULT_PATH, Settings};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What `--help` says below the arguments.
pub const HELP: &str = "\
The archive holds report.html, which any browser shows offline: what is wrong, whose fault it is, what happened; and beside it what the
agent, doctor, cloudflared, systemd and the kernel say. Keys, tokens and passwords are struck out; hostnames and addresses are not. Run
it as root: the journal and the kernel tell others less.

Exit status: 0 the report is written, whatever is in it; 75 it is not.";

/// How long all of it may take.
const LIMIT: Duration = Duration::from_secs(15);

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where the archive goes: a file, a directory, or - for standard output [default: a name of its own in /var/tmp]
    #[arg(long, value_name = "PATH")]
    output: Option<PathBuf>,
    /// The agent's log, of `log.format: json`, on a host without a journal
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
}

/// `named` are the settings that the command line names.
pub fn main(named: Option<&Path>, args: &Args) -> Exit {
    let clock = Clock::start();
    let deadline = clock.mono() + LIMIT;
    let target = match Target::of(args.output.as_deref()) {
        Ok(target) => target,
        Err(why) => {
            complain(why);
            return Exit::Usage;
        }
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            complain(format_args!("failed to start the runtime: {error}"));
            return Exit::TryAgain;
        }
    };
    let progress = Progress::show();
    let subject = subject(named, args, clock);
    let made = runtime.block_on(report::report(&subject));
    // What did not answer in time is left behind.
    runtime.shutdown_background();
    drop(progress);
    let made = match made {
        Ok(made) => made,
        Err(error) => {
            complain(format_args!("failed to make the report: {error}"));
            return Exit::TryAgain;
        }
    };
    tell(&target, made, clock, deadline)
}

fn subject(named: Option<&Path>, args: &Args, clock: Clock) -> Subject {
    let file = named.unwrap_or(Path::new(DEFAULT_PATH)).to_owned();
    Subject {
        // Doctor says what is wrong with those.
        settings: Settings::load(named).unwrap_or_default(),
        settings_file: file,
        named: named.map(Path::to_owned),
        // The file that is executed, also if another has taken its place since.
        program: "/proc/self/exe".into(),
        log: args.log.clone(),
        now: clock.wall(),
    }
}

/// Writes the archive, and says where it is and what is in it. What is wrong is said even if there is nowhere to write.
fn tell(target: &Target, made: report::Report, clock: Clock, deadline: Mono) -> Exit {
    let began = clock.until(deadline);
    let report::Report { bytes, name, headline, files, missing } = made;
    let size = bytes.len().div_ceil(1024);
    let gaps = if missing > 0 { format!(", {missing} could not be had: report.html says why") } else { String::new() };
    match target.write(&name, bytes, began) {
        Ok(Output::Standard) => {
            complain(format_args!("{headline}\ncflared-agent: written: {size} KiB, {files} files{gaps}"));
            Exit::Fine
        }
        Ok(Output::File(path)) => {
            say(format_args!(
                "{headline}\n\nwritten: {} ({size} KiB, {files} files{gaps})\nopen:    unpack it, then report.html in any browser\n",
                path.display()
            ));
            Exit::Fine
        }
        Err(why) => {
            complain(format_args!("{headline}\ncflared-agent: failed to write the report: {why}"));
            Exit::TryAgain
        }
    }
}
