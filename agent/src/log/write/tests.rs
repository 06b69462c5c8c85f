use super::*;
use crate::log::Context;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

fn record() -> Record {
    Record {
        time: SystemTime::UNIX_EPOCH + Duration::from_micros(1_795_194_777_000_001),
        level: Level::WARN,
        target: "cflared_agent::connector",
        message: "connector exited".into(),
        fields: vec![
            ("run", Value::Unsigned(1)),
            ("how", Value::Text("signal: 9 (SIGKILL)".into())),
            ("respawn_in", Value::Text("0ns".into())),
        ],
        context: Arc::new(Context {
            tunnel: Some("6ff42ae2-765d-4adf-8112-31c55c1551ef".into()),
            environment: None,
            state: Some("broken".into()),
        }),
    }
}

#[test]
fn text_is_one_line_with_the_time_of_the_event() {
    let expected = "2026-11-20T17:12:57.000001Z  WARN cflared_agent::connector: connector exited run=1 how=\"signal: 9 (SIGKILL)\" respawn_in=0ns\n";
    assert_eq!(text(&record()), expected);
}

#[test]
fn what_a_child_prints_cannot_forge_a_line_or_drive_a_terminal() {
    let mut record = record();
    record.message = "a\nb\u{1b}[2Jc\r".into();
    record.fields = vec![("error", Value::Text("x\ny=\"z\"".into())), ("empty", Value::Text(String::new()))];
    let expected = "a\\nb\\u{1b}[2Jc\\r error=\"x\\ny=\\\"z\\\"\" empty=\"\"";
    assert_eq!(message(&record), expected);
}

#[test]
fn json_is_one_object_a_line() {
    let bytes = json(&record()).unwrap();
    assert_eq!(bytes.iter().filter(|byte| **byte == b'\n').count(), 1);
    let object: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
    let expected = serde_json::json!({
        "timestamp": "2026-11-20T17:12:57.000001Z",
        "level": "warn",
        "service": "cflared-agent",
        "version": env!("CARGO_PKG_VERSION"),
        "tunnel": "6ff42ae2-765d-4adf-8112-31c55c1551ef",
        "state": "broken",
        "target": "cflared_agent::connector",
        "message": "connector exited",
        "fields": {"run": 1, "how": "signal: 9 (SIGKILL)", "respawn_in": "0ns"},
    });
    assert_eq!(object, expected);
}

/// Reads a datagram as the journal does.
fn entry(mut bytes: &[u8]) -> Vec<(String, String)> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let name = bytes.iter().position(|byte| b"=\n".contains(byte)).unwrap();
        let (start, length) = if bytes[name] == b'=' {
            (name + 1, bytes[name + 1..].iter().position(|byte| *byte == b'\n').unwrap())
        } else {
            let length = u64::from_le_bytes(bytes[name + 1..name + 9].try_into().unwrap());
            (name + 9, usize::try_from(length).unwrap())
        };
        fields.push((text(&bytes[..name]), text(&bytes[start..start + length])));
        assert_eq!(bytes[start + length], b'\n');
        bytes = &bytes[start + length + 1..];
    }
    fields
}

#[test]
fn the_journal_gets_names_it_can_find() {
    let dir = crate::cloudflared::fake::Dir::new();
    let journal = UnixDatagram::bind(dir.join("socket")).unwrap();
    let form = Form::journal(dir.join("socket")).unwrap();
    let mut record = record();
    form.write(&record).unwrap();
    record.target = LOG_TARGET;
    record.level = Level::INFO;
    record.fields = vec![("last.line", Value::Text("one\ntwo".into())), ("state", Value::Text("odd".into()))];
    form.write(&record).unwrap();

    let mut bytes = [0; 4096];
    let mut receive = || {
        let length = journal.recv(&mut bytes).unwrap();
        entry(&bytes[..length])
    };
    let fields = |pairs: &[(&str, &str)]| -> Vec<_> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    };
    let expected = [
        ("MESSAGE", "connector exited run=1 how=\"signal: 9 (SIGKILL)\" respawn_in=0ns"),
        ("PRIORITY", "4"),
        ("SYSLOG_IDENTIFIER", "cflared-agent"),
        ("CFLARED_TARGET", "cflared_agent::connector"),
        ("CFLARED_TIME", "2026-11-20T17:12:57.000001Z"),
        ("CFLARED_RUN", "1"),
        ("CFLARED_HOW", "signal: 9 (SIGKILL)"),
        ("CFLARED_RESPAWN_IN", "0ns"),
        ("CFLARED_TUNNEL", "6ff42ae2-765d-4adf-8112-31c55c1551ef"),
        ("CFLARED_STATE", "broken"),
    ];
    assert_eq!(receive(), fields(&expected));
    let expected = [
        ("MESSAGE", "connector exited last.line=\"one\\ntwo\" state=odd"),
        ("PRIORITY", "6"),
        ("SYSLOG_IDENTIFIER", "cloudflared"),
        ("CFLARED_TARGET", "cloudflared"),
        ("CFLARED_TIME", "2026-11-20T17:12:57.000001Z"),
        ("CFLARED_LAST_LINE", "one\ntwo"),
        ("CFLARED_STATE", "odd"),
        ("CFLARED_TUNNEL", "6ff42ae2-765d-4adf-8112-31c55c1551ef"),
    ];
    assert_eq!(receive(), fields(&expected));
}

#[test]
fn the_largest_record_fits_into_a_datagram() {
    let dir = crate::cloudflared::fake::Dir::new();
    let _journal = UnixDatagram::bind(dir.join("socket")).unwrap();
    let mut record = record();
    record.message = "m".repeat(16 * 1024);
    record.fields = ["a", "b", "c", "d"].map(|name| (name, Value::Text("v".repeat(16 * 1024)))).to_vec();
    Form::journal(dir.join("socket")).unwrap().write(&record).unwrap();
}

#[test]
fn a_journal_that_came_back_is_found_again() {
    let dir = crate::cloudflared::fake::Dir::new();
    let form = Form::journal(dir.join("socket")).unwrap();
    assert!(form.write(&record()).is_err());
    for _ in 0..2 {
        let journal = UnixDatagram::bind(dir.join("socket")).unwrap();
        form.write(&record()).unwrap();
        assert!(journal.recv(&mut [0; 4096]).unwrap() > 0);
        drop(journal);
        assert!(form.write(&record()).is_err());
        std::fs::remove_file(dir.join("socket")).unwrap();
    }
}
