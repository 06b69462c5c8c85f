use super::*;
use cflared_verdict::Mono;
use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};
use testing::Directory;

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

fn mono(seconds: u64) -> Mono {
    Mono::new(Duration::from_secs(seconds))
}

fn status(written_at: u64) -> Status {
    Status {
        schema: SCHEMA,
        written_at: at(written_at).into(),
        agent: Agent { version: "0.1.0".into(), pid: 42, started_at: at(1_767_225_600).into() },
        instance: Some(Instance {
            id: "i-0123456789abcdef0".into(),
            region: "eu-west-1".into(),
            zone: "eu-west-1a".into(),
            image: "ami-1".into(),
            environment: Some("prd".into()),
        }),
        tunnel: Some("6ff42ae2-765d-4adf-8112-31c55c1551ef".into()),
        holds: vec![Hold { by: OPERATOR.into(), until: Some(at(9).into()), note: "alice: maintenance".into() }],
        dry_run: true,
        observing: false,
        blame: Some(Blame { blame: "edge".into(), confidence: "likely".into(), evidence: "nobody".into() }),
        guard: Some("a refresh is under way".into()),
        health: Health { state: "registered".into(), since: at(1).into(), why: "4 connections".into() },
        trouble: None,
        changing: Some(Changing { what: "on probation".into(), until: Some(at(9).into()) }),
        refusing: Some("v4".into()),
        connectors: vec![Connector {
            secret_version: "v1".into(),
            run: 1,
            generation: 3,
            version: Some("2026.8.2".into()),
            pid: Some(43),
            connector_id: Some("dfbd57bc-3608-4c49-853c-a9e9f7cbcc5c".into()),
            metrics: "127.0.0.1:2000".parse().unwrap(),
            metrics_taken: vec![],
            state: "registered".into(),
            connections: 4,
            ha_connections: Some(4),
            restarts: 0,
            last_exit: None,
            remote: None,
            edges: vec![Edge {
                index: 0,
                location: "iad01".into(),
                address: "198.41.192.7".into(),
                protocol: "quic".into(),
            }],
        }],
        installed: Some(Installed { generation: 3, version: "v3".into() }),
        secret: Secret { version: Some("v3".into()), read_at: Some(at(2).into()), last_error: None },
        cloudwatch: Some(CloudWatch { waiting: 1, ..CloudWatch::default() }),
        autoscaling: Some(AutoScaling { group: Some("prd".into()), ..AutoScaling::default() }),
        counters: Counters::default(),
        journal: vec![Entry {
            at: at(1).into(),
            kind: "transition".into(),
            what: "registered".into(),
            evidence: "/ready 200".into(),
            blame: Some("edge".into()),
        }],
    }
}

#[test]
fn a_status_is_read_back_as_it_was_written() {
    let directory = Directory::new();
    let path = directory.path().join("status.json");
    let json = Publisher::default().offer(mono(1), status(100)).unwrap();
    fs::write(&path, &json).unwrap();
    assert_eq!(Status::read(&path).unwrap(), status(100));
}

#[test]
fn an_older_reader_passes_over_what_it_does_not_know() {
    let directory = Directory::new();
    let path = directory.path().join("status.json");
    let least = r#"{"schema":9,"written_at":"2026-01-01T00:00:00Z","new":{"a":[1]},
        "agent":{"version":"9","pid":1,"started_at":"2026-01-01T00:00:00Z","new":1},
        "health":{"state":"enlightened","since":"2026-01-01T00:00:00Z","why":"","new":1},
        "connectors":[{"run":1,"generation":1,"secret_version":"v1","metrics":"127.0.0.1:2000","state":"new","new":1}]}"#;
    fs::write(&path, least).unwrap();
    let read = Status::read(&path).unwrap();
    assert_eq!((read.schema, read.health.state.as_str(), read.connectors[0].pid), (9, "enlightened", None));
}

#[test]
fn what_is_no_status_says_so() {
    let directory = Directory::new();
    let path = directory.path().join("status.json");
    let missing = Status::read(&path).unwrap_err();
    assert!(matches!(missing, ReadError::Missing(_)) && missing.to_string().contains("systemctl status"));
    fs::write(&path, "{").unwrap();
    assert!(matches!(Status::read(&path), Err(ReadError::Unreadable { .. })));
}

#[test]
fn it_is_written_on_a_change_and_at_the_heartbeat_only() {
    let mut publisher = Publisher::default();
    assert_eq!(publisher.due(), mono(0));
    let mut written = Vec::new();
    for second in 0..100_u64 {
        let mut now = status(1000 + second);
        if second >= 10 {
            now.health.state = "broken".into();
        }
        if let Some(json) = publisher.offer(mono(second), now) {
            let json: Status = serde_json::from_slice(&json).unwrap();
            assert_eq!(json.written_at, at(1000 + second).into(), "it carries the time of its writing");
            written.push(second);
        }
    }
    assert_eq!(written, [0, 10, 40, 70]);
    assert_eq!(publisher.due(), mono(100));
}

#[test]
fn the_journal_keeps_its_newest_entries() {
    let mut long = status(1);
    let entry = long.journal[0].clone();
    long.journal = (0..200).map(|n| Entry { what: n.to_string(), ..entry.clone() }).collect();
    let mut publisher = Publisher::default();
    let json: Status = serde_json::from_slice(&publisher.offer(mono(0), long.clone()).unwrap()).unwrap();
    assert_eq!(json.journal.len(), JOURNAL);
    assert_eq!((json.journal[0].what.as_str(), json.journal[49].what.as_str()), ("150", "199"));
    assert_eq!(publisher.offer(mono(1), long), None, "the same long journal is no change");
}

#[test]
fn a_status_is_stale_after_two_heartbeats_were_missed() {
    assert!(!status(1000).is_stale(at(1000)));
    assert!(!status(1000).is_stale(at(1075)));
    assert!(status(1000).is_stale(at(1076)));
    assert!(!status(1000).is_stale(at(500)), "a clock that stepped back says nothing");
}

#[test]
fn a_clock_that_is_far_off_is_shown_at_the_nearest_moment() {
    let far = Timestamp::from(at(u64::from(u32::MAX) * 1000));
    assert_eq!(far.to_string(), "9999-12-31T23:59:59.999Z");
    assert_eq!(Timestamp::from(UNIX_EPOCH - Duration::from_secs(1)).to_string(), "1970-01-01T00:00:00.000Z");
}
