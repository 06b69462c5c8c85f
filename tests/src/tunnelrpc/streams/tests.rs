use super::*;

fn request() -> Request {
    Request {
        destination: "http://app.example.test/path".into(),
        kind: Connect::WebSocket,
        metadata: vec![
            (METHOD.into(), "GET".into()),
            (HOST.into(), "app.example.test".into()),
            (header_key("Accept"), "*/*".into()),
            (header_key("Accept"), "text/html".into()),
        ],
    }
}

#[tokio::test]
async fn a_request_and_its_answer_cross() {
    let mut stream = vec![];
    request().write(&mut stream).await.unwrap();
    stream.extend(b"body");
    assert!(stream.starts_with(b"\x0a\x36\xcd\x12\xa1\x3e01\0\0\0\0"), "the beginning, and a message of one segment");
    let mut left = stream.as_slice();
    assert_eq!(read_kind(&mut left).await.unwrap(), Kind::Data);
    let read = Request::read(&mut left).await.unwrap();
    assert_eq!((read, left), (request(), &b"body"[..]), "nothing behind it is taken");

    let response = Response { error: "no such host".into(), metadata: vec![(STATUS.into(), "502".into())] };
    let mut stream = vec![];
    response.write(&mut stream).await.unwrap();
    assert_eq!(Response::read(&mut stream.as_slice()).await.unwrap(), response);
}

#[tokio::test]
async fn metadata_are_found() {
    let metadata = request().metadata;
    assert_eq!(value(&metadata, METHOD), Some("GET"));
    assert_eq!(value(&metadata, STATUS), None);
    assert_eq!(headers(&metadata).collect::<Vec<_>>(), [("Accept", "*/*"), ("Accept", "text/html")]);
}

#[tokio::test]
async fn a_stream_of_calls_has_no_version() {
    let mut stream = vec![];
    begin_calls(&mut stream).await.unwrap();
    assert_eq!(stream, [0x52, 0xbb, 0x82, 0x5c, 0xdb, 0x65]);
    assert_eq!(read_kind(&mut stream.as_slice()).await.unwrap(), Kind::Calls);
}

#[tokio::test]
async fn a_hostile_stream_is_refused() {
    for bytes in [
        &b""[..],
        b"\x0a\x36\xcd\x12\xa1",
        b"GET / HTTP/1.1",
        b"\x0a\x36\xcd\x12\xa1\x3e02",
        b"\x0a\x36\xcd\x12\xa1\x3e0",
    ] {
        assert!(read_kind(&mut &*bytes).await.is_err(), "{bytes:?}");
    }
    let mut good = vec![];
    request().write(&mut good).await.unwrap();
    for length in 8..good.len() {
        assert!(Request::read(&mut &good[8..length]).await.is_err(), "cut to {length}");
    }
    let unknown = frames::frame(&Struct::new(1, 2).with(0, [3]).into());
    assert!(Request::read(&mut unknown.as_slice()).await.is_err());
    let huge = [0u32.to_le_bytes(), u32::MAX.to_le_bytes()].concat();
    assert!(matches!(Request::read(&mut huge.as_slice()).await, Err(frames::Error::Malformed(Malformed::TooLong))));
    let segments = [511u32.to_le_bytes(), 1u32.to_le_bytes()].concat();
    assert!(matches!(
        Request::read(&mut segments.as_slice()).await,
        Err(frames::Error::Malformed(Malformed::Segments))
    ));
    let mut calls = vec![];
    begin_calls(&mut calls).await.unwrap();
    assert!(Response::read(&mut calls.as_slice()).await.is_err(), "an answer on a stream of calls");
}
