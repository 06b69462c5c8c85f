use super::bundle::Installed;
use super::cloud::{Cloud, Current};
use super::early::{Access, Account, Early};
use super::machine::{Machine, Memory, Room};
use super::network::{Connector, Edge};
use super::process::{Listener, Process};
use super::unit::{Unit, Units};
use super::*;
use crate::checks::catalogue::Check;
use crate::checks::{Outcome, Report, Skipped, Verdict};
use ::bundle::{Meta, Unusable};
use aws::secret;
use aws::{Environment, Error, ImageId, Instance, InstanceId, Region, Zone};
use cflared_verdict::{Failure, FailureKind, Generation, OriginProbe, Probe, Reach, Ready, VersionId};
use nix::errno::Errno;
use observe::Page;
use probe::{Obstacle, Protocol, Tried};
use status::ReadError;
use std::time::UNIX_EPOCH;

const PID: u32 = 100;
const CHILD: u32 = 101;
const TUNNEL: &str = "6ff42ae2-765d-4adf-8112-31c55c1551ef";

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_767_225_720)
}

fn ago(seconds: u64) -> status::Timestamp {
    (now() - Duration::from_secs(seconds)).into()
}

fn reach(reach: Reach, evidence: &str) -> Probe {
    Probe { reach, evidence: evidence.into() }
}

fn tried(reached: Reach, evidence: &str, obstacle: Option<Obstacle>) -> Tried {
    Tried { probe: reach(reached, evidence), obstacle }
}

fn instance() -> Instance {
    Instance {
        id: InstanceId::parse("i-0123456789abcdef0").unwrap(),
        region: Region::parse("eu-west-1").unwrap(),
        zone: Zone::parse("eu-west-1a").unwrap(),
        image: ImageId::parse("ami-0123456789abcdef0").unwrap(),
    }
}

fn well_status() -> Status {
    Status {
        schema: status::SCHEMA,
        written_at: ago(3),
        agent: status::Agent { version: "0.1.0".into(), pid: PID, started_at: ago(7200) },
        instance: None,
        tunnel: Some(TUNNEL.into()),
        holds: vec![],
        dry_run: false,
        observing: false,
        health: status::Health { state: "registered".into(), since: ago(7000), why: "4 connections".into() },
        blame: None,
        guard: None,
        trouble: None,
        changing: None,
        refusing: None,
        connectors: vec![status::Connector {
            run: 1,
            generation: 3,
            secret_version: "v3".into(),
            version: Some("2026.8.2".into()),
            pid: Some(CHILD),
            connector_id: Some("dfbd57bc".into()),
            metrics: "127.0.0.1:2000".parse().unwrap(),
            metrics_taken: vec![],
            state: "registered".into(),
            connections: 4,
            ha_connections: Some(4),
            restarts: 0,
            last_exit: None,
            remote: None,
            edges: vec![],
        }],
        installed: Some(status::Installed { generation: 3, version: "v3".into() }),
        secret: status::Secret { version: Some("v3".into()), read_at: Some(ago(60)), last_error: None },
        cloudwatch: Some(status::CloudWatch { last_push_at: Some(ago(30)), ..status::CloudWatch::default() }),
        autoscaling: Some(status::AutoScaling { group: Some("prd".into()), ..status::AutoScaling::default() }),
        counters: status::Counters::default(),
        journal: vec![],
    }
}

fn well_unit() -> Unit {
    Unit {
        load: "loaded".into(),
        active: "active".into(),
        sub: "running".into(),
        file: "enabled".into(),
        result: "success".into(),
        exit: "0".into(),
        ..Unit::default()
    }
}

fn process(pid: u32, parent: u32, name: &str) -> Process {
    Process { pid, parent, name: name.into(), runs_tunnel: name == "cloudflared", secrets: vec![] }
}

fn meta() -> Meta {
    Meta {
        schema: 1,
        generation: Generation(3),
        version: VersionId("v3".into()),
        instance: "i-0123456789abcdef0".into(),
        environment: "prd".into(),
        tunnel: TUNNEL.into(),
        installed_at: String::new(),
        replaces: None,
        config_sha256: String::new(),
        credentials_sha256: String::new(),
    }
}

fn locations(names: [&str; 4]) -> Page {
    let edge_locations = (0..).zip(names.map(String::from)).collect();
    Page { ha_connections: Some(4), edge_locations, ..Page::default() }
}

