use super::*;
use crate::log::Context;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

fn record() -> Record {
    Record {
        time: SystemTime::UNIX_EPOCH + Duration::from_micros(1_795_194_777_000_001),
        level: Level::WARN,
        target: "cflared_connector::owner",
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
    let expected = "2026-11-20T17:12:57.000001Z  WARN cflared_connector::owner: connector exited run=1 how=\"signal: 9 (SIGKILL)\" respawn_in=0ns\n";
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
        "target": "cflared_connector::owner",
        "message": "connector exited",
        "fields": {"run": 1, "how": "signal: 9 (SIGKILL)", "respawn_in": "0ns"},
    });
    assert_eq!(object, expected);
}

/// Reads a datagram as the journal does.
fn entry(bytes: &[u8]) -> Vec<(String, String)> {
    let lines = std::str::from_utf8(bytes).unwrap().lines().map(|line| line.split_once('=').unwrap());
    lines.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

#[test]
fn the_journal_gets_names_it_can_find() {
    let dir = testing::fake::Dir::new();
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
        ("CFLARED_TARGET", "cflared_connector::owner"),
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
        ("CFLARED_LAST_LINE", "one\\ntwo"),
        ("CFLARED_STATE", "odd"),
        ("CFLARED_TUNNEL", "6ff42ae2-765d-4adf-8112-31c55c1551ef"),
    ];
    assert_eq!(receive(), fields(&expected));
}

#[test]
fn what_a_reader_would_drop_is_written_in_pieces() {
    let mut record = record();
    record.message = "\u{1b}é\n".repeat(4 * 1024);
    record.fields = ["a", "b", "c", "d"].map(|name| (name, Value::Text("v".repeat(16 * 1024)))).to_vec();
    record.fields.push(("small", Value::Text("\u{7}".into())));
    let entries: Vec<_> = datagrams(&record).iter().map(|bytes| entry(bytes)).collect();
    let mut whole = String::new();
    for (index, fields) in entries.iter().enumerate() {
        let field = |name: &str| fields.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str());
        let number = format!("{}/{}", index + 1, entries.len());
        assert_eq!((field("CFLARED_PIECE"), field("CFLARED_SMALL")), (Some(&*number), Some("\\u{7}")));
        whole += field("MESSAGE").unwrap().strip_prefix(&format!("({number}) ")).unwrap();
        for (name, value) in fields {
            assert!(name.len() + 1 + value.len() < 4096, "{name}: {} bytes", value.len());
            assert!(!value.chars().any(char::is_control), "{value:?}");
        }
    }
    assert_eq!(whole, message(&record));
    assert!(whole.len() > 80 * 1024);
}

#[test]
fn a_message_is_cut_only_beyond_the_bound() {
    let mut record = record();
    record.fields = Vec::new();
    for (length, entries) in [(0, 1), (4087, 1), (4088, 2)] {
        record.message = "m".repeat(length);
        assert_eq!(datagrams(&record).len(), entries, "{length} bytes");
    }
}

#[test]
fn a_journal_that_came_back_is_found_again() {
    let dir = testing::fake::Dir::new();
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
