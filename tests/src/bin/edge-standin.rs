//! Stands in for Cloudflare's edge, as a program.
#![allow(clippy::print_stdout)] // The addresses that it listens on are its output.

use anyhow::{Context, Result};
use cflared_tests::aws::tls::Authority;
use cflared_tests::dns::Dns;
use cflared_tests::edge::{Carry, Edge, Route, control};
use cflared_tests::http;
use clap::Parser;
use std::net::SocketAddr;
use std::path::PathBuf;
use tokio::net::TcpListener;

/// Stands in for Cloudflare's edge: registers cloudflared over HTTP/2 and QUIC, forwards clients' streams, and misbehaves on command.
#[derive(Parser)]
#[command(after_help = control::HELP)]
struct Options {
    /// Accept registrations here, over TCP and UDP (repeat it; cloudflared makes one connection to each, up to four).
    #[arg(long, required = true)]
    listen: Vec<SocketAddr>,
    /// Answer `/_control/` here.
    #[arg(long)]
    control: SocketAddr,
    /// Write the certificate to be trusted into this file, for cloudflared's `--cacert`.
    #[arg(long)]
    ca: Option<PathBuf>,
    /// Keep that certificate's key in this file, so that the certificate is good for a later start, too.
    #[arg(long)]
    ca_key: Option<PathBuf>,
    /// Answer DNS questions for this edge here, so that cloudflared finds it without `--edge` and begins with QUIC.
    #[arg(long)]
    dns: Option<SocketAddr>,
    /// Accept clients here, and forward their bytes, as to a rule for `tcp://`.
    #[arg(long)]
    clients: Option<SocketAddr>,
    /// Accept clients here, and forward their HTTP requests.
    #[arg(long)]
    http: Option<SocketAddr>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let options = Options::parse();
    let authority = match &options.ca_key {
        Some(file) => Authority::kept(file)?,
        None => Authority::new()?,
    };
    let edge = Edge::start_with(&options.listen, &authority).await.context("failed to listen for registrations")?;
    for address in edge.addresses() {
        println!("registrations: {address}");
    }
    if let Some(file) = options.ca {
        edge.write_authority(&file).with_context(|| format!("failed to write {}", file.display()))?;
        println!("certificate: {}", file.display());
    }
    if let Some(listen) = options.dns {
        let dns = Dns::start(listen).await.context("failed to listen for DNS")?;
        dns.edge(&edge.addresses());
        println!("dns: {}", dns.address());
    }
    for (listen, carry) in [(options.clients, Carry::Tcp), (options.http, Carry::Http)] {
        let Some(listen) = listen else { continue };
        let route = Route { carry, ..Route::default() };
        let address = edge.listen_clients(listen, route).await.context("failed to listen for clients")?;
        println!("clients ({carry:?}): {address}");
    }
    let control = TcpListener::bind(options.control).await.context("failed to listen for control")?;
    println!("control: http://{}/_control/state", control.local_addr()?);
    http::serve(control, move |asked| control::answer(edge.clone(), asked)).await?;
    Ok(())
}
