//! The content of the config directory, and whether it is right.

use super::Facts;
use crate::checks::catalogue::{self, Check, host as checks};
use crate::checks::{Found, Report};
use bundle::{Choices, Meta, Service, Store, Unusable};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// How deep files are looked for: `generations/<n>/<file>`.
const DEPTH: usize = 3;
/// How many files are looked at: three generations have nine.
const MOST: usize = 1000;

/// What was seen of the config directory.
#[derive(Debug)]
pub struct Installed {
    /// Why the directory cannot be used, if it cannot.
    pub directory: Result<(), String>,
    /// Files that others than their owner may read or write, or that are another user's.
    pub exposed: Vec<String>,
    /// What `current` names.
    pub serving: Result<Option<Meta>, Unusable>,
    /// Links that do not lead there.
    pub wrong_links: Vec<String>,
    /// What its rules send traffic to.
    pub services: Result<Vec<Service>, String>,
    /// What it says of the way to the edge.
    pub choices: Choices,
    /// Its config.
    pub config: Option<PathBuf>,
}

impl Installed {
    /// Looks. Blocks for as long as the disk does.
    pub fn look(dir: &Path) -> Self {
        let nothing = |directory| Self {
            directory,
            exposed: vec![],
            serving: Ok(None),
            wrong_links: vec![],
            services: Ok(vec![]),
            choices: Choices::default(),
            config: None,
        };
        let store = match Store::open(dir) {
            Ok(store) => store,
            Err(error) => return Self { exposed: exposed(dir), ..nothing(Err(error.to_string())) },
        };
        let serving = store.serving();
        let meta = serving.as_ref().ok().and_then(Option::as_ref);
        Self {
            directory: Ok(()),
            exposed: exposed(dir),
            wrong_links: meta.map(|meta| store.wrong_links(meta)).unwrap_or_default(),
            services: meta
                .map_or(Ok(vec![]), |meta| store.services(meta.generation).map_err(|error| error.to_string())),
            // Of a bundle that is not whole, the arguments still say where the edge is.
            choices: meta.and_then(|meta| store.choices(meta.generation).ok()).unwrap_or_default(),
            config: meta.map(|meta| store.config_path(meta.generation)),
            serving,
        }
    }
}

/// The regular files below `dir` that are not their owner's alone. The owner should be that of `dir`.
fn exposed(dir: &Path) -> Vec<String> {
    let Ok(owner) = fs::metadata(dir).map(|dir| dir.uid()) else { return vec![] };
    let (mut wrong, mut todo, mut seen) = (vec![], vec![(dir.to_owned(), DEPTH)], 0);
    while let Some((path, depth)) = todo.pop() {
        for entry in fs::read_dir(&path).into_iter().flatten().flatten().take(MOST.saturating_sub(seen)) {
            seen += 1;
            let (path, Ok(metadata)) = (entry.path(), entry.metadata()) else { continue };
            let mode = metadata.mode() & 0o7777;
            if metadata.is_dir() && depth > 1 {
                todo.push((path, depth - 1));
            } else if metadata.is_file() && mode & 0o077 != 0 {
                wrong.push(format!("{} is accessible to users other than its owner: mode {mode:04o}", path.display()));
            } else if metadata.is_file() && metadata.uid() != owner {
                wrong.push(format!("{} belongs to user {}, not to {owner}", path.display(), metadata.uid()));
            }
        }
    }
    wrong.sort();
    wrong
}

fn installed(facts: &Facts) -> Result<&Installed, Found> {
    facts.installed.as_ref().map_err(Found::not_known)
}

/// The directory is there, and only its owner writes to it.
pub fn directory(facts: &Facts) -> Found {
    let installed = match installed(facts) {
        Ok(installed) => installed,
        Err(found) => return found,
    };
    match &installed.directory {
        _ if facts.is_a_stranger() => Found::not_known(facts.stranger()),
        Err(why) => Found::fail(why),
        Ok(()) => {
            let path = facts.settings.paths.config_dir.display();
            let Ok(Some(owner)) = &facts.early.owner else { return Found::pass(format!("{path} can be used")) };
            match facts.unit_user() {
                Some(user) if owner.name.as_deref() != Some(user) && owner.uid.to_string() != user => {
                    Found::fail(format!("{path} belongs to {owner}, but the unit runs as {user}"))
                }
                _ => Found::pass(format!("{path} belongs to {owner}")),
            }
        }
    }
}

/// Nobody else can read what is in it.
pub fn credentials_private(facts: &Facts) -> Found {
    match installed(facts) {
        Ok(installed) => Found::from_wrongs(installed.exposed.clone(), vec![], "only the owner can read the files"),
        Err(found) => found,
    }
}

