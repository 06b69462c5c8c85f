//! What runs by itself on a host, with the scripts that it leads to: at a time, at the boot, or when something happens, in every place
//! where Ubuntu, Debian, Amazon Linux and RHEL keep it.

use super::root::{Kind, Root, Unseen};
use super::units;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::io::Read;
use std::path::{Path, PathBuf};

/// Files of commands, folders of them, and folders of such folders: cron's own (crontab(5), run-parts(8)), anacron's, those of users
/// and at's (below or in `/var/spool/cron`), fcron's and incron's.
const TIMES: [&str; 13] = [
    "/etc/crontab",
    "/etc/anacrontab",
    "/etc/cron.d",
    "/etc/cron.hourly",
    "/etc/cron.daily",
    "/etc/cron.weekly",
    "/etc/cron.monthly",
    "/etc/cron.yearly",
    "/var/spool/cron",
    "/var/spool/at",
    "/var/spool/fcron",
    "/var/spool/incron",
    "/etc/incron.d",
];
/// At every boot, or at the first of an instance: System V's, cloud-init's.
const BOOT: [&str; 16] = [
    "/etc/rc.local",
    "/etc/rc.d/rc.local",
    "/var/lib/cloud/scripts/per-boot",
    "/var/lib/cloud/scripts/per-instance",
    "/var/lib/cloud/scripts/per-once",
    "/etc/cloud/cloud.cfg",
    "/etc/cloud/cloud.cfg.d",
    "/etc/rc2.d",
    "/etc/rc3.d",
    "/etc/rc5.d",
    "/etc/rcS.d",
    "/etc/rc.d/rc2.d",
    "/etc/rc.d/rc3.d",
    "/etc/rc.d/rc5.d",
    "/etc/systemd/system-generators",
    "/usr/local/lib/systemd/system-generators",
];
/// When something happens: the network comes up, a lease is renewed, somebody logs in, a log is rotated, the machine sleeps.
const EVENTS: [&str; 11] = [
    "/etc/networkd-dispatcher",
    "/etc/NetworkManager/dispatcher.d",
    "/etc/network",
    "/etc/dhcp/dhclient-enter-hooks.d",
    "/etc/dhcp/dhclient-exit-hooks.d",
    "/etc/update-motd.d",
    "/etc/profile.d",
    "/etc/logrotate.d",
    "/etc/systemd/system-sleep",
    "/usr/lib/systemd/system-sleep",
    "/usr/lib/systemd/system-shutdown",
];
/// Containers that systemd starts (podman-systemd.unit(5)); those of users besides.
const CONTAINERS: [&str; 3] =
    ["/etc/containers/systemd", "/etc/containers/systemd/users", "/usr/share/containers/systemd"];
/// Where units of users are (systemd.unit(5)); those in homes besides.
const USER_UNITS: [&str; 3] = ["/etc/systemd/user", "/usr/local/lib/systemd/user", "/usr/lib/systemd/user"];
/// Where people put commands of their own, which a job names without a path.
const LOCAL: [&str; 4] = ["/usr/local/sbin", "/usr/local/bin", "/opt/bin", "/root/bin"];
/// Where a distribution has its scripts: what such a one leads to is its own affair.
const DISTRIBUTION: [&str; 8] =
    ["/usr/bin", "/usr/sbin", "/usr/lib", "/usr/libexec", "/usr/share", "/bin", "/sbin", "/lib"];
/// What takes any text for a script.
const INTERPRETERS: [&str; 11] =
    [".", "source", "sh", "bash", "dash", "ash", "zsh", "ksh", "python3", "python", "perl"];

/// The most files of one folder, and of one job, that are looked at.
const MOST: usize = 1000;
/// How many scripts stand one behind the other at most.
const DEPTH: usize = 3;

/// Commands that run by themselves.
pub struct Part<'a> {
    /// What starts them: a unit, by its name, or a file.
    pub job: &'a Path,
    /// The script that it leads to, if they are that one's.
    pub script: Option<&'a Path>,
    /// One a line, without comments, and with what variables hold in place of their names.
    pub commands: &'a [String],
}

