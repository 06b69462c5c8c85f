//! `validate` on ten forms of hosts: each whole, and then with one thing that replaces cloudflared or runs another one, where that
//! kind of host keeps it. `doctor` finds the other connectors among the units of each.

use crate::bad_input::{is_root, said};
use crate::validate::Tree;
use cflared_tests::world::World;
use std::collections::BTreeSet;

/// A form of a host: what it has beyond the package and what every image has.
struct Form {
    name: &'static str,
    os_release: &'static str,
    /// Files that are there and do no harm.
    files: &'static [(&'static str, &'static str)],
    /// Links: where, to where.
    links: &'static [(&'static str, &'static str)],
    /// What updates cloudflared, and where.
    updaters: &'static [(&'static str, &'static str)],
}

const UPDATE: &str = "0 3 * * * root /usr/bin/cloudflared update && systemctl restart cflared-agent\n";
const SCRIPT: &str = "#!/bin/sh\ncloudflared update\n";
const USERS: &str = "30 4 * * 0 /usr/local/bin/cloudflared update\n";
const REPOSITORY: &str =
    "[cloudflared]\nname=cloudflared\nbaseurl=https://pkg.cloudflare.com/cloudflared/rpm\nenabled=1\n";
const UNATTENDED: &str = "Unattended-Upgrade::Allowed-Origins {\n  \"Ubuntu:jammy-security\";\n};\n";
const ALL_ORIGINS: &str = "Unattended-Upgrade::Origins-Pattern {\n  \"origin=*\";\n};\n";
const TIMER: &str = "[Timer]\nOnCalendar=daily\n[Install]\nWantedBy=timers.target\n";
const LOGROTATE: &str = "#!/bin/sh\n/usr/sbin/logrotate /etc/logrotate.conf\n";
const APT_DAILY: &str = "[Service]\nType=oneshot\nExecStart=/usr/lib/apt/apt.systemd.daily update\n";
const E2SCRUB: &str = "30 3 * * 0 root test -e /run/systemd/system || /sbin/e2scrub_all_cron\n";

