use super::*;

#[test]
fn an_object_is_taken_apart() {
    let line = Line::parse(
        br#"{"connIndex":2,"connection":"13feec8b-992c-481e-b096-455f7978f715","event":0,"ip":"127.0.0.3","level":"info","location":"iad01","message":"Registered tunnel connection","protocol":"http2","time":"2026-11-20T17:12:58Z","x":{"y":1}}"#,
    );
    let expected = Line {
        level: Some(Level::INFO),
        message: "Registered tunnel connection".into(),
        error: None,
        conn_index: Some(2),
        connection: Some("13feec8b-992c-481e-b096-455f7978f715".into()),
        ip: Some("127.0.0.3".into()),
        location: Some("iad01".into()),
        protocol: Some("http2".into()),
        rest: Some(r#"{"x":{"y":1}}"#.into()),
    };
    assert_eq!(line, expected);
}

#[test]
fn anything_else_is_a_message() {
    let nested = "[".repeat(16_000);
    for text in ["", "edge is overloaded", "[1,2]", "null", r#"{"level":"info""#, r#"{"a":1}{"b":2}"#, &nested] {
        let line = Line::parse(text.as_bytes());
        assert!(line.is_plain(), "{text}");
        assert_eq!(line.message, text);
    }
    assert_eq!(Line::parse(b"caf\xe9 \xff\r").message, "caf\u{fffd} \u{fffd}");
}

#[test]
fn odd_types_and_repeated_keys_are_no_trouble() {
    let line = Line::parse(br#"{"level":3,"message":{"a":1},"error":null,"connIndex":"one","error":"last"}"#);
    assert_eq!(line.level, Some(Level::INFO));
    assert_eq!(line.message, r#"{"a":1}"#);
    assert_eq!(line.error.as_deref(), Some("last"));
    assert_eq!(line.conn_index, None);
}

#[test]
fn the_connector_id_is_a_uuid() {
    let id = |message: &str| Line { message: message.into(), ..Line::default() }.connector_id();
    let uuid = "dfbd57bc-3608-4c49-853c-a9e9f7cbcc5c";
    assert_eq!(id(&format!("Generated Connector ID: {uuid}")).unwrap().to_string(), uuid);
    assert_eq!(id("Generated Connector ID: none"), None);
    assert_eq!(id(uuid), None);
}
