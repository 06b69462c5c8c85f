//! Reports as they come from the field: what the page is looked at with.

use cflared_report::{
    Condition, Connection, Connector, Decision, End, Facts, Fault, Finding, Held, Kind, Life, Missing, Moment, Outcome,
    Span,
};
use std::time::Duration;

const NOW: u64 = 1_795_788_645_678;

fn ago(seconds: u64) -> Moment {
    Moment::from_ms(NOW).before(Duration::from_secs(seconds))
}

fn span(from: u64, to: Option<u64>) -> Span {
    Span { from: ago(from), to: to.map(ago) }
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect()
}

fn decision(seconds: u64, kind: Kind, what: &str, evidence: &str, blame: Option<&str>) -> Decision {
    Decision { at: ago(seconds), kind, what: what.into(), evidence: evidence.into(), blame: blame.map(Into::into) }
}

fn finding(outcome: Outcome, id: &str, evidence: &[&str], next: &str) -> Finding {
    let evidence = evidence.iter().map(|seen| (*seen).into()).collect();
    Finding { id: id.into(), title: id.replace('-', " "), outcome, evidence, next: next.into() }
}

fn connections(run: &str, from: u64, to: Option<u64>, places: [&str; 4]) -> Vec<Connection> {
    let one = |(index, place): (usize, &str)| Connection {
        run: run.into(),
        index: index as u64,
        place: place.into(),
        protocol: "quic".into(),
        span: span(from - index as u64, to.map(|to| to + index as u64)),
    };
    places.into_iter().enumerate().map(one).collect()
}

/// A connector that serves for hours, with a hand-over on the way.
pub fn healthy() -> Facts {
    let began = 5 * 3600;
    let handed = 3 * 3600;
    Facts {
        made_at: ago(0),
        subject: "i-0a1b2c3d4e5f60718".into(),
        condition: Condition::Fine,
        headline: "fine: this host fails none of 43 checks; to be seen to: edge-metro".into(),
        said: Some("registered: /ready: 4 connections".into()),
        fault: None,
        findings: vec![
            finding(
                Outcome::Warn,
                "edge-metro",
                &["all 4 connections end in iad: they are lost together"],
                "nothing to do unless it lasts",
            ),
            finding(Outcome::Pass, "ready", &["/ready: 4 connections"], ""),
            finding(Outcome::Pass, "dns", &["region1.v2.argotunnel.com resolves"], ""),
            finding(Outcome::Skip, "network-allowances", &["no ENA card"], ""),
        ],
        about: pairs(&[
            ("instance", "i-0a1b2c3d4e5f60718"),
            ("environment", "prd"),
            ("zone", "us-east-1b"),
            ("image", "ami-0123456789abcdef0"),
            ("tunnel", "6ff42ae2-765d-4adf-8112-31c55c1551ef"),
            ("cflared-agent", "0.1.0"),
            ("cloudflared", "2026.8.2"),
        ]),
        connectors: vec![Connector {
            run: "2".into(),
            state: "registered".into(),
            about: pairs(&[("connections", "4"), ("pid", "2215"), ("edge", "iad01, iad02, iad03, iad04 over quic")]),
        }],
        decisions: vec![
            decision(began - 2, Kind::Transition, "starting → registered", "/ready: 4 connections", None),
            decision(handed, Kind::Action, "install version 3f2a", "a newer version of the secret", None),
            decision(handed - 12, Kind::Action, "hand over to connector 2", "registered and settled", None),
        ],
        known_until: ago(0),
        agents: vec![Life { name: "agent".into(), span: span(began, None), end: None }],
        lives: vec![
            Life {
                name: "connector 1, pid 812".into(),
                span: span(began - 1, Some(handed - 14)),
                end: Some(End { planned: true, how: "exit status 0".into() }),
            },
            Life { name: "connector 2, pid 2215".into(), span: span(handed - 1, None), end: None },
        ],
        connections: [
            connections("1", began - 2, Some(handed - 14), ["iad01", "iad02", "atl01", "atl02"]),
            connections("2", handed - 3, None, ["iad01", "iad02", "iad03", "iad04"]),
        ]
        .concat(),
        datapoints: vec![span(began - 30, Some(30))],
        unpushed: vec![],
        missing: vec![],
        files: vec![
            Held { name: "status.json".into(), what: "the agent's status".into(), bytes: 4211 },
            Held { name: "cloudflared-2/metrics.txt".into(), what: "its metrics".into(), bytes: 15_022 },
        ],
    }
}

