//! Whether something that runs by itself replaces cloudflared: a job, or the updater of a package manager.

use super::jobs::{self, Part};
use super::root::{Root, Unseen};
use super::units;
use crate::checks::Found;
use std::path::{Path, PathBuf};

/// How sure it is that something replaces cloudflared.
enum Replaces {
    Surely,
    /// If its package comes from a repository.
    WithAllElse,
}

/// Package managers.
const MANAGERS: [&str; 11] =
    ["apt", "apt-get", "aptitude", "dpkg", "dnf", "dnf5", "microdnf", "yum", "rpm", "snap", "pkcon"];

/// Whether a command, in lower case, does.
fn replaces(line: &str) -> Option<Replaces> {
    // The flag that keeps cloudflared from it.
    let line = line.replace("no-autoupdate", "");
    let words: Vec<_> = jobs::words(&line).collect();
    let runs = |names: &[&str]| words.iter().any(|word| names.contains(&jobs::base(word)));
    let says = |verbs: &[&str]| words.iter().any(|word| verbs.contains(word));
    // Of the agent's own files and commands, only those of cloudflared are meant.
    if line.contains("cloudflared") {
        let updates = line.contains("update") || line.contains("upgrade");
        let installs = runs(&MANAGERS) && says(&["install", "reinstall", "refresh", "-i", "-u", "-uvh", "--install"])
            || runs(&["go"]) && says(&["install"]);
        let copies = runs(&["curl", "wget", "aws", "install", "cp", "mv", "ln", "tar"])
            && (line.contains("bin/cloudflared") || line.contains("cloudflared-linux"));
        if updates || installs || copies {
            return Some(Replaces::Surely);
        }
    }
    let only_fetches =
        says(&["-d", "--download-only", "--downloadonly", "-s", "--simulate", "--dry-run", "--assumeno"]);
    let upgrades = runs(&["apt", "apt-get", "aptitude"])
        && says(&["upgrade", "dist-upgrade", "full-upgrade", "safe-upgrade"])
        || runs(&["dnf", "dnf5", "microdnf", "yum"])
            && says(&[
                "update",
                "upgrade",
                "up",
                "update-minimal",
                "upgrade-minimal",
                "distro-sync",
                "distrosync",
                "dsync",
            ])
        || runs(&["pkcon"]) && says(&["update"])
        || runs(&["snap"]) && says(&["refresh"])
        || runs(&["cron-apt", "yum-cron", "dnf-automatic"])
        || cloud_init(&line);
    (upgrades && !only_fetches).then_some(Replaces::WithAllElse)
}

/// Its key for "upgrade everything at the first boot".
fn cloud_init(line: &str) -> bool {
    let pair = line.split_once(':').map(|(key, value)| (key.trim(), value.trim()));
    pair.is_some_and(|(key, value)| {
        ["package_upgrade", "apt_upgrade"].contains(&key) && ["true", "yes", "on"].contains(&value)
    })
}

/// What was found so far.
#[derive(Default)]
struct Seen {
    wrong: Vec<String>,
    doubtful: Vec<String>,
}

impl Seen {
    fn read(&mut self, part: &Part<'_>) {
        let by = part.script.map(|script| format!(", by {}", script.display())).unwrap_or_default();
        let job = part.job.display();
        let all: Vec<_> = part.commands.iter().filter_map(|line| replaces(&line.to_lowercase())).collect();
        if all.iter().any(|one| matches!(one, Replaces::Surely)) {
            self.wrong.push(format!("{job} updates cloudflared{by}"));
        } else if !all.is_empty() {
            self.doubtful.push(format!("{job} upgrades packages, including cloudflared{by}"));
        }
    }
}

/// Nothing that runs by itself replaces cloudflared.
pub fn no_auto_update(root: &Root) -> Found {
    let mut seen = Seen::default();
    let looked = jobs::each(root, &mut |part| seen.read(part))
        .and_then(|()| units::none_enabled(root, &units::UPDATERS, &mut seen.wrong, &mut seen.doubtful))
        .and_then(|()| apt(root, &mut seen))
        .and_then(|()| dnf(root, &mut seen))
        .and_then(|()| snap(root, &mut seen));
    let Seen { wrong, mut doubtful } = seen;
    match (looked, doubtful.pop()) {
        (Err(error), _) if wrong.is_empty() => Found::not_known(error.to_string()),
        (_, Some(first)) if wrong.is_empty() => doubtful.into_iter().fold(Found::warn(first), Found::and),
        _ => Found::from_wrongs(wrong, vec![], "no timer, cron job or package manager replaces it"),
    }
}

