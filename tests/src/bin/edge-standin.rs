//! Stands in for Cloudflare's edge, as a program.
#![allow(clippy::print_stdout)] // The addresses that it listens on are its output.

use anyhow::{Context, Result};
use cflared_tests::edge::{Edge, Route, control};
use cflared_tests::http;
use clap::Parser;
use std::net::SocketAddr;
use tokio::net::TcpListener;

/// Stands in for Cloudflare's edge: registers cloudflared-standin, forwards clients' streams, and misbehaves on command.
#[derive(Parser)]
#[command(after_help = control::HELP)]
struct Options {
    /// Accept registrations here (repeat it; cloudflared makes one connection to each, up to four).
    #[arg(long, required = true)]
    listen: Vec<SocketAddr>,
    /// Answer `/_control/` here.
    #[arg(long)]
    control: SocketAddr,
    /// Accept clients here, and forward their streams.
    #[arg(long)]
    clients: Option<SocketAddr>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let options = Options::parse();
    let edge = Edge::start(&options.listen).await.context("failed to listen for registrations")?;
    for address in edge.addresses() {
        println!("registrations: {address}");
    }
    if let Some(listen) = options.clients {
        println!(
            "clients: {}",
            edge.listen_clients(listen, Route::default()).await.context("failed to listen for clients")?
        );
    }
    let control = TcpListener::bind(options.control).await.context("failed to listen for control")?;
    println!("control: http://{}/_control/state", control.local_addr()?);
    http::serve(control, move |asked| control::answer(edge.clone(), asked)).await?;
    Ok(())
}