/// A security group that lost its rule.
pub fn edge_out() -> Facts {
    let mut facts = healthy();
    let lost = 170;
    facts.condition = Condition::NotFine;
    facts.headline =
        "NOT FINE: edge-tcp: egress 7844 is blocked, TCP and UDP: the security group needs TCP and UDP 7844 \
                      out; this host fails 3 of 43 checks: edge-tcp, edge-udp, ready"
            .into();
    facts.said = Some("remediating: /ready: not registered with the edge".into());
    facts.fault = Some(Fault {
        blame: "host_network".into(),
        confidence: "likely".into(),
        evidence: "TCP and UDP 7844 get no answer from here, and another connector of the tunnel is registered".into(),
    });
    facts.findings = vec![
        finding(
            Outcome::Fail,
            "edge-tcp",
            &[
                "egress 7844 is blocked, TCP and UDP: the security group needs TCP and UDP 7844 out",
                "198.41.192.7:7844: no answer within 3s",
                "198.41.200.13:7844: no answer within 3s",
            ],
            "allow TCP 7844 out in the security group; /usr/share/cflared-agent/runbook.md#edge-tcp",
        ),
        finding(
            Outcome::Fail,
            "edge-udp",
            &["no datagram came back from 4 addresses"],
            "allow UDP 7844 out; /usr/share/cflared-agent/runbook.md#edge-udp",
        ),
        finding(
            Outcome::Fail,
            "ready",
            &["/ready: not registered with the edge"],
            "see the failures above; /usr/share/cflared-agent/runbook.md#ready",
        ),
        finding(Outcome::NotKnown, "cloudwatch", &["failed to look at CloudWatch: no answer within 2s"], "look again"),
        finding(Outcome::Pass, "dns", &["region1.v2.argotunnel.com resolves"], ""),
    ];
    facts.connections.iter_mut().filter(|one| one.span.to.is_none()).for_each(|one| one.span.to = Some(ago(lost)));
    if let Some(life) = facts.lives.last_mut() {
        life.span.to = Some(ago(lost - 90));
        life.end = Some(End { planned: true, how: "restarted by the agent".into() });
    }
    facts.lives.push(Life { name: "connector 2, pid 4100".into(), span: span(lost - 90, None), end: None });
    facts.decisions.extend([
        decision(lost - 5, Kind::Transition, "registered → broken", "/ready: not registered with the edge", None),
        decision(lost - 60, Kind::Action, "probe the edge", "unregistered for 60s", None),
        decision(
            lost - 68,
            Kind::Finding,
            "blame host_network (likely)",
            "7844 gets no answer from here; a peer is registered",
            Some("host_network"),
        ),
        decision(lost - 89, Kind::Transition, "broken → remediating", "unregistered for 90s", Some("host_network")),
        decision(lost - 90, Kind::Action, "restart the connector", "unregistered for 90s", Some("host_network")),
        decision(
            lost - 120,
            Kind::Delay,
            "wait with condemning",
            "it is not known yet whether peers are alive",
            Some("host_network"),
        ),
        decision(
            lost - 150,
            Kind::Refusal,
            "not condemn this instance",
            "two were replaced for health causes within the hour: the budget is used up",
            Some("host_network"),
        ),
    ]);
    facts.unpushed = vec![span(120, None)];
    facts.missing = vec![
        Missing {
            what: "process-2/stack".into(),
            why: "failed to read /proc/4100/stack: Permission denied; only root may, run the report as root".into(),
        },
        Missing { what: "log-agent.txt".into(), why: "failed to ask journalctl: no end within 3s".into() },
    ];
    facts
}

/// An agent that was killed an hour ago.
pub fn dead() -> Facts {
    let mut facts = healthy();
    facts.condition = Condition::NotFine;
    facts.headline =
        "NOT FINE: agent-alive: the agent (process 700) is gone since 1h 2m; its last words: registered".into();
    facts.said = Some("registered, 1h 2m before this report; its process is gone".into());
    facts.known_until = ago(3720);
    facts.findings.insert(
        0,
        finding(
            Outcome::Fail,
            "agent-alive",
            &["the agent (process 700) is gone since 1h 2m; its last words: registered: /ready: 4 connections"],
            "systemctl start cflared-agent; journalctl -u cflared-agent",
        ),
    );
    facts.connectors.clear();
    facts
}

/// Every text an attack.
pub fn hostile() -> Facts {
    let attack = "</title></style></script><script>document.title='taken'</script><img src=\"http://127.0.0.1:9/x\" onerror=\"document.title='taken'\">\"' onmouseover='document.title=`taken`'\u{202e}\u{1b}[2J";
    let mut facts = edge_out();
    let put = |text: &mut String| text.insert_str(0, attack);
    put(&mut facts.headline);
    put(&mut facts.subject);
    facts.said.iter_mut().for_each(put);
    for finding in &mut facts.findings {
        finding.evidence.iter_mut().chain([&mut finding.id, &mut finding.next, &mut finding.title]).for_each(put);
    }
    for (name, value) in facts.about.iter_mut().chain(facts.connectors.iter_mut().flat_map(|one| &mut one.about)) {
        put(name);
        put(value);
    }
    for one in &mut facts.decisions {
        put(&mut one.what);
        put(&mut one.evidence);
    }
    for one in &mut facts.connections {
        put(&mut one.place);
        put(&mut one.protocol);
    }
    facts.lives.iter_mut().for_each(|one| put(&mut one.name));
    for one in &mut facts.missing {
        put(&mut one.what);
        put(&mut one.why);
    }
    facts.files.iter_mut().for_each(|file| put(&mut file.name));
    facts
}

/// All of them, by name.
pub fn all() -> [(&'static str, Facts); 4] {
    [("healthy", healthy()), ("edge-out", edge_out()), ("dead", dead()), ("hostile", hostile())]
}
