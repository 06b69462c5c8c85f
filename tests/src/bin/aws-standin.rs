//! Secrets Manager, CloudWatch and Auto Scaling on one address, to drive an agent by hand.

#![allow(clippy::print_stdout, reason = "the address goes to whoever started this")]

use anyhow::{Context, Result};
use cflared_tests::aws::tls::{Authority, Identity};
use cflared_tests::aws::{Aws, DEFAULT_REGION, HELP};
use clap::Parser;
use std::net::SocketAddr;
use std::path::PathBuf;
use tokio::net::TcpListener;

#[derive(Parser)]
#[command(version, about = "A stand-in for three AWS services", after_long_help = HELP)]
struct Arguments {
    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// The region that requests must be signed for
    #[arg(long, default_value = DEFAULT_REGION)]
    region: String,
    /// Serve TLS with this certificate (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// The key that belongs to the certificate (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Serve TLS with a certificate made on the spot, and write its authority's (PEM) here for clients to trust
    #[arg(long, value_name = "FILE", conflicts_with_all = ["tls_cert", "tls_key"])]
    tls_write_ca: Option<PathBuf>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let identity = identity(&arguments)?;
    let listener = TcpListener::bind(arguments.listen)
        .await
        .with_context(|| format!("failed to listen on {}: choose another --listen", arguments.listen))?;
    let scheme = if identity.is_some() { "https" } else { "http" };
    println!("listening on {scheme}://{}", listener.local_addr()?);
    let aws = Aws::new(&arguments.region);
    let served = match identity {
        Some(identity) => aws.serve_tls(listener, identity.acceptor()?).await,
        None => aws.serve(listener).await,
    };
    served.context("failed to accept a connection")
}

fn identity(arguments: &Arguments) -> Result<Option<Identity>> {
    if let (Some(certificate), Some(key)) = (&arguments.tls_cert, &arguments.tls_key) {
        return Identity::read(certificate, key).map(Some);
    }
    let Some(file) = &arguments.tls_write_ca else {
        return Ok(None);
    };
    let authority = Authority::new()?;
    std::fs::write(file, &authority.certificate_pem)
        .with_context(|| format!("failed to write the authority's certificate to {}", file.display()))?;
    authority.identity(&[arguments.listen.ip()]).map(Some)
}
