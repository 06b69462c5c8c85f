use super::sample::Sample;
use super::*;
use cflared_verdict::{Transport, Tries};
use cloudflared::sockets::Stranger;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use testing::{PATIENCE, Refusing, ended};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const OURS: &str = "dfbd57bc-3608-4c49-853c-a9e9f7cbcc5c";
const OTHER: &str = "2e35479b-7019-4638-ac1d-9c5b6685f650";
/// Short, for what is cut off by it.
const SHORT: Duration = Duration::from_millis(400);

/// A server that treats each request with `answer` and keeps the connection for the next one if that returns true.
struct Server {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    requests: Arc<AtomicUsize>,
}

async fn server<F: AsyncFn(&mut TcpStream) -> bool + Copy + 'static>(answer: F) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let connections = Arc::new(AtomicUsize::new(0));
    let requests = Arc::new(AtomicUsize::new(0));
    let counts = (connections.clone(), requests.clone());
    tokio::task::spawn_local(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            counts.0.fetch_add(1, Ordering::Relaxed);
            let requests = counts.1.clone();
            tokio::task::spawn_local(async move {
                while read_head(&mut stream).await {
                    requests.fetch_add(1, Ordering::Relaxed);
                    if !answer(&mut stream).await {
                        break;
                    }
                }
            });
        }
    });
    Server { address, connections, requests }
}

async fn read_head(stream: &mut TcpStream) -> bool {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return false,
        }
    }
    true
}

async fn say(stream: &mut TcpStream, status: u16, body: &str) -> bool {
    let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n", body.len());
    stream.write_all((head + body).as_bytes()).await.is_ok()
}

fn ready_body(status: u16, connections: u32, id: &str) -> String {
    format!(r#"{{"status":{status},"readyConnections":{connections},"connectorId":"{id}"}}"#)
}

async fn unclear() -> Listener {
    Listener::Unclear
}

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, test);
}

/// One that a busy machine does not keep from its answer.
fn observer() -> Observer {
    Observer::new(PATIENCE).unwrap()
}

fn why(ready: &Ready) -> &str {
    match ready {
        Ready::Unanswered { why } => why,
        other => panic!("expected Unanswered, got {other:?}"),
    }
}

#[test]
fn ready_is_judged_by_status_connections_and_id() {
    let judge = |status, connections, id, expected| {
        ready::judge(status, ready_body(status, connections, id).as_bytes(), expected, &Listener::Unclear)
    };
    assert_eq!(judge(200, 4, OURS, Some(OURS)), Ready::Yes { connections: 4 });
    assert_eq!(judge(200, 1, OURS, Some(OURS)), Ready::Yes { connections: 1 });
    assert_eq!(judge(503, 0, OURS, Some(OURS)), Ready::No);
    assert_eq!(judge(200, 0, OURS, Some(OURS)), Ready::No, "200 with nothing up carries nothing");
    assert_eq!(judge(503, 3, OURS, Some(OURS)), Ready::No, "503 is not ready whatever it counts");
    let another = Ready::Foreign { owner: format!("another cloudflared (connector {OTHER})") };
    assert_eq!(judge(200, 4, OTHER, Some(OURS)), another);
    assert_eq!(judge(503, 0, OTHER, Some(OURS)), another);
    assert_eq!(judge(200, 4, OTHER, None), Ready::Yes { connections: 4 }, "nothing says that it is another's");
    assert!(why(&judge(200, 257, OURS, Some(OURS))).contains("257 connections, which cloudflared cannot hold"));
    assert!(why(&judge(404, 4, OURS, Some(OURS))).contains("HTTP 404"));
}

#[test]
fn the_socket_counts_before_the_id() {
    let judge = |status, connections, expected, listener: &Listener| {
        ready::judge(status, ready_body(status, connections, OTHER).as_bytes(), expected, listener)
    };
    for expected in [None, Some(OURS), Some(OTHER)] {
        assert_eq!(judge(200, 4, expected, &Listener::Ours), Ready::Yes { connections: 4 });
        assert_eq!(judge(503, 0, expected, &Listener::Ours), Ready::No);
        for (status, connections) in [(200, 4), (503, 0)] {
            let foreign = judge(status, connections, expected, &stranger());
            assert_eq!(foreign, Ready::Foreign { owner: "nc (pid 5, uid 1001)".into() }, "{expected:?}");
        }
    }
    let text = why(&ready::judge(404, b"", None, &stranger())).to_owned();
    assert!(text.ends_with("; the port is held by nc (pid 5, uid 1001)"), "{text}");
}

