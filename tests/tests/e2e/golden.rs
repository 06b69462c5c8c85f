//! The output of `status`, `doctor` and `validate`, word for word, in `tests/golden/`, so that every change of it is reviewed.
//!
//! `GOLDEN=write cargo test -p cflared-tests --test e2e golden` writes the files; read them aloud.

use crate::bad_input::{is_root, said};
use crate::doctor::Patient;
use crate::validate::{Tree, credentials};
use cflared_tests::edge::Conduct;
use cflared_tests::http::faults::Trouble;
use cflared_tests::world::agent_binary;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

/// Holds a text against its file, or writes it.
#[track_caller]
fn golden(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("golden/{name}.txt"));
    if std::env::var_os("GOLDEN").is_some_and(|wish| wish == "write") {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
    }
    let known = fs::read_to_string(&path).unwrap_or_default();
    assert!(known == text, "not as in {}; see the head of golden.rs. It says:\n{text}", path.display());
}

/// The text without what each run has otherwise: times, ids of processes and of versions, places of this test's world.
fn calm(text: &str, directory: &Path) -> String {
    let text = text.replace(&*directory.to_string_lossy(), "DIR");
    let calm: String =
        text.split_inclusive(|c: char| !(c.is_alphanumeric() || "-.".contains(c))).map(calm_word).collect();
    // `10m`, or `9m 59s` a moment later.
    calm.replace("TIME TIME", "TIME")
}

/// A word with the character that ends it.
fn calm_word(word: &str) -> String {
    let length = word.trim_end_matches(|c: char| !c.is_alphanumeric()).len();
    let (word, end) = word.split_at(length);
    let digits = word.chars().take_while(char::is_ascii_digit).count();
    let hex = |word: &str| word.chars().all(|c| c.is_ascii_hexdigit() || c == '-');
    let calm = match word {
        _ if digits > 0 && ["s", "m", "h", "d", "ms"].contains(&&word[digits..]) => "TIME".into(),
        _ if word.len() == 36 && hex(word) && word.contains('-') => "UUID".into(),
        _ if word.starts_with("i-") && word.len() == 19 => "INSTANCE".into(),
        _ if word.len() == 20 && word.ends_with('Z') => "MOMENT".into(),
        _ if word.starts_with("127.") => {
            word.rsplit('.').next().map_or_else(String::new, |last| format!("127.x.x.{last}"))
        }
        "7844" => word.into(),
        _ if digits == word.len() && digits > 2 => "N".into(),
        _ => word.into(),
    };
    calm + end
}

/// A moment so long ago, at the middle of a minute, so that what is shown of its age does not hang on this test's speed.
fn ago(minutes: u64) -> String {
    humantime::format_rfc3339_seconds(SystemTime::now() - Duration::from_secs(minutes * 60 + 30)).to_string()
}

fn edge(index: u8, location: &str) -> Value {
    json!({"index": index, "location": location, "address": format!("198.41.192.{index}"), "protocol": "quic"})
}

/// The status file of an instance on which all is well, with changes.
fn status(state: &str, why: &str, changes: Value) -> Value {
    let mut status = json!({
        "schema": 1,
        "written_at": humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
        "agent": {"version": "0.1.0", "pid": std::process::id(), "started_at": ago(3 * 24 * 60 + 75)},
        "instance": {"id": "i-0123456789abcdef0", "region": "us-east-1", "zone": "us-east-1a",
            "image": "ami-0123456789abcdef0", "environment": "prd"},
        "tunnel": "6ff42ae2-765d-4adf-8112-31c55c1551ef",
        "health": {"state": state, "since": ago(75), "why": why},
        "connectors": [{"run": 1, "generation": 3, "secret_version": "8f2c1d34", "version": "2026.8.2", "pid": 4711,
            "connector_id": "dfbd57bc-3608-4c49-853c-a9e9f7cbcc5c", "metrics": "127.0.0.1:2000", "state": "registered",
            "connections": 4, "edges": [edge(0, "iad01"), edge(1, "iad05"), edge(2, "ord01"), edge(3, "ord03")]}],
        "installed": {"generation": 3, "version": "8f2c1d34"},
        "secret": {"version": "8f2c1d34", "read_at": ago(62)},
        "cloudwatch": {"last_push_at": ago(61), "waiting": 0, "lost": 0, "dropped": 0},
        "autoscaling": {"group": "cflared-prd", "lifecycle": "InService", "marked": false},
        "journal": [{"at": ago(75), "kind": "transition", "what": "starting → registered", "evidence": "/ready: 1 connection"}],
    });
    for (key, value) in changes.as_object().into_iter().flatten() {
        status[key] = value.clone();
    }
    status
}

/// The connector of a status while it is not registered.
fn unregistered() -> Value {
    json!([{"run": 1, "generation": 3, "secret_version": "8f2c1d34", "version": "2026.8.2", "pid": 4711,
        "connector_id": "dfbd57bc-3608-4c49-853c-a9e9f7cbcc5c", "metrics": "127.0.0.1:2000", "state": "unregistered",
        "connections": 0, "ha_connections": 1}])
}

fn blamed(blame: &str, confidence: &str, evidence: &str) -> Value {
    json!({"blame": blame, "confidence": confidence, "evidence": evidence})
}

