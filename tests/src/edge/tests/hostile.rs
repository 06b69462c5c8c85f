//! Who does not keep to any protocol gets nowhere, and harms nobody else.

use super::connector::{Connector, Fate, Handshake, fate};
use super::{BOTH, edge, whats};
use crate::edge::garbage::{self, noise};
use crate::edge::{Edge, Transport, What};
use crate::tunnelrpc::message::{Call, Message, Target};
use crate::tunnelrpc::registration::{INTERFACE, REGISTER};
use crate::tunnelrpc::{Struct, frames};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};

/// A good connector registers as if nothing had been.
async fn is_well(edge: &Edge, after: &str) {
    for transport in BOTH {
        assert_eq!(fate(edge, transport).await, Fate::Registered, "over {transport:?} after {after}");
    }
}

fn only_registrations_and_losses(edge: &Edge) {
    let others: Vec<_> =
        whats(edge).into_iter().filter(|what| !matches!(what, What::Registered | What::Lost)).collect();
    assert_eq!(others, [], "nothing of it is on record");
}

#[tokio::test]
async fn bytes_that_are_no_tls() {
    let edge = edge().await;
    let hello_of_nothing = [&[22, 3, 1, 0xff, 0xff, 1, 0xff, 0xff, 0xff][..], &[0; 600]].concat();
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    let mut openings =
        vec![vec![], vec![22], vec![22, 3, 1], hello_of_nothing, preface, b"GET / HTTP/1.1\r\n\r\n".to_vec()];
    openings.extend((1..20).map(|seed| noise(seed, 3000)));
    openings.extend((20..30).map(|seed| [&[22, 3, 3, 2, 0][..], &noise(seed, 512)].concat()));
    for opening in openings {
        let mut stream = TcpStream::connect(edge.addresses()[0]).await.unwrap();
        // The edge may hang up in the middle of it.
        let _ = stream.write_all(&opening).await;
        let _ = stream.shutdown().await;
        let ended =
            tokio::time::timeout(super::DEADLINE, async { while let Ok(1..) = stream.read(&mut [0; 512]).await {} });
        ended.await.expect("the edge hangs up");
    }
    is_well(&edge, "bytes that are no TLS").await;
    only_registrations_and_losses(&edge);
}

#[tokio::test]
async fn tls_that_is_cut_and_no_http2_in_it() {
    let edge = edge().await;
    // A frame of HTTP/2 that is longer than any may be, one of no stream, and one that ends a stream that was not begun.
    let frames: [&[u8]; 3] = [
        &[0xff, 0xff, 0xff, 4, 0, 0, 0, 0, 0],
        &[0, 0, 1, 0, 0, 0, 0, 0, 0, 7],
        &[0, 0, 4, 3, 0, 0, 0, 0, 9, 0, 0, 0, 1],
    ];
    let mut inside: Vec<Vec<u8>> = frames.map(<[u8]>::to_vec).into();
    inside.extend((1..20).map(|seed| noise(seed, 4000)));
    inside.push(vec![]);
    for bytes in inside {
        let shaken = Connector::handshake(&edge, Transport::Http2, "h2.cftunnel.com").await.unwrap();
        let Handshake::Http2(mut stream) = shaken else { panic!("not TLS") };
        let _ = stream.write_all(&bytes).await;
        let _ = stream.flush().await;
        // Cut below TLS.
        drop(stream.into_inner());
    }
    is_well(&edge, "TLS with no HTTP/2 in it").await;
    only_registrations_and_losses(&edge);
}

#[tokio::test]
async fn datagrams_that_are_no_quic() {
    let edge = edge().await;
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.connect(edge.addresses()[0]).await.unwrap();
    for seed in 1..60 {
        let mut datagram = noise(seed, 1200);
        match seed % 4 {
            // First packets of version 1, of another version, and those of a connection that is not there.
            0 => datagram[..6].copy_from_slice(&[0xc3, 0, 0, 0, 1, 8]),
            1 => datagram[..6].copy_from_slice(&[0xc0, 0x1a, 0x2a, 0x3a, 0x4a, 0xff]),
            2 => datagram[0] = 0x40,
            _ => datagram.truncate(usize::try_from(seed).unwrap()),
        }
        socket.send(&datagram).await.unwrap();
    }
    is_well(&edge, "datagrams that are no QUIC").await;
    only_registrations_and_losses(&edge);
}

