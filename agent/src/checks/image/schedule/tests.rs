use super::*;
use crate::checks::Outcome;
use crate::checks::image::{Closed, connectors};
use std::fs;
use std::os::unix::fs::symlink;
use testing::fake::Dir;

/// A tree with these files; a text that begins with `->` is where a link leads.
fn found(files: &[(&str, &str)]) -> Found {
    looked(files, no_auto_update)
}

fn looked(files: &[(&str, &str)], look: fn(&Root) -> Found) -> Found {
    let dir = Dir::new();
    let top = dir.join("root");
    fs::create_dir(&top).unwrap();
    for (path, text) in files {
        let path = top.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        match text.strip_prefix("-> ") {
            Some(to) => symlink(to, &path).unwrap(),
            None => fs::write(&path, text).unwrap(),
        }
    }
    look(&Root::open(&top).unwrap())
}

fn no_other_connector(root: &Root) -> Found {
    connectors::no_other_connector(root, Closed::Counted)
}

#[test]
fn every_crontab_and_boot_script_is_read() {
    let user = "0 3 * * * /usr/bin/cloudflared update\n";
    let system = "0 3 * * * root /usr/bin/cloudflared update\n";
    let script = "#!/bin/sh\ncloudflared update || true\n";
    for (path, text) in [
        ("etc/crontab", system),
        ("etc/anacrontab", "1 5 up cloudflared update\n"),
        ("etc/cron.d/up", system),
        ("etc/cron.hourly/up", script),
        ("etc/cron.daily/up", script),
        ("etc/cron.weekly/up", script),
        ("etc/cron.monthly/up", script),
        ("etc/cron.yearly/up", script),
        ("var/spool/cron/root", user),
        ("var/spool/cron/ec2-user", user),
        ("var/spool/cron/crontabs/ubuntu", user),
        ("var/spool/cron/tabs/root", user),
        ("var/spool/cron/atjobs/a00001", script),
        ("var/spool/at/a00001", script),
        ("etc/rc.local", script),
        ("etc/rc.d/rc.local", script),
        ("var/spool/fcron/root.orig", "@ 1d cloudflared update\n"),
        ("var/spool/incron/root", "/etc/x IN_CREATE cloudflared update\n"),
        ("var/lib/cloud/scripts/per-boot/up.sh", script),
        ("var/lib/cloud/scripts/per-instance/up.sh", script),
        ("var/lib/cloud/scripts/per-once/up.sh", script),
        ("etc/cloud/cloud.cfg.d/99_up.cfg", "runcmd:\n  - [cloudflared, update]\n"),
        ("etc/rc3.d/S20up", script),
        ("etc/networkd-dispatcher/routable.d/up", script),
        ("etc/NetworkManager/dispatcher.d/up", script),
        ("etc/network/if-up.d/up", script),
        ("etc/dhcp/dhclient-exit-hooks.d/up", "cloudflared update\n"),
        ("etc/update-motd.d/99-up", script),
        ("etc/profile.d/up.sh", "cloudflared update\n"),
        ("etc/logrotate.d/up", "/var/log/x {\n  postrotate\n    cloudflared update\n  endscript\n}\n"),
    ] {
        let found = found(&[(path, text)]);
        assert_eq!(found.outcome, Outcome::Fail, "{path}: {found:?}");
        assert!(found.why().contains(path), "{found:?}");
        let comment: String = text.lines().map(|line| format!("# {line}\n")).collect();
        assert_eq!(self::found(&[(path, &comment)]).outcome, Outcome::Pass, "{path}: a comment");
    }
}

#[test]
fn a_script_that_a_job_executes_is_read_too() {
    let script = ("opt/up.sh", "#!/bin/bash\ncurl -sLo /usr/bin/cloudflared https://example.com/latest\n");
    for job in [
        ("etc/cron.d/x", "5 * * * * root /opt/up.sh\n"),
        ("etc/cron.hourly/x", "#!/bin/sh\nexec \"/opt/up.sh\" --quiet\n"),
        ("var/spool/cron/root", "@daily test -x /opt/up.sh && /opt/up.sh\n"),
    ] {
        let found = found(&[script, job]);
        assert_eq!(found.outcome, Outcome::Fail, "{job:?}: {found:?}");
        assert!(found.why().ends_with("updates cloudflared, by /opt/up.sh"), "{found:?}");
    }
    let folder = [("etc/crontab", "17 * * * * root run-parts --report /opt/hourly\n"), ("opt/hourly/up", script.1)];
    assert_eq!(found(&folder).outcome, Outcome::Fail);
    // A program holds any words.
    let program = [("etc/cron.d/x", "* * * * * root /usr/bin/x\n"), ("usr/bin/x", "\x7fELF cloudflared update")];
    assert_eq!(found(&program).outcome, Outcome::Pass);
}

