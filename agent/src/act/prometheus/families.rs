//! Which metrics there are: one table, which `docs/metrics.md` shows.

use super::Numbers;
use super::page::Kind::{self, Counter, Gauge, Histogram};
use super::page::{Page, Samples};
use cflared_verdict::Health;
use status::Timestamp;
use std::time::{SystemTime, UNIX_EPOCH};

/// One metric.
pub struct Family {
    pub name: &'static str,
    pub kind: Kind,
    /// The name of its label; empty: it has none.
    pub label: &'static str,
    pub help: &'static str,
    read: fn(&Numbers, &mut Samples<'_>),
}

/// A page of all that there is to tell.
pub fn page(numbers: &Numbers) -> String {
    let mut page = Page::default();
    for family in FAMILIES {
        page.family(family, |samples| (family.read)(numbers, samples));
    }
    page.into_text()
}

const fn family(
    name: &'static str,
    kind: Kind,
    label: &'static str,
    help: &'static str,
    read: fn(&Numbers, &mut Samples<'_>),
) -> Family {
    Family { name, kind, label, help, read }
}

fn seconds(moment: Timestamp) -> f64 {
    SystemTime::from(moment).duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

/// All metrics, in the order of the page.
#[rustfmt::skip]
pub const FAMILIES: &[Family] = &[
    family("cflared_agent_build_info", Gauge, "version", "The version of the agent; always 1.",
        |now, to| to.labelled(&now.status.agent.version, 1.0)),
    family("cflared_agent_start_timestamp_seconds", Gauge, "", "When the agent started.",
        |now, to| to.put(seconds(now.status.agent.started_at))),
    family("cflared_agent_restarts_total", Counter, "", "Unplanned restarts of the agent in this boot.",
        |now, to| to.count(now.counts.agent_restarts)),

    family("cflared_agent_state", Gauge, "state", "1 for the health that the tunnel has on this instance, 0 for every other.",
        |now, to| for health in Health::ALL.map(|health| health.to_string()) {
            to.labelled(&health, f64::from(u8::from(health == now.status.health.state)));
        }),
    family("cflared_agent_state_since_timestamp_seconds", Gauge, "", "When the health became what it is.",
        |now, to| to.put(seconds(now.status.health.since))),
    family("cflared_agent_transitions_total", Counter, "state", "How often the health became that.",
        |now, to| for (health, times) in Health::ALL.iter().zip(now.counts.transitions) {
            to.labelled_count(&health.to_string(), times);
        }),
    family("cflared_agent_blame", Gauge, "blame", "1 for whose fault it is; absent while nothing is wrong or it cannot be told.",
        |now, to| if let Some(blame) = &now.status.blame { to.labelled(&blame.blame, 1.0); }),
    family("cflared_agent_holds", Gauge, "", "Holds in force: while there is one, nothing is condemned or handed over.",
        |now, to| to.count(now.status.holds.len() as u64)),

    family("cflared_agent_connectors", Gauge, "", "Connectors that run or are being respawned; two during a hand-over.",
        |now, to| to.count(now.status.connectors.len() as u64)),
    family("cflared_agent_connections", Gauge, "", "Registered connections to the edge, of all connectors, by /ready.",
        |now, to| to.put(now.status.connectors.iter().map(|connector| f64::from(connector.connections)).sum())),
    family("cflared_agent_connector_restarts_total", Counter, "", "Unplanned restarts of connectors in this boot.",
        |now, to| to.count(now.status.counters.connector_restarts)),

    family("cflared_agent_scrape_duration_seconds", Histogram, "", "How long looks at a connector's /ready took.",
        |now, to| to.histogram(&now.counts.looks)),
    family("cflared_agent_scrape_failures_total", Counter, "", "Looks that were not answered, or not by cloudflared.",
        |now, to| to.count(now.counts.looks_failed)),

    family("cflared_agent_secret_read_timestamp_seconds", Gauge, "", "When the secret was last read.",
        |now, to| if let Some(at) = now.status.secret.read_at { to.put(seconds(at)); }),

    family("cflared_agent_push_duration_seconds", Histogram, "", "How long pushes to CloudWatch took.",
        |now, to| if now.status.cloudwatch.is_some() { to.histogram(&now.counts.pushes); }),
    family("cflared_agent_push_failures_total", Counter, "", "Pushes that were not accepted, or whose outcome is not known.",
        |now, to| if now.status.cloudwatch.is_some() { to.count(now.counts.pushes_failed); }),
    family("cflared_agent_last_push_timestamp_seconds", Gauge, "", "When CloudWatch last accepted a push.",
        |now, to| if let Some(at) = now.status.cloudwatch.as_ref().and_then(|pushes| pushes.last_push_at) { to.put(seconds(at)); }),
    family("cflared_agent_periods_waiting", Gauge, "", "Periods whose datapoints are still to be pushed.",
        |now, to| if let Some(pushes) = &now.status.cloudwatch { to.count(pushes.waiting); }),
    family("cflared_agent_periods_lost_total", Counter, "", "Periods whose datapoints were pushed with an unknown outcome, in this boot.",
        |now, to| if let Some(pushes) = &now.status.cloudwatch { to.count(pushes.lost); }),
    family("cflared_agent_periods_dropped_total", Counter, "", "Periods whose datapoints were given up unpushed, in this boot.",
        |now, to| if let Some(pushes) = &now.status.cloudwatch { to.count(pushes.dropped); }),

    family("cflared_agent_log_lines_lost_total", Counter, "", "Lines of the log that nobody took in time.",
        |now, to| to.count(now.status.counters.log_lines_lost)),
    family("cflared_agent_host_write_failures_total", Counter, "", "Writes of the status and the state, and notices to systemd, that failed.",
        |now, to| to.count(now.status.counters.host_writes_failed)),
];