/// Shows `see` all that runs by itself.
///
/// # Errors
/// Something could not be looked at: the first such. The rest was.
pub fn each(root: &Root, see: &mut dyn FnMut(&Part<'_>)) -> Result<(), Unseen> {
    let mut walk = Walk { root, see, local: BTreeMap::new(), unseen: None };
    for place in LOCAL.into_iter().rev() {
        let names = walk.kept(root.names(place));
        walk.local.extend(names.into_iter().map(|name| (name.clone(), Path::new(place).join(name))));
    }
    for place in TIMES.into_iter().chain(BOOT).chain(EVENTS) {
        walk.place(Path::new(place));
    }
    let homes: Vec<PathBuf> = walk.kept(root.names("/home")).iter().map(|name| Path::new("/home").join(name)).collect();
    let homes = || homes.iter().map(PathBuf::as_path).chain([Path::new("/root")]);
    walk.units(&units::PLACES.map(PathBuf::from));
    let in_homes = homes().map(|home| home.join(".config/systemd/user"));
    walk.units(&USER_UNITS.map(PathBuf::from).into_iter().chain(in_homes).collect::<Vec<_>>());
    for place in
        CONTAINERS.map(PathBuf::from).into_iter().chain(homes().map(|home| home.join(".config/containers/systemd")))
    {
        walk.containers(&place);
    }
    walk.unseen.map_or(Ok(()), Err)
}

struct Walk<'a> {
    root: &'a Root,
    see: &'a mut dyn FnMut(&Part<'_>),
    /// Commands without a path, by their names.
    local: BTreeMap<OsString, PathBuf>,
    unseen: Option<Unseen>,
}

impl Walk<'_> {
    fn kept<T: Default>(&mut self, looked: Result<T, Unseen>) -> T {
        looked.unwrap_or_else(|error| {
            self.unseen.get_or_insert(error);
            T::default()
        })
    }

    /// A file of commands, or the files in a folder, and in its folders.
    fn place(&mut self, place: &Path) {
        for path in self.files(place) {
            let inside = self.files(&path);
            for file in inside {
                // System V's links that end something.
                let ends = file.components().any(|part| part.as_os_str().to_string_lossy().starts_with("rc"))
                    && file.file_name().is_some_and(|name| name.to_string_lossy().starts_with('K'));
                let text = if ends { None } else { self.kept(self.root.text(&file)) };
                if let Some(text) = text {
                    self.job(&file, &text);
                }
            }
        }
    }

    /// The file of that name, or what is in the folder of that name.
    fn files(&mut self, path: &Path) -> Vec<PathBuf> {
        match self.kept(self.root.stat(path)).map(|node| node.kind) {
            Some(Kind::File) => vec![path.to_owned()],
            Some(Kind::Directory) => {
                self.kept(self.root.names(path)).into_iter().take(MOST).map(|name| path.join(name)).collect()
            }
            _ => vec![],
        }
    }

    fn units(&mut self, places: &[PathBuf]) {
        for unit in self.kept(units::started(self.root, places)) {
            let text = self.kept(units::text(self.root, places, &unit.name)).unwrap_or_default();
            self.job(Path::new(&unit.by), &units::commands(&unit.name, &text));
        }
    }

    fn containers(&mut self, place: &Path) {
        for path in self.files(place).into_iter().filter(|path| path.extension().is_some_and(|end| end == "container"))
        {
            let text = self.kept(self.root.text(&path)).unwrap_or_default();
            let value = |key: &str| {
                let line = text.lines().find_map(|line| line.trim().strip_prefix(key)?.trim_start().strip_prefix('='));
                line.unwrap_or_default().trim().to_owned()
            };
            self.job(&path, &format!("podman run {} {}", value("Image"), value("Exec")));
        }
    }

    /// Shows what a job executes, and the scripts that it leads to.
    fn job(&mut self, job: &Path, text: &str) {
        let own = commands(text);
        (self.see)(&Part { job, script: None, commands: &own });
        let mut next = self.named(&own);
        let names = own.iter().flat_map(|line| words(line)).take(MOST);
        next.extend(names.filter_map(|name| Some((self.local.get(OsStr::new(name))?.clone(), Taken::Script))));
        let mut seen = BTreeSet::from([job.to_owned()]);
        for _ in 0..DEPTH {
            let mut deeper = BTreeMap::new();
            for (path, taken) in next {
                if seen.len() > MOST || !seen.insert(path.clone()) {
                    continue;
                }
                let Some(text) = self.kept(script(self.root, &path, taken)) else { continue };
                let its = commands(&text);
                (self.see)(&Part { job, script: Some(&path), commands: &its });
                if !DISTRIBUTION.iter().any(|own| path.starts_with(own)) {
                    deeper.extend(self.named(&its));
                }
            }
            next = deeper;
        }
    }

    /// The files that commands name by their path.
    fn named(&mut self, commands: &[String]) -> BTreeMap<PathBuf, Taken> {
        let mut named = BTreeMap::new();
        for line in commands {
            let (mut before, parts) = ("", line.contains("run-parts"));
            for word in words(line) {
                // systemd has marks before a program: systemd.service(5), "special executable prefixes".
                let path = word.trim_start_matches(['-', '@', ':', '+', '!']);
                if path.starts_with('/') && path.len() > 1 {
                    let taken = if INTERPRETERS.contains(&base(before)) { Taken::AnyText } else { Taken::Script };
                    match parts {
                        true => named.extend(self.files(Path::new(path)).into_iter().map(|path| (path, Taken::Script))),
                        false => drop(named.insert(PathBuf::from(path), taken)),
                    }
                }
                if !word.starts_with('-') {
                    before = word;
                }
            }
        }
        named
    }
}