#[test]
fn what_a_job_means_counts_and_not_how_it_is_written() {
    let up = ("opt/up.sh", "cloudflared update\n");
    let script = ("usr/local/bin/up", "#!/bin/sh\n/usr/bin/cloudflared update\n");
    for files in [
        &[("etc/cron.daily/x", "#!/bin/sh\n/usr/bin/cloudflared \\\n  update\n")][..],
        &[("etc/cron.daily/x", "#!/bin/sh\nBIN=/usr/bin/cloudflared\n$BIN update\n")],
        &[("etc/cron.daily/x", "#!/bin/sh\nexport DIR=/usr/bin\nBIN=\"$DIR/cloudflared\"\n${BIN} update\n")],
        &[(
            "etc/cron.daily/x",
            "#!/bin/sh\nURL=https://x/cloudflared-linux-amd64\ncurl -L $URL -o /usr/local/bin/cf\n",
        )],
        &[("etc/cron.daily/x", "#!/usr/bin/python3\nsubprocess.run(['cloudflared', 'update'])\n")],
        &[("etc/cron.daily/x", "#!/bin/sh\ngo install github.com/cloudflare/cloudflared/cmd/cloudflared@latest\n")],
        &[up, ("etc/cron.d/x", "0 3 * * * root . /opt/up.sh\n")],
        &[up, ("etc/cron.d/x", "0 3 * * * root bash -eu /opt/up.sh\n")],
        &[script, ("etc/cron.d/x", "0 3 * * * root up --quiet\n")],
        &[script, ("opt/a", "#!/bin/sh\nexec /usr/local/bin/up\n"), ("etc/cron.d/x", "@daily root /opt/a\n")],
    ] {
        let found = found(files);
        assert_eq!(found.outcome, Outcome::Fail, "{files:?}: {found:?}");
    }
    for (text, outcome) in [
        ("dnf up -y", Outcome::Warn),
        ("yum -y update-minimal --security", Outcome::Warn),
        ("DEBIAN_FRONTEND=noninteractive apt-get -y -o Dpkg::Options::=--force-confold upgrade", Outcome::Warn),
        ("/usr/sbin/cron-apt", Outcome::Warn),
        ("apt-get -y -d dist-upgrade", Outcome::Pass),
        ("dnf upgrade --downloadonly", Outcome::Pass),
        ("cflared-agent status", Outcome::Pass),
        ("cloudflared tunnel ready", Outcome::Pass),
        ("/usr/sbin/update-motd", Outcome::Pass),
    ] {
        let found = found(&[("etc/cron.daily/x", &format!("#!/bin/sh\n{text}\n"))]);
        assert_eq!(found.outcome, outcome, "{text}: {found:?}");
    }
    assert_eq!(found(&[("etc/cloud/cloud.cfg", "package_upgrade: true\n")]).outcome, Outcome::Warn);
    assert_eq!(found(&[("etc/cloud/cloud.cfg", "package_upgrade: false\n")]).outcome, Outcome::Pass);
    // What a distribution's script leads to is that one's own affair, and a loop ends.
    let inner = ("usr/lib/x/inner", "#!/bin/sh\ncloudflared update\n");
    let outer = ("usr/lib/x/outer", "#!/bin/sh\n/usr/lib/x/inner\n/usr/lib/x/outer\n");
    assert_eq!(found(&[inner, outer, ("etc/cron.d/x", "@daily root /usr/lib/x/outer\n")]).outcome, Outcome::Pass);
    let variables = "A=$A$A$A\n".repeat(50_000) + "$A\n";
    assert_eq!(found(&[("etc/cron.daily/x", &variables)]).outcome, Outcome::Pass);
}

