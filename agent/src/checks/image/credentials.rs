//! No credential anywhere in the image: the places where one has been seen to stay behind.
//!
//! Some places hold nothing innocent: there a file is enough. Elsewhere its text is looked through. A place is named,
//! a value never.

use super::pattern::{self, PRIVATE_KEY};
use super::root::{Kind, Root, Unseen};
use crate::checks::{Found, Outcome};
use flate2::read::MultiGzDecoder;
use std::ffi::OsStr;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// How deep, how many and how long files are looked through. An image's places hold a few hundred small ones.
const DEPTH: usize = 12;
const FILES: usize = 50_000;
const LONGEST: u64 = 64 * 1024 * 1024;
const MOST: u64 = 512 * 1024 * 1024;

/// What gzip's files begin with (RFC 1952). User data may be such a file, whatever its name.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// Where cloudflared looks for its files when it is not told (observed, 2026.8.2), below a home directory.
const LOGIN: [&str; 3] = [".cloudflared", ".cloudflare-warp", "cloudflare-warp"];
/// The same, elsewhere, but for the directory of the bundle.
const LOGIN_ELSEWHERE: [&str; 1] = ["/usr/local/etc/cloudflared"];
/// What the AWS CLI keeps below a home directory, and the tools that read netrc(5) or git's store.
const KEPT_KEYS: [&str; 5] = [".aws/credentials", ".aws/sso/cache", ".aws/cli/cache", ".netrc", ".git-credentials"];
const ETC: [&str; 3] = ["/etc", "/usr/local/etc", "/opt/aws/amazon-cloudwatch-agent/etc"];
const CLOUD_INIT: [&str; 2] = ["/var/lib/cloud", "/run/cloud-init"];
const LEFT: [&str; 7] = ["/tmp", "/var/tmp", "/var/spool/cron", "/var/lib/amazon", "/var/backups", "/srv", "/dev/shm"];
const CORES: [&str; 2] = ["/var/lib/systemd/coredump", "/var/crash"];
const JOURNAL: &str = "/var/log/journal";

/// What was found, place by place.
#[derive(Default)]
struct Search {
    wrong: Vec<String>,
    unseen: Vec<String>,
    looked_through: usize,
    /// How much of it, in bytes.
    length: u64,
    /// Files whose text is compressed, other than by gzip, or not to be unpacked.
    compressed: Vec<String>,
}

impl Search {
    fn note(&mut self, error: &Unseen) {
        self.unseen.push(error.to_string());
    }

    /// Every regular file in `place` and below it, not following links to directories; `place` may be a file.
    fn files(&mut self, root: &Root, place: &Path) -> Vec<PathBuf> {
        let mut found = vec![];
        let mut todo = vec![(place.to_owned(), 0)];
        while let Some((path, depth)) = todo.pop() {
            // The place itself may be a link; what is below it is followed to files only, so that nothing goes round.
            let node = if depth == 0 { root.stat(&path) } else { root.lstat(&path) };
            match node {
                Err(error) => self.note(&error),
                Ok(None) => {}
                Ok(Some(node)) => match node.kind {
                    Kind::File | Kind::Link => found.push(path),
                    Kind::Directory if depth == DEPTH => self.unseen.push(format!("{}: too deep", path.display())),
                    Kind::Directory => match root.names(&path) {
                        Ok(names) => todo.extend(names.into_iter().map(|name| (path.join(name), depth + 1))),
                        Err(error) => self.note(&error),
                    },
                    Kind::Other => {}
                },
            }
            if found.len() > FILES {
                self.unseen.push(format!("{}: more than {FILES} files", place.display()));
                break;
            }
        }
        found.sort();
        found
    }

    /// Every file that is not empty is wrong.
    fn none_in(&mut self, root: &Root, place: &Path, what: &str) {
        for path in self.files(root, place) {
            match root.stat(&path) {
                Ok(Some(node)) if node.kind == Kind::File && node.size > 0 => {
                    self.wrong.push(format!("{what}: {}", path.display()));
                }
                Ok(_) => {}
                Err(error) => self.note(&error),
            }
        }
    }

    /// Every file is looked through, but for those that `except` names.
    fn look_through(&mut self, root: &Root, place: &Path, allowed: &[&str], except: impl Fn(&Path) -> bool) {
        for path in self.files(root, place) {
            if except(&path) {
                continue;
            }
            if path.extension().is_some_and(|end| ["xz", "zst", "bz2", "lz4"].iter().any(|known| end == *known)) {
                self.compressed.push(path.display().to_string());
                continue;
            }
            self.look_through_file(root, &path, allowed);
        }
    }

    fn look_through_file(&mut self, root: &Root, path: &Path, allowed: &[&str]) {
        if self.length > MOST {
            return;
        }
        let file = match root.file(path) {
            Ok(Some(file)) => file,
            Ok(None) => return,
            Err(error) => return self.note(&error),
        };
        self.looked_through += 1;
        let mut begin = [0; 2];
        // Of a shorter file nothing is compressed.
        let zipped = file.read_exact_at(&mut begin, 0).is_ok() && begin == GZIP;
        let mut text: Box<dyn Read> = if zipped { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) };
        let mut beginning = text.by_ref().take(LONGEST);
        let scanned = pattern::scan(&mut beginning);
        self.length += LONGEST - beginning.limit();
        match scanned {
            Ok(hits) => {
                for hit in hits.iter().filter(|hit| !allowed.contains(&hit.what)) {
                    self.wrong.push(format!("{}, line {}: {}", path.display(), hit.line, hit.what));
                }
            }
            Err(_) if zipped => return self.compressed.push(path.display().to_string()),
            Err(error) => return self.unseen.push(format!("failed to read {}: {error}", path.display())),
        }
        if text.read(&mut begin).is_ok_and(|more| more > 0) {
            self.unseen.push(format!("{}: longer than {} MiB", path.display(), LONGEST >> 20));
        }
        if self.length > MOST {
            self.unseen.push(format!("{}: more than {} MiB in total", path.display(), MOST >> 20));
        }
    }

    fn found(self) -> Found {
        let looked_through = self.looked_through;
        let compressed = self.compressed;
        let found = Found::from_wrongs(self.wrong, self.unseen, format!("{looked_through} files checked"));
        if found.outcome == Outcome::Pass && !compressed.is_empty() {
            let first = compressed[0].as_str();
            return Found::warn(format!(
                "{} compressed files were not looked through, {first} among them",
                compressed.len()
            ));
        }
        found
    }
}

