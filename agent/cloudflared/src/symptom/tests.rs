use super::*;
use crate::Transcript;
use std::collections::BTreeMap;
use testing::fake::recordings;

/// Every line of every recording, read as an output of one child.
fn read() -> Vec<(String, Line, Meaning, Option<Complaint>)> {
    let mut all = vec![];
    for (file, lines) in recordings() {
        let mut transcript = Transcript::default();
        for text in lines {
            let line = Line::parse(&text);
            let meaning = transcript.read(&line);
            let complaint = transcript.complaint(&line, meaning);
            all.push((file.clone(), line, meaning, complaint));
        }
    }
    assert!(all.len() > 4000, "the recordings are there: {}", all.len());
    all
}

#[test]
fn every_recorded_line_has_a_meaning() {
    let other: Vec<_> = read().into_iter().filter(|(_, _, meaning, _)| meaning.symptom == Symptom::Unknown).collect();
    assert!(other.is_empty(), "{} lines: {other:#?}", other.len());
}

/// Printed where the edge was slow to speak HTTP/2 after TLS. The library's words may be any; a crash keeps its own meaning.
#[test]
fn what_a_library_prints_has_a_meaning() {
    for text in
        ["timeout waiting for SETTINGS frames from 127.0.0.1:7844", "http: TLS handshake error from 127.0.0.1:4: EOF"]
    {
        let meaning = meaning(&format!("2026/11/27 11:10:21 {text}"));
        assert_eq!((meaning.event, meaning.symptom), ("library", Symptom::Chatter), "{text}");
        assert_eq!(classify(&Line::parse(text.as_bytes())).symptom, Symptom::Unknown, "without a date: {text}");
    }
    assert_eq!(meaning("panic: 2026/11/27 11:10:21 x").symptom, Symptom::Crashed);
}

/// The program writes an object field by field: another line may stand between any two of them.
#[test]
fn every_line_that_is_torn_has_a_meaning() {
    let whole = br#"{"level":"info","message":"Starting tunnel","time":"2026-11-27T05:35:10Z"}"#;
    let whole = std::str::from_utf8(whole).unwrap();
    let mut lines = 0;
    let all = recordings().into_iter().flat_map(|(_, lines)| lines);
    for text in all.filter(|text| text.starts_with(b"{") && !Line::parse(text).is_plain()) {
        let text = String::from_utf8(text).unwrap();
        let text = text.trim_end();
        // Where a field may begin; a text may hold the same, which is torn nowhere.
        let places = text.match_indices(",\"").map(|(at, _)| at).chain([text.len() - 1, text.len()]);
        for at in places {
            let (head, tail) = text.split_at(at);
            for line in [head.to_owned() + whole, head.to_owned(), tail.to_owned(), tail.to_owned() + whole] {
                let known = line.is_empty() || classify(&Line::parse(line.as_bytes())).symptom != Symptom::Unknown;
                assert!(known, "{line}");
                lines += 1;
            }
        }
    }
    assert!(lines > 10_000, "{lines}");
}

/// How many lines of each recording mean what; chatter apart.
fn found() -> BTreeMap<String, BTreeMap<&'static str, u32>> {
    let mut found: BTreeMap<_, BTreeMap<_, _>> = BTreeMap::new();
    for (file, _, meaning, _) in read() {
        let Some(file) = file.strip_prefix("logs/") else { continue };
        let events = found.entry(file.to_owned()).or_default();
        if !matches!(meaning.symptom, Symptom::Chatter | Symptom::DnsFailed | Symptom::ConnectorId) {
            *events.entry(meaning.event).or_default() += 1;
        }
    }
    found
}

