#![allow(clippy::disallowed_methods, reason = "the tests measure time")]

use super::{OTHER_TUNNEL, SECRET, TUNNEL, config, credentials, payload};
use crate::{Bundle, Policy, RuleBroken};
use proptest::prelude::*;
use std::time::{Duration, Instant};

fn check(config: &str, credentials: &str) -> Result<Bundle, RuleBroken> {
    let policy = Policy { config_dir: "/etc/cloudflared".into(), own_ports: [2000].into(), ..Policy::default() };
    Bundle::check(payload("v1", config, credentials), &policy)
}

fn rule(config: &str, credentials: &str) -> &'static str {
    check(config, credentials).map_or_else(|broken| broken.rule(), |_| "none")
}

fn with_config(config: &str) -> Result<Bundle, RuleBroken> {
    check(config, &credentials(TUNNEL, SECRET))
}

/// A config with those ingress rules.
fn ingress(rules: &str) -> String {
    format!("tunnel: {TUNNEL}\ningress:\n{rules}")
}

#[test]
fn a_bundle_that_keeps_the_rules_shows_its_tunnel_and_services() {
    let bundle = with_config(&ingress(
        "  - {hostname: a.example.com, service: 'tcp://db.internal:3306'}
  - {hostname: b.example.com, path: /x, service: 'http://10.0.0.7'}
  - {hostname: c.example.com, service: 'tcp://db.internal:3306'}
  - {hostname: d.example.com, service: 'https://[fd00::1]'}
  - {hostname: e.example.com, service: 'ssh://bastion.internal'}
  - {hostname: f.example.com, service: 'unix:/run/x.sock'}
  - {hostname: '*', service: http_status:404}\n",
    ))
    .unwrap();
    let services: Vec<_> = bundle.services().iter().map(ToString::to_string).collect();
    assert_eq!(
        services,
        [
            "tcp://db.internal:3306",
            "http://10.0.0.7:80",
            "https://[fd00::1]:443",
            "ssh://bastion.internal:22",
            "unix:/run/x.sock",
            "http_status:404"
        ]
    );
    assert_eq!((bundle.tunnel().to_string(), bundle.version().0.as_str()), (TUNNEL.into(), "v1"));
}

#[test]
fn each_rule_of_the_credentials() {
    let config = config(TUNNEL);
    let short = "c2hvcnQ=";
    let url_safe = "-_-_-_-_-_-_-_-_-_-_-_-_-_-_-_-_-_-_-_-_-_8=";
    for (credentials, expected) in [
        (credentials(TUNNEL, SECRET), "none"),
        (credentials(TUNNEL, &format!("{SECRET}\\n")), "none"),
        (credentials(TUNNEL, SECRET.trim_end_matches('=')), "tunnel_secret_not_base64"),
        (credentials(TUNNEL, url_safe), "tunnel_secret_not_base64"),
        (credentials(TUNNEL, "not base64 at all"), "tunnel_secret_not_base64"),
        (credentials(TUNNEL, short), "tunnel_secret_short"),
        (credentials(TUNNEL, ""), "credentials_incomplete"),
        (credentials(&TUNNEL.to_uppercase(), SECRET), "none"),
        (credentials(&TUNNEL.replace('-', ""), SECRET), "none"),
        (credentials(&format!("{{{TUNNEL}}}"), SECRET), "none"),
        (credentials("../../etc/passwd", SECRET), "tunnel_id_not_uuid"),
        (credentials("", SECRET), "credentials_incomplete"),
        (credentials(OTHER_TUNNEL, SECRET), "tunnel_id_differs"),
        (credentials(TUNNEL, SECRET).replace("made-up", " "), "credentials_incomplete"),
        (credentials(TUNNEL, SECRET).replace("AccountTag", "Account"), "credentials_incomplete"),
        (credentials(TUNNEL, SECRET).replace("TunnelID", "tunnelID"), "none"),
        (credentials(TUNNEL, SECRET).replace('}', ",\"tunnelid\":\"x\"}"), "credentials_malformed"),
        (credentials(TUNNEL, SECRET).replace("\"made-up\"", "7"), "credentials_malformed"),
        (credentials(TUNNEL, SECRET).replace('}', ",\"TunnelID\":\"x\"}"), "credentials_malformed"),
        (credentials(TUNNEL, SECRET).replace('}', ",\"Endpoint\":\"\"}"), "none"),
        ("[]".into(), "credentials_malformed"),
        ("not json".into(), "credentials_malformed"),
    ] {
        assert_eq!(rule(&config, &credentials), expected, "{credentials}");
    }
}

