//! `validate`: an unpacked image, whole and then with one thing wrong at a time.

use crate::bad_input::{assert_ended, is_root, said};
use cflared_tests::world::{Cloudflared, agent_binary};
use serde_json::Value;
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io::Read;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant, SystemTime};
use tempfile::TempDir;

/// The agent's user in the tree.
const UID: u32 = 987;
const SECRET: &str = "YSBwbGFudGVkIHNlY3JldCBvZiAzMiBieXRlcyEhISE=";
/// A key of the form that IAM gives to users, and of no user.
const KEY_ID: &str = "AKIAABCDEFGHIJKLMNOP";

pub fn credentials() -> String {
    format!(r#"{{"AccountTag":"0","TunnelSecret":"{SECRET}","TunnelID":"6ff42ae2-765d-4adf-8112-31c55c1551ef"}}"#)
}

/// An unpacked image.
pub struct Tree(TempDir);

impl Tree {
    /// A whole one.
    pub fn new() -> Self {
        let tree = Self(tempfile::Builder::new().prefix("cflared-image-").tempdir().unwrap());
        tree.file("usr/bin/cflared-agent", program(None), 0o755);
        tree.file("usr/bin/cloudflared", program(None), 0o755);
        let unit = include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/../systemd/cflared-agent.service"));
        for (name, text) in [
            ("cflared-agent.service", &unit[..]),
            ("cflared-tunnel-online.target", b"[Unit]\n"),
            ("cflared-tunnel-wait.service", b"[Service]\n"),
        ] {
            tree.file(&format!("usr/lib/systemd/system/{name}"), text, 0o644);
        }
        tree.link(
            "etc/systemd/system/multi-user.target.wants/cflared-agent.service",
            "/usr/lib/systemd/system/cflared-agent.service",
        );
        tree.link(
            "etc/systemd/system/sysinit.target.wants/systemd-timesyncd.service",
            "/usr/lib/systemd/system/systemd-timesyncd.service",
        );
        tree.file("usr/bin/amazon-ssm-agent", program(None), 0o755);
        let uid = if is_root() { UID } else { own_uid() };
        let passwd = format!(
            "root:x:0:0:root:/root:/bin/bash\ncflared-agent:x:{uid}:{uid}::/nonexistent:/usr/sbin/nologin\nubuntu:x:1000:1000::/home/ubuntu:/bin/bash\n"
        );
        tree.file("etc/passwd", passwd, 0o644);
        tree.directory("etc/cloudflared", 0o700);
        if is_root() {
            chown(tree.path("etc/cloudflared"), Some(UID), Some(UID)).unwrap();
        }
        tree.file("etc/cflared-agent/agent.yml", "validate: { min_cloudflared: 2025.1.0 }\n", 0o644);
        tree.image(|_| {});
        // What belongs there, and looks as if it did not.
        tree.file("etc/ssl/private/ssl-cert-snakeoil.key", "-----BEGIN PRIVATE KEY-----\n", 0o600);
        tree.file("root/.bash_history", "cflared-agent validate\nexport AWS_PROFILE=dev\n", 0o600);
        tree.file("home/ubuntu/.aws/config", "[default]\nregion = us-east-1\n", 0o600);
        tree.file("var/log/syslog", "the TunnelSecret was read\n", 0o644);
        tree
    }

    /// `image.json` with a change.
    pub fn image(&self, change: impl FnOnce(&mut Value)) {
        let now = humantime::format_rfc3339_seconds(SystemTime::now() - Duration::from_secs(60)).to_string();
        let month = format!("{}.{}.1", &now[..4], now[5..7].trim_start_matches('0'));
        let mut image = serde_json::json!({"image": "cflared 1.0.0", "built_at": now, "agent_version": env!("CARGO_PKG_VERSION"),
            "cloudflared_version": month});
        change(&mut image);
        self.file("usr/lib/cflared-agent/image.json", image.to_string(), 0o644);
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn directory(&self, name: &str, mode: u32) {
        fs::create_dir_all(self.path(name)).unwrap();
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(mode)).unwrap();
    }

    pub fn file(&self, name: &str, text: impl AsRef<[u8]>, mode: u32) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    }

    pub fn link(&self, name: &str, to: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        symlink(to, path).unwrap();
    }

    fn remove(&self, name: &str) {
        fs::remove_file(self.path(name)).unwrap();
    }

    fn validate<I: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = I>) -> Output {
        let mut command = Command::new(agent_binary());
        // No program but the ones of the usual places; nothing of ours.
        command.env_clear().env("PATH", "/usr/bin:/bin").args(["validate", "--root"]).arg(self.0.path()).args(args);
        command.stdin(Stdio::null()).output().unwrap()
    }

    /// The report, and the exit status.
    pub fn report(&self) -> (Value, Option<i32>) {
        let output = self.validate(["--json"]);
        let report = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", said(&output)));
        (report, output.status.code())
    }

    /// The text, with the directory's name and the time of the test taken out.
    pub fn text(&self, args: &[&str]) -> String {
        said(&self.validate(args)).replace(self.0.path().to_str().unwrap(), "DIR")
    }
}

