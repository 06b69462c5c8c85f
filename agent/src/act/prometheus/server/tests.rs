// The subject is who waits for how long.
#![allow(clippy::disallowed_methods)]

use super::*;
use crate::act::prometheus::{Exposition, tests::numbers};
use std::time::Instant;
use testing::{self, Refusing, ended};

/// A server at an address that nothing else has as long as the first of these lives.
async fn started() -> (Refusing, Exposition, SocketAddr) {
    let reserved = Refusing::new();
    let listen = reserved.address();
    let exposition = Exposition::start(listen);
    connect(listen).await;
    (reserved, exposition, listen)
}

async fn connect(listen: SocketAddr) -> TcpStream {
    let connected = async {
        loop {
            match TcpStream::connect(listen).await {
                Ok(stream) => return stream,
                Err(_) => sleep(Duration::from_millis(10)).await,
            }
        }
    };
    ended(connected).await
}

/// All that comes back; what is cut off counts as nothing.
async fn said(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let _ = ended(stream.read_to_end(&mut answer)).await;
    String::from_utf8(answer).unwrap()
}

async fn asked(listen: SocketAddr, request: &str) -> String {
    let mut stream = connect(listen).await;
    stream.write_all(request.as_bytes()).await.unwrap();
    said(&mut stream).await
}

#[tokio::test]
async fn a_scraper_gets_the_page_and_everybody_else_an_answer() {
    let (_reserved, exposition, listen) = started().await;
    let get = "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n";
    assert!(asked(listen, get).await.starts_with("HTTP/1.1 503 "));
    exposition.show(numbers(&[]));
    let answer = asked(listen, get).await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4"), "{head}");
    assert!(head.contains(&format!("\r\nContent-Length: {}\r\nConnection: close", body.len())), "{head}");
    assert_eq!(body, families::page(&numbers(&[])));

    let headed = asked(listen, "HEAD /metrics?x=1 HTTP/1.0\r\n\r\n").await;
    assert_eq!(headed, format!("{head}\r\n\r\n"));
    for (request, status) in [
        ("GET / HTTP/1.1\r\n\r\n", "404 "),
        ("GET /metrics/ HTTP/1.1\r\n\r\n", "404 "),
        ("POST /metrics HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc", "405 "),
        ("GET /metrics\r\n\r\n", "400 "),
        ("GET /metrics HTTP/2\r\n\r\n", "400 "),
        ("\u{16}\u{3}\u{1}\r\n\r\n", "400 "),
        ("\r\n\r\n", "400 "),
    ] {
        let answer = asked(listen, request).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{request:?}: {answer}");
    }
    let huge = asked(listen, &format!("GET /metrics HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(60_000))).await;
    assert!(huge.starts_with("HTTP/1.1 431 "), "{huge}");
}

#[tokio::test]
async fn a_request_may_come_in_pieces_and_may_not_take_for_ever() {
    let (_reserved, exposition, listen) = started().await;
    exposition.show(numbers(&[]));
    let mut slow = connect(listen).await;
    for piece in ["GE", "T /metrics HTT", "P/1.1\r\nHost: x\r\n\r", "\n"] {
        slow.write_all(piece.as_bytes()).await.unwrap();
        sleep(Duration::from_millis(20)).await;
    }
    assert!(said(&mut slow).await.starts_with("HTTP/1.1 200 "));

    let mut half = connect(listen).await;
    half.write_all(b"GET /metrics HTTP/1.1\r\n").await.unwrap();
    assert_eq!(said(&mut half).await, "", "it is sent away, and this ends");
}

#[tokio::test]
async fn clients_that_only_occupy_are_few_and_leave() {
    let (_reserved, exposition, listen) = started().await;
    exposition.show(numbers(&[]));
    let began = Instant::now();
    let mut idle = Vec::new();
    for _ in 0..3 * CLIENTS {
        idle.push(connect(listen).await);
    }
    let mut turned_away = 0;
    loop {
        let mut stream = connect(listen).await;
        let sent = stream.write_all(b"GET /metrics HTTP/1.1\r\n\r\n").await.is_ok();
        if sent && said(&mut stream).await.starts_with("HTTP/1.1 200 ") {
            break;
        }
        turned_away += 1;
        assert!(began.elapsed() < testing::PATIENCE);
        sleep(Duration::from_millis(50)).await;
    }
    assert!(turned_away > 0 || began.elapsed() > PATIENCE, "the places were not taken");
    drop(idle);
}

#[tokio::test]
async fn an_address_that_is_taken_is_waited_for() {
    let other = Refusing::new().listen();
    let listen = other.local_addr().unwrap();
    let exposition = Exposition::start(listen);
    exposition.show(numbers(&[]));
    let (stream, _) = tokio::join!(connect(listen), async { other.accept().await.unwrap() });
    drop((stream, other));
    assert!(asked(listen, "GET /metrics HTTP/1.1\r\n\r\n").await.starts_with("HTTP/1.1 200 "));
}