/// Calls that cannot be.
fn no_calls() -> Vec<(&'static str, Vec<u8>)> {
    let register = |question, target, parameters| {
        let call = Call { question, target, interface: INTERFACE, method: REGISTER, parameters };
        frames::frame(&Message::Call(call).encode())
    };
    let bootstrap = |question| frames::frame(&Message::Bootstrap { question }.encode());
    let good = [bootstrap(0), register(1, Target::Answer(0), Struct::new(1, 3))].concat();
    let mut all = vec![
        ("a call without a bootstrap", register(1, Target::Answer(0), Struct::default())),
        ("a call to nobody", register(1, Target::Capability(9), Struct::default())),
        ("two bootstraps of one number", [bootstrap(0), bootstrap(0)].concat()),
        ("a thousand bootstraps", (0..1000).flat_map(bootstrap).collect()),
        ("a registration of nothing", good.clone()),
    ];
    all.extend((0..good.len()).step_by(7).map(|at| {
        let mut turned = good.clone();
        turned[at] ^= 0xff;
        ("a byte turned over", turned)
    }));
    all
}

/// Frames of every hostile kind: no frame, no message, no call, and calls that the protocol does not allow.
fn hostile() -> Vec<(&'static str, Vec<u8>)> {
    let cut =
        [("the end at once", vec![]), ("half a head", vec![0; 5]), ("a head alone", vec![0, 0, 0, 0, 9, 0, 0, 0])];
    [cut.to_vec(), garbage::no_messages(), no_calls()].concat()
}

#[tokio::test]
async fn frames_that_are_no_registration() {
    for transport in BOTH {
        let edge = edge().await;
        for (what, bytes) in hostile() {
            let connector = Connector::connect(&edge, transport).await.unwrap();
            let (mut read, mut write, below) = connector.into_control();
            // The edge may hang up in the middle of it.
            let _ = write.write_all(&bytes).await;
            let _ = write.shutdown().await;
            let ended = async { while let Ok(1..) = read.read(&mut [0; 4096]).await {} };
            tokio::time::timeout(super::DEADLINE, ended).await.unwrap_or_else(|_| panic!("{what}: the edge goes on"));
            drop(below);
        }
        is_well(&edge, "hostile frames").await;
        only_registrations_and_losses(&edge);
    }
}

/// One that is registered and then sends no protocol is lost, and nobody else.
#[tokio::test]
async fn frames_after_a_registration() {
    for transport in BOTH {
        let edge = edge().await;
        let mut good = Connector::registered(&edge, transport).await;
        let hostile = hostile().into_iter().filter(|(what, _)| what.contains("pointer") || *what == "noise");
        for (lost, (what, bytes)) in (1..).zip(hostile) {
            let bad = Connector::registered(&edge, transport).await;
            let (_read, mut write, below) = bad.into_control();
            let _ = write.write_all(&bytes).await;
            let _ = write.shutdown().await;
            let of_lost = || {
                let count = whats(&edge).iter().filter(|what| **what == What::Lost).count();
                (count == lost).then_some(())
            };
            assert!(edge.wait_for(super::DEADLINE, of_lost).await.is_some(), "{what}: {:?}", whats(&edge));
            drop(below);
        }
        good.unregister().await.unwrap();
    }
}

/// Who says nothing at all holds nothing up.
#[tokio::test]
async fn who_is_silent_is_left_alone() {
    let edge = edge().await;
    let mut idle = vec![];
    for _ in 0..100 {
        idle.push(TcpStream::connect(edge.addresses()[0]).await.unwrap());
    }
    tokio::time::sleep(Duration::from_millis(10)).await;
    is_well(&edge, "a hundred who say nothing").await;
}