fn own_uid() -> u32 {
    std::os::unix::fs::MetadataExt::uid(&fs::metadata("/proc/self").unwrap())
}

/// The headers of a program, with an interpreter or without: enough to be read, and nothing that could be executed.
fn program(interpreter: Option<&str>) -> Vec<u8> {
    let mut bytes = vec![0; 64 + 56];
    bytes[..6].copy_from_slice(b"\x7fELF\x02\x01");
    bytes[18] = 62;
    bytes[32] = 64;
    bytes[54] = 56;
    bytes[56] = 1;
    bytes[64] = 1;
    if let Some(name) = interpreter {
        bytes[64] = 3;
        bytes[64 + 8] = 120;
        bytes[64 + 32] = u8::try_from(name.len() + 1).unwrap();
        bytes.extend(name.as_bytes());
        bytes.push(0);
    }
    bytes
}

/// The ids of the checks that came out like this. As an ordinary user the tree's files cannot be root's: that finding
/// is passed over, and nothing else.
fn ids(report: &Value, outcome: &str) -> BTreeSet<String> {
    let checks = report["checks"].as_array().unwrap().iter();
    let found =
        checks.filter(|check| check["outcome"] == outcome).map(|check| check["id"].as_str().unwrap().to_owned());
    found.filter(|id| is_root() || id != "files").collect()
}

fn set(ids: &[&str]) -> BTreeSet<String> {
    ids.iter().map(|id| (*id).to_owned()).collect()
}

fn evidence(report: &Value, id: &str) -> String {
    let found = report["checks"].as_array().unwrap().iter().find(|check| check["id"] == id);
    found.map(|check| check["evidence"].to_string()).unwrap_or_default()
}

#[test]
fn a_whole_image_is_fit() {
    let tree = Tree::new();
    let (report, exit) = tree.report();
    assert_eq!((ids(&report, "fail"), ids(&report, "warn")), (set(&[]), set(&[])), "{report:#}");
    assert_eq!(ids(&report, "skip"), set(&["agent-runs", "units-verified"]));
    if !is_root() {
        println!("as an ordinary user the tree's files are not root's: exit status and text are held by root only");
        return;
    }
    assert_eq!((exit, &report["verdict"], &report["schema"]), (Some(0), &"fine".into(), &1.into()));
    let wanted = "\
fine: the image DIR fails none of 26 checks

SKIP agent-runs: nothing of an unpacked image is executed
SKIP units-verified: only the image's own systemd can judge; run this in the image, too
PASS 24 checks
";
    assert_eq!(tree.text(&[]), wanted);
    assert_eq!(tree.validate([""; 0]).status.code(), Some(0));
    let verbose = tree.text(&["--verbose"]);
    for line in [
        "PASS agent-static: the agent is a static program: /usr/bin/cflared-agent, for x86_64",
        "PASS no-bundle: no tunnel's bundle is installed: /etc/cloudflared is empty",
        "PASS units-enabled: cflared-agent.service is enabled and not masked: linked in multi-user.target.wants",
        "PASS settings: the agent's settings are valid: /etc/cflared-agent/agent.yml is valid",
    ] {
        assert!(verbose.contains(line), "{line} is not in {verbose}");
    }
}

/// As an image's build has it: the program, and what that prints of its version.
#[test]
fn an_image_with_this_cloudflared_is_fit() {
    let tree = Tree::new();
    let program = Cloudflared::chosen().path();
    let printed = Command::new(&program).arg("--version").output().unwrap();
    let printed = String::from_utf8(printed.stdout).unwrap();
    let version = printed.split_whitespace().nth(2).unwrap();
    tree.file("usr/bin/cloudflared", fs::read(&program).unwrap(), 0o755);
    tree.image(|image| image["cloudflared_version"] = version.into());
    let (report, exit) = tree.report();
    assert_eq!((ids(&report, "fail"), ids(&report, "warn")), (set(&[]), set(&[])), "{report:#}");
    // As an ordinary user the tree's files are not root's.
    assert!(exit == Some(0) || !is_root(), "{exit:?}: {report:#}");
}

