//! The facts that are gathered with the caller's rights, usually root's, before the command becomes the agent's user.

use super::process::{self, Listener};
use super::seen::{Seen, aside};
use super::unit::{self, Units};
use crate::checks::Found;
use crate::checks::image::{Closed, Root, no_other_connector};
use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::unistd::{AccessFlags, Pid, Uid, User, eaccess, geteuid};
use settings::{Settings, drop_ins};
use status::STATUS_FILE;
use status::{ReadError, Status};
use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long all of this may take.
const LIMIT: Duration = Duration::from_millis(1500);

/// What was seen.
#[derive(Debug)]
pub struct Early {
    /// Who looked.
    pub user: Account,
    /// Whose the config directory is; none: it is not there.
    pub owner: Seen<Option<Account>>,
    /// What may be used.
    pub access: Seen<Vec<Access>>,
    /// Who listens on the metrics addresses.
    pub listeners: Seen<Vec<Listener>>,
    /// What the units on the disk execute.
    pub other_connector: Seen<Found>,
    /// What systemd says; none: it does not run here.
    pub units: Seen<Option<Units>>,
    /// What the agent wrote.
    pub status: Seen<Result<Status, ReadError>>,
    /// Whether the process that wrote it lives.
    pub agent_process: bool,
}

/// A user of this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its number.
    pub uid: u32,
    /// Its name; none if /etc/passwd has none.
    pub name: Option<String>,
}

impl Account {
    /// The user of that number. Reads /etc/passwd, and may ask a directory service where one is set up.
    fn of(uid: u32) -> Self {
        Self { uid, name: User::from_uid(Uid::from_raw(uid)).ok().flatten().map(|user| user.name) }
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "{name}"),
            None => write!(f, "user number {}", self.uid),
        }
    }
}

/// Whether a file or directory may be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    /// Which.
    pub path: PathBuf,
    /// How it is used.
    pub how: &'static str,
    /// What the kernel says; 0 is yes.
    pub refusal: Option<Errno>,
}

impl Early {
    /// Looks, within 1.5 s. `file` is where the settings are.
    pub async fn look(settings: &Settings, file: &Path) -> Self {
        let wanted = wanted(settings, file);
        let (metrics, dir) = (settings.connector.metrics, settings.paths.config_dir.clone());
        let status = settings.paths.runtime_dir.join(STATUS_FILE);
        let (user, owner, access, listeners, other_connector, units, status) = tokio::join!(
            aside("/etc/passwd", LIMIT, || Account::of(geteuid().as_raw())),
            aside("the config directory", LIMIT, move || Some(Account::of(fs::metadata(dir).ok()?.uid()))),
            aside("what the agent needs", LIMIT, move || access(&wanted)),
            aside("the listening sockets", LIMIT, move || process::listeners(&metrics)),
            aside("the units", LIMIT, other_connector),
            aside("systemd", LIMIT, || unit::ask(LIMIT * 9 / 10)),
            aside("the status", LIMIT, move || Status::read(&status)),
        );
        let lives =
            status.as_ref().ok().and_then(|status| status.as_ref().ok()).is_some_and(|told| lives(told.agent.pid));
        Self {
            user: user.unwrap_or_else(|_| Account { uid: geteuid().as_raw(), name: None }),
            owner,
            access,
            listeners,
            other_connector,
            units: units.and_then(|units| units),
            status,
            agent_process: lives,
        }
    }
}

/// Nothing but the agent's unit runs cloudflared, by what is executed.
fn other_connector() -> Found {
    match Root::open(Path::new("/")) {
        Ok(root) => no_other_connector(&root, Closed::LeftOut),
        Err(error) => Found::not_known(error.to_string()),
    }
}

/// Whether there is a process of that id; that it is another user's does not matter.
fn lives(pid: u32) -> bool {
    let pid = i32::try_from(pid).ok().filter(|pid| *pid > 0);
    pid.is_some_and(|pid| kill(Pid::from_raw(pid), None) != Err(Errno::ESRCH))
}

/// What the agent uses, and how.
pub fn wanted(settings: &Settings, file: &Path) -> Vec<(PathBuf, &'static str, AccessFlags)> {
    let all = AccessFlags::R_OK | AccessFlags::W_OK | AccessFlags::X_OK;
    vec![
        (settings.paths.config_dir.clone(), "write in", all),
        (settings.paths.runtime_dir.clone(), "write in", all),
        (settings.connector.binary.clone(), "execute", AccessFlags::X_OK),
        (settings.paths.image_file.clone(), "read", AccessFlags::R_OK),
        (Path::new("/etc/resolv.conf").into(), "read", AccessFlags::R_OK),
        (file.into(), "read", AccessFlags::R_OK),
        (drop_ins(file), "read", AccessFlags::R_OK | AccessFlags::X_OK),
    ]
}

/// Asks the kernel. What is not there is the matter of other checks.
pub fn access(wanted: &[(PathBuf, &'static str, AccessFlags)]) -> Vec<Access> {
    let ask = |(path, how, flags): &(PathBuf, &'static str, AccessFlags)| match eaccess(path, *flags) {
        Err(Errno::ENOENT) => None,
        Ok(()) => Some(Access { path: path.clone(), how, refusal: None }),
        Err(errno) => Some(Access { path: path.clone(), how, refusal: Some(errno) }),
    };
    wanted.iter().filter_map(ask).collect()
}
