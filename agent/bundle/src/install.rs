//! The writer's side: stage, publish, commit, and remove what is no longer needed.
//!
//! A generation gets its number by a rename when all of it is on the disk, and loses it by a rename before any of it is
//! removed, so whatever has a number is whole. Names that begin with `.new-` and `.old-` are the two ways there.

use super::error::Error;
use super::files;
use super::lock::Locked;
use super::meta::{self, Meta};
use super::rules::Bundle;
use super::store::{CONFIG, CURRENT, Found, GENERATIONS, META, credentials_name, list};
use cflared_verdict::{Generation, Installed};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

const STAGING: &str = ".new-";
const REMOVED: &str = ".old-";

/// Who installs a bundle, and when.
#[derive(Debug, Clone, Copy)]
pub struct Made<'a> {
    /// The id of this instance.
    pub instance: &'a str,
    /// Its environment.
    pub environment: &'a str,
    /// The time, for people: nothing is decided by it.
    pub now: SystemTime,
}

/// A bundle that is on the disk in its final form, under a name that nobody looks at.
#[derive(Debug)]
pub struct Staged {
    dir: PathBuf,
    installed: Installed,
}

impl Staged {
    /// The config, for `cloudflared tunnel --config … ingress validate`.
    pub fn config_path(&self) -> PathBuf {
        self.dir.join(CONFIG)
    }
}

impl Locked {
    /// Puts a bundle on the disk. What an earlier call staged and did not publish is removed.
    ///
    /// # Errors
    /// The file system refused; nothing is left of the attempt.
    pub fn stage(&mut self, bundle: &Bundle, made: Made<'_>) -> Result<Staged, Error> {
        self.store.own()?;
        self.remove_leftovers()?;
        let generations = self.store.generations_dir();
        match files::make_dir(&generations) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            made => {
                made.map_err(Error::io("create", &generations))?;
                sync_dir(self.store.dir())?;
            }
        }
        let meta = self.describe(bundle, made)?;
        let dir = generations.join(format!("{STAGING}{}", meta.generation));
        let installed =
            Installed { generation: meta.generation, version: meta.version.clone(), tunnel: meta.tunnel.clone() };
        match write(&dir, bundle, &meta) {
            Ok(()) => Ok(Staged { dir, installed }),
            Err(error) => {
                // The first error is the one to tell, and the next writer removes what stays behind.
                let _ = std::fs::remove_dir_all(&dir);
                Err(error)
            }
        }
    }

    /// Gives a staged bundle its number. A connector may now be started from it; `current` does not name it yet.
    ///
    /// # Errors
    /// The file system refused; what there is of the bundle goes when the next one is staged, or pruned.
    pub fn publish(&mut self, staged: Staged) -> Result<Installed, Error> {
        let dir = self.store.generation_dir(staged.installed.generation);
        std::fs::rename(&staged.dir, &dir).map_err(Error::io("publish", &dir))?;
        sync_dir(&self.store.generations_dir())?;
        Ok(staged.installed)
    }

    /// Lets `current` name that generation, and the links for people with it. Already so: nothing is touched.
    ///
    /// # Errors
    /// The generation is not whole, or the file system refused: then `current` names what it named before, or, if only
    /// the last fsync failed, that generation.
    pub fn commit(&mut self, generation: Generation) -> Result<(), Error> {
        let meta = self.store.inspect(generation).map_err(|why| Error::NotWhole { generation, why })?;
        let credentials = credentials_name(&meta.tunnel);
        let dir = self.store.dir();
        // The links of a new tunnel come first: for a moment they lead nowhere, and never to the wrong one.
        let mut changed = false;
        for name in [CONFIG, &credentials] {
            changed |= link(dir, name, &format!("{CURRENT}/{name}"))?;
        }
        changed |= link(dir, CURRENT, &format!("{GENERATIONS}/{generation}"))?;
        if changed {
            sync_dir(dir)?;
        }
        self.remove_stale_links(&credentials)
    }

    /// Removes a generation that nothing runs from. Already gone: fine.
    ///
    /// # Errors
    /// `current` names it, or the file system refused.
    pub fn discard(&mut self, generation: Generation) -> Result<(), Error> {
        if self.store.current() == Ok(Some(generation)) {
            return Err(Error::Current { generation });
        }
        let dir = self.store.generation_dir(generation);
        let removed = self.store.generations_dir().join(format!("{REMOVED}{generation}"));
        match std::fs::rename(&dir, &removed) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            renamed => renamed.map_err(Error::io("remove", &dir))?,
        }
        std::fs::remove_dir_all(&removed).map_err(Error::io("remove", &removed))
    }

    /// Removes every generation but the one that `current` names, the one that it replaced, and those in `keep`, which
    /// connectors run from. If `current` names nothing whole, nothing is removed. Returns what was removed.
    ///
    /// # Errors
    /// The file system refused.
    pub fn prune(&mut self, keep: &[Generation]) -> Result<Vec<Generation>, Error> {
        let Ok(Some(current)) = self.store.current() else { return Ok(Vec::new()) };
        let Ok(meta) = self.store.inspect(current) else { return Ok(Vec::new()) };
        let mut removed = self.store.generations()?;
        removed.retain(|one| *one != current && Some(*one) != meta.replaces && !keep.contains(one));
        for generation in &removed {
            self.discard(*generation)?;
        }
        Ok(removed)
    }

    /// Removes what a killed writer left.
    pub(super) fn tidy(&mut self) -> Result<(), Error> {
        self.remove_leftovers()?;
        for name in list(self.store.dir())?.iter().filter(|name| files::is_temporary_link(name)) {
            remove_link(&self.store.dir().join(name))?;
        }
        let current = self.store.current().ok().flatten().and_then(|generation| self.store.inspect(generation).ok());
        current.map_or(Ok(()), |meta| self.remove_stale_links(&credentials_name(&meta.tunnel)))
    }

    fn remove_leftovers(&mut self) -> Result<(), Error> {
        let generations = self.store.generations_dir();
        for name in list(&generations)? {
            if name.starts_with(STAGING) || name.starts_with(REMOVED) {
                let path = generations.join(name);
                std::fs::remove_dir_all(&path).map_err(Error::io("remove", &path))?;
            }
        }
        Ok(())
    }

    /// Removes the links to the credentials of earlier tunnels. A plain file is left alone: it is not ours.
    fn remove_stale_links(&mut self, credentials: &str) -> Result<(), Error> {
        let dir = self.store.dir();
        for name in list(dir)? {
            let ours = Path::new(CURRENT).join(&name);
            if name.ends_with(".json") && name != credentials && std::fs::read_link(dir.join(&name)).ok() == Some(ours)
            {
                remove_link(&dir.join(name))?;
            }
        }
        Ok(())
    }

    /// The next generation's description.
    fn describe(&self, bundle: &Bundle, made: Made<'_>) -> Result<Meta, Error> {
        let replaces = match self.store.installed(made.instance, Some(made.environment)) {
            Found::Whole(installed) => Some(installed.generation),
            _ => None,
        };
        let named = self.store.current().ok().flatten();
        let last = self.store.generations()?.into_iter().chain(named).max().unwrap_or(Generation(0));
        Ok(Meta {
            schema: meta::SCHEMA,
            generation: Generation(last.0.saturating_add(1)),
            version: bundle.version().clone(),
            instance: made.instance.into(),
            environment: made.environment.into(),
            tunnel: bundle.tunnel().to_string(),
            installed_at: meta::rfc3339(made.now),
            replaces,
            config_sha256: meta::digest(bundle.config_yaml().expose().as_bytes()),
            credentials_sha256: meta::digest(bundle.credentials_json().expose().as_bytes()),
        })
    }
}

