use super::*;
use serde_json::{Value, json};
use std::time::Duration;

/// 2026-01-01T00:02:00Z.
pub fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_225_720)
}

/// A status that was written just now, with the health changed 65 s ago.
pub fn status(state: &str, changes: Value) -> Status {
    let mut json = json!({
        "schema": 1,
        "written_at": "2026-01-01T00:02:00Z",
        "agent": {"version": "0.1.0", "pid": 42, "started_at": "2026-01-01T00:00:00Z"},
        "instance": {"id": "i-1", "region": "us-east-1", "zone": "us-east-1a", "image": "ami-1", "environment": "dev"},
        "tunnel": "6ff42ae2-765d-4adf-8112-31c55c1551ef",
        "health": {"state": state, "since": "2026-01-01T00:00:55Z", "why": "the evidence"},
        "connectors": [{"run": 1, "generation": 3, "secret_version": "v3", "version": "2026.8.2", "pid": 43,
            "connector_id": "c-1", "metrics": "127.0.0.1:2000", "state": "registered", "connections": 4,
            "edges": [edge(0, "iad01"), edge(1, "iad05"), edge(2, "ord01")]}],
        "installed": {"generation": 3, "version": "v3"},
        "secret": {"version": "v3", "read_at": "2026-01-01T00:01:50Z"},
        "cloudwatch": {"last_push_at": "2026-01-01T00:01:40Z", "waiting": 2},
        "autoscaling": {"group": "dev", "marked": false},
    });
    for (key, value) in changes.as_object().into_iter().flatten() {
        json[key] = value.clone();
    }
    serde_json::from_value(json).unwrap()
}

fn edge(index: u8, location: &str) -> Value {
    json!({"index": index, "location": location, "address": format!("198.41.192.{index}"), "protocol": "quic"})
}

fn shown(status: &Status) -> (String, Exit) {
    let judged = judge(status, now(), |_| true);
    (render::render(status, &judged, now()), judged.exit)
}

#[test]
fn the_whole_of_a_good_status() {
    let decision = json!([{"at": "2026-01-01T00:00:55Z", "kind": "transition", "what": "up", "evidence": "/ready"}]);
    let (text, exit) = shown(&status("registered", json!({ "journal": decision })));
    let wanted = "\
registered for 1m 5s: the tunnel is up
  the evidence

instance    i-1, dev, us-east-1a, ami-1
tunnel      6ff42ae2-765d-4adf-8112-31c55c1551ef
secret      version v3, read 10s ago
installed   generation 3, from that version
connector   registered, 4 connections, cloudflared 2026.8.2, pid 43
            runs generation 3, from that version
            id c-1, metrics on 127.0.0.1:2000
            over quic: iad01 198.41.192.0, iad05 198.41.192.1
                       ord01 198.41.192.2
cloudwatch  pushed 20s ago, 2 waiting
autoscaling not marked unhealthy, group dev
agent       0.1.0, pid 42, running for 2m 0s

last decisions, newest first
     1m 5s ago  up: /ready
";
    assert_eq!((text.as_str(), exit), (wanted, Exit::Fine));
}

#[test]
fn what_is_wrong_comes_first() {
    let (text, exit) = shown(&status("broken", json!({"trouble": "denied; grant it"})));
    let wanted =
        "broken for 1m 5s: the tunnel is down on this instance\n  the evidence\n  trouble: denied; grant it\n\n";
    assert!(text.starts_with(wanted), "{text}");
    assert_eq!(exit, Exit::NotFine);
    let told_already = shown(&status("broken", json!({"trouble": "evidence"}))).0;
    assert!(!told_already.contains("trouble"), "{told_already}");
}

#[test]
fn a_change_is_told_with_the_time_that_is_left() {
    let changing = json!({"what": "on probation", "until": "2026-01-01T00:03:05Z"});
    let (text, exit) = shown(&status("registered", json!({ "changing": changing })));
    assert!(text.contains("\n  the evidence\n  change: on probation (1m 5s left)\n\n"), "{text}");
    assert_eq!(exit, Exit::Fine);
    let (text, _) = shown(&status("registered", json!({"changing": {"what": "handing over"}})));
    assert!(text.contains("\n  change: handing over\n\n"), "{text}");
}

#[test]
fn holds_come_before_all_and_then_whose_fault_it_is() {
    let decision = json!([{"at": "2026-01-01T00:00:55Z", "kind": "refusal", "what": "not condemned",
        "evidence": "a refresh is under way", "blame": "host_network"}]);
    let (text, exit) = shown(&status(
        "held",
        json!({
            "holds": [{"by": "operator", "until": "2026-01-01T01:02:03Z", "note": "alice: maintenance"},
                {"by": "tag", "note": "adv:cflared-hold is yes"}],
            "dry_run": true,
            "blame": {"blame": "host_network", "confidence": "likely", "evidence": "7844 fails, others are registered"},
            "guard": "a refresh is under way",
            "journal": decision,
        }),
    ));
    let wanted = "\
on hold by the operator until 2026-01-01T01:02:03Z: alice: maintenance (1h 0m left)
on hold by the tag: adv:cflared-hold is yes
held for 1m 5s: the tunnel is down on this instance; the agent must not have it replaced, and needs a person
  the evidence
  blame: host network (likely): 7844 fails, others are registered
  guard: a refresh is under way
  dry run: this instance is never marked unhealthy

";
    assert!(text.starts_with(wanted), "{text}");
    let told_already = json!({"guard": "evidence", "autoscaling": {"group": "dev", "last_error": "evidence"}});
    let (text_again, _) = shown(&status("held", told_already));
    assert_eq!(text_again.matches("evidence").count(), 1, "{text_again}");
    assert!(text.ends_with("ago  not condemned [host network]: a refresh is under way\n"), "{text}");
    assert_eq!(exit, Exit::NotFine);
}