#[test]
fn every_unit_that_is_enabled_is_read() {
    let service = "[Service]\nExecStart=-/usr/bin/cloudflared update\n";
    for (places, wants) in [
        ("etc/systemd/system", "etc/systemd/system/timers.target.wants"),
        ("usr/lib/systemd/system", "etc/systemd/system/timers.target.wants"),
        ("lib/systemd/system", "lib/systemd/system/timers.target.wants"),
        ("usr/local/lib/systemd/system", "etc/systemd/system/timers.target.wants"),
        ("run/systemd/system", "run/systemd/system/timers.target.wants"),
        ("etc/systemd/user", "etc/systemd/user/timers.target.wants"),
        ("home/ubuntu/.config/systemd/user", "home/ubuntu/.config/systemd/user/timers.target.wants"),
        ("root/.config/systemd/user", "root/.config/systemd/user/timers.target.wants"),
    ] {
        let (timer, unit, link) =
            (format!("{places}/fresh.timer"), format!("{places}/fresh.service"), format!("{wants}/fresh.timer"));
        let files = [(&*timer, "[Timer]\nOnCalendar=daily\n"), (&*unit, service), (&*link, "-> /x")];
        let enabled = found(&files);
        assert_eq!(enabled.outcome, Outcome::Fail, "{places}: {enabled:?}");
        assert!(enabled.why().starts_with("fresh.timer updates cloudflared"), "{enabled:?}");
        assert_eq!(found(&files[..2]).outcome, Outcome::Pass, "{places}: not enabled");
    }
    let link = ("etc/systemd/system/timers.target.wants/a.timer", "-> /x");
    let other = [
        link,
        ("etc/systemd/system/a.timer", "[Timer]\nUnit=b.service\n"),
        ("etc/systemd/system/b.service", "[Service]\nExecStart=/bin/sh -c \\\n  'dnf install -y cloudflared'\n"),
    ];
    assert_eq!(found(&other).outcome, Outcome::Fail, "the unit that the timer names");
    let drop_in = [
        link,
        ("etc/systemd/system/a.timer", "[Timer]\n"),
        ("etc/systemd/system/a.service", "[Service]\nExecStart=/bin/true\n"),
        ("etc/systemd/system/a.service.d/x.conf", "[Service]\nExecStartPre=/usr/bin/cloudflared update\n"),
    ];
    assert_eq!(found(&drop_in).outcome, Outcome::Fail, "a drop-in");
    let boot = [
        ("etc/systemd/system/multi-user.target.wants/up.service", "-> /x"),
        ("etc/systemd/system/up.service", service),
    ];
    assert_eq!(found(&boot).outcome, Outcome::Fail, "at the boot");
    let update = ("etc/systemd/system/b.service", service);
    for wanting in [
        &[
            ("etc/systemd/system/multi-user.target.wants/a.service", "-> /x"),
            ("etc/systemd/system/a.service", "[Unit]\nWants=b.service\n"),
        ][..],
        &[
            ("usr/lib/systemd/system/multi-user.target", "[Unit]\n"),
            ("etc/systemd/system/multi-user.target.d/x.conf", "[Unit]\nUpholds=b.service\n"),
        ],
        &[("etc/systemd/system/sockets.target.wants/b.socket", "-> /x"), ("etc/systemd/system/b.socket", "[Socket]\n")],
        &[
            ("etc/systemd/system.control/timers.target.wants/b.timer", "-> /x"),
            ("etc/systemd/system/b.timer", "[Timer]\n"),
        ],
    ] {
        let files = [wanting, &[update]].concat();
        let found = found(&files);
        assert_eq!(found.outcome, Outcome::Fail, "{files:?}: {found:?}");
    }
    let instance = [
        ("etc/systemd/system/timers.target.wants/up@cloudflared.timer", "-> ../up@.timer"),
        ("etc/systemd/system/up@.timer", "[Timer]\nOnCalendar=daily\n"),
        ("etc/systemd/system/up@.service", "[Service]\nExecStart=/usr/bin/%i update\n"),
    ];
    assert_eq!(found(&instance).outcome, Outcome::Fail, "an instance");
    let masked = [link, ("etc/systemd/system/a.timer", ""), ("usr/lib/systemd/system/a.service", service)];
    assert_eq!(found(&masked).outcome, Outcome::Pass, "masked");
    // The flag that forbids it, and files that only bear its name.
    let harmless = [
        ("etc/systemd/system/multi-user.target.wants/a.service", "-> /x"),
        (
            "etc/systemd/system/a.service",
            "[Service]\nExecStartPre=/usr/bin/install -d /etc/cloudflared\nExecStart=/usr/bin/x --no-autoupdate cloudflared\n",
        ),
    ];
    assert_eq!(found(&harmless).outcome, Outcome::Pass);
}

const REPOSITORY: (&str, &str) = (
    "etc/yum.repos.d/cloudflared.repo",
    "[cloudflared]\nbaseurl=https://pkg.cloudflare.com/cloudflared/rpm\nenabled=1\n",
);

