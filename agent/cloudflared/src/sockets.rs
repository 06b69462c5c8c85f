//! Which process listens on an address of this host, as the kernel shows it.
//!
//! `/proc/self/net/tcp{,6}` (proc(5)) names the inode and the owner of every listening socket, and `/proc/<pid>/fd` the
//! sockets of a process. Both are there in the unit's sandbox (`ProcSubset=pid`, `ProtectProc=invisible`), where other users'
//! processes are not: then only the user shows that a socket is another's. What neither shows is said to be unclear.

use nix::unistd::{Uid, geteuid};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

/// How much of a table is read, in bytes: about 27,000 sockets. Those that listen come first.
const MOST_OF_TABLE: u64 = 4 << 20;
/// How much of another small file is read, in bytes.
const MOST: u64 = 4096;
/// The state of a socket that listens (`TCP_LISTEN`, `include/net/tcp_states.h`).
const LISTEN: &str = "0A";

/// Who listens on an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listener {
    /// Nobody.
    Nobody,
    /// The child that was asked about, or a descendant of it.
    Ours,
    /// Another process, for certain.
    Stranger(Stranger),
    /// Somebody, and it is hidden from us who.
    Unclear,
}

/// A process that is not ours, as far as it is to be seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stranger {
    /// Its id and the name of its command; `None`: hidden from us.
    pub process: Option<(u32, String)>,
    /// The user that opened the socket. In the unit's sandbox every other user is 65534.
    pub uid: u32,
}

impl fmt::Display for Stranger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.process {
            Some((pid, command)) => write!(f, "{command} (pid {pid}, uid {})", self.uid),
            None => write!(f, "a process of another user (uid {})", self.uid),
        }
    }
}

/// The kernel's view, under `proc` (`/proc`, but for tests).
#[derive(Debug, Clone)]
pub struct Sockets {
    proc: PathBuf,
    uid: Uid,
}

impl Default for Sockets {
    fn default() -> Self {
        Self { proc: "/proc".into(), uid: geteuid() }
    }
}

/// A socket that listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Listening {
    inode: u64,
    uid: u32,
}

impl Sockets {
    /// Who listens on `address`, if the process `child` is ours. It reads files of the kernel: not for the loop's own thread.
    pub fn listener(&self, address: SocketAddr, child: Option<u32>) -> Listener {
        let Some(listening) = self.listening(address) else { return Listener::Unclear };
        if listening.is_empty() {
            return Listener::Nobody;
        }
        let family = child.map(|child| self.family(child)).unwrap_or_default();
        let ours = family.iter().map(|pid| self.inodes(*pid)).collect::<Option<Vec<_>>>();
        // A child that is not there may be hidden as well as gone.
        let hidden = ours.is_none() || child.is_some_and(|child| !self.of(child, "fd").exists());
        let ours: BTreeSet<u64> = ours.unwrap_or_default().into_iter().flatten().collect();
        let Some(other) = listening.iter().find(|socket| !ours.contains(&socket.inode)) else { return Listener::Ours };
        let process = self.holder(other.inode, &family);
        match process {
            None if hidden || other.uid == self.uid.as_raw() => Listener::Unclear,
            process => Listener::Stranger(Stranger { process, uid: other.uid }),
        }
    }

    /// The sockets that take a connection to `address`: those of the address itself if there are any, else those of all
    /// addresses. `None`: the kernel does not show its tables.
    fn listening(&self, address: SocketAddr) -> Option<Vec<Listening>> {
        let tables = [self.table("tcp"), self.table("tcp6")];
        if tables.iter().all(Option::is_none) {
            return None;
        }
        let all = || tables.iter().flatten().flatten().filter(|(at, _)| at.port() == address.port());
        let of = |wanted: &dyn Fn(IpAddr) -> bool| -> Vec<Listening> {
            all().filter(|(at, _)| wanted(at.ip().to_canonical())).map(|(_, socket)| *socket).collect()
        };
        let exact = of(&|ip| ip == address.ip().to_canonical());
        let any = |ip: IpAddr| ip.is_unspecified() && (ip.is_ipv6() || address.is_ipv4());
        Some(if exact.is_empty() { of(&any) } else { exact })
    }