/// One thing wrong.
type Harm = fn(&Tree);

#[test]
fn each_thing_that_is_wrong_is_found_by_its_own_check() {
    let cases: [(&str, &str, Harm, &str); 31] = [
        ("agent-static", "fail", |t| t.remove("usr/bin/cflared-agent"), "/usr/bin/cflared-agent is not there"),
        (
            "agent-static",
            "fail",
            |t| t.file("usr/bin/cflared-agent", program(Some("/lib64/ld.so")), 0o755),
            "needs the interpreter /lib64/ld.so",
        ),
        ("agent-static", "fail", |t| t.file("usr/bin/cflared-agent", "#!/bin/sh\n", 0o755), "is not a 64-bit program"),
        (
            "settings",
            "fail",
            |t| t.file("etc/cflared-agent/agent.yml", "secrets: {}", 0o644),
            "unknown field `secrets`",
        ),
        (
            "settings",
            "fail",
            |t| t.file("etc/cflared-agent/agent.d/10-image.yml", "observe: { interval: 0s }", 0o644),
            "/etc/cflared-agent/agent.d/10-image.yml: observe.interval is `0s`",
        ),
        (
            "cloudflared-version",
            "fail",
            |t| t.file("etc/cflared-agent/agent.d/10-image.yml", "validate: { min_cloudflared: 2999.1.0 }", 0o644),
            "is 2999.1.0",
        ),
        ("cloudflared-present", "fail", |t| t.remove("usr/bin/cloudflared"), "/usr/bin/cloudflared is not there"),
        ("cloudflared-present", "fail", |t| t.file("usr/bin/cloudflared", "x", 0o644), "mode 0644"),
        (
            "cloudflared-version",
            "fail",
            |t| t.image(|image| image["cloudflared_version"] = "2024.12.2".into()),
            "validate.min_cloudflared is 2025.1.0",
        ),
        (
            "cloudflared-version",
            "fail",
            |t| t.file("etc/cflared-agent/agent.yml", "validate: { min_cloudflared: 2999.1.0 }", 0o644),
            "is 2999.1.0",
        ),
        ("cloudflared-version", "fail", |t| t.image(|image| image["cloudflared_version"] = "DEV".into()), "`DEV`"),
        ("cloudflared-age", "fail", |t| t.image(|image| image["cloudflared_version"] = "2025.1.0".into()), "days old"),
        (
            "units-installed",
            "fail",
            |t| t.remove("usr/lib/systemd/system/cflared-tunnel-wait.service"),
            "cflared-tunnel-wait.service is not there",
        ),
        (
            "units-enabled",
            "fail",
            |t| t.remove("etc/systemd/system/multi-user.target.wants/cflared-agent.service"),
            "multi-user.target.wants",
        ),
        ("units-enabled", "fail", |t| t.link("etc/systemd/system/cflared-agent.service", "/dev/null"), "masks it"),
        (
            "agent-user",
            "fail",
            |t| t.file("etc/passwd", "root:x:0:0:root:/root:/bin/bash\n", 0o644),
            "no user cflared-agent",
        ),
        ("agent-user", "fail", |t| t.file("etc/passwd", "cflared-agent:x:0:0::/:/bin/sh\n", 0o644), "the id `0`"),
        ("directories", "fail", |t| t.directory("etc/cloudflared", 0o750), "mode 0750"),
        ("image-file", "fail", |t| t.remove("usr/lib/cflared-agent/image.json"), "is not there"),
        ("image-file", "fail", |t| t.image(|image| image["built_at"] = "yesterday".into()), "`yesterday`"),
        ("image-file", "fail", |t| t.image(|image| image["built_at"] = "2999-01-01T00:00:00Z".into()), "in the future"),
        ("image-file", "fail", |t| t.image(|image| image["image"] = "".into()), "image is empty"),
        ("image-file", "warn", |t| t.image(|image| image["built_at"] = "2026-01-01T00:00:00Z".into()), "days ago"),
        (
            "no-auto-update",
            "fail",
            |t| t.link("etc/systemd/system/timers.target.wants/cloudflared-update.timer", "x"),
            "enables cloudflared-update.timer",
        ),
        (
            "no-auto-update",
            "warn",
            |t| t.file("etc/systemd/system/cloudflared-update.timer", "[Timer]", 0o644),
            "not enabled",
        ),
        (
            "no-auto-update",
            "fail",
            |t| t.file("etc/cron.d/x", "0 3 * * * root cloudflared update\n", 0o644),
            "/etc/cron.d/x",
        ),
        (
            "no-auto-update",
            "warn",
            |t| {
                t.file(
                    "etc/apt/apt.conf.d/52x",
                    "Unattended-Upgrade::Origins-Pattern:: \"origin=Cloudflare\";\n",
                    0o644,
                )
            },
            "unattended upgrades",
        ),
        (
            "no-other-connector",
            "fail",
            |t| t.link("etc/systemd/system/multi-user.target.wants/cloudflared.service", "x"),
            "enables cloudflared.service",
        ),
        (
            "no-other-connector",
            "warn",
            |t| t.file("etc/systemd/system/cloudflared.service", "[Service]", 0o644),
            "not enabled",
        ),
        ("ssm-agent", "warn", |t| t.remove("usr/bin/amazon-ssm-agent"), "neither"),
        (
            "time-sync",
            "warn",
            |t| t.remove("etc/systemd/system/sysinit.target.wants/systemd-timesyncd.service"),
            "neither",
        ),
    ];
    for (id, outcome, harm, told) in cases {
        let tree = Tree::new();
        harm(&tree);
        let (report, exit) = tree.report();
        let other = if outcome == "fail" { "warn" } else { "fail" };
        assert!(ids(&report, outcome).contains(id), "{id}: {told}: {report:#}");
        assert!(evidence(&report, id).contains(told), "{id}: {told}: {}", evidence(&report, id));
        // image.json also tells the version of an image that is not executed.
        let also = ["cloudflared-version", "cloudflared-age"];
        let more: Vec<_> =
            ids(&report, outcome).into_iter().filter(|found| found != id && !also.contains(&&**found)).collect();
        assert!(more.is_empty(), "{id}: {told}: and also {more:?}");
        assert!(ids(&report, other).is_empty(), "{id}: {told}: {report:#}");
        if is_root() {
            assert_eq!(exit, Some(i32::from(outcome == "fail")), "{id}: {told}");
        }
    }
}

