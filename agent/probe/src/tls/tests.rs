use super::*;
use cflared_verdict::Reach;
use proptest::prelude::*;
use tokio::net::TcpListener;

/// A record's header and the first bytes in it.
const SERVER_HELLO: [u8; 7] = [22, 3, 3, 0, 122, 2, 0];

#[test]
fn the_hello_is_a_record_that_names_the_server() {
    let hello = client_hello().unwrap();
    // RFC 8446 §5.1, §4: a handshake record that holds one ClientHello, and nothing after it.
    assert_eq!((hello[0], hello[1], hello[5]), (22, 3, 1));
    assert_eq!(usize::from(u16::from_be_bytes([hello[3], hello[4]])), hello.len() - 5);
    let name = SERVER_NAME.as_bytes();
    assert!(hello.windows(name.len()).any(|part| part == name));
    assert!(hello.len() < 1200, "{}: it fits into a segment", hello.len());
}

#[test]
fn an_answer_is_tls_or_it_is_none() {
    let reach = |answer: &[u8]| judge(answer, None).reach;
    assert_eq!(judge(&SERVER_HELLO, None), Try::answered("TLS answered"));
    assert_eq!(judge(&[21, 3, 3, 0, 2, 2, 40], None), Try::answered("TLS answered with alert 40"));
    for other in
        [*b"HTTP/1.", *b"SSH-2.0", [22, 3, 3, 255, 255, 2, 0], [22, 3, 3, 0, 122, 1, 0], [23, 3, 3, 0, 9, 2, 0]]
    {
        assert_eq!(reach(&other), Reach::Failed, "{other:?}");
    }
    assert_eq!(judge(&[], None).said, "connected, then closed without an answer");
    assert_eq!(
        judge(&[22, 3], Some("connection reset by peer".into())).said,
        "connected, then connection reset by peer"
    );
}

proptest! {
    #[test]
    fn no_answer_is_too_strange(answer in prop::collection::vec(any::<u8>(), 0..=ANSWER)) {
        judge(&answer, None);
    }
}

/// A server that hears the hello and then does as `act` says.
async fn server<F: Future<Output = ()> + Send>(act: impl Fn(TcpStream) -> F + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let _ = stream.read(&mut [0; 4096]).await.unwrap();
        act(stream).await;
    });
    address
}

async fn says(stream: &mut TcpStream, bytes: &[u8]) {
    // The other side may have heard enough.
    let _ = stream.write_all(bytes).await;
}

#[tokio::test]
async fn hostile_servers_are_survived_and_told_apart() {
    let in_pieces = server(|mut stream| async move {
        for byte in SERVER_HELLO {
            says(&mut stream, &[byte]).await;
            tokio::task::yield_now().await;
        }
        std::future::pending().await
    });
    let huge = server(|mut stream| async move { says(&mut stream, &vec![b'x'; 50_000_000]).await });
    let drip = server(|mut stream| async move {
        for byte in [22, 3, 3].into_iter().chain([0; 100]) {
            says(&mut stream, &[byte]).await;
            tokio::time::sleep(std::time::Duration::from_millis(900)).await;
        }
    });
    let reset = server(|mut stream| async move {
        says(&mut stream, &SERVER_HELLO[..3]).await;
        stream.set_zero_linger().unwrap();
    });
    let (in_pieces, huge, drip, reset) = tokio::join!(in_pieces, huge, drip, reset);
    let (in_pieces, huge, drip, reset) =
        tokio::join!(hello(in_pieces, None), hello(huge, None), hello(drip, None), hello(reset, None));
    assert_eq!(in_pieces, Try::answered("TLS answered"));
    assert_eq!(huge, Try::failed("connected, but the answer is not TLS"));
    assert_eq!(drip, Try::mute("connected, but got no TLS answer"));
    assert_eq!(reset.reach, Reach::Failed, "{reset:?}");
}

#[tokio::test]
async fn an_address_that_takes_no_connection_is_silent() {
    let full = testing::Full::new().await;
    assert_eq!(hello(full.address, None).await, Try::silent("no answer"));
}
