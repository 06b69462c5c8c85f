use super::*;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

const SECRET: &str = "YSBwbGFudGVkIHNlY3JldCBvZiAzMiBieXRlcyEhISE=";

fn whats(text: &[u8]) -> Vec<&'static str> {
    scan(text).unwrap().into_iter().map(|hit| hit.what).collect()
}

fn credentials() -> String {
    format!(r#"{{"AccountTag":"0","TunnelSecret":"{SECRET}","TunnelID":"6ff42ae2-765d-4adf-8112-31c55c1551ef"}}"#)
}

#[test]
fn tunnel_credentials_are_known_in_every_wrapping() {
    let json = credentials();
    let once = serde_json::json!({ "credentials_json": json }).to_string();
    let twice = serde_json::json!({ "SecretString": once }).to_string();
    let yaml = format!("TunnelSecret: '{SECRET}'\n");
    for text in [&json, &once, &twice, &yaml] {
        assert_eq!(whats(text.as_bytes()), [TUNNEL], "{text}");
    }
    for before in ["", "x", "xx"] {
        let encoded = STANDARD.encode(format!("{before}{json}"));
        assert_eq!(whats(encoded.as_bytes()), [TUNNEL], "{encoded}");
    }
    let token = STANDARD.encode(format!(r#"{{"a":"0","t":"6ff42ae2-765d-4adf-8112-31c55c1551ef","s":"{SECRET}"}}"#));
    assert_eq!(whats(format!("cloudflared service install {token}").as_bytes()), [TOKEN]);
    assert_eq!(whats(format!("export TUNNEL_TOKEN={}", "t".repeat(40)).as_bytes()), [TOKEN]);
}

#[test]
fn each_form_is_known_and_its_mere_mention_is_not() {
    let key = "k".repeat(40);
    for (text, what) in [
        (format!("aws_secret_access_key = {key}"), AWS),
        (format!("AWS_SECRET_ACCESS_KEY=\"{key}\""), AWS),
        (format!("{{\"SecretAccessKey\": \"{key}\"}}"), AWS),
        (format!("AWS_SESSION_TOKEN={key}"), AWS),
        ("key AKIAABCDEFGHIJKLMNOP.".into(), "an AWS access key of a user"),
        (format!("CF_API_TOKEN: {key}"), API),
        ("-----BEGIN ARGO TUNNEL TOKEN-----".into(), "an origin certificate with its key"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----".into(), PRIVATE_KEY),
        (format!("ghp_{key}"), GITHUB),
    ] {
        assert_eq!(whats(text.as_bytes()), [what], "{text}");
    }
    for text in [
        "",
        "T",
        "TunnelSecret",
        "the key TunnelSecret: a base64 text",
        "TunnelSecret=$(cat /run/secret/that-is-read-when-it-runs-and-not-kept)",
        "export TUNNEL_TOKEN=$TOKEN",
        "AWS_SECRET_ACCESS_KEY=<your key>",
        "aws_secret_access_key of forty characters cccccccccccccccccccccccccccccccccccccccccc",
        "AKIAIOSFODNN7EXAMPLE",
        "XAKIAABCDEFGHIJKLMNOP AKIAABCDEFGHIJKLMNOPQ AKIAabcdefghijklmnop",
        "X-Amz-Credential=ASIAABCDEFGHIJKLMNOP%2F2026",
        "-----BEGIN CERTIFICATE-----",
        "eyJhIjoiYiJ9",
    ] {
        assert_eq!(whats(text.as_bytes()), [""; 0], "{text}");
    }
}

#[test]
fn a_hit_tells_its_line_and_nothing_else() {
    let text = format!("one\ntwo\n{}\nAKIAABCDEFGHIJKLMNOP\n{}\n", credentials(), credentials());
    let hits = scan(text.as_bytes()).unwrap();
    assert_eq!(hits, [Hit { what: TUNNEL, line: 3 }, Hit { what: "an AWS access key of a user", line: 4 }]);
    assert!(!format!("{hits:?}").contains(&SECRET[..8]));
}

/// A reader that gives a byte at a time.
struct Slow<'a>(&'a [u8]);

impl Read for Slow<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let one = into.len().min(1);
        self.0.read(&mut into[..one])
    }
}

#[test]
fn a_hit_is_not_missed_where_two_pieces_meet() {
    let json = credentials();
    for near in [PIECE - 1, PIECE, PIECE + 1, PIECE + AHEAD - 1, PIECE + AHEAD, PIECE + AHEAD + 1, 2 * PIECE] {
        for step in (0..json.len()).step_by(7) {
            let mut text = vec![b'\n'; near - step];
            text.extend(json.as_bytes());
            text.extend(vec![b' '; 1000]);
            let wanted = [Hit { what: TUNNEL, line: near - step + 1 }];
            assert_eq!(scan(&*text).unwrap(), wanted, "{near} {step}");
        }
    }
    // A word that begins in the piece before is none.
    for at in PIECE - 2..PIECE + 2 {
        let mut text = vec![b'X'; at];
        text.extend(b"AKIAABCDEFGHIJKLMNOP");
        text.resize(2 * PIECE, b' ');
        assert_eq!(whats(&text), [""; 0]);
    }
    assert_eq!(scan(Slow(json.as_bytes())).unwrap().len(), 1);
}

#[test]
fn a_span_is_the_value_or_the_whole_word_and_what_is_left_holds_none() {
    let key = "k".repeat(40);
    let left = |text: &str| {
        let mut left = text.to_owned();
        spans(text).into_iter().rev().for_each(|span| left.replace_range(span, "*"));
        assert_eq!(whats(left.as_bytes()), [""; 0], "{left}");
        left
    };
    assert_eq!(left(&format!("a aws_secret_access_key = {key} b")), "a aws_secret_access_key = * b");
    assert_eq!(left(&format!(r#"{{\"SecretAccessKey\":\"{key}\"}}"#)), r#"{\"SecretAccessKey\":\"*\"}"#);
    assert_eq!(left(&format!("one ghp_{key}, two AKIAABCDEFGHIJKLMNOP")), "one *, two *");
    let encoded = STANDARD.encode(format!("xx{}", credentials()));
    assert_eq!(left(&format!("é {encoded} é")), "é * é");
    assert_eq!(left("nothing of the TunnelSecret"), "nothing of the TunnelSecret");
    assert_eq!((left(""), left("T")), (String::new(), "T".into()));
}
