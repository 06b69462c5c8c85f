//! TLS towards the edge, and Go's words for what goes wrong in it.

use super::setup::go_error;
use crate::tunnelrpc::streams;
use quinn::crypto::rustls::QuicClientConfig;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::Arc;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::version::TLS13;
use tokio_rustls::rustls::{CertificateError, ClientConfig, Error, InvalidMessage, RootCertStore};

/// The name of the server in TLS over TCP.
pub const HTTP2_NAME: &str = "h2.cftunnel.com";
/// The name of the server in TLS of a check before the start.
pub const PROBE_NAME: &str = "probe.cftunnel.com";

/// What Go has against a certificate whose signer it does not know.
pub const UNKNOWN_AUTHORITY: &str = "tls: failed to verify certificate: x509: certificate signed by unknown authority";

/// Who may sign for the edge. Without a file nobody may: the roots that cloudflared brings are not stood in for.
#[derive(Clone)]
pub struct Roots(Arc<RootCertStore>);

impl Roots {
    /// Those of the file of `--cacert`.
    ///
    /// # Errors
    /// It cannot be read, or holds no certificate; in cloudflared's words.
    pub fn read(file: Option<&Path>) -> Result<Self, String> {
        let mut roots = RootCertStore::empty();
        if let Some(file) = file {
            let failed = |why: &str| {
                let shown = file.display();
                let what = "unable to create TLS config to connect with edge: Error loading root CAs";
                format!("{what}: Error reading certificate {shown}: {why}")
            };
            let text = std::fs::read(file)
                .map_err(|error| failed(&format!("open {}: {}", file.display(), go_error(&error))))?;
            roots.add_parsable_certificates(CertificateDer::pem_slice_iter(&text).flatten());
            if roots.is_empty() {
                return Err(failed("no certificate in it"));
            }
        }
        Ok(Roots(Arc::new(roots)))
    }

    fn client(&self) -> Result<ClientConfig, Error> {
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder = builder.with_protocol_versions(&[&TLS13])?;
        Ok(builder.with_root_certificates(self.0.clone()).with_no_client_auth())
    }

    /// For TLS over TCP.
    ///
    /// # Errors
    /// The provider lacks what TLS 1.3 needs.
    pub fn over_tcp(&self) -> Result<Arc<ClientConfig>, Error> {
        self.client().map(Arc::new)
    }

    /// For QUIC.
    ///
    /// # Errors
    /// The provider lacks what QUIC needs.
    pub fn over_udp(&self) -> Result<Arc<QuicClientConfig>, Error> {
        let mut config = self.client()?;
        config.alpn_protocols = vec![streams::ALPN.to_vec()];
        let config = QuicClientConfig::try_from(config).map_err(|error| Error::General(error.to_string()))?;
        Ok(Arc::new(config))
    }
}

/// Go's words for a handshake over TCP that failed. `route` is `local->remote`.
pub fn words(error: &io::Error, route: &str) -> String {
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    match (tls, error.kind()) {
        (Some(tls), _) => of_tls(tls),
        (None, ErrorKind::UnexpectedEof) => "EOF".into(),
        (None, _) => format!("read tcp {route}: read: {}", go_error(error)),
    }
}

/// Go's words for what TLS has against the other side.
pub fn of_tls(error: &Error) -> String {
    match error {
        Error::InvalidCertificate(CertificateError::UnknownIssuer) => UNKNOWN_AUTHORITY.into(),
        Error::InvalidCertificate(other) => format!("tls: failed to verify certificate: x509: {other}"),
        Error::InvalidMessage(
            InvalidMessage::InvalidContentType
            | InvalidMessage::UnknownProtocolVersion
            | InvalidMessage::MessageTooLarge,
        ) => "tls: first record does not look like a TLS handshake".into(),
        Error::AlertReceived(alert) => format!("remote error: tls: {alert:?}"),
        other => format!("tls: {other}"),
    }
}