fn pages() -> Vec<(&'static str, Value)> {
    const OUT: &str = "unregistered for 180 s; /ready: not registered with the edge";
    const BLOCKED: &str = "TCP 7844: no answer within 3s from 198.41.192.7; UDP 7844: no answer; other connectors of the tunnel are registered";
    const NOBODY: &str = "TCP 7844: no answer within 3s; no other connector of the tunnel is registered";
    const RULE: &str =
        "secret version 9a3e was refused: the last ingress rule is no catch-all; add `- service: http_status:404`";
    let guard = "nobody in the tunnel is registered; the instance with the lowest id tries a replacement, not this \
        one";
    let network = blamed("host_network", "likely", BLOCKED);
    vec![
        ("registered", status("registered", "/ready: 4 connections", json!({}))),
        ("degraded", status("degraded", "/ready: 2 connections, it had 4", json!({}))),
        (
            "starting_without_tag",
            status(
                "starting",
                "the metadata service shows no tags; turn on InstanceMetadataTags",
                json!({"connectors": [], "installed": null, "tunnel": null, "secret": {}, "cloudwatch": null, "autoscaling": null,
                    "journal": [], "instance": null}),
            ),
        ),
        ("broken_host_network", status("broken", OUT, json!({"connectors": unregistered(), "blame": network}))),
        (
            "condemned",
            status(
                "condemned",
                OUT,
                json!({"connectors": unregistered(), "blame": network,
            "autoscaling": {"group": "cflared-prd", "lifecycle": "InService", "marked": true}}),
            ),
        ),
        (
            "held_edge",
            status(
                "held",
                OUT,
                json!({"connectors": unregistered(), "guard": guard, "blame": blamed("edge", "likely", NOBODY)}),
            ),
        ),
        (
            "held_credentials",
            status(
                "held",
                OUT,
                json!({"connectors": unregistered(),
                "blame": blamed("credentials", "certain", "cloudflared says: Unauthorized: Invalid tunnel secret")}),
            ),
        ),
        ("version_refused", status("registered", "/ready: 4 connections", json!({ "trouble": RULE }))),
        (
            "origin_down",
            status(
                "registered",
                "/ready: 4 connections",
                json!({"blame": blamed("origin", "certain", "tcp://db.internal:3306: 10.0.3.7:3306: connection refused")}),
            ),
        ),
        (
            "operator_holds",
            status(
                "registered",
                "/ready: 4 connections",
                json!({"holds": [{"by": "operator", "until": null, "note": "by ada: the database moves"}]}),
            ),
        ),
        ("draining", status("draining", "told to stop", json!({}))),
        ("stale", status("registered", "/ready: 4 connections", json!({ "written_at": ago(61) }))),
    ]
}

#[test]
fn status_of_every_state() {
    let directory = tempfile::tempdir().unwrap();
    let settings = directory.path().join("agent.yml");
    fs::write(&settings, format!("paths: {{ runtime_dir: {} }}\n", directory.path().display())).unwrap();
    // Built first, which takes its time: the pages have moments in them.
    let agent = &agent_binary();
    for (name, status) in pages() {
        fs::write(directory.path().join("status.json"), status.to_string()).unwrap();
        let output = Command::new(agent).arg("--settings").arg(&settings).arg("status").env_clear().output().unwrap();
        let text = said(&output).replace(&format!("pid {}", std::process::id()), "pid 42");
        golden(&format!("status/{name}"), &format!("{text}[exit {}]\n", output.status.code().unwrap_or(-1)));
    }
}

/// What doctor says, without what another test's processes on this machine add, and a push that may have been refused or not.
async fn examined(patient: &Patient) -> anyhow::Result<String> {
    let told = patient.doctor().await?;
    let blocks = told.text.split("\n\n").filter(|block| {
        !["WARN processes", "WARN cloudwatch"].iter().any(|of_the_moment| block.starts_with(of_the_moment))
    });
    let text = blocks.collect::<Vec<_>>().join("\n\n").replace("processes, ", "");
    // How many pass hangs on the machine, too: whether there is an ENA card, whether another test runs a cloudflared.
    let lines = text.lines().filter(|line| !line.starts_with("PASS ") && !line.starts_with("SKIP network-allowances"));
    let text: String = lines.map(|line| format!("{line}\n")).collect();
    Ok(calm(&text, patient.host.directory()))
}

#[tokio::test]
async fn doctor_of_what_is_usual() -> anyhow::Result<()> {
    let (patient, mut agent) = Patient::with_agent().await?;
    let (imds, aws) = (&patient.host.imds, &patient.world.aws);
    golden("doctor/well", &examined(&patient).await?);
    imds.edit(|instance| instance.tags = None);
    golden("doctor/tags_off", &examined(&patient).await?);
    imds.edit(|instance| instance.set_tag("adv:env", "dev"));
    aws.plant(Trouble::Denied.on("GetSecretValue"));
    golden("doctor/role_denied", &examined(&patient).await?);
    aws.clear_faults();
    aws.set_clock_ahead(600);
    golden("doctor/clock_off", &examined(&patient).await?);
    aws.set_clock_ahead(0);
    assert!(agent.stop().await?.success());
    patient.world.edge.set(Conduct::Refuse).await?;
    golden("doctor/stopped_and_blocked", &examined(&patient).await?);
    Ok(())
}

#[test]
fn validate_of_what_is_usual() {
    if !is_root() {
        println!("as an ordinary user the tree's files are not root's: held by root only");
        return;
    }
    golden("validate/fit", &Tree::new().text(&[]));
    let tree = Tree::new();
    tree.file("etc/cloudflared/config.yml", "tunnel: x\n", 0o600);
    tree.file("home/ubuntu/.cloudflared/6ff42ae2.json", credentials(), 0o600);
    tree.file("root/.bash_history", format!("echo '{}' > /tmp/x\n", credentials()), 0o600);
    golden("validate/credentials_left", &tree.text(&[]));
    let tree = Tree::new();
    tree.image(|image| image["cloudflared_version"] = "2024.1.0".into());
    tree.file("etc/cflared-agent/agent.yml", "secrets: { name: x }\n", 0o644);
    golden("validate/old_and_wrong_settings", &calm(&tree.text(&[]), Path::new("/nowhere")));
}