/// A host on which all is well.
fn well() -> Facts {
    let agent = Account { uid: 987, name: Some("cflared-agent".into()) };
    let root = Account { uid: 0, name: Some("root".into()) };
    let access = |path: &str| Access { path: path.into(), how: "read", refusal: None };
    Facts {
        settings: Settings::default(),
        settings_found: Found::pass("the settings are valid"),
        version: "0.1.0",
        now: now(),
        early: Early {
            other_connector: Ok(Found::pass("none")),
            user: root,
            owner: Ok(Some(agent)),
            access: Ok(vec![access("/etc/resolv.conf")]),
            listeners: Ok(vec![Listener {
                address: "127.0.0.1:2000".parse().unwrap(),
                uid: 987,
                process: Some(process(CHILD, PID, "cloudflared")),
            }]),
            units: Ok(Some(Units { agent: well_unit(), other: Unit::default() })),
            status: Ok(Ok(well_status())),
            agent_process: true,
        },
        user: 987,
        access: Ok(vec![access("/etc/resolv.conf")]),
        cloud: Ok(Cloud {
            instance: Ok(Ok(instance())),
            tokenless: Ok(Ok(false)),
            environment: Ok(Ok(Environment::parse("prd").unwrap())),
            hold_tag: Ok(Ok(None)),
            role: Ok(Ok(("cflared".into(), None))),
            name: Some(Ok(())),
            secret: Some(Ok(Ok(Current { version: VersionId("v3".into()), rules: Ok(()) }))),
            clocks: Some((now(), now())),
        }),
        holds: vec![],
        installed: Ok(Installed {
            directory: Ok(()),
            exposed: vec![],
            serving: Ok(Some(meta())),
            wrong_links: vec![],
            services: Ok(vec![]),
            choices: ::bundle::Choices::default(),
            config: None,
        }),
        ingress: Some(Ok(Ok(()))),
        origins: Ok(vec![OriginProbe {
            service: "tcp://db:3306".into(),
            probe: reach(Reach::Answered, "10.0.0.9:3306: connected; MySQL 8.0.39"),
        }]),
        release: Ok(Some(Ok(Known {
            version: Some("2026.8.2".parse().unwrap()),
            built: Some((now() - Duration::from_secs(86_400), "by its build time")),
            told: "/usr/bin/cloudflared reports version 2026.8.2".into(),
        }))),
        connectors: vec![Connector {
            pushed: Some(None),
            metrics: "127.0.0.1:2000".parse().unwrap(),
            ready: Ready::Yes { connections: 4 },
            page: Some(locations(["fra08", "fra13", "ams01", "ams02"])),
        }],
        processes: Ok(vec![process(PID, 1, "cflared-agent"), process(CHILD, PID, "cloudflared")]),
        edge: Ok(Edge {
            dns: reach(Reach::Answered, "_v2-origintunneld._tcp.argotunnel.com: 2 SRV records"),
            tcp: tried(Reach::Answered, "198.41.192.7:7844: TLS answered", None),
            udp: tried(Reach::Answered, "198.41.192.7:7844: QUIC answered, with 2 versions", None),
        }),
        edges: Edges::default(),
        name_servers: Ok(vec!["10.0.0.2".into()]),
        machine: Machine {
            disks: Ok(vec![Room { path: "/etc/cloudflared".into(), free: 4 << 30, inodes: Some(100_000) }]),
            memory: Ok(Memory { total: 1 << 30, available: 600 << 20, kills: 0 }),
            dropped: Ok(Some(vec![])),
            image: Ok(Found::pass("cflared 1.0.0, built at 2025-12-31T12:00:00Z")),
        },
    }
}

fn examined(facts: &Facts) -> Report {
    let mut report = Report::new("doctor", "this host", now()).guided_by("docs/runbook.md");
    judge(facts, &mut report);
    report
}

fn with_outcome(report: &Report, wanted: impl Fn(Outcome) -> bool) -> Vec<&'static str> {
    let found = report.findings.iter().filter(|finding| wanted(finding.found.outcome));
    found.map(|finding| finding.check.id).collect()
}

fn failed(report: &Report) -> Vec<&'static str> {
    with_outcome(report, |outcome| outcome == Outcome::Fail)
}

fn status(facts: &mut Facts) -> &mut Status {
    facts.early.status.as_mut().unwrap().as_mut().unwrap()
}

fn cloud(facts: &mut Facts) -> &mut Cloud {
    facts.cloud.as_mut().unwrap()
}

