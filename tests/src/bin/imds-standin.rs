//! The instance metadata service of one made-up instance, to drive an agent by hand.

#![allow(clippy::print_stdout, reason = "the address goes to whoever started this")]

use anyhow::{Context, Result};
use cflared_tests::imds::{HELP, Imds, Instance};
use clap::Parser;
use std::net::SocketAddr;
use tokio::net::TcpListener;

#[derive(Parser)]
#[command(version, about = "A stand-in for the EC2 instance metadata service", after_long_help = HELP)]
struct Arguments {
    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let listener = TcpListener::bind(arguments.listen)
        .await
        .with_context(|| format!("failed to listen on {}: choose another --listen", arguments.listen))?;
    println!("listening on http://{}", listener.local_addr()?);
    Imds::new(Instance::default()).serve(listener).await.context("failed to accept a connection")
}