fn stranger() -> Listener {
    Listener::Stranger(Stranger { process: Some((5, "nc".into())), uid: 1001 })
}

#[test]
fn a_ready_body_that_is_not_cloudflareds_is_no_answer() {
    let deep = format!(r#"{{"readyConnections":{}{}}}"#, "[".repeat(30_000), "]".repeat(30_000));
    for body in [
        "",
        "OK",
        "null",
        "[]",
        "{}",
        r#"{"status":200}"#,
        r#"{"readyConnections":-1,"connectorId":"x"}"#,
        r#"{"readyConnections":4294967296,"connectorId":"x"}"#,
        r#"{"readyConnections":"4","connectorId":"x"}"#,
        r#"{"readyConnections":4,"connectorId":7}"#,
        r#"{"readyConnections":4,"connectorId":"x"} trailing"#,
        &deep,
    ] {
        let judged = ready::judge(200, body.as_bytes(), Some(OURS), &Listener::Unclear);
        assert!(why(&judged).contains("something else than cloudflared's JSON"), "{body:.60}: {judged:?}");
    }
}

#[test]
fn a_foreign_id_cannot_bring_control_characters_or_length_into_the_log() {
    let body = format!(r#"{{"readyConnections":4,"connectorId":"a\u001b[31m\n{}"}}"#, "x".repeat(10_000));
    match ready::judge(200, body.as_bytes(), Some(OURS), &Listener::Unclear) {
        Ready::Foreign { owner } => {
            assert_eq!(owner.len(), 64 + "another cloudflared (connector )".len());
            assert!(owner.contains("(connector a?[31m?x"), "{owner}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn looks_share_one_connection() {
    run(async {
        let server = server(async |stream: &mut TcpStream| say(stream, 200, &ready_body(200, 4, OURS)).await).await;
        let observer = observer();
        for _ in 0..5 {
            let seen = observer.look(server.address, Some(OURS), unclear()).await;
            assert_eq!(seen.ready, Ready::Yes { connections: 4 });
        }
        assert_eq!(server.connections.load(Ordering::Relaxed), 1);
        assert_eq!(server.requests.load(Ordering::Relaxed), 5);
    });
}

#[test]
fn a_server_that_closes_after_each_answer_is_asked_over_a_new_connection() {
    run(async {
        let server = server(async |stream: &mut TcpStream| {
            say(stream, 503, &ready_body(503, 0, OURS)).await;
            false
        })
        .await;
        let observer = observer();
        for _ in 0..3 {
            assert_eq!(observer.look(server.address, Some(OURS), unclear()).await.ready, Ready::No);
        }
        assert_eq!(server.requests.load(Ordering::Relaxed), 3, "each look is answered once");
    });
}

#[test]
fn http_1_0_is_understood() {
    run(async {
        let server = server(async |stream: &mut TcpStream| {
            let text = format!("HTTP/1.0 200 OK\r\n\r\n{}", ready_body(200, 2, OURS));
            stream.write_all(text.as_bytes()).await.unwrap();
            false
        })
        .await;
        assert_eq!(observer().look(server.address, Some(OURS), unclear()).await.ready, Ready::Yes { connections: 2 });
    });
}

/// Looks at a server that does `misbehave`, and returns why that is no answer.
fn look_at<F: AsyncFn(&mut TcpStream) -> bool + Copy + 'static>(observer: &Observer, misbehave: F) -> String {
    let mut result = String::new();
    run(async {
        let server = server(misbehave).await;
        let seen = ended(observer.look(server.address, Some(OURS), unclear())).await;
        result = why(&seen.ready).to_owned();
    });
    result
}

#[test]
fn an_endless_body_is_cut_at_the_limit() {
    let why = look_at(&observer(), async |stream: &mut TcpStream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
        while stream.write_all(&[b'{'; 4096]).await.is_ok() {}
        false
    });
    assert!(why.contains("more than 65536 bytes"), "{why}");
}

#[test]
fn a_slow_drip_is_cut_at_the_time_out() {
    let why = look_at(&Observer::new(SHORT).unwrap(), async |stream: &mut TcpStream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 88\r\n\r\n").await.unwrap();
        while stream.write_all(b"{").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        false
    });
    assert!(why.contains("no complete answer within 400ms"), "{why}");
}

#[test]
fn a_black_hole_is_cut_at_the_time_out() {
    let why = look_at(&Observer::new(SHORT).unwrap(), async |_: &mut TcpStream| std::future::pending().await);
    assert!(why.contains("no complete answer within 400ms"), "{why}");
}

#[test]
fn a_megabyte_of_header_is_refused() {
    let why = look_at(&observer(), async |stream: &mut TcpStream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\nx: ").await.unwrap();
        for _ in 0..1024 {
            if stream.write_all(&[b'x'; 1024]).await.is_err() {
                return false;
            }
        }
        stream.write_all(b"\r\n\r\n").await.is_ok()
    });
    assert!(why.contains("too large"), "{why}");
}

#[test]
fn an_answer_cut_half_way_is_no_answer() {
    let why = look_at(&observer(), async |stream: &mut TcpStream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 88\r\n\r\n{\"status\":200,").await.unwrap();
        false
    });
    assert!(why.contains("end of file"), "{why}");
    let why = look_at(&observer(), async |_: &mut TcpStream| false);
    assert!(why.contains("connection closed") || why.contains("reset"), "{why}");
}