fn unit(facts: &mut Facts) -> &mut Unit {
    &mut facts.early.units.as_mut().unwrap().as_mut().unwrap().agent
}

fn edge(facts: &mut Facts) -> &mut Edge {
    facts.edge.as_mut().unwrap()
}

/// A transport that does not answer, for that reason.
fn blocked(obstacle: Obstacle) -> Tried {
    let reach = if obstacle == Obstacle::Dropped { Reach::Silent } else { Reach::Failed };
    tried(reach, "198.41.192.7:7844: what came back", Some(obstacle))
}

/// The agent has tried the secret's current version, and refuses it for good.
fn refuse_in_use(facts: &mut Facts) {
    status(facts).refusing = Some("v3".into());
    status(facts).trouble = Some("secret version v3 was refused: cloudflared refuses config.yml: Rule #1".into());
}

/// AWS refused in those words.
fn refused(facts: &mut Facts, kind: FailureKind, text: &str) {
    cloud(facts).secret = Some(Ok(Err(secret::Error::NotRead(Failure::new(kind, text)))));
}

#[test]
fn a_host_that_is_well_passes_everything() {
    let report = examined(&well());
    let others = with_outcome(&report, |outcome| outcome != Outcome::Pass);
    assert_eq!((report.verdict(), others), (Verdict::Fine, vec![]), "{}", report.text(false));
    assert_eq!(report.findings.len(), checks().count());
}