/// unattended-upgrades takes what its origins allow, and leaves what is on its black list.
fn apt(root: &Root, seen: &mut Seen) -> Result<(), Unseen> {
    let folder = Path::new("/etc/apt/apt.conf.d");
    let mut files: Vec<PathBuf> = root.names(folder)?.into_iter().map(|name| folder.join(name)).collect();
    files.push("/etc/apt/apt.conf".into());
    let (mut takes, mut leaves) = (vec![], false);
    for path in files {
        let text = without_comments(&root.text(&path)?.unwrap_or_default()).to_lowercase();
        let origins = ["origins-pattern", "allowed-origins"].map(|key| quoted(&text, key)).concat();
        if origins.iter().any(|pattern| may_be_cloudflares(pattern)) {
            takes.push(format!("{} lets unattended upgrades replace cloudflared", path.display()));
        }
        leaves |= quoted(&text, "package-blacklist")
            .iter()
            .any(|name| name.trim_start_matches('^').starts_with("cloudflared"));
    }
    if !leaves {
        seen.doubtful.extend(takes);
    }
    Ok(())
}

/// The text without `//`, `#` and `/* */` (apt.conf(5)).
fn without_comments(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("/*") {
        plain.push_str(before);
        rest = after.split_once("*/").map_or("", |(_, after)| after);
    }
    plain.push_str(rest);
    let lines = plain.lines().map(|line| line.split_once("//").map_or(line, |(before, _)| before));
    lines.filter(|line| !line.trim_start().starts_with('#')).collect::<Vec<_>>().join("\n")
}

/// What is quoted in the values of a key: `key { "a"; "b"; };` and `key:: "a";`.
fn quoted<'t>(text: &'t str, key: &str) -> Vec<&'t str> {
    let values = text.match_indices(key).map(|(at, _)| {
        let value = &text[at + key.len()..];
        let end = if value.trim_start().starts_with('{') { '}' } else { ';' };
        value.split(end).next().unwrap_or_default()
    });
    values.flat_map(|value| value.split('"').skip(1).step_by(2)).collect()
}

/// Whether a pattern of unattended-upgrades takes packages from Cloudflare's repository: `origin=…,codename=…`, or `origin:archive`.
/// What it does not say, or says of releases, holds of any repository.
fn may_be_cloudflares(pattern: &str) -> bool {
    let takes = |value: &str, of: &[&str]| match value.trim().trim_end_matches('*') {
        "" => true,
        begin if value.trim().ends_with('*') => of.iter().any(|name| name.starts_with(begin)),
        whole => of.contains(&whole),
    };
    let is_it = |value: &str| takes(value, &["cloudflare", "cloudflared"]) || value.contains("cloudflare");
    if !pattern.contains('=') {
        return pattern.split_once(':').is_some_and(|(origin, _)| is_it(origin));
    }
    pattern.split(',').filter_map(|pair| pair.split_once('=')).all(|(key, value)| match key.trim() {
        "o" | "origin" | "l" | "label" => is_it(value),
        "site" => takes(value, &["pkg.cloudflare.com"]),
        _ => true,
    })
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
            seen.wrong.push(format!("{} installs packages from Cloudflare's repository", link.display()));
        }
    }
    Ok(())
}

/// The values of a key, in lower case.
fn settings<'a>(text: &'a str, key: &'a str) -> impl Iterator<Item = String> + 'a {
    let pairs = text.lines().filter_map(|line| line.split_once(['=', ':']));
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
        if text.to_lowercase().contains("cloudflare") && !disabled && !excluded(&text) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// snapd refreshes every snap by itself, several times a day.
fn snap(root: &Root, seen: &mut Seen) -> Result<(), Unseen> {
    for (place, start) in [
        ("/snap", "cloudflared"),
        ("/snap/bin", "cloudflared"),
        ("/var/lib/snapd/snaps", "cloudflared_"),
        ("/var/lib/snapd/snap", "cloudflared"),
    ] {
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
