//! The installed bundle, read without a lock and without writing.

use super::broken::RuleBroken;
use super::error::{Error, Unusable};
use super::files::{self, Unread};
use super::meta::{self, Meta};
use super::policy::Policy;
use super::rules;
use super::rules::Bundle;
use super::service::{Rule, Service};
use crate::payload::{MAX_BYTES, Payload, SecretText};
use cflared_verdict::{Generation, Installed};
use input::yaml;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use uuid::Uuid;

/// The directory of the generations, in the config directory.
pub(super) const GENERATIONS: &str = "generations";
/// The link to the generation that serves.
pub(super) const CURRENT: &str = "current";
/// The config's name, in a generation and as a link beside `current`.
pub(super) const CONFIG: &str = "config.yml";
/// What a generation says about itself.
pub(super) const META: &str = "meta.json";

/// The config directory: `generations/<n>/` with a whole bundle each, `current`, which is a link to one of them, and the links through it
/// that people and tools know (`config.yml`, `<uuid>.json`).
#[derive(Debug, Clone)]
pub struct Store {
    dir: PathBuf,
}

/// Both parts of an installed bundle.
pub(super) struct Parts {
    pub config_yaml: SecretText,
    pub credentials_json: SecretText,
}

/// What is installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// Nothing.
    Nothing,
    /// A whole bundle of this instance; a connector may be started from it.
    Whole(Installed),
    /// Something that must not be used.
    Unusable {
        /// Its generation, if `current` names one.
        generation: Option<Generation>,
        /// Why not.
        why: Unusable,
    },
}

impl Store {
    /// Opens a config directory, which must exist, be ours, and be writable by nobody else.
    ///
    /// # Errors
    /// It is not such a directory. Symbolic links are not followed.
    pub fn open(config_dir: impl Into<PathBuf>) -> Result<Self, Error> {
        let store = Self { dir: config_dir.into() };
        store.own()?;
        Ok(store)
    }

    /// Whether the directories are ours alone. A writer asks again: what is followed once is written through.
    pub(super) fn own(&self) -> Result<(), Error> {
        own_dir(&self.dir)?;
        match own_dir(&self.generations_dir()) {
            Err(Error::NoDirectory { .. }) => Ok(()),
            other => other,
        }
    }

    /// The config directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The config that a connector of that generation is given.
    pub fn config_path(&self, generation: Generation) -> PathBuf {
        self.generation_dir(generation).join(CONFIG)
    }

    /// The credentials that a connector of that generation is given; `tunnel` is the generation's tunnel.
    pub fn credentials_path(&self, generation: Generation, tunnel: &str) -> PathBuf {
        self.generation_dir(generation).join(credentials_name(tunnel))
    }

    /// What the rules of a generation send traffic to, in their order, each once.
    ///
    /// # Errors
    /// As [`Store::rules`].
    pub fn services(&self, generation: Generation) -> Result<Vec<Service>, Error> {
        self.rules(generation).map(rules::services)
    }

    /// The ingress rules of a generation.
    ///
    /// # Errors
    /// Its config cannot be read, or breaks a rule, which an installed one does not unless it was changed.
    pub fn rules(&self, generation: Generation) -> Result<Vec<Rule>, Error> {
        let broken = |why: String| Error::Rules { generation, why };
        let config = read(&self.generation_dir(generation), CONFIG).map_err(|unusable| broken(unusable.to_string()))?;
        let text = std::str::from_utf8(&config).map_err(|_| broken("its config.yml is not UTF-8".into()))?;
        let config = yaml::parse(text).map_err(|rule| broken(RuleBroken::from(rule).to_string()))?;
        rules::ingress(&config).map_err(|rule| broken(rule.to_string()))
    }

    /// The config and the credentials of a generation, as they are on the disk.
    ///
    /// # Errors
    /// One of them cannot be read.
    pub(super) fn parts(&self, installed: &Installed) -> Result<Parts, Unusable> {
        let dir = self.generation_dir(installed.generation);
        let text = |file: &str| {
            let bytes = read(&dir, file)?;
            let text = std::str::from_utf8(&bytes).map(|text| SecretText::new(text.to_owned()));
            text.map_err(|_| Unusable::File { file: file.into(), why: "is not UTF-8".into() })
        };
        Ok(Parts { config_yaml: text(CONFIG)?, credentials_json: text(&credentials_name(&installed.tunnel))? })
    }

