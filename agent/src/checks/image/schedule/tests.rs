use super::*;
use crate::checks::Outcome;
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
        ("var/lib/cloud/scripts/per-boot/up.sh", script),
    ] {
        let found = found(&[(path, text)]);
        assert_eq!(found.outcome, Outcome::Fail, "{path}: {found:?}");
        assert!(found.why().contains(path), "{found:?}");
        let comment = text.replace("\n0", "\n#0").replace("\nc", "\n# c");
        let comment = if comment == *text { format!("# {text}") } else { comment };
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
        // It has nothing to take, or is told to leave it.
        (&[four, applies], Outcome::Pass),
        (&[("etc/yum.repos.d/c.repo", "[cloudflared]\nenabled=0\n"), four, applies], Outcome::Pass),
        (&[REPOSITORY, four, applies, ("etc/dnf/dnf.conf", "exclude=kernel cloudflared\n")], Outcome::Pass),
        (&[("snap/cloudflared/current", "-> 12")], Outcome::Fail),
        (&[("var/lib/snapd/snaps/cloudflared_12.snap", "x")], Outcome::Fail),
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
        let found = looked(&files, units::no_other_connector);
        assert_eq!(found.outcome, Outcome::Fail, "{command}: {found:?}");
        assert!(found.why().starts_with("web.service is enabled"), "{found:?}");
        assert_eq!(looked(&files[1..], units::no_other_connector).outcome, Outcome::Pass, "{command}: not enabled");
    }
    for command in
        ["/usr/bin/cflared-agent run", "/usr/bin/cloudflared access tcp --hostname x", "/usr/bin/autossh tunnel"]
    {
        let unit = format!("[Service]\nExecStart={command}\n");
        let files = [link, ("etc/systemd/system/web.service", &*unit)];
        assert_eq!(looked(&files, units::no_other_connector).outcome, Outcome::Pass, "{command}");
    }
}
