use super::*;

fn strike() -> Strike {
    Strike::new(["the-known-value".to_owned(), "short".to_owned()])
}

#[test]
fn what_is_secret_by_its_name_its_place_or_its_look_is_struck_out() {
    for (text, left) in [
        ("a the-known-value b", "a [struck out] b"),
        ("password=hunter2 and more", "password=[struck out] and more"),
        (r#"{"db_password": "hunter2", "b": 1}"#, r#"{"db_password": "[struck out]", "b": 1}"#),
        (r#"{\"password\":\"hunter2\"}"#, r#"{\"password\":\"[struck out]\"}"#),
        ("x:\n  token: abc\ny: 1", "x:\n  token: [struck out]\ny: 1"),
        ("Authorization: Bearer abc.def\nnext", "Authorization: [struck out]\nnext"),
        (
            r#"{"why": "x\nAuthorization: Bearer abc\nDB_PASSWORD=abc\npassword: abc\n"}"#,
            r#"{"why": "x\nAuthorization: [struck out]\nDB_PASSWORD=[struck out]\npassword: [struck out]\n"}"#,
        ),
        ("said Cookie: a=b; c=d", "said Cookie: [struck out]"),
        ("mysql://root:pa/ss@db:3306/x", "mysql://[struck out]@db:3306/x"),
        ("key Zm9vYmFyYmF6cXV4MTIzNDU2Nzg5MA==", "key [struck out]"),
        ("-----BEGIN PRIVATE KEY-----\nabc\n-----END PRIVATE KEY-----\nafter", "[struck out]\nafter"),
        ("cut -----BEGIN RSA PRIVATE KEY-----\nabc", "cut [struck out]"),
        (r"-----BEGIN PRIVATE KEY-----\nabc\n-----END PRIVATE KEY-----\n", r"[struck out]\n"),
    ] {
        assert_eq!(strike().struck(text), left);
    }
}

#[test]
fn what_a_report_is_read_for_stays() {
    for text in [
        "cloudflared_rpc_client_latency_secs_bucket{handler=\"registration\",le=\"4.050000000000001\"} 3",
        "github.com/cloudflare/cloudflared/supervisor.(*EdgeTunnelServer).serveTunnelConnectionWithRetry(0xc0003e8000)",
        "6ff42ae2-765d-4adf-8112-31c55c1551ef",
        "{\"secret_version\": \"3f2a\", \"remote_configuration_refused\": true, \"token\": null}",
        "failed to use the secret: config_yaml: unknown field",
        "2026-11-27T14:10:45.678901Z  INFO cflared_agent::connector: connector started run=1 pid=77 metrics=127.0.0.1:2000",
        "CapBnd:\t000001ffffffffff\nvoluntary_ctxt_switches:\t1234567890123",
        "i-0a1b2c3d4e5f60718 in EC2-Auto-Scaling-Group-Prd-2026-us-east-1a, ami-0123456789abcdef0",
        "-----BEGIN CERTIFICATE-----\nabc\n-----END CERTIFICATE-----",
        "http://127.0.0.1:2000/metrics and https://example.org/a",
        "secret:\n  name: /adventive/cloudflared/{env}\n  poll_interval: 5m",
    ] {
        assert_eq!(strike().struck(text), text);
    }
}

#[test]
fn json_stays_json() {
    let text = r#"{"why": "one\nZm9vYmFyYmF6cXV4MTIzNDU2Nzg5MA==", "apiToken": "x", "token": null, "n": [1, "password=x"], "ghp_": {"a": true}}"#;
    let part = Part::new("a.json", "", Ok(text.into()));
    let struck = struck(part, &strike()).content.unwrap();
    let wanted = serde_json::json!({
        "why": "one\n[struck out]", "apiToken": "[struck out]", "token": null, "n": [1, "password=[struck out]"], "ghp_": {"a": true},
    });
    assert_eq!(serde_json::from_str::<serde_json::Value>(&struck).unwrap(), wanted);
}

#[test]
fn what_still_looks_like_a_credential_is_withheld() {
    assert_eq!(clean("nothing".into()), Ok("nothing".into()));
    let why = clean(format!("a\nghp_{}", "k".repeat(40))).unwrap_err();
    assert_eq!(why, "withheld: line 2 holds what looks like a GitHub token");
}

#[test]
fn a_text_is_cut_at_the_end_that_tells_less() {
    assert_eq!(end_of("one\ntwo\nthree\n", 10), "[8 bytes before this are left out]\nthree\n");
    assert_eq!(end_of("é".repeat(3).as_str(), 4), "éé");
    assert_eq!(end_of("whole", 10), "whole");
    assert_eq!(beginning_of("éé", 3), "é\n[2 bytes after this are left out]\n");
}

#[test]
fn striking_out_ends_and_breaks_no_character() {
    testing::fuzz::fuzz("strike", [b"password: \xc3\xa9\"-----BEGIN x://@ ghp_".to_vec()], |input| {
        let text = String::from_utf8_lossy(input);
        let struck = strike().struck(&text);
        (usize::from(struck != text), struck.len().min(64))
    });
}