    /// Whether a generation is, byte by byte, what a payload holds.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn holds(&self, installed: &Installed, payload: &Payload) -> Result<bool, Unusable> {
        let parts = self.parts(installed)?;
        Ok(parts.config_yaml == payload.config_yaml && parts.credentials_json == payload.credentials_json)
    }

    /// What `current` names, as [`Store::installed`] has it, if it keeps the rules as well. A bundle kept them when it was installed;
    /// the agent, or its settings, may have others now.
    pub fn usable(&self, instance: &str, environment: Option<&str>, policy: &Policy) -> Found {
        let found = self.installed(instance, environment);
        let Found::Whole(installed) = &found else { return found };
        match self.keeps_rules(installed, policy) {
            Ok(()) => found,
            Err(why) => Found::Unusable { generation: Some(installed.generation), why },
        }
    }

    fn keeps_rules(&self, installed: &Installed, policy: &Policy) -> Result<(), Unusable> {
        let Parts { config_yaml, credentials_json } = self.parts(installed)?;
        let payload = Payload { version: installed.version.clone(), config_yaml, credentials_json };
        Bundle::check(payload, policy).map(drop).map_err(|rule| Unusable::Rule(Box::new(rule)))
    }

    /// What `current` names, if it is whole, whoever installed it.
    ///
    /// # Errors
    /// It is not whole.
    pub fn serving(&self) -> Result<Option<Meta>, Unusable> {
        self.current()?.map(|generation| self.inspect(generation)).transpose()
    }

    /// What is wrong with the links for people and tools, if that is what serves; in words.
    pub fn wrong_links(&self, serving: &Meta) -> Vec<String> {
        let wrong = |name: &str| {
            let (path, wanted) = (self.dir.join(name), Path::new(CURRENT).join(name));
            match std::fs::read_link(&path) {
                Ok(found) if found == wanted => None,
                Ok(found) => {
                    Some(format!("{} leads to {}, not to {}", path.display(), found.display(), wanted.display()))
                }
                Err(error) if error.kind() == ErrorKind::NotFound => Some(format!("{} is not there", path.display())),
                Err(_) => Some(format!("{} is not a link", path.display())),
            }
        };
        [CONFIG, &credentials_name(&serving.tunnel)].into_iter().filter_map(wrong).collect()
    }

    /// What `current` names, if it may be used: whole, made by this very instance, and for this environment, if that is
    /// known already. An installed bundle must be usable before the tags could be read.
    pub fn installed(&self, instance: &str, environment: Option<&str>) -> Found {
        let generation = match self.current() {
            Ok(None) => return Found::Nothing,
            Ok(Some(generation)) => generation,
            Err(why) => return Found::Unusable { generation: None, why },
        };
        let usable = self.inspect(generation).and_then(|meta| match environment {
            _ if meta.instance != instance => Err(Unusable::OtherInstance { instance: meta.instance }),
            Some(environment) if meta.environment != environment => {
                Err(Unusable::OtherEnvironment { environment: meta.environment })
            }
            _ => Ok(meta),
        });
        match usable {
            Ok(meta) => Found::Whole(Installed { generation, version: meta.version, tunnel: meta.tunnel }),
            Err(why) => Found::Unusable { generation: Some(generation), why },
        }
    }

    /// The generation that `current` names, if there is such a link; whether it is whole is another question.
    pub(super) fn current(&self) -> Result<Option<Generation>, Unusable> {
        match std::fs::read_link(self.dir.join(CURRENT)) {
            Ok(target) => target
                .to_str()
                .and_then(|target| target.strip_prefix(GENERATIONS)?.strip_prefix('/'))
                .and_then(number)
                .map(Some)
                .ok_or(Unusable::Current),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(_) => Err(Unusable::Current),
        }
    }

    /// Reads a generation and holds its files against what it says about itself.
    pub(super) fn inspect(&self, generation: Generation) -> Result<Meta, Unusable> {
        let dir = self.generation_dir(generation);
        let bad = |why: &str| Unusable::File { file: META.into(), why: why.into() };
        let meta: Meta =
            serde_json::from_slice(&read(&dir, META)?).map_err(|_| bad("is not what this agent writes"))?;
        if meta.schema != meta::SCHEMA {
            return Err(bad(&format!("has the form {}, and this agent reads {}", meta.schema, meta::SCHEMA)));
        }
        if meta.generation != generation {
            return Err(bad("is of another generation"));
        }
        // It becomes a file's name.
        if Uuid::try_parse(&meta.tunnel).ok().is_none_or(|uuid| uuid.to_string() != meta.tunnel) {
            return Err(bad("names a tunnel that is not a UUID"));
        }
        for (file, expected) in
            [(CONFIG, &meta.config_sha256), (&credentials_name(&meta.tunnel), &meta.credentials_sha256)]
        {
            if meta::digest(&read(&dir, file)?) != *expected {
                return Err(Unusable::File { file: file.into(), why: "was changed after it was installed".into() });
            }
        }
        Ok(meta)
    }

    /// The numbers of all generations that have one, in order.
    pub(super) fn generations(&self) -> Result<Vec<Generation>, Error> {
        let names = list(&self.generations_dir())?;
        let mut found: Vec<_> = names.iter().filter_map(|name| number(name)).collect();
        found.sort_unstable();
        Ok(found)
    }

    pub(super) fn generations_dir(&self) -> PathBuf {
        self.dir.join(GENERATIONS)
    }

    pub(super) fn generation_dir(&self, generation: Generation) -> PathBuf {
        self.generations_dir().join(generation.to_string())
    }
}

