//! Measures the agent, side by side with `tests/bench/bootstrap.sh`; what and how is in `tests/bench/README.md`.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "its results go to whoever started it")]
#![allow(clippy::disallowed_methods, reason = "it measures time")]

mod bootstrap;
mod machine;
mod respawn;
mod runs;
mod setting;
mod steady;
mod table;

use anyhow::{Context, ensure};
use clap::Parser;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use table::{MB, Table};

/// The head of the page.
const HEAD: &str = "\
# Bench

Written by `make bench`; [tests/bench/README.md](../../tests/bench/README.md) explains each row. Agent and script take
turns in one run. The figures are medians.
";

/// Files of the runs go here: to a tmpfs, so that no disk is measured.
const TMPFS: &str = "/dev/shm";
const MIB: u64 = 1024 * 1024;

#[derive(Parser)]
#[command(about = "Measures the agent next to a correct bash script")]
struct Arguments {
    /// How often each bootstrap is run
    #[arg(long, default_value_t = 11)]
    rounds: usize,
    /// How long the steady agent is watched, in seconds
    #[arg(long, default_value_t = 120)]
    steady: u64,
    /// How often a connector is killed
    #[arg(long, default_value_t = 30)]
    kills: usize,
}

/// The programs that are measured.
struct Programs {
    agent: PathBuf,
    script: PathBuf,
    /// Where the AWS CLI is.
    venv: PathBuf,
}

fn main() -> ExitCode {
    match measure(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[tokio::main]
async fn measure(arguments: &Arguments) -> anyhow::Result<()> {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let programs = Programs::find(root)?;
    // It is not overridden twice.
    let _ = tempfile::env::override_temp_dir(Path::new(TMPFS));
    let mut table = Table::default();
    let size = std::fs::metadata(&programs.agent)?.len();
    println!("bootstrap: {} rounds of each kind …", arguments.rounds);
    bootstrap::measure(&programs, arguments.rounds, &mut table).await?;
    println!("steady: {} s …", arguments.steady);
    steady::measure(&programs.agent, arguments.steady, &mut table).await?;
    println!("respawn: {} kills, each of a child that has run for 31 s …", arguments.kills);
    respawn::measure(&programs.agent, arguments.kills, &mut table).await?;
    table.at_most("size of the static binary", size as f64 / MIB as f64, 8.0, "MiB");
    let text = format!("{}\n\n{table}", machine::describe()?);
    println!("\n{text}");
    let file = root.join("docs/generated/bench.md");
    std::fs::write(&file, format!("{HEAD}\n{text}")).with_context(|| format!("failed to write {}", file.display()))
}

impl Programs {
    fn find(root: &Path) -> anyhow::Result<Self> {
        let programs = Self {
            agent: root.join("target/x86_64-unknown-linux-musl/release/cflared-agent"),
            script: root.join("tests/bench/bootstrap.sh"),
            venv: root.join("target/awscli-venv/bin"),
        };
        for needed in [&programs.agent, &programs.script, &programs.venv.join("aws")] {
            ensure!(needed.exists(), "{} is missing: run `make bench`, which builds and installs it", needed.display());
        }
        Ok(programs)
    }
}

/// Bytes as megabytes of 10^6.
fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / MB
}
