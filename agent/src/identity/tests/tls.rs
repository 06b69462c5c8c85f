use super::server::{Reply, Server};
use super::world::{Imds, network, region};
use crate::identity::{Aws, Call, Network, RootsError, failure, roots, was_not_sent};
use crate::settings::Settings;
use cflared_verdict::{Failure, FailureKind};
use std::path::{Path, PathBuf};
use std::time::Duration;

const ROOT: &str = include_str!("root.pem");

/// A file with one certificate, whose key nobody has.
pub fn certificates() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/identity/tests/root.pem")
}

/// A file of this test alone.
struct File(PathBuf);

impl File {
    fn new(name: &str, content: &[u8]) -> Self {
        let path = std::env::temp_dir().join(format!("cflared-roots-{}-{name}", std::process::id()));
        std::fs::write(&path, content).unwrap();
        Self(path)
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// What a call over TLS to that server comes to.
async fn call(roots: Vec<PathBuf>, server: &Server) -> Failure {
    let imds = Imds::start().await;
    let endpoint = format!("https://{}", server.address);
    let aws = Aws::new(&Settings::default().aws, &imds.metadata(), Network { roots, ..network(&endpoint) }).unwrap();
    aws.warm_up().await;
    let error = aws.auto_scaling(&region()).describe_auto_scaling_instances().send().await.unwrap_err();
    failure(&error, Call { action: "autoscaling:DescribeAutoScalingInstances", object: "*" })
}

fn hostile_bundle() -> Vec<u8> {
    let end = "-----END CERTIFICATE-----";
    let not_base64 = format!("-----BEGIN CERTIFICATE-----\n!!!!\n{end}\n");
    let not_a_certificate = format!("-----BEGIN CERTIFICATE-----\nbm90IGEgY2VydGlmaWNhdGU=\n{end}\n");
    let nothing = format!("-----BEGIN CERTIFICATE-----\n{end}");
    let latin1 = b"# Autoridad de Certificaci\xf3n\n".to_vec();
    let parts: [&[u8]; 9] = [
        &latin1,
        not_base64.as_bytes(),
        ROOT.as_bytes(),
        not_a_certificate.as_bytes(),
        nothing.as_bytes(),
        ROOT.trim_end().as_bytes(),
        ROOT.trim_end().as_bytes(),
        end.as_bytes(),
        b"\n-----BEGIN CERTIFICATE-----\nMIIB",
    ];
    parts.concat()
}

#[test]
fn only_certificates_that_the_tls_library_takes_are_loaded() {
    let file = File::new("hostile", &hostile_bundle());
    let missing = PathBuf::from("/nonexistent/roots.pem");
    let loaded = roots::load(&[missing, file.0.clone()]).unwrap();
    assert!(!loaded.is_empty() && loaded.len() <= 3, "{}", loaded.len());
    assert!(loaded.iter().all(|block| block.contains("MIIBjjCCATWgAwIBAgI")));
}

#[test]
fn no_file_and_no_certificate_are_clear_errors() {
    let missing = [PathBuf::from("/nonexistent/a.pem"), PathBuf::from("/nonexistent/b.pem")];
    let error = roots::load(&missing).unwrap_err();
    assert_eq!(error, RootsError::NotFound { tried: "/nonexistent/a.pem, /nonexistent/b.pem".into() });
    assert!(error.to_string().contains("install ca-certificates"), "{error}");
    let empty = File::new("empty", b"");
    assert!(matches!(roots::load(std::slice::from_ref(&empty.0)), Err(RootsError::Empty { .. })));
    assert!(matches!(roots::load(&[std::env::temp_dir()]), Err(RootsError::Unreadable { .. })));
}

#[tokio::test]
async fn a_hostile_bundle_and_a_server_without_tls_are_survived() {
    let server = Server::start(Duration::ZERO, |_| Reply::Cut).await;
    let file = File::new("survived", &hostile_bundle());
    let failure = call(vec![file.0.clone()], &server).await;
    assert_eq!(failure.kind, FailureKind::Unreachable, "{}", failure.text);
}

#[tokio::test]
async fn what_stands_where_tls_should_be_is_named() {
    use tokio::io::AsyncWriteExt;
    let imds = Imds::start().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("https://{}", listener.local_addr().unwrap());
    let answering = tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        }
    });
    let network = Network { roots: vec![certificates()], ..network(&endpoint) };
    let aws = Aws::new(&Settings::default().aws, &imds.metadata(), network).unwrap();
    let error = aws.cloudwatch(&region()).list_metrics().send().await.unwrap_err();
    assert!(was_not_sent(&error));
    let failure = failure(&error, Call { action: "cloudwatch:ListMetrics", object: "*" });
    assert!(failure.text.contains("TLS failed: "), "{}", failure.text);
    answering.abort();
}

#[tokio::test]
async fn certificates_that_are_missing_are_an_error_of_this_host_and_only_when_needed() {
    let server = Server::start(Duration::ZERO, |_| Reply::Cut).await;
    let failure = call(vec!["/nonexistent/roots.pem".into()], &server).await;
    assert_eq!(failure.kind, FailureKind::Host, "{}", failure.text);
    assert!(failure.text.contains("SSL_CERT_FILE"), "{}", failure.text);
    assert_eq!(server.connections(), 0);
}
