//! `make real`: see [`cflared_tests::real`].

use anyhow::{Context, Result};
use cflared_tests::real;
use cflared_tests::world::{Cloudflared, SWITCH};
use clap::{Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;
use tokio::task::LocalSet;

/// Plays lives with the real cloudflared that `CLOUDFLARED` names.
#[derive(Parser)]
struct Options {
    /// Which lives.
    #[command(subcommand)]
    lives: Lives,
    /// Where the page is written.
    #[arg(long, global = true, default_value = "docs/generated/cloudflared.md")]
    page: PathBuf,
    /// Play only the cases whose name holds this, such as `quic/later/` or `R9`. The page is then of these alone.
    #[arg(long, global = true, default_value = "")]
    only: String,
}

#[derive(Subcommand)]
enum Lives {
    /// Every conduct of the edge, with the stand-in too.
    Conducts {
        /// The directory for the agents' logs.
        #[arg(long, default_value = "target/real/conducts")]
        logs: PathBuf,
    },
    /// The hard cases, of which a time is promised.
    Hard,
}

#[allow(clippy::print_stderr)] // Why it failed is its output.
fn main() -> ExitCode {
    match play(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("real: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn play(Options { lives, page, only }: &Options) -> Result<()> {
    let Cloudflared::Real(real) = Cloudflared::chosen() else {
        anyhow::bail!("{SWITCH} is not set: it names the real cloudflared, such as /usr/bin/cloudflared");
    };
    let program = real.canonicalize().with_context(|| format!("failed to find {}", real.display()))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, async {
        match lives {
            Lives::Conducts { logs } => real::conducts(&program, page, logs, only).await,
            Lives::Hard => real::hard_cases(&program, page, only).await,
        }
    })
}