#[test]
fn each_rule_of_the_config() {
    let last = "  - service: http_status:404\n";
    for (config, expected) in [
        (config(TUNNEL), "none"),
        (format!("\u{feff}{}", config(TUNNEL)), "none"),
        (config(TUNNEL).replace('\n', "\r\n"), "none"),
        (format!("---\n{}...\n", config(TUNNEL)), "none"),
        (format!("unknown-key: [1, two, null]\n{}", config(TUNNEL)), "key_not_allowed"),
        (format!("<<: {{token: x}}\n{}", config(TUNNEL)), "key_not_allowed"),
        (format!("token: ~\n{}", config(TUNNEL)), "none"),
        (format!("warp-routing: {{enabled: yes}}\n{}", config(TUNNEL)), "key_not_allowed"),
        (format!("loglevel: warn\nprotocol: http2\n{}", config(TUNNEL)), "none"),
        (config("my-tunnel"), "tunnel_not_uuid"),
        (config(&TUNNEL.to_uppercase()), "none"),
        (config(OTHER_TUNNEL), "tunnel_id_differs"),
        (config("12345"), "tunnel_not_uuid"),
        (config("[a]"), "config_wrong_type"),
        (config(""), "tunnel_missing"),
        (config("~"), "tunnel_missing"),
        ("{}".into(), "tunnel_missing"),
        ("# nothing\n".into(), "config_not_mapping"),
        ("just text".into(), "config_not_mapping"),
        ("- a\n- b\n".into(), "config_not_mapping"),
        ("42".into(), "config_not_mapping"),
        (format!("{}credentials-file: /etc/cloudflared/{TUNNEL}.json\n", config(TUNNEL)), "none"),
        (format!("{}credentials-file: /etc/cloudflared//{TUNNEL}.json\n", config(TUNNEL)), "none"),
        (
            format!("{}credentials-file: /root/.cloudflared/{TUNNEL}.json\n", config(TUNNEL)),
            "credentials_file_elsewhere",
        ),
        (format!("{}credentials-file: {TUNNEL}.json\n", config(TUNNEL)), "credentials_file_elsewhere"),
        (format!("{}credentials-file: true\n", config(TUNNEL)), "credentials_file_elsewhere"),
        (format!("tunnel: {TUNNEL}\n"), "ingress_missing"),
        (format!("tunnel: {TUNNEL}\ningress:\n"), "ingress_missing"),
        (format!("tunnel: {TUNNEL}\ningress: []\n"), "ingress_missing"),
        (format!("tunnel: {TUNNEL}\ningress: {{service: x}}\n"), "config_wrong_type"),
        (ingress("  - http_status:404\n"), "config_wrong_type"),
        (ingress("  - service: [a]\n"), "config_wrong_type"),
        (ingress("  - service: 404\n"), "service_invalid"),
        (ingress("  - hostname: x\n"), "service_invalid"),
        (ingress("  - {hostname: x, service: 'http_status:404'}\n"), "no_catch_all"),
        (ingress("  - {path: /x, service: 'http_status:404'}\n"), "no_catch_all"),
        (ingress("  - {hostname: '*.example.com', service: 'http_status:404'}\n"), "no_catch_all"),
        (ingress("  - {hostname: '*', path: x, service: 'http_status:404'}\n"), "no_catch_all"),
        (ingress("  - {hostname: '*', service: 'http_status:404'}\n"), "none"),
        (ingress("  - {hostname: '', path: '', service: 'http_status:404'}\n"), "none"),
        (ingress("  - {hostname: 7, service: 'http_status:404'}\n"), "no_catch_all"),
        (ingress("  - {hostname: [7], service: 'http_status:404'}\n"), "config_wrong_type"),
        (ingress(&format!("  - {{hostname: a, service: tpc//x}}\n{last}")), "service_invalid"),
        (ingress(&format!("  - &a {{hostname: a, service: 'tcp://x:1'}}\n  - *a\n{last}")), "none"),
        (
            ingress(&format!("  - &a {{hostname: a, service: 'tcp://x:1'}}\n  - {{<<: *a, hostname: b}}\n{last}")),
            "none",
        ),
        (ingress(&format!("  - {{<<: [{{x: y}}, {{service: 'tcp://x:1'}}], hostname: b}}\n{last}")), "none"),
    ] {
        assert_eq!(rule(&config, &credentials(TUNNEL, SECRET)), expected, "{config}");
    }
}

