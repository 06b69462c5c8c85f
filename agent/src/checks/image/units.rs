//! systemd's units: there, enabled, accepted; and nothing beside them that runs or replaces cloudflared.

use super::PROGRAM;
use super::root::{Kind, Root, Unseen};
use crate::checks::{Found, program};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The unit of the agent.
const AGENT: &str = "cflared-agent.service";
/// All that the package installs.
const UNITS: [&str; 3] = [AGENT, "cflared-tunnel-online.target", "cflared-tunnel-wait.service"];
/// Where units are, first found first (systemd.unit(5)).
pub const PLACES: [&str; 9] = [
    "/etc/systemd/system.control",
    "/run/systemd/system.control",
    "/etc/systemd/system",
    "/etc/systemd/system.attached",
    "/run/systemd/system",
    "/run/systemd/system.attached",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
];
/// What cloudflared's own installer writes to update itself with (observed, 2026.8.2).
pub const UPDATERS: [&str; 2] = ["cloudflared-update.timer", "cloudflared-update.service"];

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
        return Found::not_applicable("only the image's own systemd can judge; run this in the image, too");
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
pub fn is_enabled(root: &Root, unit: &str) -> Result<Option<PathBuf>, Unseen> {
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

/// Of these units none is enabled; one that is there all the same is named.
pub fn none_enabled(
    root: &Root,
    units: &[&str],
    wrong: &mut Vec<String>,
    there: &mut Vec<String>,
) -> Result<(), Unseen> {
    for unit in units {
        let path = find(root, unit)?;
        if path.as_ref().map(|path| masked(root, path)).transpose()?.unwrap_or_default() {
            continue;
        }
        if let Some(link) = is_enabled(root, unit)? {
            wrong.push(format!("{} enables {unit}", link.display()));
        } else if let Some(path) = path {
            there.push(format!("{} exists, but is not enabled", path.display()));
        }
    }
    Ok(())
}

/// A unit that is started by itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Started {
    /// Its name.
    pub name: String,
    /// What starts it: a timer, a path or a socket; else itself.
    pub by: String,
}

/// The most units that are followed.
const MOST: usize = 5000;

/// The units of these places that start by themselves: by a link in a folder such as `multi-user.target.wants`, or because such a unit,
/// or a target, wants them in its text.
pub fn started(root: &Root, places: &[PathBuf]) -> Result<BTreeSet<Started>, Unseen> {
    let mut next = vec![];
    for place in places {
        for name in root.names(place)?.into_iter().filter_map(|name| name.into_string().ok()) {
            match name.rsplit_once('.').map(|(_, end)| end) {
                Some("wants" | "requires" | "upholds") => {
                    next.extend(root.names(place.join(&name))?.into_iter().filter_map(|unit| unit.into_string().ok()));
                }
                Some("target") => next.push(name),
                Some("d") => {
                    next.extend(name.strip_suffix(".d").filter(|name| name.ends_with(".target")).map(String::from))
                }
                _ => {}
            }
        }
    }
    let mut next: Vec<Started> = next.into_iter().map(|name| Started { by: name.clone(), name }).collect();
    let (mut names, mut started) = (BTreeSet::new(), BTreeSet::new());
    while let Some(unit) = next.pop().filter(|_| names.len() < MOST) {
        if !names.insert(unit.name.clone()) {
            continue;
        }
        if let Some(text) = text(root, places, &unit.name)? {
            next.extend(starts(&unit, &text));
            started.insert(unit);
        }
    }
    Ok(started)
}

/// What a unit with that text starts.
fn starts(unit: &Started, text: &str) -> Vec<Started> {
    let values = |keys: &'static [&str]| {
        let pairs = text.lines().filter_map(|line| line.split_once('='));
        pairs.filter(move |(key, _)| keys.contains(&key.trim())).flat_map(|(_, value)| value.split_whitespace())
    };
    let trigger = unit.name.rsplit_once('.').filter(|(_, end)| ["timer", "path", "socket"].contains(end));
    let triggered = trigger.map(|(stem, _)| {
        let other = values(&["Unit", "Service"]).next_back().map(String::from);
        Started { name: other.unwrap_or_else(|| format!("{stem}.service")), by: unit.name.clone() }
    });
    let wanted = values(&["Wants", "Requires", "BindsTo", "Upholds", "OnSuccess", "OnFailure"]);
    wanted.map(|name| Started { name: name.into(), by: name.into() }).chain(triggered).collect()
}

/// What a unit says, with its drop-ins; `None`: it is not there, or masked. An instance is its template.
pub fn text(root: &Root, places: &[PathBuf], unit: &str) -> Result<Option<String>, Unseen> {
    let template = unit.split_once('@').and_then(|(stem, rest)| Some(format!("{stem}@.{}", rest.rsplit_once('.')?.1)));
    for name in [Some(unit.to_owned()), template].into_iter().flatten() {
        for place in places {
            let Some(mut text) = root.text(place.join(&name))? else { continue };
            for place in places {
                let folder = place.join(format!("{name}.d"));
                for drop_in in root.names(&folder)? {
                    text.push('\n');
                    text.push_str(&root.text(folder.join(drop_in))?.unwrap_or_default());
                }
            }
            return Ok(Some(text).filter(|text| !text.trim().is_empty()));
        }
    }
    Ok(None)
}

/// What a service of that name executes, a command a line.
pub fn commands(name: &str, text: &str) -> String {
    let instance =
        name.split_once('@').and_then(|(_, rest)| rest.rsplit_once('.')).map_or("", |(instance, _)| instance);
    let whole = text.replace("\\\n", " ").replace("%i", instance).replace("%I", instance);
    let command = |line: &str| {
        let (key, command) = line.trim().split_once('=')?;
        key.trim_end().starts_with("Exec").then(|| command.trim().to_owned())
    };
    whole.lines().filter_map(command).collect::<Vec<_>>().join("\n")
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
