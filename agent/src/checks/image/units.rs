//! systemd's units: there, enabled, accepted; and nothing beside them that runs or replaces cloudflared.

use super::PROGRAM;
use super::root::{Kind, Root, Unseen};
use crate::checks::{Found, program};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The unit of the agent.
const AGENT: &str = "cflared-agent.service";
/// All that the package installs.
const UNITS: [&str; 3] = [AGENT, "cflared-tunnel-online.target", "cflared-tunnel-wait.service"];
/// Where units are, first found first (systemd.unit(5)).
const PLACES: [&str; 5] = [
    "/etc/systemd/system",
    "/run/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
];
/// The unit that cloudflared's own installer writes, and what it updates itself with (observed, 2026.8.2).
const CONNECTORS: [&str; 1] = ["cloudflared.service"];
const UPDATERS: [&str; 2] = ["cloudflared-update.timer", "cloudflared-update.service"];
const CRON: [&str; 5] =
    ["/etc/crontab", "/etc/cron.d", "/etc/cron.daily", "/etc/cron.weekly", "/var/spool/cron/crontabs"];

/// Where the unit is, if it is.
fn find(root: &Root, unit: &str) -> Result<Option<PathBuf>, Unseen> {
    for place in PLACES {
        let path = Path::new(place).join(unit);
        if root.lstat(&path)?.is_some() {
            return Ok(Some(path));
        }
    }
    Ok(None)
}

fn known(look: impl FnOnce() -> Result<Found, Unseen>) -> Found {
    look().unwrap_or_else(|error| Found::not_known(error.to_string()))
}

/// The units are there.
pub fn installed(root: &Root) -> Found {
    known(|| {
        let (mut wrong, mut there) = (vec![], vec![]);
        for unit in UNITS {
            match find(root, unit)? {
                Some(path) => there.push(path.display().to_string()),
                None => wrong.push(format!("{unit} is not there")),
            }
        }
        Ok(Found::from_wrongs(wrong, vec![], there.join(", ")))
    })
}

/// Nothing masks the agent's unit, and the units that want it say so.
pub fn enabled(root: &Root) -> Found {
    known(|| {
        let Some(path) = find(root, AGENT)? else { return Ok(Found::fail(format!("{AGENT} is not there"))) };
        if masked(root, &path)? {
            return Ok(Found::fail(format!("{} masks it", path.display())));
        }
        let text = root.text(&path)?.unwrap_or_default();
        let wanted = wants(&text);
        if wanted.is_empty() {
            return Ok(Found::fail(format!("{} has no WantedBy= or RequiredBy=", path.display())));
        }
        let mut wrong = vec![];
        for folder in &wanted {
            if !linked(root, folder, AGENT)? {
                wrong.push(format!("/etc/systemd/system/{folder}/{AGENT} is not there"));
            }
        }
        Ok(Found::from_wrongs(wrong, vec![], format!("linked in {}", wanted.join(", "))))
    })
}

/// A link to nowhere, or an empty file (systemctl(1), "mask").
fn masked(root: &Root, path: &Path) -> Result<bool, Unseen> {
    let to_null = root.read_link(path)?.is_some_and(|to| to == Path::new("/dev/null"));
    let empty = root.stat(path)?.is_some_and(|node| node.kind == Kind::File && node.size == 0);
    Ok(to_null || empty)
}

/// The folders in which the unit asks to be linked: `multi-user.target.wants`.
fn wants(text: &str) -> Vec<String> {
    let mut folders = vec![];
    let install = text.lines().map(str::trim).skip_while(|line| *line != "[Install]").skip(1);
    for line in install.take_while(|line| !line.starts_with('[')) {
        let Some((key, units)) = line.split_once('=') else { continue };
        let end = match key.trim() {
            "WantedBy" => "wants",
            "RequiredBy" => "requires",
            _ => continue,
        };
        folders.extend(units.split_whitespace().map(|unit| format!("{unit}.{end}")));
    }
    folders
}