#[test]
fn a_credential_in_each_place_makes_the_image_unfit_and_is_named_and_never_shown() {
    let token = format!("cloudflared tunnel run --token eyJhIjoi{}", "x".repeat(120));
    let aws = format!("[default]\naws_access_key_id = {KEY_ID}\naws_secret_access_key = {}\n", "k".repeat(40));
    let export = format!("export AWS_SECRET_ACCESS_KEY={}\n", "k".repeat(40));
    let user_data = format!("#cloud-config\nwrite_files:\n- content: '{}'\n", credentials());
    let login = "-----BEGIN ARGO TUNNEL TOKEN-----\nZm9v\n".to_owned();
    let unit = format!("[Service]\nEnvironment=TUNNEL_TOKEN={}\n", "t".repeat(64));
    let nothing_innocent = "{}".to_owned();
    let uuid = "6ff42ae2-765d-4adf-8112-31c55c1551ef.json";
    let cases: &[(&str, String, &String)] = &[
        ("no-bundle", format!("etc/cloudflared/generations/1/{uuid}"), &credentials()),
        ("no-bundle", "etc/cloudflared/generations/1/config.yml".into(), &nothing_innocent),
        ("no-bundle", format!("etc/cloudflared/{uuid}"), &credentials()),
        ("no-bundle", "etc/cloudflared/cert.pem".into(), &login),
        ("no-cloudflared-login", format!("root/.cloudflared/{uuid}"), &nothing_innocent),
        ("no-cloudflared-login", "home/ubuntu/.cloudflared/cert.pem".into(), &login),
        ("no-cloudflared-login", "home/gone/.cloudflare-warp/cert.pem".into(), &login),
        ("no-cloudflared-login", "usr/local/etc/cloudflared/cert.pem".into(), &login),
        ("no-cloudflared-login", "cert.pem".into(), &nothing_innocent),
        ("no-aws-keys", "root/.aws/credentials".into(), &aws),
        ("no-aws-keys", "home/ubuntu/.aws/credentials".into(), &nothing_innocent),
        ("no-aws-keys", "home/ubuntu/.aws/cli/cache/1.json".into(), &nothing_innocent),
        ("no-aws-keys", "home/ubuntu/.aws/sso/cache/1.json".into(), &nothing_innocent),
        ("no-aws-keys", "root/.netrc".into(), &nothing_innocent),
        ("no-credentials-in-homes", "home/ubuntu/.aws/config".into(), &aws),
        ("no-credentials-in-homes", "root/.bash_history".into(), &token),
        ("no-credentials-in-homes", "home/ubuntu/.bash_history".into(), &export),
        ("no-credentials-in-homes", "home/ubuntu/.zsh_history".into(), &token),
        ("no-credentials-in-homes", "home/ubuntu/.local/share/fish/fish_history".into(), &token),
        ("no-credentials-in-homes", "root/secret.json".into(), &credentials()),
        ("no-credentials-in-homes", "root/.profile".into(), &export),
        ("no-credentials-in-etc", "etc/environment".into(), &export),
        ("no-credentials-in-etc", "etc/default/cloudflared".into(), &unit),
        ("no-credentials-in-etc", "etc/profile.d/aws.sh".into(), &export),
        ("no-credentials-in-etc", "etc/systemd/system/x.service.d/token.conf".into(), &unit),
        ("no-credentials-in-etc", "etc/cflared-agent/old.json".into(), &credentials()),
        ("no-credentials-in-logs", "var/log/syslog".into(), &credentials()),
        ("no-credentials-in-logs", "var/log/amazon/ssm/amazon-ssm-agent.log".into(), &token),
        ("no-credentials-in-logs", "var/log/cloud-init-output.log".into(), &user_data),
        (
            "no-credentials-in-journal",
            "var/log/journal/0123456789abcdef0123456789abcdef/system.journal".into(),
            &credentials(),
        ),
        ("no-credentials-in-cloud-init", "var/lib/cloud/instances/i-1/user-data.txt".into(), &user_data),
        ("no-credentials-in-cloud-init", "var/lib/cloud/instances/i-1/scripts/part-001".into(), &export),
        ("no-credentials-in-cloud-init", "run/cloud-init/instance-data-sensitive.json".into(), &user_data),
        ("no-credentials-left", "tmp/bundle.json".into(), &credentials()),
        ("no-credentials-left", "var/tmp/x".into(), &aws),
        ("no-credentials-left", "var/lib/amazon/ssm/i-1/document/state".into(), &export),
        ("no-credentials-left", "var/crash/core.1".into(), &nothing_innocent),
        ("no-credentials-left", "config.yml".into(), &credentials()),
    ];
    for (id, place, text) in cases {
        let tree = Tree::new();
        tree.file(place, text, 0o600);
        let output = tree.validate(["--json"]);
        assert_eq!(output.status.code(), Some(1), "{place}: {}", said(&output));
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(ids(&report, "fail"), set(&[id]), "{place}: {report:#}");
        assert!(evidence(&report, id).contains(&format!("/{place}")), "{place}: {}", evidence(&report, id));
        for output in [said(&output), tree.text(&[]), tree.text(&["--verbose"])] {
            for value in [&SECRET[..12], KEY_ID, "kkkkkkkk", "xxxxxxxx", "tttttttt"] {
                assert!(!output.contains(value), "{place}: {output}");
            }
        }
    }
}