#[test]
fn package_managers_that_upgrade_by_themselves_are_known() {
    let timer = |name: &str| (format!("etc/systemd/system/timers.target.wants/{name}"), "-> /x");
    let (four, five, install) =
        (timer("dnf-automatic.timer"), timer("dnf5-automatic.timer"), timer("dnf-automatic-install.timer"));
    let (four, five, install) = ((&*four.0, four.1), (&*five.0, five.1), (&*install.0, install.1));
    let applies = ("etc/dnf/automatic.conf", "[commands]\napply_updates = yes\n");
    let reports = ("etc/dnf/automatic.conf", "[commands]\napply_updates = no\n");
    let yum = ("etc/systemd/system/multi-user.target.wants/yum-cron.service", "-> /x");
    for (files, outcome) in [
        (&[REPOSITORY, four, applies][..], Outcome::Fail),
        (&[REPOSITORY, four, reports], Outcome::Pass),
        (&[REPOSITORY, four], Outcome::Pass),
        (&[REPOSITORY, applies], Outcome::Pass),
        (&[REPOSITORY, install, reports], Outcome::Fail),
        (&[REPOSITORY, five, ("etc/dnf/dnf5-plugins/automatic.conf", "apply_updates = true\n")], Outcome::Fail),
        (&[REPOSITORY, yum, ("etc/yum/yum-cron.conf", "apply_updates = yes\n")], Outcome::Fail),
        (&[REPOSITORY, four, ("etc/dnf/automatic.conf", "apply_updates: True\n")], Outcome::Fail),
        (
            &[("etc/yum.repos.d/x.repo", "[x]\nbaseurl=https://mirror.corp/cloudflare/rpm\n"), four, applies],
            Outcome::Fail,
        ),
        // It has nothing to take, or is told to leave it.
        (&[four, applies], Outcome::Pass),
        (&[("etc/yum.repos.d/c.repo", "[cloudflared]\nenabled=0\n"), four, applies], Outcome::Pass),
        (&[REPOSITORY, four, applies, ("etc/dnf/dnf.conf", "exclude=kernel cloudflared\n")], Outcome::Pass),
        (&[("snap/cloudflared/current", "-> 12")], Outcome::Fail),
        (&[("var/lib/snapd/snaps/cloudflared_12.snap", "x")], Outcome::Fail),
        (&[("snap/bin/cloudflared", "-> /usr/bin/snap")], Outcome::Fail),
        (&[("snap/amazon-ssm-agent/current", "-> 1")], Outcome::Pass),
        (&[("etc/cron.weekly/up", "#!/bin/sh\napt-get -y dist-upgrade\n")], Outcome::Warn),
        (&[("etc/cron.weekly/up", "#!/bin/sh\nyum -y update\n")], Outcome::Warn),
        (&[("etc/cron.weekly/up", "#!/bin/sh\napt-get update\n")], Outcome::Pass),
        (&[("etc/cron.daily/dpkg", "#!/bin/sh\ndpkg --list\n")], Outcome::Pass),
        (&[], Outcome::Pass),
    ] {
        let found = found(files);
        assert_eq!(found.outcome, outcome, "{files:?}: {found:?}");
    }
}

#[test]
fn unattended_upgrades_take_what_their_patterns_say() {
    for (text, outcome) in [
        ("Unattended-Upgrade::Origins-Pattern { \"origin=*\"; };", Outcome::Warn),
        ("Unattended-Upgrade::Origins-Pattern { \"o=*\"; };", Outcome::Warn),
        ("Unattended-Upgrade::Origins-Pattern:: \"site=*\";", Outcome::Warn),
        ("Unattended-Upgrade::Origins-Pattern:: \"site=pkg.cloudflare.com\";", Outcome::Warn),
        ("Unattended-Upgrade::Origins-Pattern:: \"l=*,a=*\";", Outcome::Warn),
        ("Unattended-Upgrade::Origins-Pattern:: \"codename=jammy\";", Outcome::Warn),
        ("Unattended-Upgrade::Allowed-Origins { \"*:*\"; };", Outcome::Warn),
        ("Unattended-Upgrade { Allowed-Origins { \"cloudflared:jammy\"; }; };", Outcome::Warn),
        ("Unattended-Upgrade::Allowed-Origins { \"${distro_id}:${distro_codename}-security\"; };", Outcome::Pass),
        (
            "Unattended-Upgrade::Origins-Pattern { \"origin=Debian,codename=${distro_codename},label=Debian\"; };",
            Outcome::Pass,
        ),
        ("Unattended-Upgrade::Origins-Pattern { \"origin=Deb*\"; };", Outcome::Pass),
        (
            "Unattended-Upgrade::Origins-Pattern { \"o=*\"; }; Unattended-Upgrade::Package-Blacklist { \"cloudflared$\"; };",
            Outcome::Pass,
        ),
        ("Acquire::https::pkg.cloudflare.com::Verify-Peer \"true\";", Outcome::Pass),
        ("/* Unattended-Upgrade::Origins-Pattern { \"o=*\"; }; */", Outcome::Pass),
        (
            "// Unattended-Upgrade::Origins-Pattern { \"o=*\"; };\n# Unattended-Upgrade::Origins-Pattern { \"o=*\"; };",
            Outcome::Pass,
        ),
    ] {
        for file in ["etc/apt/apt.conf.d/52mine", "etc/apt/apt.conf"] {
            let found = found(&[(file, text)]);
            assert_eq!(found.outcome, outcome, "{text}: {found:?}");
        }
    }
}