    fn table(&self, name: &str) -> Option<Vec<(SocketAddr, Listening)>> {
        let file = File::open(self.proc.join("self/net").join(name)).ok()?;
        let lines = BufReader::new(file.take(MOST_OF_TABLE)).lines();
        Some(lines.map_while(Result::ok).filter_map(|line| listening(&line)).collect())
    }

    /// `child` and its descendants.
    fn family(&self, child: u32) -> BTreeSet<u32> {
        let parents: BTreeMap<u32, u32> = self.pids().filter_map(|pid| Some((pid, self.parent(pid)?))).collect();
        let mut family = BTreeSet::from([child]);
        loop {
            let before = family.len();
            family.extend(
                parents.iter().filter(|(_, parent)| family.contains(parent)).map(|(pid, _)| *pid).collect::<Vec<_>>(),
            );
            if family.len() == before {
                return family;
            }
        }
    }

    /// The process outside of `family` that holds a socket, with the name of its command.
    fn holder(&self, inode: u64, family: &BTreeSet<u32>) -> Option<(u32, String)> {
        let mut others = self.pids().filter(|pid| !family.contains(pid));
        let pid = others.find(|pid| self.inodes(*pid).is_some_and(|inodes| inodes.contains(&inode)))?;
        Some((pid, self.command(pid)))
    }

    fn pids(&self) -> impl Iterator<Item = u32> + use<> {
        let entries = fs::read_dir(&self.proc).into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
    }

    /// The fourth field of `stat`; the second, the command's name, may hold anything.
    fn parent(&self, pid: u32) -> Option<u32> {
        let stat = beginning(&self.of(pid, "stat"))?;
        stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(1)?.parse().ok()
    }

    fn command(&self, pid: u32) -> String {
        let name = beginning(&self.of(pid, "comm")).unwrap_or_default();
        let name: String = name.trim_end().chars().map(|c| if c.is_ascii_graphic() { c } else { '?' }).collect();
        if name.is_empty() { "a process".into() } else { name }
    }

    /// The inodes of the sockets of a process, none if it is gone; `None`: they are hidden.
    fn inodes(&self, pid: u32) -> Option<BTreeSet<u64>> {
        let entries = match fs::read_dir(self.of(pid, "fd")) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Some(BTreeSet::new()),
            Err(_) => return None,
        };
        let inode = |entry: fs::DirEntry| {
            let target = fs::read_link(entry.path()).ok()?;
            target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
        };
        Some(entries.flatten().filter_map(inode).collect())
    }

    fn of(&self, pid: u32, name: &str) -> PathBuf {
        self.proc.join(pid.to_string()).join(name)
    }
}

/// One line of the table, if its socket listens: the local address is its second field, then the remote one, the state, three
/// of queues and timers, the user, one of time-outs, and the inode.
fn listening(line: &str) -> Option<(SocketAddr, Listening)> {
    let mut fields = line.split_ascii_whitespace().skip(1);
    let (address, port) = fields.next()?.split_once(':')?;
    let socket = SocketAddr::new(ip(address)?, u16::from_str_radix(port, 16).ok()?);
    let mut fields = fields.skip(1);
    if fields.next()? != LISTEN {
        return None;
    }
    let mut fields = fields.skip(3);
    let uid = fields.next()?.parse().ok()?;
    let inode = fields.nth(1)?.parse().ok()?;
    Some((socket, Listening { inode, uid }))
}

/// An address as the kernel prints it: words of 32 bits in the order of this machine's bytes.
fn ip(hex: &str) -> Option<IpAddr> {
    let word = |at: usize| Some(u32::from_str_radix(hex.get(at..at + 8)?, 16).ok()?.to_ne_bytes());
    match hex.len() {
        8 => Some(Ipv4Addr::from(word(0)?).into()),
        32 => {
            let words = [word(0)?, word(8)?, word(16)?, word(24)?];
            Some(Ipv6Addr::from(<[u8; 16]>::try_from(words.concat()).ok()?).into())
        }
        _ => None,
    }
}

fn beginning(path: &Path) -> Option<String> {
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(MOST).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests;