const FORMS: [Form; 10] = [
    Form {
        name: "Ubuntu 22.04",
        os_release: "ID=ubuntu\nVERSION_ID=\"22.04\"\n",
        files: &[
            ("etc/cron.daily/logrotate", LOGROTATE),
            ("etc/cron.d/e2scrub_all", E2SCRUB),
            ("etc/apt/apt.conf.d/50unattended-upgrades", UNATTENDED),
            ("usr/lib/systemd/system/apt-daily.timer", TIMER),
            ("usr/lib/systemd/system/apt-daily.service", APT_DAILY),
        ],
        links: &[
            ("etc/systemd/system/timers.target.wants/apt-daily.timer", "/usr/lib/systemd/system/apt-daily.timer"),
            ("lib", "usr/lib"),
        ],
        updaters: &[
            ("etc/cron.hourly/cloudflared", SCRIPT),
            ("etc/cron.monthly/cloudflared", SCRIPT),
            ("var/spool/cron/crontabs/root", USERS),
            ("etc/apt/apt.conf.d/51all", ALL_ORIGINS),
        ],
    },
    Form {
        name: "Ubuntu 22.04 with the SSM snap",
        os_release: "ID=ubuntu\nVERSION_ID=\"22.04\"\n",
        files: &[
            ("snap/amazon-ssm-agent/current/meta", ""),
            ("var/lib/snapd/snaps/amazon-ssm-agent_9881.snap", ""),
            (
                "etc/systemd/system/snap.amazon-ssm-agent.amazon-ssm-agent.service",
                "[Service]\nExecStart=/usr/bin/snap run amazon-ssm-agent\n",
            ),
        ],
        links: &[(
            "etc/systemd/system/multi-user.target.wants/snap.amazon-ssm-agent.amazon-ssm-agent.service",
            "/etc/systemd/system/snap.amazon-ssm-agent.amazon-ssm-agent.service",
        )],
        updaters: &[("snap/cloudflared/current/meta", ""), ("var/lib/snapd/snaps/cloudflared_12.snap", "")],
    },
    Form {
        name: "Ubuntu 24.04",
        os_release: "ID=ubuntu\nVERSION_ID=\"24.04\"\n",
        files: &[(
            "etc/crontab",
            "25 6 * * * root test -x /usr/sbin/anacron || { cd / && run-parts --report /etc/cron.daily; }\n",
        )],
        links: &[("lib", "usr/lib"), ("bin", "usr/bin"), ("sbin", "usr/sbin")],
        updaters: &[
            ("etc/cron.d/cloudflared", UPDATE),
            ("etc/crontab", UPDATE),
            ("var/spool/cron/atjobs/a00001", SCRIPT),
        ],
    },
    Form {
        name: "Ubuntu 24.04, minimal: without cron",
        os_release: "ID=ubuntu\nVERSION_ID=\"24.04\"\n",
        files: &[
            ("usr/lib/systemd/system/motd-news.timer", TIMER),
            (
                "usr/lib/systemd/system/motd-news.service",
                "[Service]\nExecStart=/etc/update-motd.d/50-motd-news --force\n",
            ),
        ],
        links: &[("etc/systemd/system/timers.target.wants/motd-news.timer", "/usr/lib/systemd/system/motd-news.timer")],
        updaters: &[("var/lib/cloud/scripts/per-boot/cloudflared.sh", SCRIPT)],
    },
    Form {
        name: "Debian 12",
        os_release: "ID=debian\nVERSION_ID=\"12\"\n",
        files: &[
            ("etc/cron.daily/apt-compat", "#!/bin/sh\nexec /usr/lib/apt/apt.systemd.daily\n"),
            ("etc/cron.daily/dpkg", "#!/bin/sh\n/usr/libexec/dpkg/dpkg-db-backup\n"),
        ],
        links: &[("lib", "usr/lib")],
        updaters: &[("etc/cron.weekly/cloudflared", SCRIPT), ("var/spool/cron/crontabs/admin", USERS)],
    },
    Form {
        name: "Debian 13",
        os_release: "ID=debian\nVERSION_ID=\"13\"\n",
        files: &[
            ("usr/lib/systemd/system/fstrim.timer", TIMER),
            ("usr/lib/systemd/system/fstrim.service", "[Service]\nExecStart=/sbin/fstrim --all\n"),
        ],
        links: &[("etc/systemd/system/timers.target.wants/fstrim.timer", "/usr/lib/systemd/system/fstrim.timer")],
        updaters: &[
            ("etc/cron.yearly/cloudflared", SCRIPT),
            ("etc/anacrontab", "7 15 cloudflared.weekly /usr/bin/cloudflared update\n"),
        ],
    },
    Form {
        name: "Debian 12 on arm64, with units in /usr/local",
        os_release: "ID=debian\nVERSION_ID=\"12\"\n",
        files: &[("usr/local/lib/systemd/system/hello.service", "[Service]\nExecStart=/usr/local/bin/hello\n")],
        links: &[("usr/local/lib/systemd/system/multi-user.target.wants/hello.service", "../hello.service")],
        updaters: &[("etc/rc.local", SCRIPT), ("etc/cron.daily/cloudflared", SCRIPT)],
    },
    Form {
        name: "Amazon Linux 2023",
        os_release: "ID=\"amzn\"\nVERSION_ID=\"2023\"\n",
        files: &[
            ("etc/dnf/dnf.conf", "[main]\ngpgcheck=1\n"),
            ("etc/yum.repos.d/amazonlinux.repo", "[amazonlinux]\nname=Amazon Linux 2023\n"),
        ],
        links: &[
            ("lib", "usr/lib"),
            ("etc/systemd/system/multi-user.target.wants/chronyd.service", "/usr/lib/systemd/system/chronyd.service"),
        ],
        updaters: &[
            ("var/spool/cron/root", USERS),
            ("var/spool/cron/ec2-user", USERS),
            ("var/spool/at/a00001", SCRIPT),
        ],
    },
    Form {
        name: "Amazon Linux 2023 with dnf-automatic and Cloudflare's repository",
        os_release: "ID=\"amzn\"\nVERSION_ID=\"2023\"\n",
        files: &[
            ("etc/yum.repos.d/cloudflared.repo", REPOSITORY),
            ("etc/dnf/automatic.conf", "[commands]\napply_updates = no\n"),
            ("usr/lib/systemd/system/dnf-automatic.timer", TIMER),
        ],
        links: &[(
            "etc/systemd/system/timers.target.wants/dnf-automatic.timer",
            "/usr/lib/systemd/system/dnf-automatic.timer",
        )],
        updaters: &[("etc/dnf/automatic.conf", "[commands]\napply_updates = yes\n")],
    },
    Form {
        name: "RHEL 9",
        os_release: "ID=\"rhel\"\nVERSION_ID=\"9.4\"\n",
        files: &[
            ("etc/cron.d/0hourly", "01 * * * * root run-parts /etc/cron.hourly\n"),
            ("etc/cron.hourly/0anacron", "#!/bin/sh\n/usr/sbin/anacron -s\n"),
        ],
        links: &[],
        updaters: &[
            ("etc/cron.hourly/zz-cloudflared", SCRIPT),
            ("etc/rc.d/rc.local", SCRIPT),
            ("var/spool/cron/root", USERS),
        ],
    },
];

/// Services that run another connector, by what they execute.
const CONNECTORS: [&str; 5] = [
    "/usr/bin/cloudflared tunnel run --token made-up",
    "/opt/cf/cloudflared-linux-arm64 --no-autoupdate tunnel run web",
    "/bin/sh -c 'exec /usr/local/bin/cloudflared tunnel --config /etc/other.yml run'",
    "/usr/bin/docker run --rm cloudflare/cloudflared:2026.8.2 tunnel run",
    "-/usr/bin/env TUNNEL_TOKEN=made-up cloudflared tunnel run",
];