#[test]
fn a_compressed_entry_of_the_journal_is_looked_into() {
    let packed = include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/recorded/journal/planted.journal.gz"));
    let mut journal = vec![];
    flate2::read::GzDecoder::new(&packed[..]).read_to_end(&mut journal).unwrap();
    assert!(!journal.windows(12).any(|window| window == b"TunnelSecret"), "the field is compressed");
    let tree = Tree::new();
    tree.file("var/log/journal/0123456789abcdef0123456789abcdef/system.journal", &journal, 0o640);
    let (report, exit) = tree.report();
    assert_eq!((exit, ids(&report, "fail")), (Some(1), set(&["no-credentials-in-journal"])), "{report:#}");

    // One that journalctl cannot read is not known, and what cannot be told is not fine: an unknown feature.
    journal[15] = 0x80;
    tree.file("var/log/journal/0123456789abcdef0123456789abcdef/system.journal", &journal, 0o640);
    let (report, exit) = tree.report();
    assert!(evidence(&report, "no-credentials-in-journal").contains("journalctl cannot read it"), "{report:#}");
    if is_root() {
        assert_eq!((exit, &report["verdict"]), (Some(2), &"unknown".into()));
    }
}

#[test]
fn what_gzip_packed_is_looked_into_and_what_cannot_be_unpacked_is_told() {
    let mut packed = flate2::write::GzEncoder::new(vec![], flate2::Compression::best());
    std::io::Write::write_all(&mut packed, format!("one\n{}\n", credentials()).as_bytes()).unwrap();
    let packed = packed.finish().unwrap();
    for (place, id) in [
        ("var/log/syslog.2.gz", "no-credentials-in-logs"),
        ("var/lib/cloud/instances/i-1/user-data.txt", "no-credentials-in-cloud-init"),
    ] {
        let tree = Tree::new();
        tree.file(place, &packed, 0o600);
        let (report, exit) = tree.report();
        assert_eq!((exit, ids(&report, "fail")), (Some(1), set(&[id])), "{report:#}");
        assert!(evidence(&report, id).contains(&format!("/{place}, line 2: tunnel credentials")));
    }
    let tree = Tree::new();
    tree.file("var/log/torn.gz", &packed[..packed.len() / 2], 0o600);
    tree.file("var/log/dpkg.log.xz", "x", 0o600);
    let (report, _) = tree.report();
    assert_eq!(ids(&report, "warn"), set(&["no-credentials-in-logs"]), "{report:#}");
    assert!(evidence(&report, "no-credentials-in-logs").contains("2 compressed files were not looked through"));
}

