use super::families::{FAMILIES, page};
use super::page::Kind;
use super::*;
use serde_json::json;
use std::time::Duration;

/// Numbers of a broken tunnel; without what `without` names.
pub fn numbers(without: &[&str]) -> Numbers {
    let mut status = json!({
        "schema": 1,
        "written_at": "2026-01-01T00:02:00Z",
        "agent": {"version": "0.1.0\"\\", "pid": 42, "started_at": "2026-01-01T00:00:00Z"},
        "holds": [{"by": "tag", "note": "yes"}],
        "health": {"state": "broken", "since": "2026-01-01T00:00:00.250Z", "why": ""},
        "blame": {"blame": "host_network", "confidence": "likely", "evidence": ""},
        "connectors": [
            {"run": 1, "generation": 1, "secret_version": "v1", "metrics": "127.0.0.1:2000", "state": "draining",
             "connections": 3},
            {"run": 2, "generation": 2, "secret_version": "v2", "metrics": "127.0.0.1:2001", "state": "registered",
             "connections": 4},
        ],
        "secret": {"read_at": "2026-01-01T00:01:00Z"},
        "cloudwatch": {"last_push_at": "2026-01-01T00:01:40Z", "waiting": 2, "lost": 3, "dropped": 4},
        "counters": {"connector_restarts": 5, "log_lines_lost": 6, "host_writes_failed": 7},
    });
    for key in without {
        status.as_object_mut().unwrap().remove(*key).unwrap();
    }
    let mut counts = Counts { looks_failed: 1, pushes_failed: 8, agent_restarts: 9, ..Counts::default() };
    counts.looks.note(Duration::from_millis(3));
    counts.looks.note(Duration::from_secs(20));
    counts.became(Health::Registered);
    counts.became(Health::Broken);
    counts.became(Health::Broken);
    Numbers { status: serde_json::from_value(status).unwrap(), counts }
}

fn value(page: &str, sample: &str) -> Option<f64> {
    page.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' ')?.parse().ok())
}

#[test]
fn every_number_is_where_it_belongs() {
    let page = page(&numbers(&[]));
    for (sample, expected) in [
        (r#"cflared_agent_build_info{version="0.1.0\"\\"}"#, 1.0),
        ("cflared_agent_start_timestamp_seconds", 1_767_225_600.0),
        ("cflared_agent_restarts_total", 9.0),
        (r#"cflared_agent_state{state="broken"}"#, 1.0),
        (r#"cflared_agent_state{state="registered"}"#, 0.0),
        ("cflared_agent_state_since_timestamp_seconds", 1_767_225_600.25),
        (r#"cflared_agent_transitions_total{state="broken"}"#, 2.0),
        (r#"cflared_agent_transitions_total{state="registered"}"#, 1.0),
        (r#"cflared_agent_transitions_total{state="held"}"#, 0.0),
        (r#"cflared_agent_blame{blame="host_network"}"#, 1.0),
        ("cflared_agent_holds", 1.0),
        ("cflared_agent_connectors", 2.0),
        ("cflared_agent_connections", 7.0),
        ("cflared_agent_connector_restarts_total", 5.0),
        (r#"cflared_agent_scrape_duration_seconds_bucket{le="0.005"}"#, 1.0),
        (r#"cflared_agent_scrape_duration_seconds_bucket{le="10"}"#, 1.0),
        (r#"cflared_agent_scrape_duration_seconds_bucket{le="+Inf"}"#, 2.0),
        ("cflared_agent_scrape_duration_seconds_sum", 20.003),
        ("cflared_agent_scrape_duration_seconds_count", 2.0),
        ("cflared_agent_scrape_failures_total", 1.0),
        ("cflared_agent_secret_read_timestamp_seconds", 1_767_225_660.0),
        ("cflared_agent_push_duration_seconds_count", 0.0),
        ("cflared_agent_push_failures_total", 8.0),
        ("cflared_agent_last_push_timestamp_seconds", 1_767_225_700.0),
        ("cflared_agent_periods_waiting", 2.0),
        ("cflared_agent_periods_lost_total", 3.0),
        ("cflared_agent_periods_dropped_total", 4.0),
        ("cflared_agent_log_lines_lost_total", 6.0),
        ("cflared_agent_host_write_failures_total", 7.0),
    ] {
        assert_eq!(value(&page, sample), Some(expected), "{sample}\n{page}");
    }
    for family in FAMILIES {
        assert_eq!(
            page.matches(&format!("# TYPE {} {}\n", family.name, family.kind.name())).count(),
            1,
            "{}",
            family.name
        );
    }
}

#[test]
fn what_there_is_not_is_absent_with_its_head() {
    let page = page(&numbers(&["cloudwatch", "blame", "secret"]));
    for name in ["cflared_agent_push", "cflared_agent_periods", "cflared_agent_blame", "cflared_agent_secret"] {
        assert!(!page.contains(name), "{page}");
    }
}

#[test]
fn names_keep_to_the_ecosystems_habits() {
    for family in FAMILIES {
        let (name, kind) = (family.name, family.kind);
        assert_eq!(name.ends_with("_total"), kind == Kind::Counter, "{name}");
        assert_eq!(name.ends_with("_duration_seconds"), kind == Kind::Histogram, "{name}");
        assert!(name.starts_with("cflared_agent_") && family.help.ends_with('.'), "{name}");
        assert!(!name.contains("timestamp") || name.ends_with("_timestamp_seconds"), "{name}");
    }
}

#[test]
fn the_docs_show_every_metric_and_no_other() {
    let docs = include_str!("../../../../docs/metrics.md");
    let shown: Vec<Vec<&str>> = docs
        .lines()
        .filter(|line| line.starts_with("| `cflared_agent_"))
        .map(|line| line.trim_matches('|').split('|').map(|cell| cell.trim().trim_matches('`')).take(3).collect())
        .collect();
    let there: Vec<Vec<&str>> =
        FAMILIES.iter().map(|family| vec![family.name, family.kind.name(), family.label]).collect();
    assert_eq!(shown, there);
    let page = page(&numbers(&[]));
    for family in FAMILIES {
        let labelled = page.contains(&format!("\n{}{{{}=", family.name, family.label));
        let plain = page.contains(&format!("\n{} ", family.name)) || family.kind == Kind::Histogram;
        assert_eq!((labelled, plain), (!family.label.is_empty(), family.label.is_empty()), "{}", family.name);
    }
}
