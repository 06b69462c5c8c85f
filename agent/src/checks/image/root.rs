//! The file tree that is looked at: this host's, or an unpacked image's.
//!
//! Every name is resolved by the kernel as if the tree were the root directory (openat2(2), `RESOLVE_IN_ROOT`, Linux
//! 5.6): no link and no `..` leads out of it. Only regular files are opened, so that looking has no effect.

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2, readlinkat};
use nix::sys::stat::{FileStat, SFlag, fstat};
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// How often a name is resolved anew when the kernel asks for it.
const TRIES: u32 = 100;
/// The largest file that is read whole, in bytes.
const LARGEST: u64 = 1024 * 1024;

/// A file tree.
#[derive(Debug)]
pub struct Root {
    top: OwnedFd,
    /// Whether it is this host's own: then programs may be executed.
    pub is_host: bool,
}

/// Something that could not be looked at.
#[derive(Debug, thiserror::Error)]
#[error("failed to look at {}: {cause}{}", path.display(), next(*cause))]
pub struct Unseen {
    /// Where it is in the tree.
    pub path: PathBuf,
    /// Why.
    pub cause: Errno,
}

fn next(cause: Errno) -> &'static str {
    match cause {
        Errno::EACCES | Errno::EPERM => "; run it as root",
        Errno::ENOSYS => "; this needs Linux 5.6",
        _ => "",
    }
}

/// What is known of a file without opening it.
#[derive(Debug, Clone, Copy)]
pub struct Node {
    /// What it is.
    pub kind: Kind,
    /// The permission bits.
    pub mode: u32,
    /// Its owner.
    pub uid: u32,
    /// Its length, in bytes.
    pub size: u64,
}

/// Kinds of files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Link,
    /// A device, socket or pipe.
    Other,
}

type Seen<T> = Result<T, Unseen>;

impl Root {
    /// Opens a tree.
    ///
    /// # Errors
    /// It is no directory that can be opened.
    pub fn open(path: &Path) -> io::Result<Self> {
        let top: OwnedFd = File::open(path)?.into();
        let here = fstat(&top)?;
        if SFlag::from_bits_truncate(here.st_mode) & SFlag::S_IFMT != SFlag::S_IFDIR {
            return Err(Errno::ENOTDIR.into());
        }
        let host = nix::sys::stat::stat("/")?;
        Ok(Self { top, is_host: (here.st_dev, here.st_ino) == (host.st_dev, host.st_ino) })
    }

    fn open_at(&self, path: &Path, flags: OFlag) -> Seen<Option<OwnedFd>> {
        let how = OpenHow::new().flags(flags | OFlag::O_CLOEXEC).resolve(ResolveFlag::RESOLVE_IN_ROOT);
        let mut tries = 0..TRIES;
        loop {
            return match openat2(&self.top, path, how) {
                Ok(fd) => Ok(Some(fd)),
                // Something was renamed or mounted, anywhere, while a `..` was resolved.
                Err(Errno::EAGAIN) if tries.next().is_some() => continue,
                // A link that leads round, through a file, or out of the tree, as those of /proc do, leads nowhere.
                Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP | Errno::EXDEV) => Ok(None),
                Err(cause) => Err(Unseen { path: path.into(), cause }),
            };
        }
    }

    fn node(&self, path: &Path, flags: OFlag) -> Seen<Option<Node>> {
        let Some(fd) = self.open_at(path, OFlag::O_PATH | flags)? else { return Ok(None) };
        let stat = fstat(&fd).map_err(|cause| Unseen { path: path.into(), cause })?;
        Ok(Some(stat.into()))
    }

    /// What a name leads to, through links; `None` if nothing is there.
    ///
    /// # Errors
    /// A directory on the way may not be searched.
    pub fn stat(&self, path: impl AsRef<Path>) -> Seen<Option<Node>> {
        self.node(path.as_ref(), OFlag::empty())
    }

    /// The thing of that name itself, which may be a link.
    ///
    /// # Errors
    /// As [`Root::stat`].
    pub fn lstat(&self, path: impl AsRef<Path>) -> Seen<Option<Node>> {
        self.node(path.as_ref(), OFlag::O_NOFOLLOW)
    }

    /// The text of a link; `None` if that is none.
    ///
    /// # Errors
    /// As [`Root::stat`].
    pub fn read_link(&self, path: impl AsRef<Path>) -> Seen<Option<PathBuf>> {
        let path = path.as_ref();
        let Some(fd) = self.open_at(path, OFlag::O_PATH | OFlag::O_NOFOLLOW)? else { return Ok(None) };
        // Of anything but a link, the empty name below it has no text.
        Ok(readlinkat(&fd, "").ok().map(PathBuf::from))
    }

    /// A regular file, to be read; `None` if there is none of that name.
    ///
    /// # Errors
    /// It may not be read.
    pub fn file(&self, path: impl AsRef<Path>) -> Seen<Option<File>> {
        let path = path.as_ref();
        // Opening a device may do something, and opening a pipe may wait.
        if self.stat(path)?.is_none_or(|node| node.kind != Kind::File) {
            return Ok(None);
        }
        let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
        Ok(self.open_at(path, flags)?.map(File::from))
    }

    /// The text of a regular file, up to 1 MiB of it; what is not UTF-8 is replaced.
    ///
    /// # Errors
    /// It may not be read.
    pub fn text(&self, path: impl AsRef<Path>) -> Seen<Option<String>> {
        let path = path.as_ref();
        let Some(file) = self.file(path)? else { return Ok(None) };
        let mut bytes = vec![];
        file.take(LARGEST).read_to_end(&mut bytes).map_err(|error| Unseen {
            path: path.into(),
            cause: Errno::from_raw(error.raw_os_error().unwrap_or_default()),
        })?;
        Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
    }

    /// The names in a directory, in order; none if there is no such directory.
    ///
    /// # Errors
    /// It may not be read.
    pub fn names(&self, path: impl AsRef<Path>) -> Seen<Vec<OsString>> {
        let path = path.as_ref();
        let unseen = |cause| Unseen { path: path.into(), cause };
        let Some(fd) = self.open_at(path, OFlag::O_RDONLY | OFlag::O_DIRECTORY)? else { return Ok(vec![]) };
        let mut names = vec![];
        for entry in Dir::from_fd(fd).map_err(unseen)?.iter() {
            let name = entry.map_err(unseen)?.file_name().to_bytes().to_owned();
            if name != b"." && name != b".." {
                names.push(OsString::from_vec(name));
            }
        }
        names.sort();
        Ok(names)
    }
}

impl From<FileStat> for Node {
    fn from(stat: FileStat) -> Self {
        let format = SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT;
        let kind = match format {
            SFlag::S_IFREG => Kind::File,
            SFlag::S_IFDIR => Kind::Directory,
            SFlag::S_IFLNK => Kind::Link,
            _ => Kind::Other,
        };
        Self {
            kind,
            mode: stat.st_mode & 0o7777,
            uid: stat.st_uid,
            size: u64::try_from(stat.st_size).unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_of_the_kernel_that_leads_out_of_the_tree_leads_nowhere() {
        let root = Root::open(Path::new("/")).unwrap();
        assert!(root.stat("/proc/self/fd").unwrap().is_some());
        assert!(root.stat("/proc/self/fd/0").unwrap().is_none());
        assert!(root.file("/dev/stdin").unwrap().is_none());
    }
}