#[test]
fn every_recording_means_what_happened_then() {
    let expected: [(&str, &[(&str, u32)]); 20] = [
        ("cfg_bad_service.log", &[("config_bad_service", 2)]),
        ("cfg_badyaml.log", &[("config_not_yaml", 1)]),
        ("cfg_id_mismatch.log", &[("registered", 4)]),
        ("cfg_missing.log", &[("config_missing", 1)]),
        ("cfg_nocatchall.log", &[("config_no_catch_all", 2)]),
        ("cfg_nocreds.log", &[("credentials_missing", 1)]),
        ("cfg_unknown_key.log", &[("registered", 4)]),
        // Registered, dropped and back, dropped, told twice a connection that the tunnel was deleted, three back, told
        // to stop. One of the tunnel_deleted lines was torn apart, and its second half is the `rejected`.
        (
            "connected.log",
            &[
                ("connection_lost", 8),
                ("registered", 11),
                ("rejected", 1),
                ("retrying", 19),
                ("stopping", 1),
                ("tunnel_deleted", 15),
                ("unregistered", 3),
            ],
        ),
        ("creds_garbage.log", &[("credentials_not_json", 3)]),
        ("metrics_port_in_use.log", &[("metrics_port_taken", 2)]),
        ("sig_SIGHUP.log", &[("registered", 4)]),
        ("sig_SIGINT.log", &[("registered", 4), ("retrying", 4), ("stopping", 1), ("unregistered", 4)]),
        ("sig_SIGTERM.log", &[("registered", 4), ("retrying", 4), ("stopping", 1), ("unregistered", 4)]),
        ("start_blackhole.log", &[("edge_timed_out", 2), ("retrying", 2)]),
        ("start_drop.log", &[("edge_cut", 6), ("retrying", 6)]),
        ("start_edge_refused.log", &[("edge_refused", 11), ("retrying", 11)]),
        ("start_hang.log", &[("gave_up", 2), ("registration_timed_out", 2), ("retrying", 1)]),
        ("start_permanent.log", &[("retrying", 1), ("tunnel_deleted", 5)]),
        // Its last words, `edge is overloaded`, are the edge's own and can be anything; they repeat an earlier error.
        ("start_retry.log", &[("gave_up", 2), ("rejected", 3), ("retrying", 1)]),
        ("start_unauthorized.log", &[("connection_lost", 1), ("gave_up", 3), ("retrying", 3), ("unauthorized", 5)]),
    ];
    let expected: BTreeMap<_, BTreeMap<_, _>> =
        expected.into_iter().map(|(file, events)| (file.to_owned(), events.iter().copied().collect())).collect();
    assert_eq!(found(), expected);
}

#[test]
fn every_row_was_seen_where_it_says() {
    let lines = read();
    for row in TABLE {
        let Source::Recorded(source) = row.source else { continue };
        let first = |line: &Line| TABLE.iter().find(|row| row.when.fits(line));
        let seen = lines.iter().any(|(file, line, ..)| file == source && first(line) == Some(row));
        assert!(seen, "{row:?}");
    }
}