#[test]
fn another_connector_is_known_wherever_it_is_started() {
    let run = "cloudflared tunnel run --token x\n";
    let service = "[Service]\nExecStart=/usr/bin/cloudflared tunnel run web\n";
    for files in [
        &[("etc/cron.d/web", "@reboot root /usr/bin/cloudflared --config /etc/web.yml\n")][..],
        &[("etc/rc.local", "#!/bin/sh\ncloudflared tunnel --url http://localhost:80 &\n")],
        &[("etc/rc3.d/S50cloudflared", "#!/bin/sh\ncmd=\"/usr/bin/cloudflared --pidfile /run/x.pid tunnel run\"\n")],
        &[("etc/systemd/user/default.target.wants/web.service", "-> /x"), ("etc/systemd/user/web.service", service)],
        &[
            ("etc/systemd/system/timers.target.wants/web.timer", "-> /x"),
            ("etc/systemd/system/web.timer", "[Timer]\n"),
            ("etc/systemd/system/web.service", service),
        ],
        &[(
            "etc/containers/systemd/web.container",
            "[Container]\nImage=docker.io/cloudflare/cloudflared:latest\nExec=tunnel run\n",
        )],
        &[
            ("etc/systemd/system/multi-user.target.wants/web.service", "-> /x"),
            ("etc/systemd/system/web.service", "[Service]\nExecStart=/usr/local/bin/start-web\n"),
            ("usr/local/bin/start-web", &*format!("#!/bin/sh\nexec {run}")),
        ],
    ] {
        let found = looked(files, no_other_connector);
        assert_eq!(found.outcome, Outcome::Fail, "{files:?}: {found:?}");
    }
    for files in [
        &[("etc/cron.d/web", "* * * * * root cloudflared tunnel ready\n")][..],
        &[("etc/cron.d/web", "* * * * * root cloudflared tunnel --config /etc/x.yml ingress validate\n")],
        &[
            ("etc/systemd/system/multi-user.target.wants/cloudflared.service", "-> /x"),
            ("etc/systemd/system/cloudflared.service", "-> /dev/null"),
            ("usr/lib/systemd/system/cloudflared.service", service),
        ],
    ] {
        let found = looked(files, no_other_connector);
        assert_eq!(found.outcome, Outcome::Pass, "{files:?}: {found:?}");
    }
}

#[test]
fn another_connector_is_known_by_what_is_executed() {
    let link = ("etc/systemd/system/multi-user.target.wants/web.service", "-> /x");
    for command in [
        "/usr/bin/cloudflared tunnel run --token x",
        "-/opt/cloudflared-linux-amd64 --config /etc/x.yml tunnel run",
        "/usr/bin/docker run --rm cloudflare/cloudflared:latest tunnel --no-autoupdate run",
        "/bin/sh -c 'exec /usr/local/bin/cloudflared tunnel run web'",
    ] {
        let unit = format!("[Service]\nExecStart={command}\n");
        let files = [link, ("usr/lib/systemd/system/web.service", &*unit)];
        let found = looked(&files, no_other_connector);
        assert_eq!(found.outcome, Outcome::Fail, "{command}: {found:?}");
        assert!(found.why().starts_with("web.service is enabled"), "{found:?}");
        assert_eq!(looked(&files[1..], no_other_connector).outcome, Outcome::Pass, "{command}: not enabled");
    }
    for command in
        ["/usr/bin/cflared-agent run", "/usr/bin/cloudflared access tcp --hostname x", "/usr/bin/autossh tunnel"]
    {
        let unit = format!("[Service]\nExecStart={command}\n");
        let files = [link, ("etc/systemd/system/web.service", &*unit)];
        assert_eq!(looked(&files, no_other_connector).outcome, Outcome::Pass, "{command}");
    }
}