#[test]
fn services() {
    for good in [
        "http://x",
        "https://x:8443",
        "ws://x",
        "wss://x",
        "tcp://10.1.2.3:3306",
        "tcp://x",
        "ssh://x:22",
        "rdp://x",
        "smb://x",
        "unix:/run/a.sock",
        "unix+tls:/run/a.sock",
        "http_status:404",
        "hello_world",
        "hello-world",
        "https://[::1]:443",
        "ftp://x",
        "HTPPS://x",
        "http://x?q",
        "http://x#f",
        "tcp://x:99999",
        "tcp://x:0",
        "unix:",
        "unix+tls:",
        "tcp://my_db.internal:3306",
    ] {
        assert_eq!(rule(&ingress(&format!("  - service: '{good}'\n")), &credentials(TUNNEL, SECRET)), "none", "{good}");
    }
    for bad in [
        "",
        "x",
        "x:3306",
        "tpc//x",
        "tcp:/x:1",
        "tcp://",
        "tcp://:3306",
        "tcp:x",
        "http://x/",
        "http://x/path",
        "http://x\\\\y",
        "tcp://x:port",
        "tcp://x y:1",
        "http_status:",
        "http_status:ok",
        "http_status:99",
        "http_status:1000",
        "hello world",
        "https://[::1",
        "http://%",
        "HTTP_STATUS:404",
        "\\ttcp://x:1",
    ] {
        let text = ingress(&format!("  - service: \"{bad}\"\n"));
        assert_eq!(rule(&text, &credentials(TUNNEL, SECRET)), "service_invalid", "{bad}");
    }
}

#[test]
fn what_opens_the_host_is_forbidden() {
    let last = "  - service: http_status:404\n";
    for (config, expected) in [
        (ingress("  - service: http://user:made-up@x:80\n"), "service_user_info"),
        (ingress("  - service: bastion\n"), "target_forbidden"),
        (ingress("  - service: socks-proxy\n"), "target_forbidden"),
        (ingress("  - {service: 'tcp://x:1', originRequest: {bastionMode: true}}\n"), "target_forbidden"),
        (ingress("  - {originRequest: {bastionMode: yes}}\n"), "target_forbidden"),
        (ingress("  - {service: 'tcp://x:1', originRequest: {bastionMode: false}}\n"), "none"),
        (ingress("  - {service: 'tcp://x:1', originRequest: {proxyType: socks}}\n"), "target_forbidden"),
        (ingress("  - {service: 'tcp://x:1', originRequest: {proxyType: ''}}\n"), "none"),
        (format!("originRequest: {{bastionMode: on}}\n{}", ingress("  - service: tcp://x:1\n")), "target_forbidden"),
        (format!("originRequest: {{bastionMode: on}}\n{}", ingress(last)), "none"),
        (
            format!("originRequest: {{<<: {{bastionMode: on}}}}\n{}", ingress("  - service: tcp://x:1\n")),
            "target_forbidden",
        ),
        (ingress(&format!("  - {{hostname: a, service: 'http://169.254.169.254'}}\n{last}")), "target_forbidden"),
        (ingress(&format!("  - {{hostname: a, service: 'http://localhost:2000'}}\n{last}")), "target_forbidden"),
        (ingress(&format!("  - {{hostname: a, service: &s 'tcp://0xa9fea9fe:80'}}\n{last}")), "target_forbidden"),
    ] {
        assert_eq!(rule(&config, &credentials(TUNNEL, SECRET)), expected, "{config}");
    }
    for key in [
        "token",
        "credentials-contents",
        "logfile",
        "pidfile",
        "trace-output",
        "edge",
        "bastion",
        "warp-routing",
        "no-such-key",
    ] {
        let config = format!("{key}: x\n{}", config(TUNNEL));
        assert_eq!(rule(&config, &credentials(TUNNEL, SECRET)), "key_not_allowed", "{key}");
        let policy = Policy { allow: [key.to_owned()].into(), ..Policy::default() };
        assert!(Bundle::check(payload("v1", &config, &credentials(TUNNEL, SECRET)), &policy).is_ok(), "{key}");
    }
}

/// Runs the check on a stack of 256 KiB, and measures it.
fn on_a_small_stack(config: String) -> (&'static str, Duration) {
    let run = move || {
        let start = Instant::now();
        (rule(&config, &credentials(TUNNEL, SECRET)), start.elapsed())
    };
    std::thread::Builder::new().stack_size(256 << 10).spawn(run).unwrap().join().expect("it does not crash")
}