#[test]
fn an_agent_that_does_not_write_any_more_is_unknown() {
    let (text, exit) = shown(&status("registered", json!({"written_at": "2026-01-01T00:00:00Z"})));
    let wanted =
        "stale: the agent stopped writing; 2m 0s ago it was registered: the evidence\n  next: systemctl status";
    assert!(text.starts_with(wanted), "{text}");
    assert_eq!(exit, Exit::Unknown);
}

#[test]
fn an_agent_that_is_gone_is_unknown_at_once_unless_it_was_told_to_stop() {
    let gone = |state| judge(&status(state, json!({})), now(), |pid| pid != 42);
    for state in ["registered", "broken"] {
        let judged = gone(state);
        let wanted =
            format!("stale: the agent that wrote this (pid 42) is gone; 0s ago it was {state}: the evidence\n");
        assert!(judged.headline.starts_with(&wanted), "{}", judged.headline);
        assert_eq!(judged.exit, Exit::Unknown);
    }
    assert_eq!(gone("draining").exit, Exit::NotFine);
}

#[test]
fn what_runs_and_what_is_installed_is_told_apart_from_what_was_read() {
    let connectors = json!([
        {"run": 1, "generation": 3, "secret_version": "v1", "metrics": "127.0.0.1:2000", "state": "unregistered",
            "ha_connections": 1},
        {"run": 2, "generation": 4, "secret_version": "v3", "metrics": "127.0.0.1:2001", "state": "registered",
            "connections": 1},
    ]);
    let installed = json!({"generation": 3, "version": "v1"});
    let (text, _) = shown(&status("registered", json!({"connectors": connectors, "installed": installed})));
    for part in [
        "installed   generation 3, from version v1\n",
        "connector   unregistered\n            runs generation 3, from version v1\n",
        "            ha_connections is 1, but counts attempts and proves nothing\n",
        "connector   registered, 1 connection\n            runs generation 4, from that version\n",
    ] {
        assert!(text.contains(part), "{part}{text}");
    }
}

#[test]
fn a_healthy_one_fits_on_the_smallest_screen() {
    const VERSION: &str = "01234567-89ab-cdef-0123-456789abcdef";
    let edge =
        |index: u8| json!({"index": index, "location": "iad01", "address": "198.41.192.167", "protocol": "quic"});
    let decision = json!({"at": "2025-12-01T00:00:55Z", "kind": "transition", "what": "degraded → registered",
        "evidence": "/ready answers 200 with 4 connections, as the connector's own log said it should"});
    let (text, _) = shown(&status(
        "registered",
        json!({
            "agent": {"version": "0.1.0", "pid": 1_234_567, "started_at": "2025-11-01T00:00:00Z"},
            "instance": {"id": "i-0123456789abcdef0", "region": "us-east-1", "zone": "us-east-1a",
                "image": "ami-0123456789abcdef0", "environment": "prd"},
            "secret": {"version": VERSION, "read_at": "2026-01-01T00:01:50Z"},
            "installed": {"generation": 123, "version": VERSION},
            "connectors": [{"run": 1, "generation": 123, "secret_version": VERSION, "version": "2026.8.2",
                "pid": 1_234_567, "connector_id": VERSION, "metrics": "127.0.0.1:2000", "state": "registered",
                "connections": 4, "edges": [edge(0), edge(1), edge(2), edge(3)]}],
            "journal": vec![decision; 50],
        }),
    ));
    assert!(text.lines().count() <= 24, "{text}");
    for line in text.lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
    assert!(text.contains("…"), "{text}");
}

#[test]
fn every_state_has_its_exit_and_fits_on_a_screen() {
    let decision = json!({"at": "2026-01-01T00:00:55Z", "kind": "action", "what": "a", "evidence": "b"});
    let journal: Vec<Value> = vec![decision; 50];
    for (state, fine) in [
        ("starting", false),
        ("registered", true),
        ("degraded", true),
        ("broken", false),
        ("remediating", false),
        ("condemned", false),
        ("held", false),
        ("draining", false),
        ("of a newer agent", false),
    ] {
        let (text, exit) = shown(&status(state, json!({ "journal": journal })));
        assert_eq!(exit == Exit::Fine, fine, "{state}");
        assert!(text.lines().count() <= 24, "{state}: {text}");
        assert!(text.len() <= 2500, "what Run Command shows: {text}");
    }
}

/// A status that anybody wrote is shown or refused, and holds nothing then that a terminal obeys.
#[test]
fn fuzz_status() {
    let states = ["registered", "broken", "held", "a new one"];
    let seeds = states.map(|state| serde_json::to_vec(&status(state, json!({}))).unwrap());
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    testing::fuzz::fuzz("status", seeds, |input| {
        let Ok(status) = serde_json::from_slice::<Status>(input) else { return (0, 0) };
        let judged = judge(&status, now, |_| true);
        let text = input::plain::Plain::text(&render::render(&status, &judged, now)).to_string();
        assert!(text.chars().all(|c| c == '\n' || c == '\t' || input::plain::is_harmless(c)));
        (1 + judged.exit as u8, text.lines().count().min(40))
    });
}