#[test]
fn something_else_than_http_is_no_answer() {
    let why =
        look_at(&observer(), async |stream: &mut TcpStream| stream.write_all(b"SSH-2.0-OpenSSH_9.2\r\n").await.is_ok());
    assert!(why.contains("invalid HTTP version") || why.contains("parse"), "{why}");
}

#[test]
fn a_redirect_is_not_followed() {
    run(async {
        let target = server(async |stream: &mut TcpStream| say(stream, 200, &ready_body(200, 4, OURS)).await).await;
        // The port is told through the path-free text below, because the closure must not capture.
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let location =
            format!("HTTP/1.1 302 F\r\nlocation: http://{}/ready\r\ncontent-length: 0\r\n\r\n", target.address);
        tokio::task::spawn_local(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            read_head(&mut stream).await;
            stream.write_all(location.as_bytes()).await.unwrap();
            std::future::pending::<()>().await;
        });
        let seen = observer().look(address, Some(OURS), unclear()).await;
        assert!(why(&seen.ready).contains("HTTP 302"), "{seen:?}");
        assert_eq!(target.requests.load(Ordering::Relaxed), 0);
    });
}

#[test]
fn nobody_there_is_told_as_refused() {
    run(async {
        let refusing = Refusing::new();
        let seen = observer().look(refusing.address(), Some(OURS), unclear()).await;
        assert!(why(&seen.ready).contains("onnection refused"), "{seen:?}");
    });
}

#[test]
fn an_address_off_loopback_is_never_asked() {
    run(async {
        let seen = observer().look("192.0.2.1:2000".parse().unwrap(), Some(OURS), unclear()).await;
        assert!(why(&seen.ready).contains("only loopback"), "{seen:?}");
    });
}

#[test]
fn a_real_page_gives_its_numbers() {
    let page = Page::parse(include_bytes!("testdata/connected.metrics.txt")).unwrap();
    let expected = Page {
        ha_connections: Some(4),
        version: Some("2026.8.2".into()),
        registered: Some(4),
        register_failures: None,
        tries: Some(Tries { accepted: 4, refused: 0, unanswered: 0, dialled: None }),
        requests: Some(0),
        request_errors: Some(0),
        concurrent_requests: Some(0),
        active_sessions: Some(0),
        edge_locations: (0..4).map(|connection| (connection, "iad01".to_owned())).collect(),
        resident_memory: Some(39_018_496),
    };
    assert_eq!(page, expected);
}

#[test]
fn a_page_may_contradict_ready_and_is_reported_as_it_is() {
    let page = Page::parse(include_bytes!("testdata/contradiction.metrics.txt")).unwrap();
    assert_eq!(page.ha_connections, Some(2), "observed while /ready said 503 and 0");
}