fn linked(root: &Root, folder: &str, unit: &str) -> Result<bool, Unseen> {
    for place in PLACES {
        if root.lstat(Path::new(place).join(folder).join(unit))?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// systemd's own parser has nothing to say of the units. Only of this host: another's systemd knows other directives.
pub fn verified(root: &Root) -> Found {
    if !root.is_host {
        return Found::not_applicable("the systemd of the image must judge; run this in the image as well");
    }
    let mut paths = vec![];
    for unit in UNITS {
        match find(root, unit) {
            Ok(path) => paths.extend(path),
            Err(error) => return Found::not_known(error.to_string()),
        }
    }
    let mut analyze = Command::new("systemd-analyze");
    match program::run(analyze.args(["verify", "--man=no"]).args(&paths), PROGRAM) {
        Ok(None) => Found::not_applicable("systemd-analyze is not installed"),
        Err(error) => Found::not_known(format!("failed to run systemd-analyze: {error}")),
        Ok(Some(said)) => {
            let ours = |line: &&str| UNITS.iter().any(|unit| line.contains(unit));
            let complaints: Vec<String> = said.stderr.lines().filter(ours).map(String::from).collect();
            // It also tells of other units that it came by, and then ends with an error.
            Found::from_wrongs(complaints, vec![], format!("systemd-analyze verify accepts {} units", paths.len()))
        }
    }
}

/// Whether any target or timer wants the unit.
fn is_enabled(root: &Root, unit: &str) -> Result<Option<PathBuf>, Unseen> {
    for place in PLACES {
        for name in root.names(place)? {
            let folder = Path::new(place).join(&name);
            let end = folder.extension().and_then(|end| end.to_str()).unwrap_or_default();
            let link = folder.join(unit);
            if ["wants", "requires", "upholds"].contains(&end) && root.lstat(&link)?.is_some() {
                return Ok(Some(link));
            }
        }
    }
    Ok(None)
}

fn none_enabled(root: &Root, units: &[&str], wrong: &mut Vec<String>, there: &mut Vec<String>) -> Result<(), Unseen> {
    for unit in units {
        if let Some(link) = is_enabled(root, unit)? {
            wrong.push(format!("{} enables {unit}", link.display()));
        } else if let Some(path) = find(root, unit)?
            && !masked(root, &path)?
        {
            there.push(format!("{} is there, and not enabled", path.display()));
        }
    }
    Ok(())
}

/// No other unit runs cloudflared.
pub fn no_other_connector(root: &Root) -> Found {
    known(|| {
        let (mut wrong, mut there) = (vec![], vec![]);
        none_enabled(root, &CONNECTORS, &mut wrong, &mut there)?;
        Ok(match there.pop() {
            Some(told) if wrong.is_empty() => Found::warn(told),
            _ => Found::from_wrongs(wrong, vec![], "no cloudflared.service"),
        })
    })
}

/// Neither a timer, nor a cron job, nor unattended upgrades replace cloudflared.
pub fn no_auto_update(root: &Root) -> Found {
    known(|| {
        let (mut wrong, mut there) = (vec![], vec![]);
        none_enabled(root, &UPDATERS, &mut wrong, &mut there)?;
        for place in CRON.map(Path::new) {
            let folder = root.names(place)?;
            let files = folder.iter().map(|name| place.join(name)).chain([place.to_owned()]);
            for path in files {
                let text = root.text(&path)?.unwrap_or_default();
                if lines(&text, '#').any(|line| line.contains("cloudflared") && line.contains("update")) {
                    wrong.push(format!("{} updates cloudflared", path.display()));
                }
            }
        }
        let apt = Path::new("/etc/apt/apt.conf.d");
        for name in root.names(apt)? {
            let text = root.text(apt.join(&name))?.unwrap_or_default();
            if lines(&text, '/').any(|line| line.contains("cloudflare") || line.contains("origin=*")) {
                there.push(format!("{} lets unattended upgrades replace cloudflared", apt.join(&name).display()));
            }
        }
        Ok(match there.pop() {
            Some(told) if wrong.is_empty() => Found::warn(told),
            _ => Found::from_wrongs(wrong, vec![], "no timer, no cron job, no unattended upgrade"),
        })
    })
}

/// The lines that are not comments, in lower case.
fn lines(text: &str, comment: char) -> impl Iterator<Item = String> {
    text.lines().map(str::trim).filter(move |line| !line.starts_with(comment)).map(str::to_lowercase)
}

/// Units that keep the clock, by the names that Debian, Ubuntu and Amazon Linux give them.
const CLOCKS: [&str; 6] = [
    "systemd-timesyncd.service",
    "chrony.service",
    "chronyd.service",
    "ntpsec.service",
    "ntp.service",
    "dbus-org.freedesktop.timesync1.service",
];

/// Something keeps the clock right.
pub fn time_sync(root: &Root) -> Found {
    known(|| {
        for unit in CLOCKS {
            if let Some(link) = is_enabled(root, unit)? {
                return Ok(Found::pass(format!("{} is enabled", link.display())));
            }
        }
        Ok(Found::warn("neither chrony nor systemd-timesyncd is enabled"))
    })
}

/// Where the SSM agent is: of a package, of the snap that Ubuntu's images carry.
const SSM: [&str; 3] =
    ["/usr/bin/amazon-ssm-agent", "/snap/bin/amazon-ssm-agent.ssm-cli", "/var/lib/snapd/snap/amazon-ssm-agent"];
const SSM_SNAPS: [&str; 2] = ["/snap/amazon-ssm-agent", "/var/snap/amazon-ssm-agent"];

/// The SSM agent is there.
pub fn ssm_agent(root: &Root) -> Found {
    known(|| {
        for path in SSM.iter().chain(&SSM_SNAPS) {
            if root.lstat(path)?.is_some() {
                return Ok(Found::pass(format!("{path} is there")));
            }
        }
        Ok(Found::warn("amazon-ssm-agent is neither in /usr/bin nor a snap"))
    })
}