/// What of a file counts as a script.
#[derive(Clone, Copy)]
enum Taken {
    /// One that begins with `#!`: of a program, which holds any words, there is none.
    Script,
    /// Any text: an interpreter is given it.
    AnyText,
}

fn script(root: &Root, path: &Path, taken: Taken) -> Result<Option<String>, Unseen> {
    let mut start = [0; 2];
    let is_script = root.file(path)?.is_some_and(|mut file| file.read_exact(&mut start).is_ok())
        && match taken {
            Taken::Script => start == *b"#!",
            Taken::AnyText => start != *b"\x7fE",
        };
    if is_script { root.text(path) } else { Ok(None) }
}

/// The words of a command.
pub fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(|c: char| c.is_whitespace() || ";&|()[]{}<>\"'`=,".contains(c)).filter(|word| !word.is_empty())
}

/// The name of a program, without the way to it.
pub fn base(word: &str) -> &str {
    word.rsplit('/').next().unwrap_or_default()
}

/// The longest value of a variable that is put in its place, and the longest line after that, in bytes.
const VALUE: usize = 256;
const LINE: usize = 16 * 1024;

/// The commands of a script, a crontab or a unit, one a line: without comments, those that go on in the next line in one, and with
/// variables replaced by what was assigned to them before.
fn commands(text: &str) -> Vec<String> {
    let whole = text.replace("\\\n", " ");
    let mut variables: BTreeMap<&str, String> = BTreeMap::new();
    let mut commands = vec![];
    for line in whole.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let command = replaced(line, &variables);
        let assigned = line.strip_prefix("export ").unwrap_or(line).split_once('=');
        let is_name = |name: &str| !name.is_empty() && name.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'_');
        if let Some((name, value)) = assigned.filter(|(name, value)| is_name(name) && value.len() <= VALUE) {
            variables.insert(name, replaced(value.trim_matches(['"', '\'']), &variables));
        }
        commands.push(command);
    }
    commands
}

fn replaced(line: &str, variables: &BTreeMap<&str, String>) -> String {
    let mut whole = String::new();
    let mut rest = line;
    while let Some((before, after)) = rest.split_once('$').filter(|_| !variables.is_empty() && whole.len() < LINE) {
        whole.push_str(before);
        let (open, after) = after.strip_prefix('{').map_or((false, after), |after| (true, after));
        let end = after.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(after.len());
        let (name, after) = after.split_at(end);
        match variables.get(name) {
            Some(value) => {
                whole.extend(value.chars().take(VALUE));
                rest = if open { after.strip_prefix('}').unwrap_or(after) } else { after };
            }
            None => {
                whole.push('$');
                whole.push_str(name);
                rest = after;
            }
        }
    }
    whole + rest
}
