//! The files that the settings are in: one, and the drop-ins beside it, the later name over the earlier one.

use super::raw::Raw;
use super::{Error, Settings};
use input::file::{self, Links};
use serde_yaml::{Mapping, Value};
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

/// The longest file that is read, in bytes; every key with its comment has some 4,000.
const LARGEST: u64 = 256 * 1024;
/// The most drop-ins.
const MOST: usize = 64;

/// A file with its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Where it is.
    pub path: PathBuf,
    /// What it holds.
    pub text: String,
}

/// Where the drop-ins of a settings file are: `agent.d` beside `agent.yml`.
pub fn drop_ins(file: &Path) -> PathBuf {
    file.with_extension("d")
}

/// Whether a file of that name in the directory of drop-ins is one.
pub fn is_drop_in(name: &OsStr) -> bool {
    let path = Path::new(name);
    path.extension().is_some_and(|extension| extension == "yml") && !name.as_encoded_bytes().starts_with(b".")
}

/// Reads the file, if it is there or has to be, and its drop-ins in the order of their names.
///
/// # Errors
/// One of them cannot be read, or there are too many.
pub fn read(path: &Path, required: bool) -> Result<Vec<File>, Error> {
    let mut files = vec![];
    match file::read_text(path, Links::Followed, LARGEST) {
        Ok(text) => files.push(File { path: path.into(), text }),
        Err(error) if error.kind() == io::ErrorKind::NotFound && !required => {}
        Err(source) => return Err(Error::Read { path: path.into(), source }),
    }
    for path in drop_ins_of(path)? {
        let text = file::read_text(&path, Links::Followed, LARGEST)
            .map_err(|source| Error::Read { path: path.clone(), source })?;
        files.push(File { path, text });
    }
    Ok(files)
}

fn drop_ins_of(file: &Path) -> Result<Vec<PathBuf>, Error> {
    let directory = drop_ins(file);
    let unread = |source| Error::Read { path: directory.clone(), source };
    let entries = match std::fs::read_dir(&directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(vec![]),
        Err(error) => return Err(unread(error)),
    };
    let mut names = vec![];
    for entry in entries {
        let name = entry.map_err(unread)?.file_name();
        if is_drop_in(&name) {
            names.push(name);
        }
        if names.len() > MOST {
            return Err(unread(io::Error::other(format!("it holds more than {MOST} files"))));
        }
    }
    names.sort();
    Ok(names.into_iter().map(|name| directory.join(name)).collect())
}

/// The settings that the files give together. Each is valid by itself as to keys and types; a value is judged in the whole,
/// and what is wrong with it is the matter of the last file that has its key.
///
/// # Errors
/// One is not YAML, holds an unknown key, or a value out of its range; the error names that file.
pub fn merged(files: &[File]) -> Result<Settings, Error> {
    let mut whole = Mapping::new();
    for File { path, text } in files {
        Raw::parse(text).map_err(|error| error.of_file(path))?;
        put_over(&mut whole, mapping(text));
    }
    let parsed = Raw::from_value(Value::Mapping(whole)).and_then(Raw::validate);
    parsed.map_err(|error| match error.key().and_then(|key| owner(files, key)).or(files.last()) {
        Some(file) => error.of_file(&file.path),
        None => error,
    })
}

/// What a file holds, which was parsed as settings before.
fn mapping(text: &str) -> Mapping {
    serde_yaml::from_str::<Option<Mapping>>(text).ok().flatten().unwrap_or_default()
}

/// Section by section and key by key; a list is replaced as a whole.
fn put_over(below: &mut Mapping, above: Mapping) {
    for (key, value) in above {
        match (below.get_mut(&key), value) {
            (Some(Value::Mapping(below)), Value::Mapping(above)) => put_over(below, above),
            (_, value) => drop(below.insert(key, value)),
        }
    }
}

/// The last file that has the key, `section.key`; else the last one that has its section, whose other key it is held against.
fn owner<'a>(files: &'a [File], key: &str) -> Option<&'a File> {
    let (section, key) = key.split_once('.').unwrap_or((key, ""));
    let has = |file: &&File, wanted: &str| {
        let of_section = mapping(&file.text).get(section).cloned();
        of_section.is_some_and(|values| wanted.is_empty() || values.get(wanted).is_some())
    };
    files.iter().rev().find(|file| has(file, key)).or_else(|| files.iter().rev().find(|file| has(file, "")))
}
