use super::*;
use std::collections::BTreeMap;
use std::path::Path;

fn recorded() -> impl Iterator<Item = (String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recorded");
    std::fs::read_dir(folder).unwrap().flat_map(|entry| {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let text = std::fs::read(entry.path()).unwrap();
        let lines: Vec<_> = text.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
        lines.into_iter().filter(|line| !line.is_empty()).map(move |line| (name.clone(), line))
    })
}

/// How many lines of each recording mean what; chatter apart.
fn found() -> BTreeMap<String, BTreeMap<&'static str, u32>> {
    let mut found: BTreeMap<_, BTreeMap<_, _>> = BTreeMap::new();
    for (file, line) in recorded() {
        let meaning = classify(&Line::parse(&line));
        let events = found.entry(file).or_default();
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
        ("start_hang.log", &[("gave_up", 1), ("registration_timed_out", 2), ("retrying", 1)]),
        ("start_permanent.log", &[("retrying", 1), ("tunnel_deleted", 5)]),
        // Its last words, `edge is overloaded`, are the edge's own and can be anything.
        ("start_retry.log", &[("gave_up", 1), ("other", 2), ("rejected", 1), ("retrying", 1)]),
        ("start_unauthorized.log", &[("connection_lost", 1), ("gave_up", 2), ("retrying", 3), ("unauthorized", 5)]),
    ];
    let expected: BTreeMap<_, BTreeMap<_, _>> =
        expected.into_iter().map(|(file, events)| (file.to_owned(), events.iter().copied().collect())).collect();
    assert_eq!(found(), expected);
}

#[test]
fn every_row_was_seen_where_it_says() {
    let lines: Vec<_> = recorded().map(|(file, line)| (file, Line::parse(&line))).collect();
    for row in TABLE {
        let Source::Recorded(source) = row.source else { continue };
        let first = |line: &Line| TABLE.iter().find(|row| row.when.fits(line));
        let seen = lines.iter().any(|(file, line)| file == source && first(line) == Some(row));
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
    assert_eq!(classify(&Line::parse(b"goroutine 1 [running]:")).level, Level::WARN);
}

#[test]
fn a_clean_stop_raises_no_alarm() {
    for file in ["sig_SIGTERM.log", "sig_SIGINT.log"] {
        let lines: Vec<_> = recorded().filter(|(of, _)| of == file).map(|(_, line)| Line::parse(&line)).collect();
        let stop = lines.iter().position(|line| classify(line).symptom == Symptom::Stopping).unwrap();
        assert!(lines[stop..].iter().any(|line| line.level == Some(Level::ERROR)), "the program itself prints errors");
        let loud: Vec<_> = lines[stop..].iter().filter(|line| classify(line).level <= Level::WARN).collect();
        assert!(loud.is_empty(), "{file}: {loud:?}");
    }
}

#[test]
fn an_origins_trouble_is_not_the_tunnels() {
    const DOWN: &str = "Unable to reach the origin service. The service may be down or it may not be responding to traffic from cloudflared: dial tcp 127.0.0.1:5244: connect: connection refused";
    let symptom = |line: &str| classify(&Line::parse(line.as_bytes())).symptom;
    for line in [
        // HTTP: the request's line and the rule's.
        format!(r#"{{"level":"error","error":"{DOWN}","connIndex":1,"dest":"https://x/","event":0,"ip":"198.41.200.23","type":"http","message":"Request failed"}}"#),
        format!(r#"{{"level":"error","error":"{DOWN}","connIndex":0,"event":1,"ingressRule":4,"originService":"http://127.0.0.1:5244"}}"#),
        // A stream: the same two.
        r#"{"level":"error","error":"dial tcp 127.0.0.1:3306: connect: connection refused","connIndex":0,"dest":"https://x/","event":0,"ip":"198.41.200.23","type":"ws","message":"Request failed"}"#.into(),
        r#"{"level":"error","error":"dial tcp 127.0.0.1:3306: connect: connection refused","ingressRule":0,"originService":"tcp://127.0.0.1:3306"}"#.into(),
    ] {
        assert_eq!(symptom(&line), Symptom::OriginUnreachable, "{line}");
    }
    // Not the origin's: the client went away; the edge cannot be dialled.
    let gone =
        r#"{"level":"error","error":"Incoming request ended abruptly: context canceled","message":"Request failed"}"#;
    assert_eq!(symptom(gone), Symptom::Unknown);
    let edge = r#"{"level":"error","error":"DialContext error: dial tcp 198.41.200.33:7844: i/o timeout","message":"Unable to establish connection with Cloudflare edge"}"#;
    assert_eq!(symptom(edge), Symptom::EdgeUnreachable);
}

#[test]
fn quic_has_words_of_its_own() {
    let line = br#"{"level":"error","error":"failed to dial to edge with quic: timeout: no recent network activity","connIndex":0,"message":"Failed to dial a quic connection"}"#;
    assert_eq!(classify(&Line::parse(line)).symptom, Symptom::EdgeUnreachable);
}

#[test]
fn a_recording_complains_of_what_was_wrong_then_and_of_nothing_else() {
    let mut found: BTreeMap<String, Vec<Complaint>> = BTreeMap::new();
    for (file, line) in recorded() {
        let complaints = found.entry(file).or_default();
        // The recordings were made where no name server is.
        let complaint = classify(&Line::parse(&line)).symptom.complaint();
        complaints.extend(complaint.filter(|complaint| *complaint != Complaint::DnsFailed));
        complaints.sort();
        complaints.dedup();
    }
    let of = |file: &str| found[file].as_slice();
    use Complaint::{
        ConfigRefused, CredentialsUnreadable, EdgeRejected, EdgeSilent, EdgeUnreachable, PortTaken, TunnelGone,
        Unauthorized,
    };
    for (file, expected) in [
        ("start_unauthorized.log", &[Unauthorized][..]),
        ("start_permanent.log", &[TunnelGone]),
        ("start_retry.log", &[EdgeRejected]),
        ("start_hang.log", &[EdgeSilent]),
        ("start_edge_refused.log", &[EdgeUnreachable]),
        ("start_blackhole.log", &[EdgeUnreachable]),
        ("start_drop.log", &[EdgeUnreachable]),
        ("metrics_port_in_use.log", &[PortTaken]),
        ("cfg_missing.log", &[ConfigRefused]),
        ("cfg_badyaml.log", &[ConfigRefused]),
        ("cfg_nocatchall.log", &[ConfigRefused]),
        ("cfg_bad_service.log", &[ConfigRefused]),
        ("cfg_nocreds.log", &[CredentialsUnreadable]),
        ("creds_garbage.log", &[CredentialsUnreadable]),
        // Clean runs, and clean stops, at which the program prints errors.
        ("sig_SIGTERM.log", &[]),
        ("sig_SIGINT.log", &[]),
        ("sig_SIGHUP.log", &[]),
        ("cfg_unknown_key.log", &[]),
    ] {
        assert_eq!(of(file), expected, "{file}");
    }
}