/// The credentials' name, in a generation and as a link beside `current`.
pub(super) fn credentials_name(tunnel: &str) -> String {
    format!("{tunnel}.json")
}

/// The names in a directory, in order; none if it is not there.
pub(super) fn list(dir: &Path) -> Result<Vec<String>, Error> {
    let entries = match std::fs::read_dir(dir) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(Error::io("list", dir))?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let name = entry.map_err(Error::io("list", dir))?.file_name();
        // Every name that this room gives is UTF-8.
        names.extend(name.into_string().ok());
    }
    names.sort_unstable();
    Ok(names)
}

/// The generation of that name.
fn number(name: &str) -> Option<Generation> {
    name.parse().ok().map(Generation).filter(|generation| generation.to_string() == name)
}

fn own_dir(path: &Path) -> Result<(), Error> {
    let metadata = match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Err(Error::NoDirectory { path: path.into() }),
        other => other.map_err(Error::io("open", path))?,
    };
    let found = if metadata.is_symlink() { "a symbolic link" } else { "a file" };
    if !metadata.is_dir() {
        return Err(Error::NotADirectory { path: path.into(), found });
    }
    let (owner, agent) = (metadata.uid(), nix::unistd::geteuid().as_raw());
    if owner != agent {
        return Err(Error::ForeignOwner { path: path.into(), owner, agent });
    }
    match metadata.mode() & 0o7777 {
        mode if mode & 0o022 != 0 => Err(Error::WritableByOthers { path: path.into(), mode }),
        _ => Ok(()),
    }
}

/// The value of a top-level key of an installed config, as text; `None` if it has none, or cannot be read. It waits for the disk.
pub fn setting(config: &Path, key: &str) -> Option<String> {
    let bytes = files::read_own(config, MAX_BYTES as u64).ok()?;
    match yaml::parse(std::str::from_utf8(&bytes).ok()?).ok()?.get(key)? {
        yaml::Node::Text(text) | yaml::Node::Other(_, text) => Some(text.clone()),
        yaml::Node::Null | yaml::Node::List(_) | yaml::Node::Map(_) => None,
    }
}

fn read(dir: &Path, file: &str) -> Result<zeroize::Zeroizing<Vec<u8>>, Unusable> {
    let bytes = files::read_own(&dir.join(file), MAX_BYTES as u64).map_err(|unread| Unusable::File {
        file: file.into(),
        why: match unread {
            Unread::Unsafe(why) => why.into(),
            Unread::Io(error) if error.kind() == ErrorKind::NotFound => "is missing".into(),
            Unread::Io(error) => format!("cannot be read ({error})"),
        },
    })?;
    Ok(zeroize::Zeroizing::new(bytes))
}