/// Writes a generation's files, and fsyncs them and their names.
fn write(dir: &Path, bundle: &Bundle, meta: &Meta) -> Result<(), Error> {
    files::make_dir(dir).map_err(Error::io("create", dir))?;
    let described = serde_json::to_string_pretty(meta).expect("text, numbers and an option are always JSON");
    for (name, text) in [
        (CONFIG, bundle.config_yaml().expose()),
        (&credentials_name(&meta.tunnel), bundle.credentials_json().expose()),
        (META, &format!("{described}\n")),
    ] {
        let path = dir.join(name);
        files::create(&path, text.as_bytes()).map_err(Error::io("write", &path))?;
    }
    sync_dir(dir)
}

/// Lets a link point there; whether it did not already.
fn link(dir: &Path, name: &str, target: &str) -> Result<bool, Error> {
    let path = dir.join(name);
    if std::fs::read_link(&path).is_ok_and(|found| found == Path::new(target)) {
        return Ok(false);
    }
    files::link(dir, name, target).map_err(Error::io("link", &path))?;
    Ok(true)
}

/// Removes a symbolic link, and nothing else of that name.
fn remove_link(path: &Path) -> Result<(), Error> {
    let metadata = std::fs::symlink_metadata(path).map_err(Error::io("look at", path))?;
    if metadata.is_symlink() {
        std::fs::remove_file(path).map_err(Error::io("remove", path))?;
    }
    Ok(())
}

fn sync_dir(dir: &Path) -> Result<(), Error> {
    files::sync_dir(dir).map_err(Error::io("fsync", dir))
}
