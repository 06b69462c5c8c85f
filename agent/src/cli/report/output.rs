//! Where the archive goes: complete, or not at all.

use nix::unistd::{AccessFlags, eaccess};
use std::fs::{self, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

/// Everybody may write there, it is on a disk, and it outlives a reboot.
const DIRECTORY: &str = "/var/tmp";

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// Standard output.
    Standard,
    /// A name of its own in this directory.
    Directory(PathBuf),
    /// This file.
    File(PathBuf),
}

/// Where it went.
#[derive(Debug, PartialEq, Eq)]
pub enum Output {
    /// Standard output.
    Standard,
    /// A file.
    File(PathBuf),
}

impl Target {
    /// What the command line names.
    ///
    /// # Errors
    /// It is a terminal.
    pub fn of(output: Option<&Path>) -> Result<Self, String> {
        match output {
            None => Ok(Self::Directory(DIRECTORY.into())),
            Some(path) if path == Path::new("-") && io::stdout().is_terminal() => {
                Err("an archive is not for a terminal; name a file: --output report.zip".into())
            }
            Some(path) if path == Path::new("-") => Ok(Self::Standard),
            Some(path) if path.is_dir() => Ok(Self::Directory(path.into())),
            Some(path) => Ok(Self::File(path.into())),
        }
    }

    /// Writes the archive, for as long as `limit`; `name` is what it is called if nothing else was asked for.
    ///
    /// # Errors
    /// It could not be written; then nothing is left of it.
    pub fn write(&self, name: &str, bytes: Vec<u8>, limit: Duration) -> Result<Output, String> {
        let path = match self {
            Self::Standard => None,
            Self::Directory(directory) => Some(directory.join(format!("{name}.zip"))),
            Self::File(path) => Some(path.clone()),
        };
        let (done, wait) = mpsc::channel();
        let into = path.clone();
        // A disk or a reader that hangs keeps the thread, and not the command.
        std::thread::spawn(move || {
            let written = match &into {
                Some(path) => create(path, &bytes),
                None => io::stdout().write_all(&bytes).and_then(|()| io::stdout().flush()),
            };
            // Whoever stopped waiting does not mind.
            let _ = done.send(written);
        });
        let shown = path.as_ref().map_or_else(|| "standard output".into(), |path| path.display().to_string());
        match wait.recv_timeout(limit.max(Duration::from_secs(1))) {
            Ok(Ok(())) => Ok(path.map_or(Output::Standard, Output::File)),
            Ok(Err(error)) => Err(format!("{shown}: {error}{}", next(&error, path.as_deref()))),
            Err(_) => Err(format!("{shown}: it takes nothing; name another place with --output")),
        }
    }
}

/// What to do about it.
fn next(error: &io::Error, path: Option<&Path>) -> String {
    let directory = path.and_then(Path::parent).unwrap_or(Path::new("."));
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "; nothing is left there; name another place: --output /run, or - for standard output".into()
        }
        io::ErrorKind::PermissionDenied if eaccess(directory, AccessFlags::W_OK).is_err() => {
            format!("; {} is not this user's to write in; name another place with --output", directory.display())
        }
        _ => "; name another place with --output".into(),
    }
}

/// Makes the file, for its owner alone, or leaves what was there: it gets its name when its last byte is on the disk.
fn create(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = temporary(path);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all()).and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        // The first cause is the one to tell.
        let _ = fs::remove_file(&temporary);
    }
    written
}

/// Beside the file, hidden, and of this process alone.
fn temporary(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{}.tmp", std::process::id()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn names(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn the_file_is_its_owners_and_replaces_what_was_there() {
        let directory = tempfile::tempdir().unwrap();
        let target = Target::of(Some(directory.path())).unwrap();
        let Output::File(path) = target.write("report", b"one".into(), Duration::from_secs(60)).unwrap() else {
            panic!("no file")
        };
        assert_eq!(path, directory.path().join("report.zip"));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
        let again = Target::of(Some(&path)).unwrap().write("other", b"two".into(), Duration::from_secs(60));
        assert_eq!((again, fs::read(&path).unwrap()), (Ok(Output::File(path)), b"two".to_vec()));
        assert_eq!(names(directory.path()), ["report.zip"]);
    }

    #[test]
    fn what_cannot_be_written_leaves_nothing_and_says_where_else() {
        let directory = tempfile::tempdir().unwrap();
        let target = Target::File(directory.path().join("none/report.zip"));
        let why = target.write("report", b"one".into(), Duration::from_secs(60)).unwrap_err();
        assert!(why.contains("No such file") && why.contains("--output"), "{why}");
        // A directory in the file's place: all is written, and cannot get its name.
        let taken = directory.path().join("report.zip");
        fs::create_dir_all(taken.join("full")).unwrap();
        assert!(Target::File(taken).write("report", b"one".into(), Duration::from_secs(60)).is_err());
        assert_eq!(names(directory.path()), ["report.zip"]);
        let full = next(&io::ErrorKind::StorageFull.into(), Some(Path::new("/x/y")));
        assert!(full.contains("nothing is left there") && full.contains("--output /run"), "{full}");
    }
}