#[test]
fn lines_that_make_no_sense_are_passed_over() {
    let page = Page::parse(
        b"build_info{version=\"1\x1b[2J\"} 1\n\
          cloudflared_tunnel_ha_connections NaN\n\
          cloudflared_tunnel_total_requests -1\n\
          cloudflared_tunnel_request_errors 1e300\n\
          cloudflared_tunnel_concurrent_requests_per_tunnel seven\n\
          cloudflared_tunnel_server_locations{connection_id=\"900\",edge_location=\"iad01\"} 1\n\
          cloudflared_tunnel_server_locations{connection_id=\"1\",edge_location=\"lhr01\"} 0\n\
          cloudflared_tunnel_server_locations{connection_id=\"2\",edge_location=\"fra01\"} 1\n\
          cloudflared_tunnel_tunnel_register_fail{rpcName=\"a\"} 2\n\
          cloudflared_tunnel_tunnel_register_fail{rpcName=\"b\"} 3\n\
          cloudflared_tunnel_server_locations{\n\xff\xfe\n{{{{}}}} 1\n",
    )
    .unwrap();
    let expected = Page {
        version: Some("1?[2J".into()),
        register_failures: Some(5),
        edge_locations: [(2, "fra01".to_owned())].into(),
        ..Page::default()
    };
    assert_eq!(page, expected);
}