#[test]
fn hostile_yaml_is_an_error_soon_and_no_crash() {
    let levels: String =
        (1..12).map(|n| format!("a{n}: &a{n} [{}]\n", vec![format!("*a{}", n - 1); 9].join(","))).collect();
    let wide = format!("a: &a [{}]\nb: [{}]\n", "1,".repeat(16_000), "*a,".repeat(10_000));
    let long = format!("a: &a {}\nb: [{}]\n", "x".repeat(30_000), "*a,".repeat(10_000));
    for (what, text, expected) in [
        ("60,000 open brackets", "[".repeat(60_000), "config_too_deep"),
        ("60,000 open braces", "{".repeat(60_000), "config_too_deep"),
        ("60,000 brackets in a key", format!("tunnel: {}", "[".repeat(60_000)), "config_too_deep"),
        ("brackets closed only in comments", "[ #]\n".repeat(13_000), "config_too_deep"),
        ("brackets closed only in quotes", format!("a: {}", "[']',".repeat(10_000)), "config_too_deep"),
        ("as many, closed", format!("{}{}", "[".repeat(30_000), "]".repeat(30_000)), "config_too_deep"),
        ("nested block lists", "- ".repeat(30_000), "config_too_deep"),
        ("60,000 question marks", "? ".repeat(30_000), "config_too_deep"),
        ("aliases of aliases", format!("a0: &a0 x\n{levels}"), "config_too_large"),
        ("one long list, often", wide, "config_too_large"),
        ("one long text, often", long, "config_too_large"),
        ("an alias to what it is in", "a: &a [*a]\n".into(), "config_too_deep"),
        ("an alias to nothing", "a: *nothing\n".into(), "config_not_yaml"),
        ("a key twice", "a: 1\na: 2\n".into(), "config_key_twice"),
        ("a key twice, deep", ingress("  - {service: a, service: b}\n"), "config_key_twice"),
        ("a tab", "tunnel: x\ningress:\n\t- service: y\n".into(), "config_tab"),
        ("a tab after a space", "tunnel:\n \tx: y\n \tz: a\n".into(), "config_tab"),
        ("two documents", format!("{}---\n{}", config(TUNNEL), config(TUNNEL)), "none"),
        ("a second document that is broken", format!("{}---\n[", config(TUNNEL)), "none"),
        ("binary", format!("{}loglevel: !!binary aW5mbw==\n", config(TUNNEL)), "config_tag"),
        (
            "binary, in full",
            format!("{}loglevel: !<tag:yaml.org,2002:binary> aW5mbw==\n", config(TUNNEL)),
            "config_tag",
        ),
        ("binary, in brackets", format!("tag: [!!binary aW5mbw==]\n{}", config(TUNNEL)), "config_tag"),
        (
            "binary, by another name",
            format!("%TAG !x! tag:yaml.org,2002:\n---\nloglevel: !x!binary aW5mbw==\n{}", config(TUNNEL)),
            "config_tag",
        ),
        ("a text with marks", format!("label: well!! done!\n{}", config(TUNNEL)), "none"),
        ("NUL", "tunnel: \0\n".into(), "config_control_character"),
        ("escape", "tunnel: \u{1b}[31m\n".into(), "config_control_character"),
        ("a list as a key", "[a]: b\n".into(), "config_key_not_text"),
        ("a number as a key", "1: b\n".into(), "tunnel_missing"),
        ("a tag", "a: !exec rm\n".into(), "config_tag"),
        ("a number out of any range", format!("tag: {}\n{}", "9".repeat(50), config(TUNNEL)), "none"),
        ("no end of a quote", "a: \"x\n".into(), "config_not_yaml"),
        ("two colons", "a: b: c\n".into(), "config_not_yaml"),
        ("60,000 colons", ":".repeat(60_000), "config_not_yaml"),
        ("60,000 stars", "*".repeat(60_000), "config_not_yaml"),
        ("60,000 keys", (0..10_000).map(|n| format!("{n}a:\n")).collect(), "config_too_large"),
    ] {
        let (rule, time) = on_a_small_stack(text);
        assert_eq!(rule, expected, "{what}");
        // Seen: milliseconds. What grows with the square of its length takes minutes.
        assert!(time < Duration::from_secs(30), "{what} took {time:?}");
        eprintln!("{what}: {rule} in {time:?}");
    }
}