#[test]
fn every_check_has_an_id_of_its_own_and_comes_after_what_it_needs() {
    let all: Vec<_> = checks().collect();
    for (place, check) in all.iter().enumerate() {
        let before = &all[..place];
        assert!(before.iter().all(|other| other.id != check.id), "{} is there twice", check.id);
        // What only an image is asked is not made here, and holds up nothing.
        let in_time = |need: &&Check| before.contains(need) || !all.contains(need);
        assert!(check.needs.iter().all(in_time), "{} comes too early", check.id);
        assert!(check.id.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'), "{}", check.id);
        assert!(
            catalogue::ALL.iter().all(|other| other.id != check.id || other == check),
            "{} means two things",
            check.id
        );
    }
    assert!(catalogue::host::ALL.iter().all(|check| all.contains(check)), "a check is never made");
}

/// One thing that is wrong: what it is called, what it does to a host that is well, the checks that fail, the cause in
/// the first line, and a check that is skipped for it.
type Fault = (&'static str, fn(&mut Facts), &'static [&'static str], &'static str, &'static str);

static FAULTS: &[Fault] = &[
    (
        "wrong settings",
        |facts| facts.settings_found = Found::fail("secret.pol: unknown field"),
        &["settings"],
        "unknown field",
        "",
    ),
    (
        "metadata off",
        |facts| {
            let off = || Error::Forbidden { path: "/latest/api/token".into() };
            let cloud = cloud(facts);
            (cloud.instance, cloud.environment, cloud.role) = (Ok(Err(off())), Ok(Err(off())), Ok(Err(off())));
            (cloud.tokenless, cloud.hold_tag) = (Ok(Err(off())), Ok(Err(off())));
            (cloud.secret, cloud.name, cloud.clocks) = (None, None, None);
        },
        &["metadata"],
        "HTTP 403",
        "secret-readable",
    ),
    (
        "hop limit too low",
        |facts| {
            cloud(facts).instance = Err("failed to look at the metadata service: no answer within 5s".into());
            cloud(facts).secret = None;
        },
        &["metadata"],
        "HttpPutResponseHopLimit is too low",
        "tags-in-metadata",
    ),
    (
        "tags off",
        |facts| {
            cloud(facts).environment = Ok(Err(Error::TagsOff { key: "adv:env".into() }));
            cloud(facts).secret = None;
        },
        &["tags-in-metadata"],
        "InstanceMetadataTags=enabled",
        "environment-tag",
    ),
    (
        "tag missing",
        |facts| {
            cloud(facts).environment = Ok(Err(Error::TagMissing { key: "adv:env".into() }));
            cloud(facts).secret = None;
        },
        &["environment-tag"],
        "the instance does not have it",
        "aws-reachable",
    ),
    (
        "no role",
        |facts| {
            cloud(facts).role = Ok(Err(Error::NoRole));
            cloud(facts).secret = None;
        },
        &["role-credentials"],
        "the instance has no role",
        "aws-reachable",
    ),
    (
        "role denied",
        |facts| refused(facts, FailureKind::Denied, "access denied: the role needs secretsmanager:GetSecretValue"),
        &["secret-readable"],
        "access denied",
        "versions",
    ),
    (
        "clock off by ten minutes",
        |facts| {
            cloud(facts).clocks = Some((now() + Duration::from_secs(600), now()));
            refused(facts, FailureKind::Denied, "AWS does not accept the signature");
            status(facts).cloudwatch.as_mut().unwrap().last_error = Some("AWS does not accept the signature".into());
            status(facts).cloudwatch.as_mut().unwrap().last_push_at = Some(ago(900));
        },
        &["clock"],
        "this host's clock is 10m behind AWS's",
        "cloudwatch",
    ),
    (
        "443 blocked",
        |facts| {
            refused(facts, FailureKind::Unreachable, "no answer in time; check the route");
            cloud(facts).clocks = None;
        },
        &["aws-reachable"],
        "check the route",
        "clock",
    ),
    (
        "secret malformed",
        |facts| {
            let rules = Err("the last ingress rule is no catch-all".into());
            cloud(facts).secret = Some(Ok(Ok(Current { version: VersionId("v4".into()), rules })));
            status(facts).trouble = Some("secret version v4 was refused".into());
        },
        &["secret-valid"],
        "no catch-all",
        "versions",
    ),
    (
        "DNS broken",
        |facts| {
            let edge = edge(facts);
            edge.dns = reach(Reach::Silent, "_v2-origintunneld._tcp.argotunnel.com: no name server answered in time");
            (edge.tcp, edge.udp) = (Tried::default(), Tried::default());
            cloud(facts).name = Some(Err("failed to resolve secretsmanager.eu-west-1.amazonaws.com.".into()));
            refused(facts, FailureKind::Unreachable, "failed to resolve");
            cloud(facts).clocks = None;
        },
        &["dns"],
        "names do not resolve (asked: 10.0.0.2): _v2-origintunneld",
        "edge-tcp",
    ),
    (
        "disk full",
        |facts| facts.machine.disks.as_mut().unwrap()[0].free = 1 << 20,
        &["disk"],
        "/etc/cloudflared: 1 MiB",
        "",
    ),
    ("disk hangs", |facts| facts.machine.disks = Err("no answer within 2s".into()), &["disk"], "no answer", ""),
    (
        "config directory of root",
        |facts| {
            facts.installed.as_mut().unwrap().directory =
                Err("it belongs to user 0, and the agent runs as user 987".into());
        },
        &["config-dir"],
        "it belongs to user 0",
        "bundle-installed",
    ),
    (
        "config directory of another user than the unit's",
        |facts| unit(facts).user = "somebody".into(),
        &["config-dir"],
        "/etc/cloudflared belongs to cflared-agent, but the unit runs as somebody",
        "bundle-installed",
    ),
    (
        "credentials file world-readable",
        |facts| {
            let installed = facts.installed.as_mut().unwrap();
            installed.exposed = vec!["x.json is accessible to users other than its owner: mode 0644".into()];
            installed.serving = Err(Unusable::File { file: "x.json".into(), why: "is open to others".into() });
        },
        &["credentials-private"],
        "mode 0644",
        "bundle-installed",
    ),
    (
        "the agent's user may not execute cloudflared",
        |facts| {
            let path = PathBuf::from("/usr/bin/cloudflared");
            let access = |refusal| Ok(vec![Access { path: path.clone(), how: "execute", refusal }]);
            (facts.early.access, facts.access) = (access(None), access(Some(Errno::EACCES)));
        },
        &["agent-access"],
        "cflared-agent may not execute /usr/bin/cloudflared: EACCES: Permission denied; root may",
        "",
    ),
    (
        "cloudflared missing",
        |facts| facts.release = Ok(None),
        &["cloudflared-present"],
        "is not there",
        "cloudflared-age",
    ),
    (
        "cloudflared too old",
        |facts| {
            facts.release.as_mut().unwrap().as_mut().unwrap().as_mut().unwrap().version =
                Some("2024.2.1".parse().unwrap())
        },
        &["cloudflared-version"],
        "validate.min_cloudflared is 2025.1.0",
        "cloudflared-age",
    ),
    ("unit masked", |facts| unit(facts).load = "masked".into(), &["units-enabled"], "is masked", ""),
    ("unit disabled", |facts| unit(facts).file = "disabled".into(), &["units-enabled"], "does not start at boot", ""),
    (
        "never installed",
        |facts| {
            *unit(facts) = Unit { load: "not-found".into(), ..Unit::default() };
            facts.early.status = Ok(Err(ReadError::Missing("/run/cflared-agent/status.json".into())));
            facts.early.agent_process = false;
            (facts.connectors, facts.processes, facts.early.listeners) = (vec![], Ok(vec![]), Ok(vec![]));
            facts.installed.as_mut().unwrap().serving = Ok(None);
        },
        &["units-enabled"],
        "the package cflared-agent is not installed",
        "ready",
    ),
    (
        "unit stopped",
        |facts| {
            (unit(facts).active, unit(facts).sub) = ("failed".into(), "failed".into());
            (unit(facts).result, unit(facts).exit) = ("exit-code".into(), "78".into());
            facts.early.agent_process = false;
            (facts.connectors, facts.processes, facts.early.listeners) = (vec![], Ok(vec![]), Ok(vec![]));
        },
        &["unit-active"],
        "ended with exit-code (status 78): the settings are wrong",
        "agent-alive",
    ),
    (
        "agent hung",
        |facts| status(facts).written_at = ago(200),
        &["agent-alive"],
        "has not written its status for 3m 20s",
        "ready",
    ),
    (
        "another cloudflared unit",
        |facts| facts.early.units.as_mut().unwrap().as_mut().unwrap().other.active = "active".into(),
        &["no-other-connector"],
        "cloudflared.service is active",
        "",
    ),
    (
        "copied disk",
        |facts| facts.installed.as_mut().unwrap().serving.as_mut().unwrap().as_mut().unwrap().instance = "i-0".into(),
        &["bundle-installed"],
        "it was installed by i-0",
        "versions",
    ),
    (
        "versions drifted",
        |facts| {
            cloud(facts).secret = Some(Ok(Ok(Current { version: VersionId("v4".into()), rules: Ok(()) })));
            status(facts).secret.version = Some("v4".into());
        },
        &["versions"],
        "the secret's current version is v4; v3 is installed; v3 runs",
        "",
    ),
    (
        "a version that the agent gave up for now",
        |facts| {
            cloud(facts).secret = Some(Ok(Ok(Current { version: VersionId("v4".into()), rules: Ok(()) })));
            status(facts).refusing = Some("v4".into());
            status(facts).trouble = Some("the successor did not register in time".into());
        },
        &["versions"],
        "the secret's current version is v4; v3 is installed; v3 runs",
        "",
    ),
    (
        "secret on the command line",
        |facts| facts.processes.as_mut().unwrap()[1].secrets = vec!["a tunnel token"],
        &["no-secret-in-argv"],
        "holds a tunnel token",
        "",
    ),
    (
        "foreign cloudflared on the port",
        |facts| {
            facts.early.listeners.as_mut().unwrap()[0].process = Some(process(55, 1, "cloudflared"));
            facts.connectors[0].ready = Ready::Foreign { owner: "other".into() };
        },
        &["metrics-port", "ready"],
        "127.0.0.1:2000 is taken by process 55 (cloudflared)",
        "edge-metro",
    ),
    (
        "both transports blocked",
        |facts| {
            (edge(facts).tcp, edge(facts).udp) = (blocked(Obstacle::Dropped), blocked(Obstacle::Dropped));
            facts.connectors[0].ready = Ready::No;
        },
        &["edge-tcp", "edge-udp", "ready"],
        "egress 7844 is blocked, TCP and UDP: allow TCP and UDP 7844 outbound in the security group",
        "edge-metro",
    ),
    (
        "UDP blocked",
        |facts| edge(facts).udp = blocked(Obstacle::Dropped),
        &["edge-udp"],
        "egress UDP 7844 is blocked: allow TCP and UDP 7844 outbound in the security group",
        "",
    ),
    (
        "both refused",
        |facts| (edge(facts).tcp, edge(facts).udp) = (blocked(Obstacle::Refused), blocked(Obstacle::Refused)),
        &["edge-tcp", "edge-udp"],
        "the edge, or what stands in its place, refuses 7844, TCP and UDP: packets pass",
        "",
    ),
    (
        "TCP closed by a proxy, UDP dropped",
        |facts| (edge(facts).tcp, edge(facts).udp) = (blocked(Obstacle::Refused), blocked(Obstacle::Dropped)),
        &["edge-tcp", "edge-udp"],
        "the edge, or what stands in its place, refuses TCP 7844: packets pass, so it is no security group",
        "",
    ),
    (
        "no route",
        |facts| (edge(facts).tcp, edge(facts).udp) = (blocked(Obstacle::NoRoute), blocked(Obstacle::NoRoute)),
        &["edge-tcp", "edge-udp"],
        "there is no route to the edge's 7844, TCP and UDP",
        "",
    ),
    (
        "a firewall of this host",
        |facts| edge(facts).udp = blocked(Obstacle::Forbidden),
        &["edge-udp"],
        "this host itself forbids UDP 7844: see its own firewall",
        "",
    ),
    (
        "another host's bind address",
        |facts| {
            facts.edges.source = Some("10.9.9.9".parse().unwrap());
            (edge(facts).tcp, edge(facts).udp) = (blocked(Obstacle::ForeignSource), blocked(Obstacle::ForeignSource));
        },
        &["edge-tcp", "edge-udp"],
        "edge-bind-address 10.9.9.9 is not an address of this host",
        "",
    ),
    (
        "a rule that only cloudflared knows, and nothing is installed",
        |facts| {
            facts.installed.as_mut().unwrap().serving = Ok(None);
            facts.ingress = None;
            refuse_in_use(facts);
        },
        &["secret-valid"],
        "secret version v3 was refused: cloudflared refuses",
        "bundle-installed",
    ),
    (
        "a rule that only cloudflared knows, and an older bundle runs",
        |facts| {
            if let Ok(Some(meta)) = &mut facts.installed.as_mut().unwrap().serving {
                meta.version = VersionId("v2".into());
            }
            status(facts).connectors[0].secret_version = "v2".into();
            refuse_in_use(facts);
        },
        &["secret-valid"],
        "secret version v3 was refused: cloudflared refuses",
        "versions",
    ),
    (
        "origin down",
        |facts| facts.origins.as_mut().unwrap()[0].probe = reach(Reach::Failed, "connection refused"),
        &["origins"],
        "tcp://db:3306 does not answer: connection refused",
        "",
    ),
    (
        "credentials refused by the edge",
        |facts| {
            facts.connectors[0].ready = Ready::No;
            status(facts).blame = Some(status::Blame {
                blame: "credentials".into(),
                confidence: "certain".into(),
                evidence: "Unauthorized: Invalid tunnel secret".into(),
            });
        },
        &["ready"],
        "the agent blames credentials (certain): Unauthorized: Invalid tunnel secret",
        "edge-metro",
    ),
    (
        "CloudWatch denied",
        |facts| {
            let pushes = status(facts).cloudwatch.as_mut().unwrap();
            (pushes.last_push_at, pushes.last_error) =
                (Some(ago(900)), Some("access denied: cloudwatch:PutMetricData".into()));
        },
        &["cloudwatch"],
        "cloudwatch:PutMetricData",
        "",
    ),
];

#[test]
fn of_one_fault_the_first_line_names_the_cause_and_the_whole_is_short() {
    for (name, plant, fails, cause, skipped) in FAULTS {
        let mut facts = well();
        plant(&mut facts);
        let report = examined(&facts);
        let text = report.text(false);
        println!("--- {name}\n{text}");
        assert_eq!(failed(&report), *fails, "{name}: {text}");
        let first = text.lines().next().unwrap();
        let named = first.starts_with(&format!("NOT FINE: {}: ", fails[0])) && first.contains(cause);
        assert!(named && (fails.len() == 1 || first.ends_with(&format!(": {}", fails.join(", ")))), "{name}: {first}");
        assert!(text.chars().count() <= 2500, "{name}: {} characters", text.chars().count());
        assert!(!text.contains("more: --verbose"), "{name}: something was left out\n{text}");
        for check in *fails {
            assert!(text.contains(&format!("; docs/runbook.md#{check}\n")), "{name}: {text}");
        }
        let skips = with_outcome(&report, |outcome| matches!(outcome, Outcome::Skip(Skipped::Needs(_))));
        assert!(skipped.is_empty() || skips.contains(skipped), "{name}: {skipped} is not among {skips:?}\n{text}");
    }
}

/// What is no failure: a name, what it does, and the check that warns, or does not know, for that reason.
type Doubt = (&'static str, fn(&mut Facts), &'static str, Outcome, &'static str);

const NOT_KNOWN: Outcome = Outcome::Skip(Skipped::NotKnown);
const NOT_APPLICABLE: Outcome = Outcome::Skip(Skipped::NotApplicable);

static DOUBTS: &[Doubt] = &[
    (
        "hold",
        |facts| facts.holds = vec!["the tag adv:cflared-hold is 1".into()],
        "hold",
        Outcome::Warn,
        "adv:cflared-hold",
    ),
    ("metadata version 1", |facts| cloud(facts).tokenless = Ok(Ok(true)), "metadata-v2", Outcome::Warn, "HttpTokens"),
    (
        "clock drifts",
        |facts| cloud(facts).clocks = Some((now(), now() + Duration::from_secs(60))),
        "clock",
        Outcome::Warn,
        "1m ahead of AWS's",
    ),
    ("no date", |facts| cloud(facts).clocks = None, "clock", NOT_KNOWN, "had no date"),
    (
        "little room",
        |facts| facts.machine.disks.as_mut().unwrap()[0].free = 100 << 20,
        "disk",
        Outcome::Warn,
        "100 MiB",
    ),
    (
        "killed for memory",
        |facts| facts.machine.memory.as_mut().unwrap().kills = 2,
        "memory",
        Outcome::Warn,
        "the kernel killed 2 processes",
    ),
    ("a stranger looks", |facts| facts.user = 1000, "config-dir", NOT_KNOWN, "run it as root"),
    (
        "another version runs",
        |facts| status(facts).connectors[0].version = Some("2026.7.1".into()),
        "cloudflared-version",
        Outcome::Warn,
        "version 2026.7.1 runs, and 2026.8.2 is installed",
    ),
    (
        "no build date",
        |facts| facts.release.as_mut().unwrap().as_mut().unwrap().as_mut().unwrap().built = None,
        "cloudflared-age",
        Outcome::Warn,
        "does not report",
    ),
    ("no systemd", |facts| facts.early.units = Ok(None), "unit-active", NOT_APPLICABLE, "systemd does not run here"),
    ("systemctl hangs", |facts| facts.early.units = Err("no end".into()), "unit-active", NOT_KNOWN, "no end"),
    ("starting", |facts| unit(facts).active = "activating".into(), "unit-active", Outcome::Warn, "is starting"),
    (
        "without its unit",
        |facts| unit(facts).load = "not-found".into(),
        "units-enabled",
        NOT_APPLICABLE,
        "runs without its unit",
    ),
    ("upgraded", |facts| facts.version = "0.2.0", "agent-version", Outcome::Warn, "version 0.1.0 runs, but 0.2.0"),
    (
        "a new version of the secret",
        |facts| cloud(facts).secret = Some(Ok(Ok(Current { version: VersionId("v4".into()), rules: Ok(()) }))),
        "versions",
        Outcome::Warn,
        "v4; v3 is installed; v3 runs",
    ),
    (
        "a version whose turn has not come",
        |facts| {
            cloud(facts).secret = Some(Ok(Ok(Current { version: VersionId("v4".into()), rules: Ok(()) })));
            status(facts).secret.version = Some("v4".into());
            let what = "secret version v4 is installed when its turn comes".into();
            status(facts).changing = Some(status::Changing { what, until: None });
        },
        "versions",
        Outcome::Warn,
        "v4; v3 is installed; v3 runs",
    ),
    (
        "a hand-over",
        |facts| {
            cloud(facts).secret = Some(Ok(Ok(Current { version: VersionId("v4".into()), rules: Ok(()) })));
            let mut next = status(facts).connectors[0].clone();
            (next.secret_version, next.pid) = ("v4".into(), None);
            status(facts).connectors.push(next);
        },
        "versions",
        Outcome::Warn,
        "v4; v3 is installed; v3 runs",
    ),
    (
        "links",
        |facts| facts.installed.as_mut().unwrap().wrong_links = vec!["config.yml is not a link".into()],
        "links",
        Outcome::Warn,
        "config.yml is not a link",
    ),
    (
        "another cloudflared",
        |facts| facts.processes.as_mut().unwrap().push(process(7, 1, "cloudflared")),
        "processes",
        Outcome::Warn,
        "process 7 is a cloudflared that the agent did not start",
    ),
    (
        "a port whose owner is not seen",
        |facts| facts.early.listeners.as_mut().unwrap()[0].process = None,
        "metrics-port",
        Outcome::Pass,
        "no other process listens",
    ),
    (
        "UDP is not used",
        |facts| {
            facts.edges.protocol = Protocol::Http2;
            edge(facts).udp = blocked(Obstacle::Dropped);
        },
        "edge-udp",
        Outcome::Pass,
        "not needed: the connector's protocol is ",
    ),
    (
        "TCP is not used",
        |facts| {
            facts.edges.protocol = Protocol::Quic;
            edge(facts).tcp = blocked(Obstacle::Refused);
        },
        "edge-tcp",
        Outcome::Pass,
        "not needed: the connector's protocol is ",
    ),
    (
        "MySQL refuses this host",
        |facts| {
            facts.origins.as_mut().unwrap()[0].probe =
                reach(Reach::Answered, "connected; MySQL refuses with error 1129: Host is blocked");
        },
        "origins",
        Outcome::Warn,
        "error 1129",
    ),
    (
        "one metro",
        |facts| facts.connectors[0].page = Some(locations(["fra08", "fra13", "fra08", "fra13"])),
        "edge-metro",
        Outcome::Warn,
        "all 4 connections end in fra",
    ),
    (
        "one connection",
        |facts| facts.connectors[0].ready = Ready::Yes { connections: 1 },
        "edge-metro",
        NOT_APPLICABLE,
        "fewer than two",
    ),
    (
        "restarts",
        |facts| {
            status(facts).connectors[0].restarts = 5;
            status(facts).connectors[0].last_exit = Some("exit status: 1".into());
        },
        "restarts",
        Outcome::Warn,
        "started again 5 times; it last ended: exit status: 1",
    ),
    (
        "a push failed once",
        |facts| status(facts).cloudwatch.as_mut().unwrap().last_error = Some("no answer in time".into()),
        "cloudwatch",
        Outcome::Warn,
        "no answer in time",
    ),
    (
        "no pushes",
        |facts| facts.settings.cloudwatch.enabled = false,
        "cloudwatch",
        NOT_APPLICABLE,
        "cloudwatch.enabled",
    ),
    (
        "marked",
        |facts| status(facts).autoscaling.as_mut().unwrap().marked = true,
        "autoscaling",
        Outcome::Warn,
        "marked unhealthy",
    ),
    (
        "never asked",
        |facts| status(facts).autoscaling = Some(status::AutoScaling::default()),
        "autoscaling",
        NOT_APPLICABLE,
        "no reason to ask",
    ),
    (
        "throttled by EC2",
        |facts| facts.machine.dropped = Ok(Some(vec![("linklocal_allowance_exceeded".into(), 12)])),
        "network-allowances",
        Outcome::Warn,
        "linklocal_allowance_exceeded 12",
    ),
    (
        "no image.json",
        |facts| facts.machine.image = Ok(Found::fail("image.json is not there")),
        "image-age",
        Outcome::Warn,
        "is not there",
    ),
];

#[test]
fn what_is_no_failure_fails_nothing() {
    for (name, plant, check, outcome, evidence) in DOUBTS {
        let mut facts = well();
        plant(&mut facts);
        let report = examined(&facts);
        let text = report.text(true);
        assert_eq!(failed(&report), Vec::<&str>::new(), "{name}: {text}");
        let finding = report.findings.iter().find(|finding| finding.check.id == *check).unwrap();
        assert_eq!(finding.found.outcome, *outcome, "{name}: {:?}", finding.found);
        assert!(finding.found.evidence[0].contains(evidence), "{name}: {:?}", finding.found);
        let unknown = if *outcome == NOT_KNOWN { Verdict::Unknown } else { Verdict::Fine };
        assert_eq!(report.verdict(), unknown, "{name}: {text}");
    }
}

#[test]
fn everything_wrong_at_once_is_short_all_the_same() {
    let mut facts = well();
    for (_, plant, ..) in FAULTS {
        if facts.early.status.as_ref().is_ok_and(Result::is_ok) && facts.release.as_ref().is_ok_and(Option::is_some) {
            plant(&mut facts);
        }
    }
    let text = examined(&facts).text(false);
    assert!(text.chars().count() <= 2500, "{} characters:\n{text}", text.chars().count());
}

#[test]
fn the_page_lists_every_check_in_its_order() {
    let page = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/doctor.md"));
    let table = page.split("## The checks").nth(1).unwrap().split("\n## ").next().unwrap();
    let listed = table.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    assert_eq!(listed.collect::<Vec<_>>(), checks().map(|check| check.id).collect::<Vec<_>>());
}
