use super::*;
use cloudflared::classify;

fn hear(shared: &Shared, text: &str) {
    let line = Line::parse(text.as_bytes());
    shared.note(text.as_bytes(), &line, classify(&line).symptom, 0);
}

fn registered(index: u64, location: &str) -> String {
    format!(
        r#"{{"connIndex":{index},"ip":"198.41.192.{index}","level":"info","location":"{location}","message":"Registered tunnel connection","protocol":"quic"}}"#
    )
}

fn locations(shared: &Shared) -> Vec<(u64, String)> {
    shared.edges().into_iter().map(|(index, edge)| (index, edge.location)).collect()
}

#[test]
fn connections_are_known_from_their_registration_to_their_end() {
    let shared = Shared::default();
    for index in 0..4 {
        hear(&shared, &registered(index, "iad01"));
    }
    assert_eq!(
        shared.edges()[&2],
        Edge { ip: "198.41.192.2".into(), location: "iad01".into(), protocol: "quic".into() }
    );
    hear(&shared, r#"{"connIndex":0,"level":"info","message":"Lost connection with the edge"}"#);
    hear(&shared, r#"{"connIndex":1,"level":"info","message":"Unregistered tunnel connection"}"#);
    hear(&shared, r#"{"connIndex":2,"level":"info","message":"Retrying connection in up to 2s"}"#);
    assert_eq!(locations(&shared), [(3, "iad01".into())]);
    hear(&shared, &registered(1, "ord04"));
    hear(&shared, &registered(u64::MAX, "far"));
    assert_eq!(locations(&shared), [(1, "ord04".into()), (3, "iad01".into())]);
    shared.new_child(7, "127.0.0.1:2000".parse().unwrap(), None);
    assert_eq!(locations(&shared), []);
}

#[test]
fn a_name_of_a_place_is_short_and_printable() {
    let shared = Shared::default();
    hear(&shared, &registered(0, &format!("i\\u001b[2J {}", "x".repeat(5000))));
    let location = &shared.edges()[&0].location;
    assert_eq!(location.len(), NAME);
    assert!(location.starts_with("i[2Jxx"), "{location}");
}

#[test]
fn the_last_lines_hold_no_key() {
    let shared = Shared::default();
    hear(&shared, "token eyJhIjoiMTIzNDU2Nzg5MCIsInQiOiI2ZmY0MmFlMi03NjVk and more");
    assert_eq!(shared.get().last_lines, ["token [redacted] and more"]);
}
