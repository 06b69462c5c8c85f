//! `make real`: see [`cflared_tests::real`].

use anyhow::{Context, Result};
use cflared_tests::world::{Cloudflared, SWITCH};
use clap::Parser;
use std::path::PathBuf;
use std::process::ExitCode;
use tokio::task::LocalSet;

/// Plays every conduct of the edge with the real cloudflared that `CLOUDFLARED` names, and with its stand-in.
#[derive(Parser)]
struct Options {
    /// Where the page is written.
    #[arg(long, default_value = "docs/cloudflared.md")]
    page: PathBuf,
    /// Play only the cases whose name holds this, such as `quic/later/`.
    #[arg(long, default_value = "")]
    only: String,
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

fn play(options: &Options) -> Result<()> {
    let Cloudflared::Real(real) = Cloudflared::chosen() else {
        anyhow::bail!("{SWITCH} is not set: it names the real cloudflared, such as /usr/bin/cloudflared");
    };
    let real = real.canonicalize().with_context(|| format!("failed to find {}", real.display()))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, cflared_tests::real::run(&real, &options.page, &options.only))
}