/// The home directories: of the accounts in passwd(5), and whatever stands where homes do.
struct Homes {
    /// Of people: looked through as a whole.
    people: Vec<PathBuf>,
    /// Of services: only what is named.
    all: Vec<PathBuf>,
}

fn homes(root: &Root, search: &mut Search) -> Homes {
    let mut people = vec![PathBuf::from("/root")];
    match root.names("/home") {
        Ok(names) => people.extend(names.iter().map(|name| Path::new("/home").join(name))),
        Err(error) => search.note(&error),
    }
    let mut all = people.clone();
    match root.text("/etc/passwd") {
        Ok(accounts) => {
            let accounts = accounts.unwrap_or_default();
            let homes = accounts.lines().filter_map(|line| line.split(':').nth(5)).map(PathBuf::from);
            all.extend(homes.filter(|home| home.is_absolute()));
        }
        Err(error) => search.note(&error),
    }
    all.sort();
    all.dedup();
    Homes { people, all }
}

/// Nothing in the directory of the bundle, but for the lock.
pub fn no_bundle(root: &Root, config_dir: &Path) -> Found {
    let mut search = Search::default();
    let files = search.files(root, config_dir);
    let lock = config_dir.join(".lock");
    let installed = files.iter().filter(|path| **path != lock);
    search.wrong = installed.map(|path| format!("a file of a bundle: {}", path.display())).collect();
    Found::from_wrongs(search.wrong, search.unseen, format!("{} is empty", config_dir.display()))
}

/// No file where cloudflared keeps a login or looks for one.
pub fn no_login(root: &Root) -> Found {
    let mut search = Search::default();
    let homes = homes(root, &mut search);
    for (home, place) in homes.all.iter().flat_map(|home| LOGIN.map(|place| (home, place))) {
        search.none_in(root, &home.join(place), "a file of cloudflared");
    }
    for place in LOGIN_ELSEWHERE {
        search.none_in(root, Path::new(place), "a file of cloudflared");
    }
    for name in ["cert.pem", ".cloudflared/cert.pem"] {
        search.none_in(root, &Path::new("/").join(name), "a certificate");
    }
    Found::from_wrongs(search.wrong, search.unseen, format!("{} home directories checked", homes.all.len()))
}

/// No file where tools keep AWS's and other services' credentials.
pub fn no_aws_keys(root: &Root) -> Found {
    let mut search = Search::default();
    let homes = homes(root, &mut search);
    for (home, place) in homes.all.iter().flat_map(|home| KEPT_KEYS.map(|place| (home, place))) {
        search.none_in(root, &home.join(place), "a file of credentials");
    }
    Found::from_wrongs(search.wrong, search.unseen, format!("{} home directories checked", homes.all.len()))
}

/// No credential in what people left, their shells' histories first of all.
pub fn homes_hold_none(root: &Root) -> Found {
    let mut search = Search::default();
    let homes = homes(root, &mut search);
    let named = |path: &Path| {
        LOGIN.iter().chain(&KEPT_KEYS).any(|place| homes.all.iter().any(|home| path.starts_with(home.join(place))))
    };
    for home in &homes.people {
        search.look_through(root, home, &[], named);
    }
    search.found()
}

/// No credential in settings, units, environment files and cron jobs. Private keys belong to some of them.
pub fn etc_holds_none(root: &Root, config_dir: &Path) -> Found {
    let mut search = Search::default();
    for place in ETC {
        search.look_through(root, Path::new(place), &[PRIVATE_KEY], |path| {
            path.starts_with(config_dir) || LOGIN_ELSEWHERE.iter().any(|place| path.starts_with(place))
        });
    }
    search.found()
}

/// No credential in log files that are text.
pub fn logs_hold_none(root: &Root) -> Found {
    let mut search = Search::default();
    let journal = |path: &Path| path.starts_with(JOURNAL);
    search.look_through(root, Path::new("/var/log"), &[], journal);
    search.found()
}

/// No credential in user data, vendor data and what was made of them.
pub fn cloud_init_holds_none(root: &Root) -> Found {
    let mut search = Search::default();
    for place in CLOUD_INIT {
        search.look_through(root, Path::new(place), &[], |_| false);
    }
    search.found()
}

/// No credential in temporary files and tools' state, and no core dump, which may hold anything.
pub fn nothing_left(root: &Root) -> Found {
    let mut search = Search::default();
    for place in LEFT {
        search.look_through(root, Path::new(place), &[], |_| false);
    }
    match root.names("/") {
        Ok(names) => {
            for name in names.iter().filter(|name| *name != OsStr::new("swapfile")) {
                let path = Path::new("/").join(name);
                search.look_through_file(root, &path, &[]);
            }
        }
        Err(error) => search.note(&error),
    }
    for place in CORES {
        search.none_in(root, Path::new(place), "a core dump");
    }
    search.found()
}