fn tree(form: &Form) -> Tree {
    let tree = Tree::new();
    tree.file("etc/os-release", form.os_release, 0o644);
    for (name, text) in form.files {
        tree.file(name, text, if text.starts_with("#!") { 0o755 } else { 0o644 });
    }
    // A merged /usr has its links where this tree has no directory yet.
    for (name, to) in form.links {
        tree.link(name, to);
    }
    tree
}

fn failed(tree: &Tree) -> (BTreeSet<String>, String) {
    let (report, _) = tree.report();
    let checks = report["checks"].as_array().cloned().unwrap_or_default();
    let failed = checks
        .iter()
        .filter(|check| check["outcome"] == "fail")
        .filter_map(|check| check["id"].as_str().map(String::from));
    (failed.collect(), format!("{report:#}"))
}

#[test]
fn an_image_of_each_form_is_fit_and_its_own_updaters_are_found() {
    for form in FORMS {
        let (wrong, report) = failed(&tree(&form));
        assert!(wrong.is_empty(), "{}: {report}", form.name);
        for (place, text) in form.updaters {
            let tree = tree(&form);
            tree.file(place, text, if text.starts_with("#!") { 0o755 } else { 0o600 });
            let (report, _) = tree.report();
            let checks = report["checks"].as_array().cloned().unwrap_or_default();
            let found = checks.iter().find(|check| check["id"] == "no-auto-update").cloned().unwrap_or_default();
            // What upgrades all packages is a warning, as cloudflared may come from no repository.
            let expected = if *text == ALL_ORIGINS { "warn" } else { "fail" };
            assert_eq!(found["outcome"], expected, "{}, {place}: {found:#}", form.name);
            if !place.contains("dnf") && !place.starts_with("snap") && !place.contains("snapd") {
                assert!(found["evidence"].to_string().contains(place), "{}, {place}: {found:#}", form.name);
            }
        }
    }
}

#[test]
fn another_connector_is_found_on_each_form_by_what_a_unit_executes() {
    for (form, command) in FORMS.iter().zip(CONNECTORS.iter().cycle()) {
        let tree = tree(form);
        tree.file("etc/systemd/system/web-gateway.service", format!("[Service]\nExecStart={command}\n"), 0o644);
        let (wrong, report) = failed(&tree);
        assert!(!wrong.contains("no-other-connector"), "{}, not enabled: {report}", form.name);
        tree.link(
            "etc/systemd/system/multi-user.target.wants/web-gateway.service",
            "/etc/systemd/system/web-gateway.service",
        );
        let (wrong, report) = failed(&tree);
        assert!(wrong.contains("no-other-connector"), "{}, {command}: {report}", form.name);
        assert!(report.contains("web-gateway.service"), "{}: {report}", form.name);
    }
}

/// doctor looks at the host that it runs on: here each form's units and crontabs are mounted over those of this machine.
#[tokio::test]
async fn doctor_finds_another_connector_on_each_form() -> anyhow::Result<()> {
    let (_world, mut host) = World::with_host().await?;
    for (form, command) in FORMS.iter().zip(CONNECTORS.iter().cycle()) {
        for enabled in [false, true] {
            let tree = tree(form);
            tree.file("etc/systemd/system/web-gateway.service", format!("[Service]\nExecStart={command}\n"), 0o644);
            if enabled {
                tree.link(
                    "etc/systemd/system/multi-user.target.wants/web-gateway.service",
                    "/etc/systemd/system/web-gateway.service",
                );
            }
            let units = tree.path("etc/systemd/system");
            let unshare = if is_root() { "--mount" } else { "--mount --map-root-user" };
            // As systemctl says it where there is no such unit.
            let systemctl = host.directory().join("systemctl");
            let no_unit =
                "LoadState=not-found\\nActiveState=inactive\\n\\nLoadState=not-found\\nActiveState=inactive\\n";
            std::fs::write(&systemctl, format!("#!/bin/sh\nprintf '{no_unit}'\n"))?;
            std::fs::set_permissions(&systemctl, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
            let mount = format!(
                "mkdir -p /etc/systemd/system && mount --bind {} /etc/systemd/system && PATH={}:$PATH exec \"$@\"",
                units.display(),
                host.directory().display()
            );
            host.launcher = ["unshare"]
                .into_iter()
                .chain(unshare.split(' '))
                .chain(["sh", "-c", &mount, "sh"])
                .map(String::from)
                .collect();
            let output = host.run(["doctor", "--json"]).await?;
            let report: serde_json::Value =
                serde_json::from_slice(&output.stdout).map_err(|_| anyhow::anyhow!(said(&output)))?;
            let checks = report["checks"].as_array().cloned().unwrap_or_default();
            let found = checks.iter().find(|check| check["id"] == "no-other-connector").cloned().unwrap_or_default();
            assert_eq!(found["outcome"], if enabled { "fail" } else { "pass" }, "{}: {found:#}", form.name);
            assert!(
                !enabled || found["evidence"].to_string().contains("web-gateway.service"),
                "{}: {found:#}",
                form.name
            );
        }
    }
    Ok(())
}
