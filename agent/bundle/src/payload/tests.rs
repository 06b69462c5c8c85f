use super::*;

fn parse(text: &str) -> Result<Payload, PayloadError> {
    Payload::parse(VersionId("v1".into()), text)
}

fn rule(text: &str) -> &'static str {
    parse(text).expect_err("it breaks a rule").rule()
}

#[test]
fn both_parts_are_taken_as_they_are() {
    let payload = parse(r#"{"config_yaml": "a: 1\n", "credentials_json": "{\"x\":\"\u00e9\"}"}"#).unwrap();
    assert_eq!(payload.config_yaml.expose(), "a: 1\n");
    assert_eq!(payload.credentials_json.expose(), "{\"x\":\"\u{e9}\"}");
    assert_eq!(payload.version, VersionId("v1".into()));
}

#[test]
fn other_keys_are_ignored_whatever_they_hold() {
    let deep = format!("{}1{}", "[".repeat(20_000), "]".repeat(20_000));
    let text = format!(r#"{{"note": {deep}, "config_yaml": "a", "rotated_by": null, "credentials_json": "b"}}"#);
    assert!(parse(&text).is_ok());
}

#[test]
fn each_broken_rule_has_its_name() {
    for (text, expected) in [
        ("", "payload_not_json"),
        ("config_yaml: a", "payload_not_json"),
        (r#"{"config_yaml": "a", "credentials_json": "b"} x"#, "payload_not_json"),
        (r#"{"config_yaml": "a", "credentials_json": "b""#, "payload_not_json"),
        (r#"["a", "b"]"#, "payload_not_an_object"),
        ("null", "payload_not_an_object"),
        (r#""text""#, "payload_not_an_object"),
        ("{}", "payload_key_missing"),
        (r#"{"config_yaml": "a"}"#, "payload_key_missing"),
        (r#"{"config_yaml": "a", "credentials_json": "b", "Credentials_JSON": "c"}"#, "payload_key_twice"),
        (r#"{"config_yaml": "a", "credentials_json": "b", "config_yaml": "c"}"#, "payload_key_twice"),
        (r#"{"config_yaml": null, "credentials_json": "b"}"#, "payload_wrong_type"),
        (r#"{"config_yaml": {"tunnel": 1}, "credentials_json": "b"}"#, "payload_wrong_type"),
        (r#"{"config_yaml": "a", "credentials_json": ["b"]}"#, "payload_wrong_type"),
        (r#"{"config_yaml": "a", "credentials_json": 1.5}"#, "payload_wrong_type"),
        (r#"{"config_yaml": true, "credentials_json": "b"}"#, "payload_wrong_type"),
        (r#"{"config_yaml": " \n", "credentials_json": "b"}"#, "payload_key_empty"),
        (r#"{"config_yaml": "a", "credentials_json": ""}"#, "payload_key_empty"),
    ] {
        assert_eq!(rule(text), expected, "{text}");
    }
}

#[test]
fn the_longest_payload_is_65536_bytes() {
    let shell = r#"{"config_yaml": "", "credentials_json": "b"}"#;
    let with = |bytes: usize| shell.replacen("\"\"", &format!("\"{}\"", "a".repeat(bytes - shell.len())), 1);
    assert!(parse(&with(MAX_BYTES)).is_ok());
    assert_eq!(rule(&with(MAX_BYTES + 1)), "payload_too_long");
}

#[test]
fn brackets_without_end_are_an_error_and_no_crash() {
    for text in ["[".repeat(60_000), format!("{{\"config_yaml\": {}", "[".repeat(60_000)), "{\"a\":".repeat(10_000)] {
        let read = std::thread::Builder::new().stack_size(256 << 10).spawn(move || rule(&text));
        assert!(matches!(read.unwrap().join().unwrap(), "payload_not_json" | "payload_not_an_object"));
    }
}

#[test]
fn no_message_and_no_debug_form_holds_a_value() {
    let hidden = "Zm9yLW91ci1leWVzLW9ubHk";
    for text in [
        hidden.to_owned(),
        format!(r#""{hidden}""#),
        format!(r#"{{"config_yaml": "{hidden}"#),
        format!(r#"{{"config_yaml": "{hidden}"}}"#),
        format!(r#"{{"{hidden}": 1}}"#),
        format!(r#"{{"config_yaml": ["{hidden}"], "credentials_json": "{hidden}"}}"#),
        format!(r#"{{"config_yaml": "{hidden}", "credentials_json": {{"{hidden}": "{hidden}"}}}}"#),
    ] {
        let error = parse(&text).unwrap_err();
        assert!(!format!("{error} {error:?}").contains(&hidden[..8]), "{error}");
        assert!(error.to_string().ends_with("store a corrected version"), "{error}");
    }
    let payload = parse(&format!(r#"{{"config_yaml": "{hidden}", "credentials_json": "{hidden}"}}"#)).unwrap();
    let shown = format!("{payload:?} {:#?}", payload.clone());
    assert!(shown.contains("[redacted]") && !shown.contains(&hidden[..8]), "{shown}");
}