/// Whole, of this instance, for this environment.
pub fn whole(facts: &Facts, report: &Report) -> Found {
    let installed = match installed(facts) {
        Ok(installed) => installed,
        Err(found) => return found,
    };
    let meta = match &installed.serving {
        Ok(Some(meta)) => meta,
        Ok(None) => {
            return report.failed(SUPPLY).map_or_else(|| Found::fail("no bundle is installed yet"), Found::needs);
        }
        Err(why) => {
            let exposed = report.failed(&[&checks::CREDENTIALS_PRIVATE]);
            return exposed.map_or_else(
                || Found::fail(format!("the installed bundle cannot be used: {why}")),
                |check| Found::needs(check).and(why.to_string()),
            );
        }
    };
    if let Some(id) = facts.instance_id().filter(|id| *id != meta.instance) {
        let other = Unusable::OtherInstance { instance: meta.instance.clone() };
        return Found::fail(format!("the installed bundle cannot be used by {id}: {other}"));
    }
    if let Some(name) = facts.environment().filter(|name| *name != meta.environment) {
        let other = Unusable::OtherEnvironment { environment: meta.environment.clone() };
        return Found::fail(format!("the installed bundle cannot be used for {name}: {other}"));
    }
    let Meta { generation, version, tunnel, .. } = meta;
    Found::pass(format!("generation {generation} of tunnel {tunnel}, from secret version {version}"))
}

/// What a bundle comes through. If nothing is installed, that is why.
const SUPPLY: &[&Check] = &[
    &catalogue::SETTINGS,
    &checks::METADATA,
    &checks::TAGS,
    &checks::ENVIRONMENT_TAG,
    &checks::ROLE,
    &checks::DNS,
    &checks::AWS,
    &checks::CLOCK,
    &checks::SECRET_READABLE,
    &checks::SECRET_VALID,
    &checks::DISK,
    &catalogue::CLOUDFLARED_PRESENT,
    &catalogue::UNITS_ENABLED,
    &checks::UNIT_ACTIVE,
    &checks::AGENT_ALIVE,
];

/// People see what runs.
pub fn links(facts: &Facts) -> Found {
    let wrong = match installed(facts) {
        Ok(installed) => &installed.wrong_links,
        Err(found) => return found,
    };
    match wrong.split_first() {
        Some((first, rest)) => rest.iter().fold(Found::warn(first), |found, one| found.and(one)),
        None => Found::pass("config.yml and the credentials lead to the generation that serves"),
    }
}

/// cloudflared takes the rules.
pub fn ingress(facts: &Facts) -> Found {
    match &facts.ingress {
        None => Found::needs(&checks::BUNDLE_INSTALLED),
        Some(Err(why)) => Found::not_known(why),
        Some(Ok(Ok(()))) => Found::pass("`cloudflared tunnel ingress validate` reports OK"),
        Some(Ok(Err(cloudflared::ValidateError::Refused { reason, .. }))) => {
            Found::fail(format!("cloudflared refuses the installed config: {reason}"))
        }
        Some(Ok(Err(error))) => Found::not_known(error.to_string()),
    }
}

/// Secret, disk and process have the same version.
pub fn versions(facts: &Facts) -> Found {
    let current = facts.current_version();
    let disk = facts.installed.as_ref().ok().and_then(|installed| installed.serving.as_ref().ok()?.as_ref());
    let (Some(current), Some(disk), Some(status)) = (current, disk, facts.status()) else {
        return Found::not_known("one of the three is not known");
    };
    let drains = |state: &str| state == "draining";
    let runs = status.connectors.iter().filter(|one| !drains(&one.state)).map(|one| &*one.secret_version);
    let (installed, mut behind) = (&*disk.version.0, vec![]);
    if installed != current {
        behind.push(format!("{installed} is installed"));
    }
    behind.extend(runs.filter(|version| *version != current).map(|version| format!("{version} runs")));
    if behind.is_empty() {
        return Found::pass(format!("version {current} is the secret's current one, is installed, and runs"));
    }
    let told = format!("the secret's current version is {current}; {}", behind.join("; "));
    let poll = facts.settings.secret.poll_interval;
    let read_lately = status.secret.read_at.is_some_and(|at| at.age(facts.now) < poll + poll / 2);
    let unseen = status.secret.version.as_deref() != Some(current);
    let (refused, trouble) = (status.refusing.as_deref() == Some(current), status.trouble.as_deref());
    match &status.changing {
        _ if refused => {
            Found::fail(told).and(format!("the agent refuses it: {}", trouble.unwrap_or("see its journal")))
        }
        // A group's instances take turns, and a successor has to settle.
        Some(changing) => Found::warn(told).and(format!("the agent is working on it: {}", changing.what)),
        _ if trouble.is_some() => Found::fail(told).and(trouble.unwrap_or_default()),
        _ if status.connectors.iter().any(|one| one.secret_version == current) => {
            Found::warn(told).and("a hand-over is under way")
        }
        _ if !facts.holds.is_empty() => Found::warn(told).and("a hold keeps it from taking over"),
        _ if unseen && read_lately => {
            Found::warn(told).and(format!("it is new: the agent reads the secret every {}", super::agent::span(poll)))
        }
        _ => Found::fail(told),
    }
}
