//! The certificates that AWS's endpoints are trusted by: one file, read when TLS is needed.

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Names another file, as for OpenSSL.
const VARIABLE: &str = "SSL_CERT_FILE";
/// Where distributions keep the one file that holds them all.
const KNOWN: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt", // Debian, Ubuntu
    "/etc/pki/tls/certs/ca-bundle.crt",   // Amazon Linux, Fedora
    "/etc/ssl/ca-bundle.pem",             // SUSE
    "/etc/ssl/cert.pem",                  // Alpine
];
/// More than any bundle has, and little enough for an instance of 1 GiB. Debian's has 0.2 MiB.
const LONGEST: u64 = 8 * 1024 * 1024;
const END: &str = "-----END CERTIFICATE-----";

/// Why nothing can be reached by TLS.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RootsError {
    /// None of the files is there.
    #[error(
        "failed to find root certificates: none of {tried}; install ca-certificates, or name a file in SSL_CERT_FILE"
    )]
    NotFound {
        /// The files.
        tried: String,
    },
    /// The file cannot be read.
    #[error("failed to read the root certificates {}: {cause}; correct the file, or SSL_CERT_FILE", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: String,
    },
    /// The file holds no certificate that can be used.
    #[error("failed to use the root certificates {}: it holds none; install ca-certificates again", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
}

/// The files to try, best first: only the one that the environment names, if it names one.
pub(super) fn files() -> Vec<PathBuf> {
    match std::env::var_os(VARIABLE) {
        Some(path) if !path.is_empty() => vec![path.into()],
        _ => KNOWN.map(PathBuf::from).into(),
    }
}

/// The certificates of the first of `files` that is there, each as PEM, without those that the TLS library does not
/// take: it would panic on them. Blocks, and takes milliseconds.
///
/// # Errors
/// There is no file, or none of its certificates can be used.
pub(super) fn load(files: &[PathBuf]) -> Result<Vec<String>, RootsError> {
    for path in files {
        match read(path) {
            Ok(text) => {
                let usable: Vec<_> =
                    text.split_inclusive(END).filter(|block| is_usable(block)).map(Into::into).collect();
                return if usable.is_empty() { Err(RootsError::Empty { path: path.clone() }) } else { Ok(usable) };
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(RootsError::Unreadable { path: path.clone(), cause: error.to_string() }),
        }
    }
    let tried: Vec<_> = files.iter().map(|path| path.display().to_string()).collect();
    Err(RootsError::NotFound { tried: tried.join(", ") })
}

/// Bundles carry names in any encoding between the certificates.
fn read(path: &Path) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(LONGEST).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Whether a text with one end line holds exactly one certificate, and one that can be a trust anchor.
fn is_usable(block: &str) -> bool {
    let mut certificates = CertificateDer::pem_slice_iter(block.as_bytes());
    match (certificates.next(), certificates.next()) {
        (Some(Ok(certificate)), None) => RootCertStore::empty().add(certificate).is_ok(),
        _ => false,
    }
}
