use super::*;
use crate::cli::status::tests::{now, status};
use serde_json::{Value, json};

const SETTLE: Duration = Duration::from_secs(10);

fn at(seconds: u64) -> Mono {
    Mono::new(Duration::from_secs(seconds))
}

/// A status whose health began so many seconds before it was written.
fn seen(state: &str, seconds: u64, changes: Value) -> Status {
    let since =
        json!({"state": state, "why": "the evidence", "since": format!("2026-01-01T00:01:{:02}Z", 60 - seconds)});
    let mut status = status(state, changes);
    status.health = serde_json::from_value(since).unwrap();
    status
}

fn look_at(status: Status, version: Option<&str>) -> Look {
    look(Ok(status), version, now(), |_| true)
}

#[track_caller]
fn told(look: Look) -> String {
    match look {
        Look::Serving { told, .. } => format!("serving: {told}"),
        Look::NotYet(told) => format!("not yet: {told}"),
        Look::Unknown(told) => format!("unknown: {told}"),
    }
}

#[test]
fn a_tunnel_that_is_up_for_long_enough_is_waited_for_no_more() {
    for state in ["registered", "degraded"] {
        let mut settling = Settling::default();
        let look = settling.judge(look_at(seen(state, 10, json!({})), None), SETTLE, at(100));
        assert!(told(look).starts_with(&format!("serving: {state} for 10s")));
    }
}

#[test]
fn one_that_has_just_come_up_has_to_settle_by_what_is_seen_here_or_by_what_the_agent_says() {
    let mut settling = Settling::default();
    for (now, serves) in [(100, false), (109, false), (110, true)] {
        let look = told(settling.judge(look_at(seen("registered", 2, json!({})), None), SETTLE, at(now)));
        assert_eq!(look.starts_with("serving"), serves, "{now}: {look}");
        assert!(
            serves || look.contains("registered, but for less than 10s (handover.settle): registered for 2s"),
            "{look}"
        );
    }
}

#[test]
fn it_settles_through_a_lost_connection_and_not_through_another_child() {
    let mut settling = Settling::default();
    let mut up = |state, pid, now| {
        let connector = json!([{"run": 1, "generation": 3, "secret_version": "v3", "pid": pid,
            "metrics": "127.0.0.1:2000", "state": "registered", "connections": 3}]);
        let look = look_at(seen(state, 1, json!({"connectors": connector})), None);
        told(settling.judge(look, SETTLE, at(now))).starts_with("serving")
    };
    assert!(!up("registered", 43, 100));
    assert!(!up("degraded", 43, 106));
    assert!(!up("registered", 44, 109), "another child");
    assert!(!up("registered", 44, 111));
    assert!(up("registered", 44, 119));
}

#[test]
fn it_settles_anew_after_an_interruption() {
    let mut settling = Settling::default();
    let up = || look_at(seen("registered", 1, json!({})), None);
    settling.judge(up(), SETTLE, at(100));
    settling.judge(look_at(seen("broken", 1, json!({})), None), SETTLE, at(105));
    assert!(told(settling.judge(up(), SETTLE, at(112))).starts_with("not yet"));
    assert!(told(settling.judge(up(), SETTLE, at(122))).starts_with("serving"));
}

#[test]
fn what_is_in_the_way_is_told_with_the_next_step() {
    let look = told(look_at(seen("broken", 5, json!({"trouble": "denied; grant it"})), None));
    let wanted = "not yet: broken for 5s: the tunnel is down on this instance\n  the evidence\n  trouble: denied; grant it\n  next: cflared-agent status;";
    assert!(look.starts_with(wanted), "{look}");
}

#[test]
fn a_version_serves_when_its_connector_is_up_and_current_names_it() {
    let successor = |state: &str, installed: &str| {
        let connector = |run, generation, state: &str| {
            json!({"run": run, "generation": generation, "secret_version": format!("v{generation}"), "pid": 42 + run,
                "metrics": "127.0.0.1:2000", "state": state, "connections": 4})
        };
        let generation: u64 = installed[1..].parse().unwrap();
        let changes = json!({"connectors": [connector(1, 3, "registered"), connector(2, 4, state)],
            "installed": {"generation": generation, "version": installed}});
        told(look_at(seen("registered", 50, changes), Some("v4")))
    };
    let yet = successor("registered", "v3");
    assert!(yet.starts_with("not yet: secret version v4 does not serve, v3 does; registered for 50s"), "{yet}");
    let down = successor("unregistered", "v4");
    assert!(down.starts_with("not yet: no connector is registered"), "{down}");
    assert!(successor("registered", "v4").starts_with("serving"));
    let none = told(look_at(seen("starting", 5, json!({"installed": null, "connectors": []})), Some("v4")));
    assert!(none.starts_with("not yet: starting"), "{none}");
}

#[test]
fn without_a_status_of_a_living_agent_it_is_not_known() {
    let missing = look(Err(ReadError::Missing("/run/x".into())), None, now(), |_| true);
    assert!(told(missing).starts_with("unknown: failed to read the status /run/x: the file does not exist"));
    let up = seen("registered", 50, json!({}));
    let gone = told(look(Ok(up.clone()), None, now(), |pid| pid != 42));
    assert!(gone.starts_with("unknown: stale: the agent that wrote this (pid 42) is gone; "), "{gone}");
    let stale = told(look(Ok(up), None, now() + Duration::from_secs(76), |_| true));
    assert!(stale.starts_with("unknown: stale: the agent stopped writing; 1m 16s ago"), "{stale}");
    // It said so itself.
    let stopped = told(look(Ok(seen("draining", 5, json!({}))), None, now(), |_| false));
    assert!(stopped.starts_with("not yet: draining"), "{stopped}");
}

#[test]
fn a_process_lives_or_does_not() {
    assert!(lives(std::process::id()) && lives(1));
    assert!(!lives(0) && !lives(u32::MAX) && !lives(i32::MAX as u32));
}
