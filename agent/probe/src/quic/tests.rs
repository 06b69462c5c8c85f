use super::super::evidence::Obstacle;
use super::*;
use cflared_verdict::Reach;
use proptest::prelude::*;

const IDS: Ids = Ids { destination: [1, 2, 3, 4, 5, 6, 7, 8], source: [11, 12, 13, 14, 15, 16, 17, 18] };

/// Written down from RFC 9000 §17.2.1: the ids of the question are exchanged, and versions 1 and 0x0a1a2a3a follow.
const ANSWER: [u8; 31] = [
    0x80, 0, 0, 0, 0, 8, 11, 12, 13, 14, 15, 16, 17, 18, 8, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 1, 0x0a, 0x1a, 0x2a, 0x3a,
];

#[test]
fn the_question_is_laid_out_as_the_rfc_has_it() {
    // RFC 9000 §17.2: form and fixed bit, version, the length of each id before it.
    let head = [0xc3, 0x1a, 0x2a, 0x3a, 0x4a, 8, 1, 2, 3, 4, 5, 6, 7, 8, 8, 11, 12, 13, 14, 15, 16, 17, 18];
    let question = question(IDS, DATAGRAM);
    assert_eq!(question.len(), 1232);
    assert_eq!(question[..head.len()], head);
    assert!(question[head.len()..].iter().all(|byte| *byte == 0));
}

#[test]
fn an_answer_is_one_only_with_version_0_and_our_ids_exchanged() {
    assert_eq!(versions(&ANSWER, IDS), Some(2));
    // The seven bits beside the form are the server's to choose.
    for first in 0..=255 {
        let mut packet = ANSWER;
        packet[0] = first;
        assert_eq!(versions(&packet, IDS).is_some(), first >= 0x80, "{first:#x}");
    }
    for place in 1..23 {
        let mut packet = ANSWER;
        packet[place] ^= 0x40;
        assert_eq!(versions(&packet, IDS), None, "byte {place}");
    }
    for length in 0..ANSWER.len() {
        assert_eq!(versions(&ANSWER[..length], IDS), (length == 27).then_some(1), "{length} bytes");
    }
    assert_eq!(versions(&question(IDS, DATAGRAM), IDS), None, "an echo");
}

#[test]
fn no_two_questions_are_alike() {
    let (one, other) = (Ids::random().unwrap(), Ids::random().unwrap());
    assert_ne!(one.destination, other.destination);
    assert_ne!(one.source, other.source);
    assert_ne!(one.source, one.destination);
}

proptest! {
    #[test]
    fn no_packet_is_too_strange(packet in prop::collection::vec(any::<u8>(), 0..1500)) {
        prop_assert_eq!(versions(&packet, IDS), None);
    }
}

/// A server that answers the datagram of that number, counted from 0, as `answer` says.
async fn server(number: usize, answer: impl Fn(&[u8]) -> Vec<Vec<u8>> + Send + 'static) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut packet = [0; 2000];
        for seen in 0.. {
            let (length, from) = socket.recv_from(&mut packet).await.unwrap();
            for answer in answer(&packet[..length]).iter().filter(|_| seen >= number) {
                socket.send_to(answer, from).await.unwrap();
            }
        }
    });
    address
}

/// The right answer to a question.
fn right(question: &[u8]) -> Vec<u8> {
    [&[0x80, 0, 0, 0, 0], &question[14..23], &question[5..14], &[0, 0, 0, 1]].concat()
}

#[tokio::test]
async fn a_lost_datagram_is_sent_again_and_a_stranger_does_not_matter() {
    let lost = server(2, |question| vec![right(question)]).await;
    assert_eq!(ask(lost, None).await, Try::answered("QUIC answered, with 1 versions"));
    let stranger = server(0, |question| vec![b"?".to_vec(), vec![0; 1400], right(question)]).await;
    assert_eq!(ask(stranger, None).await.reach, Reach::Answered);
}

#[tokio::test]
async fn refused_silent_and_flooding_are_told_apart() {
    // It hears its own peer and nobody else, so that the port is closed for others, and nobody is given it.
    let deaf = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    deaf.connect("127.0.0.1:9").await.unwrap();
    let closed = deaf.local_addr().unwrap();
    let silent = server(usize::MAX, |_| vec![]).await;
    let flood = server(0, |_| vec![vec![0x80; 1200]; 1000]).await;
    let wrong = server(0, |question| vec![question.to_vec()]).await;
    let (closed, silent, flood, wrong) =
        tokio::join!(ask(closed, None), ask(silent, None), ask(flood, None), ask(wrong, None));
    assert_eq!(closed, Try::failed("connection refused"));
    assert_eq!(silent, Try::silent("no answer"));
    assert_eq!((flood, wrong), (not_quic(), not_quic()));
}

#[tokio::test]
async fn ipv6_is_asked_too() {
    // Nobody listens there; a host without IPv6 says so.
    assert_eq!(ask("[::1]:9".parse().unwrap(), None).await.reach, Reach::Failed);
}

#[tokio::test]
async fn the_question_has_the_size_of_cloudflareds_own() {
    for (host, size) in [("127.0.0.1:0", 1232), ("[::1]:0", 1252)] {
        // A host without IPv6 has nobody to ask over it.
        let Ok(socket) = UdpSocket::bind(host).await else { continue };
        let edge = socket.local_addr().unwrap();
        let asked = tokio::spawn(ask(edge, None));
        let mut packet = [0; 2000];
        let (length, from) = socket.recv_from(&mut packet).await.unwrap();
        assert_eq!(length, size, "{host}");
        socket.send_to(&right(&packet[..length]), from).await.unwrap();
        assert_eq!(asked.await.unwrap().reach, Reach::Answered);
    }
}

#[tokio::test]
async fn it_is_asked_from_the_address_that_the_connector_uses() {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let edge = socket.local_addr().unwrap();
    let asked = tokio::spawn(ask(edge, Some("127.77.0.1".parse().unwrap())));
    let mut packet = [0; 2000];
    let (length, from) = socket.recv_from(&mut packet).await.unwrap();
    assert_eq!(from.ip().to_string(), "127.77.0.1");
    socket.send_to(&right(&packet[..length]), from).await.unwrap();
    assert_eq!(asked.await.unwrap().reach, Reach::Answered);
    // An address of documentation (RFC 5737), which is nobody's.
    let foreign = ask(edge, Some("192.0.2.1".parse().unwrap())).await;
    assert_eq!(foreign.obstacle, Some(Obstacle::ForeignSource), "{foreign:?}");
}
