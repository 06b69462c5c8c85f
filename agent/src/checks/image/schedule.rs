//! What runs by itself, at a time or at the boot, and whether it replaces cloudflared: crontabs, timers and the updaters of
//! package managers, in every place where Ubuntu, Debian, Amazon Linux and RHEL keep them.

use super::root::{Kind, Root, Unseen};
use super::units::{self, PLACES};
use crate::checks::Found;
use std::collections::BTreeSet;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Crontabs, and folders of crontabs or of scripts: cron's own (crontab(5), run-parts(8)), anacron's, those of users (Debian:
/// `crontabs/`, RHEL: beside it), and at's.
const CRON: [&str; 13] = [
    "/etc/crontab",
    "/etc/anacrontab",
    "/etc/cron.d",
    "/etc/cron.hourly",
    "/etc/cron.daily",
    "/etc/cron.weekly",
    "/etc/cron.monthly",
    "/etc/cron.yearly",
    "/var/spool/cron",
    "/var/spool/cron/crontabs",
    "/var/spool/cron/tabs",
    "/var/spool/cron/atjobs",
    "/var/spool/at",
];
/// What runs at every boot.
const BOOT: [&str; 3] = ["/etc/rc.local", "/etc/rc.d/rc.local", "/var/lib/cloud/scripts/per-boot"];
/// Where units of users are (systemd.unit(5)); those in homes besides.
const USER_PLACES: [&str; 3] = ["/etc/systemd/user", "/usr/local/lib/systemd/user", "/usr/lib/systemd/user"];
const HOME_PLACE: &str = ".config/systemd/user";
/// The most files of one folder that are looked at.
const MOST: usize = 1000;

/// How sure it is that something replaces cloudflared.
enum Replaces {
    Surely,
    /// If its package comes from a repository.
    WithAllElse,
}

/// Package managers.
const MANAGERS: [&str; 9] = ["apt", "apt-get", "aptitude", "dpkg", "dnf", "dnf5", "yum", "rpm", "snap"];

/// Whether a command, in lower case, does.
fn replaces(line: &str) -> Option<Replaces> {
    // The flag that keeps cloudflared from it.
    let line = line.replace("no-autoupdate", "");
    let words: Vec<_> = line.split(|c: char| c.is_whitespace() || ";&|(){}\"'`".contains(c)).collect();
    let runs = |names: &[&str]| words.iter().any(|word| names.contains(&word.rsplit('/').next().unwrap_or_default()));
    let says = |verbs: &[&str]| words.iter().any(|word| verbs.contains(word));
    if line.contains("cloudflared") {
        let updates = line.contains("update") || line.contains("upgrade");
        let installs = runs(&MANAGERS) && says(&["install", "reinstall", "refresh", "-i", "-u", "-uvh", "--install"]);
        let copies = runs(&["curl", "wget", "aws", "install", "cp", "mv", "ln", "tar"])
            && (line.contains("bin/cloudflared") || line.contains("cloudflared-linux"));
        if updates || installs || copies {
            return Some(Replaces::Surely);
        }
    }
    let upgrades = runs(&["apt", "apt-get", "aptitude"])
        && says(&["upgrade", "dist-upgrade", "full-upgrade", "safe-upgrade"])
        || runs(&["dnf", "dnf5", "yum"]) && says(&["update", "upgrade", "distro-sync"])
        || runs(&["snap"]) && says(&["refresh"]);
    upgrades.then_some(Replaces::WithAllElse)
}

/// What was found so far.
#[derive(Default)]
struct Seen {
    wrong: Vec<String>,
    doubtful: Vec<String>,
}

impl Seen {
    /// Looks through what a job of that name executes, and through the scripts that it names.
    fn look(&mut self, root: &Root, job: &Path, text: &str) -> Result<(), Unseen> {
        self.read(job, None, text);
        let (mut named, mut folders) = (BTreeSet::new(), BTreeSet::new());
        for line in units::lines_as_written(text) {
            let into = if line.contains("run-parts") { &mut folders } else { &mut named };
            into.extend(paths(line));
        }
        for folder in folders {
            named.extend(files(root, &folder)?);
        }
        for path in named.iter().filter(|path| *path != job).take(MOST) {
            if let Some(text) = script(root, path)? {
                self.read(job, Some(path), &text);
            }
        }
        Ok(())
    }

    fn read(&mut self, job: &Path, script: Option<&Path>, text: &str) {
        let by = script.map(|script| format!(", by {}", script.display())).unwrap_or_default();
        for line in units::lines(text, '#') {
            match replaces(&line) {
                Some(Replaces::Surely) => return self.wrong.push(format!("{} updates cloudflared{by}", job.display())),
                Some(Replaces::WithAllElse) => {
                    return self
                        .doubtful
                        .push(format!("{} upgrades packages, cloudflared among them{by}", job.display()));
                }
                None => {}
            }
        }
    }
}

/// The absolute paths in a command.
fn paths(line: &str) -> Vec<PathBuf> {
    let words = line.split(|c: char| c.is_whitespace() || ";&|()<>\"'`=".contains(c));
    // systemd has marks before a program: systemd.service(5), "special executable prefixes".
    let words = words.map(|word| word.trim_start_matches(['-', '@', ':', '+', '!']));
    words.filter(|word| word.starts_with('/') && word.len() > 1).map(PathBuf::from).collect()
}

/// The text of a script; of a program, which holds any words, there is none.
fn script(root: &Root, path: &Path) -> Result<Option<String>, Unseen> {
    let mut start = [0; 2];
    let is_script = root.file(path)?.is_some_and(|mut file| file.read_exact(&mut start).is_ok() && start == *b"#!");
    if is_script { root.text(path) } else { Ok(None) }
}

/// The file of that name, or the files in the folder of that name.
fn files(root: &Root, path: &Path) -> Result<Vec<PathBuf>, Unseen> {
    match root.stat(path)?.map(|node| node.kind) {
        Some(Kind::File) => Ok(vec![path.to_owned()]),
        Some(Kind::Directory) => Ok(root.names(path)?.into_iter().take(MOST).map(|name| path.join(name)).collect()),
        _ => Ok(vec![]),
    }
}

/// Nothing that runs by itself replaces cloudflared.
pub fn no_auto_update(root: &Root) -> Found {
    let looked = || -> Result<Seen, Unseen> {
        let mut seen = Seen::default();
        for place in CRON.into_iter().chain(BOOT) {
            for path in files(root, Path::new(place))? {
                if let Some(text) = root.text(&path)? {
                    seen.look(root, &path, &text)?;
                }
            }
        }
        units_of(root, &mut seen)?;
        apt(root, &mut seen)?;
        dnf(root, &mut seen)?;
        snap(root, &mut seen)?;
        Ok(seen)
    };
    match looked() {
        Err(error) => Found::not_known(error.to_string()),
        Ok(Seen { wrong, mut doubtful }) => match doubtful.pop() {
            Some(first) if wrong.is_empty() => doubtful.into_iter().fold(Found::warn(first), Found::and),
            _ => Found::from_wrongs(wrong, vec![], "no timer, no cron job, no package manager by itself"),
        },
    }
}

/// Every unit that a target or a timer wants, of the system and of users.
fn units_of(root: &Root, seen: &mut Seen) -> Result<(), Unseen> {
    units::none_enabled(root, &units::UPDATERS, &mut seen.wrong, &mut seen.doubtful)?;
    let mut users: Vec<PathBuf> = USER_PLACES.map(PathBuf::from).into();
    users.push(Path::new("/root").join(HOME_PLACE));
    users.extend(root.names("/home")?.into_iter().map(|name| Path::new("/home").join(name).join(HOME_PLACE)));
    let system: Vec<PathBuf> = PLACES.map(PathBuf::from).into();
    for places in [system, users] {
        for unit in units::wanted(root, &places)? {
            let Some(text) = units::text(root, &places, &unit)? else { continue };
            let started = unit.strip_suffix(".timer").or(unit.strip_suffix(".path")).map(|stem| {
                let other =
                    text.lines().find_map(|line| line.trim().strip_prefix("Unit=").map(|unit| unit.trim().to_owned()));
                other.unwrap_or_else(|| format!("{stem}.service"))
            });
            let text = match &started {
                Some(service) => units::text(root, &places, service)?.unwrap_or_default(),
                None => text,
            };
            seen.look(root, Path::new(&unit), &units::commands(&text))?;
        }
    }
    Ok(())
}

/// unattended-upgrades takes what its origins allow.
fn apt(root: &Root, seen: &mut Seen) -> Result<(), Unseen> {
    let apt = Path::new("/etc/apt/apt.conf.d");
    for name in root.names(apt)? {
        let text = root.text(apt.join(&name))?.unwrap_or_default();
        if units::lines(&text, '/').any(|line| line.contains("cloudflare") || line.contains("origin=*")) {
            let path = apt.join(&name);
            seen.doubtful.push(format!("{} lets unattended upgrades replace cloudflared", path.display()));
        }
    }
    Ok(())
}

/// dnf-automatic (dnf 4 and 5) and yum-cron: what starts them, where they are configured, and whether they install in any case.
const DNF: [(&str, &[&str], bool); 4] = [
    ("dnf-automatic.timer", &["/etc/dnf/automatic.conf"], false),
    ("dnf-automatic-install.timer", &[], true),
    ("dnf5-automatic.timer", &["/etc/dnf/automatic.conf", "/etc/dnf/dnf5-plugins/automatic.conf"], false),
    ("yum-cron.service", &["/etc/yum/yum-cron.conf", "/etc/yum/yum-cron-hourly.conf"], false),
];

fn dnf(root: &Root, seen: &mut Seen) -> Result<(), Unseen> {
    if !has_repository(root)? {
        return Ok(());
    }
    for (unit, files, always) in DNF {
        let Some(link) = units::is_enabled(root, unit)? else { continue };
        let mut applies = always;
        for file in files {
            let text = root.text(file)?.unwrap_or_default();
            applies |= settings(&text, "apply_updates").any(|value| ["yes", "true", "1", "on"].contains(&&*value));
        }
        if applies {
            seen.wrong.push(format!("{} installs what Cloudflare's repository has", link.display()));
        }
    }
    Ok(())
}

/// The values of a key, in lower case.
fn settings<'a>(text: &'a str, key: &'a str) -> impl Iterator<Item = String> + 'a {
    let pairs = text.lines().filter_map(|line| line.split_once('='));
    pairs.filter(move |(name, _)| name.trim().eq_ignore_ascii_case(key)).map(|(_, value)| value.trim().to_lowercase())
}

/// Whether a repository of Cloudflare's is enabled, and cloudflared not excluded from what is upgraded.
fn has_repository(root: &Root) -> Result<bool, Unseen> {
    let excluded = |text: &str| {
        ["exclude", "excludepkgs"].iter().any(|key| settings(text, key).any(|value| value.contains("cloudflared")))
    };
    for conf in ["/etc/dnf/dnf.conf", "/etc/yum.conf"] {
        if root.text(conf)?.is_some_and(|text| excluded(&text)) {
            return Ok(false);
        }
    }
    let repositories = Path::new("/etc/yum.repos.d");
    for name in root.names(repositories)? {
        let text = root.text(repositories.join(name))?.unwrap_or_default();
        let disabled = settings(&text, "enabled").all(|value| ["0", "no", "false"].contains(&&*value))
            && settings(&text, "enabled").count() > 0;
        let cloudflares =
            text.to_lowercase().contains("pkg.cloudflare.com") || text.to_lowercase().contains("cloudflared");
        if cloudflares && !disabled && !excluded(&text) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// snapd refreshes every snap by itself, several times a day.
fn snap(root: &Root, seen: &mut Seen) -> Result<(), Unseen> {
    for (place, start) in
        [("/snap", "cloudflared"), ("/var/lib/snapd/snaps", "cloudflared_"), ("/var/lib/snapd/snap", "cloudflared")]
    {
        let is_it = |name: &str| if start.ends_with('_') { name.starts_with(start) } else { name == start };
        if let Some(name) = root.names(place)?.iter().filter_map(|name| name.to_str()).find(|name| is_it(name)) {
            seen.wrong.push(format!("{place}/{name} is a snap, and snapd refreshes it by itself"));
            return Ok(());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
