//! No credential in the journal. Its longer fields are compressed, so journald's own reader has to unpack them.

use super::pattern;
use super::root::{Root, Unseen};
use crate::checks::Found;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::unistd::mkdtemp;
use std::fs::File;
use std::io::{self, Seek};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const PLACES: [&str; 2] = ["/var/log/journal", "/run/log/journal"];
/// More files than an image's journal has; each is held open.
const MOST: usize = 200;

/// No entry holds one.
pub fn holds_none(root: &Root) -> Found {
    let files = match files(root) {
        Ok(files) if files.is_empty() => return Found::pass("there is no journal"),
        Ok(files) if files.len() > MOST => {
            return Found::not_known(format!("the journal has more than {MOST} files: journalctl --vacuum-files=1"));
        }
        Ok(files) => files,
        Err(error) => return Found::not_known(error.to_string()),
    };
    look(&files).unwrap_or_else(|error| Found::not_known(format!("failed to read the journal: {error}")))
}

fn files(root: &Root) -> Result<Vec<(PathBuf, File)>, Unseen> {
    let mut files = vec![];
    for place in PLACES.map(Path::new) {
        let machines = root.names(place)?.into_iter().map(|name| place.join(name));
        for folder in machines.chain([place.to_owned()]) {
            for name in root.names(&folder)? {
                let path = folder.join(name);
                let is_journal = path.extension().is_some_and(|end| end == "journal" || end == "journal~");
                if is_journal && let Some(file) = root.file(&path)? {
                    files.push((path, file));
                }
            }
        }
    }
    Ok(files)
}

fn look(files: &[(PathBuf, File)]) -> io::Result<Found> {
    let mut wrong = vec![];
    for (path, file) in files {
        let mut file = file;
        for hit in pattern::scan(file)? {
            wrong.push(format!("{}: {}", path.display(), hit.what));
        }
        file.rewind()?;
    }
    if !wrong.is_empty() {
        return Ok(Found::from_wrongs(wrong, vec![], ""));
    }
    let (wrong, unseen) = match unpacked(files)? {
        Some(hits) => (hits.iter().map(|hit| format!("{}: {}", PLACES[0], hit.what)).collect(), vec![]),
        None => {
            let compressed = files.iter().filter(|(_, file)| may_be_compressed(file));
            let told = |path: &Path| {
                format!("{} may hold compressed entries, and journalctl is not installed", path.display())
            };
            (vec![], compressed.map(|(path, _)| told(path)).collect())
        }
    };
    Ok(Found::from_wrongs(wrong, unseen, format!("{} journal files checked", files.len())))
}

/// What journalctl shows of these very files, looked through; `None` if it is not installed.
///
/// It wants names that end in `.journal`, and must not resolve any of the tree's: it gets links to its own descriptors.
fn unpacked(files: &[(PathBuf, File)]) -> io::Result<Option<Vec<pattern::Hit>>> {
    let folder = Folder(mkdtemp(&std::env::temp_dir().join("cflared-agent-XXXXXX"))?);
    let mut journalctl = Command::new("journalctl");
    for (number, (_, file)) in files.iter().enumerate() {
        fcntl(file, FcntlArg::F_SETFD(FdFlag::empty()))?;
        let link = folder.0.join(format!("{number}.journal"));
        symlink(format!("/proc/self/fd/{}", file.as_raw_fd()), &link)?;
        // Each by its name: of a whole directory it passes over what it cannot read, without a word.
        journalctl.arg("--file").arg(link);
    }
    journalctl.args(["--output=export", "--all", "--quiet", "--no-pager"]);
    let child = journalctl.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
    for (_, file) in files {
        fcntl(file, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
    }
    let mut child = match child {
        Ok(child) => child,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let hits = child.stdout.take().map(pattern::scan).transpose();
    let status = child.wait()?;
    if !status.success() {
        return Err(io::Error::other(format!("journalctl cannot read it ({status})")));
    }
    hits
}

/// A directory that goes when it is dropped.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left is a directory of dead links.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Whether the header allows for compressed entries: XZ, LZ4 or zstd (systemd, "Journal File Format").
fn may_be_compressed(file: &File) -> bool {
    let mut flags = [0; 4];
    file.read_exact_at(&mut flags, 12).is_ok() && u32::from_le_bytes(flags) & 0b1011 != 0
}
