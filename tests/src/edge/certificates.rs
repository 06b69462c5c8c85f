//! The edge's certificate, and what speaks TLS and QUIC with it.

use crate::aws::tls::{Authority, Identity};
use crate::tunnelrpc::streams::ALPN;
use quinn::crypto::rustls::QuicServerConfig;
use std::io::{self, Write};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use tempfile::TempPath;
use tokio_rustls::TlsAcceptor;

/// The names of the edge: over HTTP/2, over QUIC, and in cloudflared's checks before its start.
const NAMES: [&str; 3] = ["h2.cftunnel.com", "quic.cftunnel.com", "probe.cftunnel.com"];

/// An authority that only who is given its certificate trusts, and what an edge has from it.
pub(super) struct Certificates {
    pub(super) tls: TlsAcceptor,
    pub(super) quic: quinn::ServerConfig,
    authority: String,
    /// Gone with the edge.
    file: TempPath,
}

impl Certificates {
    /// For an edge at these addresses.
    pub(super) fn new(authority: &Authority, addresses: impl Iterator<Item = IpAddr>) -> io::Result<Self> {
        let names = NAMES.map(str::to_owned).into_iter().chain(addresses.map(|address| address.to_string()));
        let identity = authority.identity_of(names.collect()).map_err(io::Error::other)?;
        let mut file = tempfile::Builder::new().prefix("cflared-edge-").suffix(".pem").tempfile()?;
        file.write_all(authority.certificate_pem.as_bytes())?;
        readable_by_all(file.path())?;
        Ok(Certificates {
            tls: identity.acceptor().map_err(io::Error::other)?,
            quic: quic(&identity)?,
            authority: authority.certificate_pem.clone(),
            file: file.into_temp_path(),
        })
    }

    /// A file with the authority's certificate.
    pub(super) fn file(&self) -> PathBuf {
        self.file.to_path_buf()
    }

    /// Writes the authority's certificate into a file.
    pub(super) fn write(&self, path: &Path) -> io::Result<()> {
        std::fs::write(path, &self.authority)?;
        readable_by_all(path)
    }
}

/// A connector may run as another user.
fn readable_by_all(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o644))
}

fn quic(identity: &Identity) -> io::Result<quinn::ServerConfig> {
    let mut tls = identity.server_config().map_err(io::Error::other)?;
    tls.alpn_protocols = vec![ALPN.to_vec()];
    let crypto = QuicServerConfig::try_from(tls).map_err(io::Error::other)?;
    Ok(quinn::ServerConfig::with_crypto(Arc::new(crypto)))
}

/// That of all edges of the process for which no other is given.
pub(super) fn authority() -> io::Result<&'static Authority> {
    static AUTHORITY: OnceLock<Authority> = OnceLock::new();
    if let Some(authority) = AUTHORITY.get() {
        return Ok(authority);
    }
    let made = Authority::new().map_err(io::Error::other)?;
    Ok(AUTHORITY.get_or_init(|| made))
}
