//! The stand-in with TLS, and an authority made on the spot.

use super::peer::{outcome, sdk};
use aws_sdk_secretsmanager::Client;
use cflared_tests::aws::tls::Authority;
use cflared_tests::aws::{Aws, Credentials};
use std::net::{IpAddr, Ipv4Addr};
use tokio::net::TcpListener;

#[tokio::test]
async fn tls_is_served_to_those_who_trust_the_authority() {
    let aws = Aws::default();
    aws.put_secret("s", "text");
    let address = IpAddr::V4(Ipv4Addr::new(127, 3, 2, 1));
    let listener = TcpListener::bind((address, 0)).await.unwrap();
    let endpoint = format!("https://{}", listener.local_addr().unwrap());
    let authority = Authority::new().unwrap();
    let tls = authority.identity(&[address]).unwrap().acceptor().unwrap();
    tokio::spawn(aws.clone().serve_tls(listener, tls));

    let read = async |trusted: Option<&str>| {
        let client = Client::new(&sdk(&endpoint, &Credentials::default(), trusted));
        outcome(client.get_secret_value().secret_id("s").send().await, |o| o.secret_string.unwrap())
    };
    assert_eq!(read(Some(&authority.certificate_pem)).await, "text");
    assert_eq!(read(Some(&Authority::new().unwrap().certificate_pem)).await, "an error without a code");
    assert_eq!(aws.requests().all().len(), 1);
}