#[test]
fn nothing_is_an_error_and_what_repeats_is_quiet() {
    for row in TABLE {
        assert!(row.meaning.level > Level::ERROR, "{row:?}");
        let names = |other: &&Row| other.meaning.event == row.meaning.event;
        assert!(row.meaning.event != "other" && TABLE.iter().filter(names).count() > 0);
    }
    let unknown = classify(&Line::parse(br#"{"level":"error","message":"never seen"}"#));
    assert_eq!(unknown, Meaning { event: "other", symptom: Symptom::Unknown, level: Level::WARN });
    let unknown = classify(&Line::parse(br#"{"level":"debug","message":"never seen"}"#));
    assert_eq!(unknown.level, Level::DEBUG);
    assert_eq!(classify(&Line::parse(b"never seen")).level, Level::WARN);
}

#[test]
fn a_clean_stop_raises_no_alarm() {
    for file in ["logs/sig_SIGTERM.log", "logs/sig_SIGINT.log"] {
        let lines: Vec<_> = read().into_iter().filter(|(of, ..)| of == file).map(|(_, line, ..)| line).collect();
        let stop = lines.iter().position(|line| classify(line).symptom == Symptom::Stopping).unwrap();
        assert!(lines[stop..].iter().any(|line| line.level == Some(Level::ERROR)), "the program itself prints errors");
        let loud: Vec<_> = lines[stop..].iter().filter(|line| classify(line).level <= Level::WARN).collect();
        assert!(loud.is_empty(), "{file}: {loud:?}");
    }
}

fn meaning(line: &str) -> Meaning {
    classify(&Line::parse(line.as_bytes()))
}

/// A line of the program's at level error.
fn error(message: &str, error: &str) -> String {
    serde_json::json!({"level": "error", "message": message, "error": error, "connIndex": 0}).to_string()
}

#[test]
fn an_origins_trouble_is_not_the_tunnels() {
    const DOWN: &str = "Unable to reach the origin service. The service may be down or it may not be responding to traffic from cloudflared: ";
    for cause in [
        "dial tcp 127.0.0.1:3306: connect: connection refused",
        "dial tcp [fd00::1]:3306: connect: no route to host",
        "dial tcp 10.1.2.3:3306: i/o timeout",
        "dial tcp: lookup db.internal.example on 127.0.0.53:53: no such host",
        "dial tcp: lookup db.internal.example: i/o timeout",
        "dial unix /run/app.sock: connect: no such file or directory",
        "dial udp: lookup db.internal.example on 127.0.0.53:53: server misbehaving",
        "lookup db.internal.example: no such host",
    ] {
        let down = format!("{DOWN}{cause}");
        for line in [
            // HTTP: the request's line and the rule's; a stream: the same two. Over HTTP/2 the request is served, or not.
            error("Request failed", &down),
            error("Request failed", cause),
            error("", &down),
            error("", cause),
            error("failed to serve incoming request", &format!("Failed to proxy HTTP: {down}")),
            error("failed to serve incoming request", &format!("Failed to proxy HTTP: {cause}")),
        ] {
            assert_eq!(meaning(&line).symptom, Symptom::OriginUnreachable, "{line}");
        }
    }
    // Not the origin's: the client went away; the edge cannot be dialled, or found.
    for message in ["Request failed", "", "failed to serve incoming request"] {
        let gone = error(message, "Incoming request ended abruptly: context canceled");
        assert_eq!(meaning(&gone).symptom, Symptom::Chatter, "{gone}");
    }
    let edge = error(EDGE, "DialContext error: dial tcp 198.41.200.33:7844: i/o timeout");
    assert_eq!(meaning(&edge).symptom, Symptom::EdgeUnreachable);
}

const EDGE: &str = "Unable to establish connection with Cloudflare edge";
/// What releases have called it over QUIC.
const QUIC: [&str; 2] = ["Failed to dial a quic connection", "Failed to create new quic connection"];

#[test]
fn no_failure_to_dial_is_without_a_meaning() {
    for cause in [
        "DialContext error: dial tcp 198.41.192.7:7844: connect: network is unreachable",
        "DialContext error: dial tcp [2606:4700:a0::1]:7844: connect: no route to host",
        "DialContext error: dial tcp 198.41.192.7:7844: connect: permission denied",
        "DialContext error: dial tcp 10.0.0.1:0->198.41.192.7:7844: bind: cannot assign requested address",
        "DialContext error: dial tcp 198.41.192.7:7844: socket: too many open files",
        "TLS handshake with edge error: EOF",
        "words that nobody has seen yet",
    ] {
        assert_eq!(meaning(&error(EDGE, cause)).symptom, Symptom::EdgeUnreachable, "{cause}");
    }
    for cause in [
        "failed to dial to edge with quic: timeout: no recent network activity",
        "failed to dial to edge with quic: timeout: handshake did not complete in time",
        "failed to dial to edge with quic: INTERNAL_ERROR (local): write udp 10.0.0.1:5->198.41.192.7:7844: sendmsg: operation not permitted",
        "failed to dial to edge with quic: write udp 10.0.0.1:5->198.41.192.7:7844: sendto: network is unreachable",
        "listen udp 10.9.9.9:0: bind: cannot assign requested address",
        "words that nobody has seen yet",
    ] {
        for message in QUIC {
            assert_eq!(meaning(&error(message, cause)).symptom, Symptom::EdgeUnreachable, "{message}: {cause}");
        }
    }
}

#[test]
fn who_cannot_prove_to_be_the_edge_is_not_the_edge() {
    for cause in [
        "TLS handshake with edge error: tls: failed to verify certificate: x509: certificate signed by unknown authority",
        "TLS handshake with edge error: x509: certificate is valid for proxy.example, not h2.cftunnel.com",
        "TLS handshake with edge error: tls: first record does not look like a TLS handshake",
        "TLS handshake with edge error: remote error: tls: handshake failure",
    ] {
        assert_eq!(meaning(&error(EDGE, cause)).symptom, Symptom::EdgeImpostor, "{cause}");
    }
    for cause in [
        "failed to dial to edge with quic: CRYPTO_ERROR 0x12a (local): tls: failed to verify certificate: x509: certificate has expired or is not yet valid",
        "failed to dial to edge with quic: CRYPTO_ERROR 0x178 (remote): tls: no application protocol",
    ] {
        for message in QUIC {
            assert_eq!(meaning(&error(message, cause)).symptom, Symptom::EdgeImpostor, "{message}: {cause}");
        }
    }
    // An origin's certificate is the origin's.
    let origin = "Unable to reach the origin service. The service may be down: tls: failed to verify certificate: x509: certificate signed by unknown authority";
    assert_eq!(meaning(&error("Request failed", origin)).symptom, Symptom::OriginUnreachable);
}

#[test]
fn a_loss_over_quic_is_a_loss_in_every_release() {
    for message in [
        "failed to serve tunnel connection",
        "Failed to serve tunnel connection",
        "Failed to serve quic connection",
        "Failed to create new tunnel connection",
    ] {
        for cause in [
            "control stream encountered a failure while serving",
            "accept stream listener encountered a failure while serving",
            "datagram manager encountered a failure while serving",
            "failed to accept QUIC stream: timeout: no recent network activity",
            "Application error 0x0 (remote)",
            "words that nobody has seen yet",
        ] {
            assert_eq!(meaning(&error(message, cause)).symptom, Symptom::ConnectionLost, "{message}: {cause}");
        }
    }
    for message in [
        "failed to accept incoming stream requests",
        "failed to run the datagram handler",
        "failed to serve the control stream",
        "Serve tunnel error",
    ] {
        let loud = meaning(&error(message, "words that nobody has seen yet"));
        assert_eq!((loud.symptom, loud.level), (Symptom::Chatter, Level::DEBUG), "{message}");
    }
}

#[test]
fn what_the_names_of_the_edge_end_a_start_with_is_dns() {
    for cause in [
        "Could not lookup srv records on _v2-origintunneld._tcp.argotunnel.com: lookup _v2-origintunneld._tcp.argotunnel.com: i/o timeout",
        "Could not lookup srv records on _us-v2-origintunneld._tcp.argotunnel.com: lookup _us-v2-origintunneld._tcp.argotunnel.com on 127.0.0.53:53: no such host",
        "Couldn't resolve SRV record &{region1.v2.argotunnel.com. 7844 1 1}: lookup region1.v2.argotunnel.com. on 127.0.0.53:53: no such host",
        "SRV record &{region1.v2.argotunnel.com. 7844 1 1} had no IPs",
        "expected at least 2 Cloudflare Regions regions, but SRV only returned 1",
        "failed to resolve any edge address",
        "there are no free edge addresses left to resolve to",
    ] {
        for message in ["Initiating shutdown", "initial tunnel connection failed"] {
            assert_eq!(meaning(&error(message, cause)).symptom, Symptom::DnsFailed, "{message}: {cause}");
        }
        assert_eq!(meaning(cause).symptom, Symptom::DnsFailed, "{cause}");
    }
    for cause in
        ["lookup region1.v2.argotunnel.com on 127.0.0.53:53: server misbehaving", "lookup argotunnel.com: i/o timeout"]
    {
        assert_eq!(meaning(cause).symptom, Symptom::DnsFailed, "{cause}");
    }
}

#[test]
fn a_start_that_ends_for_want_of_an_address_says_so_last() {
    let mut last: BTreeMap<String, Option<Complaint>> = BTreeMap::new();
    for (file, _, _, complaint) in read() {
        last.insert(file, complaint);
    }
    let dns: Vec<_> = last.iter().filter(|(file, _)| file.starts_with("starts/dns_")).collect();
    assert_eq!(dns.len(), 5, "{dns:?}");
    for (file, complaint) in dns.into_iter().chain(last.get_key_value("more/no_dns.log")) {
        assert_eq!(*complaint, Some(Complaint::DnsFailed), "{file}");
    }
}

#[test]
fn no_failure_to_start_is_without_a_meaning() {
    assert_eq!(
        meaning(&error("Couldn't start tunnel", "words that nobody has seen yet")).symptom,
        Symptom::ConfigRefused
    );
    for message in ["initial tunnel connection failed", "Initiating shutdown"] {
        assert_eq!(meaning(&error(message, "words that nobody has seen yet")).symptom, Symptom::GaveUp);
    }
    assert_eq!(meaning(&error("Register tunnel error from server side", "new words")).symptom, Symptom::Rejected);
    assert_eq!(meaning(&error("failed to serve incoming request", "new words")).symptom, Symptom::Rejected);
}

#[test]
fn however_its_runtime_ends_it_crashed() {
    for line in [
        "panic: runtime error: invalid memory address or nil pointer dereference",
        "fatal error: all goroutines are asleep - deadlock!",
        "runtime: out of memory: cannot allocate 4194304-byte block",
        "unexpected fault address 0x7f0000",
        "SIGSEGV: segmentation violation",
        "SIGBUS: bus error",
        "SIGILL: illegal instruction",
        "SIGABRT: abort",
    ] {
        assert_eq!(meaning(line).symptom, Symptom::Crashed, "{line}");
    }
}

#[test]
fn no_line_from_the_field_is_without_a_meaning() {
    for line in testing::fuzz::from_the_field("lines.txt") {
        let line = String::from_utf8(line).unwrap();
        assert_ne!(meaning(&line).symptom, Symptom::Unknown, "{line}");
    }
}

#[test]
fn a_recording_complains_of_what_was_wrong_then_and_of_nothing_else() {
    let mut found: BTreeMap<String, Vec<Complaint>> = BTreeMap::new();
    for (file, _, _, complaint) in read() {
        let complaints = found.entry(file).or_default();
        // The recordings were made where no name server is.
        complaints.extend(complaint.filter(|complaint| *complaint != Complaint::DnsFailed));
        complaints.sort();
        complaints.dedup();
    }
    let of = |file: &str| found[file].as_slice();
    use Complaint::{
        ConfigRefused, CredentialsUnreadable, EdgeRejected, EdgeSilent, EdgeUnreachable, OriginUnreachable, PortTaken,
        TunnelGone, Unauthorized,
    };
    for (file, expected) in [
        ("logs/start_unauthorized.log", &[Unauthorized][..]),
        ("logs/start_permanent.log", &[TunnelGone]),
        ("logs/start_retry.log", &[EdgeRejected]),
        ("logs/start_hang.log", &[EdgeSilent]),
        ("logs/start_edge_refused.log", &[EdgeUnreachable]),
        ("logs/start_blackhole.log", &[EdgeUnreachable]),
        ("logs/start_drop.log", &[EdgeUnreachable]),
        ("logs/metrics_port_in_use.log", &[PortTaken]),
        // Clean runs, and clean stops, at which the program prints errors.
        ("logs/sig_SIGTERM.log", &[]),
        ("logs/sig_SIGINT.log", &[]),
        ("logs/sig_SIGHUP.log", &[]),
        ("logs/cfg_unknown_key.log", &[]),
        ("more/prechecks_ok.log", &[]),
        ("more/sigterm_with_streams.log", &[]),
        ("more/prechecks_blocked.log", &[EdgeUnreachable]),
        ("more/unreachable_net.log", &[EdgeUnreachable]),
        ("more/unreachable_host.log", &[EdgeUnreachable]),
        ("more/prohibited.log", &[EdgeUnreachable]),
        ("more/wrong_ca_http2.log", &[EdgeUnreachable]),
        ("more/wrong_ca_quic.log", &[EdgeUnreachable]),
        ("more/blackhole_udp_quic.log", &[EdgeUnreachable]),
        ("more/origin_names.log", &[OriginUnreachable]),
        ("more/origin_down.log", &[OriginUnreachable]),
        ("more/cfg_unix.log", &[OriginUnreachable]),
        // Over QUIC no cause of a refusal is named.
        ("quic/start_unauthorized_quic/cloudflared.log", &[]),
        ("quic/start_notfound_quic/cloudflared.log", &[]),
        ("quic/then_permanent_quic/cloudflared.log", &[]),
    ] {
        assert_eq!(of(file), expected, "{file}");
    }
    // What the two files or the command line hold, refused before or after it is read.
    let refused = |file: &&String| {
        let name = file.rsplit('/').next().unwrap();
        (file.starts_with("starts/")
            || name.starts_with("cfg_")
            || name.starts_with("bad_")
            || name.starts_with("cred"))
            && !name.starts_with("dns_")
            && !NOT_REFUSED.contains(&file.as_str())
    };
    assert!(found.keys().filter(refused).count() > 50);
    for file in found.keys().filter(refused) {
        let of_credentials = file.contains("cred");
        let expected = if of_credentials { CredentialsUnreadable } else { ConfigRefused };
        assert_eq!(of(file), [expected], "{file}");
    }
}

/// Odd files that the program runs from, and a start that failed for another reason.
const NOT_REFUSED: [&str; 9] = [
    "logs/cfg_unknown_key.log",
    "logs/cfg_id_mismatch.log",
    "more/cfg_no_ingress.log",
    "more/cfg_unix.log",
    "starts/flag_nodns_region.log",
    "starts/logdir_file.log",
    "starts/loglevel.log",
    "starts/region_unknown.log",
    "starts/trace_nodir.log",
];