#[test]
fn a_line_is_read_with_whatever_its_labels_hold() {
    let read =
        |line| Sample::parse(line).map(|sample| (sample.name, sample.value, sample.label("l").map(str::to_owned)));
    assert_eq!(read("up 1"), Some(("up", 1.0, None)));
    assert_eq!(read("up\t1.5e3 1395066363000"), Some(("up", 1500.0, None)));
    assert_eq!(read("up{} +Inf"), Some(("up", f64::INFINITY, None)));
    assert_eq!(read(r#"up{a="1",l="2026-08-14, 11:22 = {UTC}",} 1"#).unwrap().2.unwrap(), "2026-08-14, 11:22 = {UTC}");
    assert_eq!(read(r#"up{ l = "C:\\dir\n\"x\"" , a="" }2"#).unwrap().2.unwrap(), "C:\\dir\n\"x\"");
    for line in
        ["", "up", "up ", "up one", "# HELP up x", "up{", "up{l", "up{l=", "up{l=1} 1", r#"up{l="1} 1"#, r#"up{l="\"#]
    {
        assert_eq!(read(line), None, "{line}");
    }
    let many = |count| format!("up{{{}}} 1", r#"l="1","#.repeat(count));
    assert!(Sample::parse(&many(16)).is_some() && Sample::parse(&many(17)).is_none(), "labels are bounded");
}

proptest::proptest! {
    #[test]
    fn no_page_makes_the_reader_panic(body in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..400)) {
        let _ = Page::parse(&[b"cloudflared_a", body.as_slice()].concat());
    }

    #[test]
    fn nor_one_that_looks_like_a_page(lines in r#"(cloudflared_x|build_info)?([{}=,"\\ a1\n]{0,9}){0,20}"#) {
        let _ = Page::parse(lines.as_bytes());
    }

    #[test]
    fn a_label_says_what_was_written(value in "(?s).*") {
        let escaped = value.replace('\\', r"\\").replace('"', r#"\""#).replace('\n', r"\n");
        let line = format!(r#"cloudflared_x{{a="1",l="{escaped}",z=""}} 7"#);
        let sample = Sample::parse(&line).unwrap();
        proptest::prop_assert_eq!((sample.label("l"), sample.value), (Some(value.as_str()), 7.0));
    }
}

#[test]
fn a_page_without_cloudflareds_metrics_is_garbage() {
    for body in ["", "<html>", "OK", "process_resident_memory_bytes 1\n"] {
        assert_eq!(Page::parse(body.as_bytes()), Err("it holds no metric of cloudflared".into()), "{body}");
    }
}

#[test]
fn metrics_and_diag_are_read_over_http() {
    run(async {
        let pages = server(async |stream: &mut TcpStream| {
            say(stream, 200, include_str!("testdata/connected.metrics.txt")).await
        })
        .await;
        assert_eq!(observer().metrics(pages.address).await.unwrap().ha_connections, Some(4));
        assert!(matches!(observer().diag(pages.address).await, Err(Error::Garbage { .. })));
        let diag =
            server(async |stream: &mut TcpStream| say(stream, 200, include_str!("testdata/connected.diag.txt")).await)
                .await;
        let seen = observer().diag(diag.address).await.unwrap();
        assert_eq!(seen.connector, OURS);
        let edges: Vec<_> =
            seen.connections.iter().map(|c| (c.index, c.connected, c.edge.unwrap().to_string())).collect();
        let expected = ["127.0.0.2", "127.0.0.1", "127.0.0.3", "127.0.0.4"];
        assert_eq!(edges, (0..4).map(|n| (n, true, expected[usize::from(n)].to_owned())).collect::<Vec<_>>());
        let error = observer().metrics(diag.address).await.unwrap_err().to_string();
        assert!(error.ends_with("it holds no metric of cloudflared"), "{error}");
    });
}

#[test]
fn a_page_over_a_mebibyte_costs_the_metrics_and_nothing_else() {
    run(async {
        let long = server(async |stream: &mut TcpStream| {
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
            while stream.write_all(b"cloudflared_tunnel_ha_connections 1\n".repeat(100).as_slice()).await.is_ok() {}
            false
        })
        .await;
        assert!(matches!(observer().metrics(long.address).await, Err(Error::TooLong { limit: LARGE, .. })));
        let failing = server(async |stream: &mut TcpStream| say(stream, 500, "x").await).await;
        assert!(matches!(observer().metrics(failing.address).await, Err(Error::Status { status: 500, .. })));
    });
}

#[test]
fn diag_without_connections_has_none() {
    let diag = Diag::parse(br#"{"tunnelID":"t","connectorID":"c","icmp_sources":["0.0.0.0"]}"#).unwrap();
    assert_eq!(diag, Diag { connector: "c".into(), connections: Vec::new() });
}

#[test]
fn diag_tells_the_transport_of_what_is_up_or_was() {
    let transport = |connections: &str| {
        let body = format!(r#"{{"connectorID":"c","connections":[{connections}]}}"#);
        Diag::parse(body.as_bytes()).unwrap().transport()
    };
    let quic = r#"{"isConnected":true,"protocol":1,"edgeAddress":"127.0.0.1"}"#;
    let http2 = r#"{"isConnected":true,"edgeAddress":"127.0.0.2","index":1}"#;
    let lost = r#"{"protocol":1,"edgeAddress":"127.0.0.3","index":2}"#;
    let never = r#"{"index":3}"#;
    assert_eq!(transport(""), None);
    assert_eq!(transport(never), None, "what was never up shows the number of HTTP/2");
    assert_eq!(transport(&format!("{quic},{never}")), Some(Transport::Quic));
    assert_eq!(transport(&format!("{http2},{lost}")), Some(Transport::Http2));
    assert_eq!(transport(&format!("{quic},{http2}")), Some(Transport::Http2), "some clients are served so");
    assert_eq!(transport(&format!("{lost},{never}")), Some(Transport::Quic));
}

/// The recorded pages whose names end like that.
fn recorded_pages(ends: &[&str]) -> Vec<Vec<u8>> {
    let home = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/recorded");
    let (mut folders, mut pages) = (vec![home], vec![]);
    while let Some(folder) = folders.pop() {
        for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                folders.push(path);
            } else if ends.iter().any(|end| name.ends_with(end)) {
                pages.push(std::fs::read(path).unwrap());
            }
        }
    }
    pages
}

#[test]
fn fuzz_metrics_page() {
    testing::fuzz::fuzz("metrics-page", recorded_pages(&["metrics.txt", "metrics.200.txt"]), |input| {
        let Ok(page) = Page::parse(input) else { return "no page".into() };
        let shown = |text: &str| text.chars().all(|c| c.is_ascii_graphic());
        assert!(page.version.as_deref().is_none_or(shown) && page.edge_locations.values().all(|place| shown(place)));
        format!(
            "{:?} {:?} {}",
            page.ha_connections.map(|n| n.min(9)),
            page.tries.is_some(),
            page.edge_locations.len().min(9)
        )
    });
}

#[test]
fn fuzz_ready_diag_and_config() {
    let pages =
        recorded_pages(&["ready.200.txt", "ready.503.txt", "diag_tunnel.200.txt", "tunnel.txt", "config.200.txt"]);
    testing::fuzz::fuzz("ready-diag-config", pages, |input| {
        let ready = [200, 503].map(|status| match ready::judge(status, input, Some("dfbd57bc"), &Listener::Unclear) {
            Ready::Yes { connections } => {
                assert!((1..=256).contains(&connections));
                1
            }
            Ready::No => 2,
            Ready::Foreign { owner } => {
                assert!(owner.chars().all(|c| c == ' ' || c.is_ascii_graphic()), "{owner}");
                3
            }
            Ready::Unanswered { .. } => 4,
        });
        let diag = Diag::parse(input).map(|diag| (diag.connections.len().min(9), diag.transport().is_some())).ok();
        let pushed = Pushed::parse(input.to_vec()).map(|pushed| pushed.is_some()).ok();
        (ready, diag, pushed)
    });
}