#[test]
fn no_link_leads_out_of_the_tree_and_nothing_in_it_is_executed() {
    let tree = Tree::new();
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("credentials"), credentials()).unwrap();
    let up = format!("{}{}", "../".repeat(40), outside.path().display());
    for (name, to) in [
        ("root/up", up.as_str()),
        ("root/absolute", outside.path().to_str().unwrap()),
        ("root/proc", "/proc/self/root/etc"),
    ] {
        tree.link(name, to);
    }
    tree.link("root/file", outside.path().join("credentials").to_str().unwrap());
    tree.link("var/log/round", "round");
    tree.link("tmp", outside.path().to_str().unwrap());
    tree.remove("usr/bin/cloudflared");
    tree.link("usr/bin/cloudflared", "/bin/true");
    let touched = outside.path().join("touched");
    tree.file("usr/bin/systemd-analyze", format!("#!/bin/sh\ntouch {}\n", touched.display()), 0o755);
    tree.file("usr/bin/journalctl", format!("#!/bin/sh\ntouch {}\n", touched.display()), 0o755);
    // What waits for a writer is not opened.
    nix::unistd::mkfifo(&tree.path("var/log/pipe"), nix::sys::stat::Mode::S_IRUSR).unwrap();
    let began = Instant::now();
    let (report, _) = tree.report();
    assert!(began.elapsed() < Duration::from_secs(30));
    assert_eq!(ids(&report, "fail"), set(&["cloudflared-present"]), "{report:#}");
    assert!(evidence(&report, "cloudflared-present").contains("is not there"), "/bin/true is not of the tree");
    assert!(!touched.exists());
    // A link that stays within is followed.
    tree.file("opt/kept", credentials(), 0o600);
    tree.link("root/within", "/opt/kept");
    let (report, _) = tree.report();
    assert!(evidence(&report, "no-credentials-in-homes").contains("/root/within"), "{report:#}");
}

#[test]
fn what_cannot_be_looked_at_is_not_called_fine() {
    let directory = tempfile::tempdir().unwrap();
    let missing = directory.path().join("missing");
    let output = Command::new(agent_binary()).args(["validate", "--root"]).arg(&missing).output().unwrap();
    let failed = format!("failed to open {}", missing.display());
    assert_ended(&output, 2, &[&failed, "No such file", "name the directory"]);
    let tree = Tree::new();
    tree.file("var/log/big", "", 0o644);
    fs::File::options().write(true).open(tree.path("var/log/big")).unwrap().set_len(65 << 20).unwrap();
    let (report, exit) = tree.report();
    assert!(evidence(&report, "no-credentials-in-logs").contains("/var/log/big: longer than 64 MiB"), "{report:#}");
    if is_root() {
        assert_eq!(exit, Some(2));
    }
    let output = Command::new(agent_binary()).args(["validate", "--json", "--verbose"]).output().unwrap();
    assert_ended(&output, 64, &["cannot be used with"]);
}