#[test]
fn a_broken_config_is_told_with_its_place() {
    for (text, mentions) in [
        ("a: 1\nb: 2\n\tc: 3\n", &["tab", "line 3", "spaces"][..]),
        ("a: 1\nb: \"x\u{7}\"\n", &["control character", "line 2, column 6"]),
        ("a: 1\nb: c: d\n", &["not YAML", "line 2", "ingress validate"]),
        ("a: 1\nb:\n  c: 1\n  c: 2\n", &["twice", "line 3"]),
    ] {
        let error = with_config(text).unwrap_err().to_string();
        for part in mentions {
            assert!(error.contains(part), "{text:?}: `{error}` does not mention `{part}`");
        }
    }
    let error = with_config(&ingress("  - service: http_status:404\n  - {service: nope, hostname: 1}\n")).unwrap_err();
    assert!(error.to_string().contains("ingress rule 2"), "{error}");
}

/// Texts that a rule refuses, each with a word that must not get out.
fn broken_with(hidden: &str) -> Vec<(String, String)> {
    let good = credentials(TUNNEL, SECRET);
    let mut all: Vec<_> = [
        hidden.to_owned(),
        format!("\"{hidden}"),
        format!("a: *{hidden}\n"),
        format!("a: !{hidden} b\n"),
        format!("{hidden}: 1\n{hidden}: 2\n"),
        format!("? [{hidden}]\n: 1\n"),
        format!("[{{{hidden}: {hidden}"),
        config(hidden),
        format!("{}credentials-file: {hidden}\n", config(TUNNEL)),
        ingress(&format!("  - service: {hidden}\n")),
        ingress(&format!("  - service: http://user:{hidden}@x:1/\n")),
        ingress(&format!("  - {{service: bastion, hostname: {hidden}}}\n")),
        format!("{}{hidden}: 1\n", config(TUNNEL)),
        ingress(&format!("  - {{service: bastion, path: [{hidden}]}}\n")),
    ]
    .map(|config| (config, good.clone()))
    .into();
    all.extend(
        [
            hidden.to_owned(),
            credentials(TUNNEL, hidden),
            credentials(hidden, SECRET),
            credentials(TUNNEL, SECRET).replace("\"made-up\"", &format!("[\"{hidden}\"]")),
            format!("{{\"{hidden}\": \"{hidden}\"}}"),
            format!("{{\"TunnelSecret\": \"{hidden}"),
        ]
        .map(|credentials| (config(TUNNEL), credentials)),
    );
    all
}

#[test]
fn no_message_quotes_the_payload_and_each_names_a_next_step() {
    let hidden = "Zm9yb3VyZXllc29ubHkh-x";
    for (config, credentials) in broken_with(hidden) {
        let error = check(&config, &credentials).expect_err(&config);
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains(&hidden[..8]), "{shown}");
        assert!(error.to_string().contains([';', ':']), "{error}");
    }
    let bundle = with_config(&config(TUNNEL)).unwrap();
    assert!(!format!("{bundle:?}").contains(&SECRET[..8]), "{bundle:?}");
}

proptest! {
    #[test]
    fn any_text_is_checked_without_a_panic(config in "\\PC{0,200}", credentials in "\\PC{0,80}") {
        let _ = check(&config, &credentials);
        let _ = with_config(&config);
    }

    #[test]
    fn any_yaml_like_text_is_checked_without_a_panic(config in "[-a-c0-3:?&*!|>\\[\\]{}\"'#%@` \\n\\t,<~]{0,120}") {
        let _ = with_config(&config);
    }

    /// A text cut or changed at any byte is refused or whole; it never shows the secret.
    #[test]
    fn a_damaged_secret_is_never_shown(at in 0usize..130, byte in 0u8..128) {
        let mut bytes = credentials(TUNNEL, SECRET).into_bytes();
        let at = at % bytes.len();
        bytes[at] = byte;
        for credentials in [String::from_utf8(bytes.clone()).unwrap(), String::from_utf8(bytes[..at].to_vec()).unwrap()] {
            if let Err(error) = check(&config(TUNNEL), &credentials) {
                let shown = format!("{error} {error:?}");
                prop_assert!((0..SECRET.len() - 8).all(|from| !shown.contains(&SECRET[from..from + 8])), "{}", shown);
            }
        }
    }

    #[test]
    fn an_origin_reads_back_as_it_was_written(host in "[a-z][a-z0-9]{0,10}(\\.[a-z][a-z0-9]{0,10}){0,3}", port in 1u16..) {
        let written = format!("tcp://{host}:{port}");
        let bundle = with_config(&ingress(&format!("  - service: {written}\n"))).unwrap();
        prop_assert_eq!(bundle.services()[0].to_string(), written);
    }
}
