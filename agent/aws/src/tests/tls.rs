use super::server::{Reply, Server};
use super::world::{Imds, network, region};
use crate::{Aws, Call, Network, RootsError, failure, roots, was_not_sent};
use cflared_verdict::{Failure, FailureKind};
use settings::Settings;
use std::path::{Path, PathBuf};
use testing::{Directory, missing};

const ROOT: &str = include_str!("root.pem");

/// A file with one certificate, whose key nobody has.
pub fn certificates() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/tests/root.pem")
}

/// A directory with a file of that content.
fn file(content: &[u8]) -> (Directory, PathBuf) {
    let directory = Directory::new();
    let path = directory.join("roots.pem");
    std::fs::write(&path, content).unwrap();
    (directory, path)
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
    let (_directory, file) = file(&hostile_bundle());
    let loaded = roots::load(&[missing("roots.pem"), file]).unwrap();
    assert!(!loaded.is_empty() && loaded.len() <= 3, "{}", loaded.len());
    assert!(loaded.iter().all(|block| block.contains("MIIBjjCCATWgAwIBAgI")));
}

#[test]
fn no_file_and_no_certificate_are_clear_errors() {
    let missing = [missing("a.pem"), missing("b.pem")];
    let error = roots::load(&missing).unwrap_err();
    let tried = format!("{}, {}", missing[0].display(), missing[1].display());
    assert_eq!(error, RootsError::NotFound { tried });
    assert!(error.to_string().contains("install ca-certificates"), "{error}");
    let (directory, empty) = file(b"");
    assert!(matches!(roots::load(&[empty]), Err(RootsError::Empty { .. })));
    assert!(matches!(roots::load(&[directory.path().to_owned()]), Err(RootsError::Unreadable { .. })));
}

#[tokio::test]
async fn a_hostile_bundle_and_a_server_without_tls_are_survived() {
    let server = Server::start(|_| Reply::Cut).await;
    let (_directory, file) = file(&hostile_bundle());
    let failure = call(vec![file], &server).await;
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
    let server = Server::start(|_| Reply::Cut).await;
    let failure = call(vec![missing("roots.pem")], &server).await;
    assert_eq!(failure.kind, FailureKind::Host, "{}", failure.text);
    assert!(failure.text.contains("SSL_CERT_FILE"), "{}", failure.text);
    assert_eq!(server.connections(), 0);
}
