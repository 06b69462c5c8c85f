//! TLS for the stand-ins: a server's settings from PEM, and a certificate authority made on the spot.

use anyhow::{Context, Result};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// A certificate authority that nobody trusts unless told to.
#[derive(Debug)]
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its certificate, as PEM: what a client has to trust.
    pub certificate_pem: String,
}

/// A server's certificate and key, both as PEM.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Certificate.
    pub certificate_pem: String,
    /// Private key (PKCS #8).
    pub key_pem: String,
}

impl Authority {
    /// Makes one up.
    ///
    /// # Errors
    /// The system gave no random numbers.
    pub fn new() -> Result<Self> {
        Self::with_key(KeyPair::generate().context("failed to make the authority's key")?)
    }

    /// The one whose key is in a PEM file, which is made if there is none: who trusts its certificate from an earlier time
    /// goes on to do so.
    ///
    /// # Errors
    /// The file cannot be read or written, or holds no key.
    pub fn kept(key: &Path) -> Result<Self> {
        if !key.exists() {
            let pem = KeyPair::generate().context("failed to make the authority's key")?.serialize_pem();
            std::fs::write(key, pem).with_context(|| format!("failed to write {}", key.display()))?;
        }
        let pem = std::fs::read_to_string(key).with_context(|| format!("failed to read {}", key.display()))?;
        Self::with_key(KeyPair::from_pem(&pem).with_context(|| format!("{} holds no key", key.display()))?)
    }

    fn with_key(key: KeyPair) -> Result<Self> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "stand-in authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate_pem = params.self_signed(&key).context("failed to sign the authority's certificate")?.pem();
        Ok(Self { issuer: Issuer::new(params, key), certificate_pem })
    }

    /// Makes a certificate for `localhost`, 127.0.0.1 and `addresses`. (A certificate cannot name a whole network.)
    ///
    /// # Errors
    /// The system gave no random numbers.
    pub fn identity(&self, addresses: &[IpAddr]) -> Result<Identity> {
        let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        names.extend(addresses.iter().map(IpAddr::to_string));
        self.identity_of(names)
    }

    /// Makes a certificate for names and addresses.
    ///
    /// # Errors
    /// The system gave no random numbers, or a name is none.
    pub fn identity_of(&self, names: Vec<String>) -> Result<Identity> {
        let key = KeyPair::generate().context("failed to make the server's key")?;
        let params = CertificateParams::new(names).context("failed to name the server in its certificate")?;
        let certificate = params.signed_by(&key, &self.issuer).context("failed to sign the server's certificate")?;
        Ok(Identity { certificate_pem: certificate.pem(), key_pem: key.serialize_pem() })
    }
}

impl Identity {
    /// Reads one from two PEM files.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn read(certificate: &Path, key: &Path) -> Result<Self> {
        let read =
            |path: &Path| std::fs::read_to_string(path).with_context(|| format!("failed to read {}", path.display()));
        Ok(Self { certificate_pem: read(certificate)?, key_pem: read(key)? })
    }

    /// What makes TLS of accepted connections.
    ///
    /// # Errors
    /// The PEM holds no certificate or key, or they do not belong together.
    pub fn acceptor(&self) -> Result<TlsAcceptor> {
        Ok(TlsAcceptor::from(Arc::new(self.server_config()?)))
    }

    /// A server's settings.
    ///
    /// # Errors
    /// As [`Identity::acceptor`].
    pub fn server_config(&self) -> Result<ServerConfig> {
        let certificates = CertificateDer::pem_slice_iter(self.certificate_pem.as_bytes())
            .collect::<Result<Vec<_>, _>>()
            .context("failed to read the certificate's PEM")?;
        let key = PrivateKeyDer::from_pem_slice(self.key_pem.as_bytes()).context("failed to read the key's PEM")?;
        ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .context("failed to set up TLS")?
            .with_no_client_auth()
            .with_single_cert(certificates, key)
            .context("failed to use the certificate with the key")
    }
}
