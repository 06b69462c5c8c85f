//! The processes of this host, and the listeners on the connector's metrics addresses.

use super::Facts;
use super::network::Connector;
use crate::checks::Found;
use crate::checks::image::pattern;
use cflared_verdict::Ready;
use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

/// The state of a listening socket in `/proc/net/tcp` (`include/net/tcp_states.h`).
const LISTEN: &str = "0A";
/// The name of an agent's process.
const AGENT: &str = "cflared-agent";
/// As much of a command line as is looked at, in bytes.
const LONGEST: u64 = 64 * 1024;

/// Somebody who listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// Where.
    pub address: SocketAddr,
    /// The user's number.
    pub uid: u32,
    /// The process; none if it may not be looked at.
    pub process: Option<Process>,
}

/// A process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Its id.
    pub pid: u32,
    /// Its parent's.
    pub parent: u32,
    /// Its name, as the kernel keeps it (15 characters).
    pub name: String,
    /// Whether it executes cloudflared, whatever its file is called.
    pub runs_tunnel: bool,
    /// What its command line holds that looks like a credential.
    pub secrets: Vec<&'static str>,
}

impl Process {
    fn read(pid: u32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (name, rest) = stat.split_once('(')?.1.rsplit_once(") ")?;
        let mut rest = rest.split(' ');
        let (state, parent) = (rest.next()?, rest.next()?.parse().ok()?);
        let runs_tunnel = state != "Z" && runs_tunnel(name, pid);
        (state != "Z").then(|| Self { pid, parent, name: name.into(), runs_tunnel, secrets: vec![] })
    }

    /// With what its command line holds.
    fn searched(mut self) -> Self {
        let mut line = command_line(self.pid);
        line.iter_mut().filter(|byte| **byte == 0).for_each(|byte| *byte = b' ');
        let hits = pattern::scan(&*line).unwrap_or_default();
        self.secrets = hits.into_iter().map(|hit| hit.what).collect();
        self
    }
}

/// Its arguments, each with a zero at its end.
fn command_line(pid: u32) -> Vec<u8> {
    use std::io::Read;
    let mut line = vec![];
    // A process that is gone, or another user's where those are hidden, has none.
    let _ = fs::File::open(format!("/proc/{pid}/cmdline")).and_then(|file| file.take(LONGEST).read_to_end(&mut line));
    line
}

/// Whether a process is cloudflared: by the name of a package or of a downloaded release (`cloudflared-linux-amd64`, of which the
/// kernel keeps the beginning), by the file that it executes, or by what it was asked to do.
fn runs_tunnel(name: &str, pid: u32) -> bool {
    let is_its = |name: &str| name == "cloudflared" || name.starts_with("cloudflared-lin");
    let file = || fs::read_link(format!("/proc/{pid}/exe")).ok()?.file_name()?.to_str().map(is_its);
    is_its(name) || file() == Some(true) || asks_for_tunnel(&command_line(pid))
}

/// `… tunnel … run …`, as arguments of a program; the command line of a shell has them in one.
fn asks_for_tunnel(line: &[u8]) -> bool {
    let mut words = line.split(|byte| *byte == 0).skip(1);
    words.any(|word| word == b"tunnel") && words.any(|word| word == b"run")
}

/// The ids of all processes.
fn pids() -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten();
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect()
}

/// Every cloudflared, and the processes with these ids and their children.
pub fn look(known: &[u32]) -> Vec<Process> {
    // Those of doctor itself ask cloudflared for its version.
    let own = std::process::id();
    let all: Vec<Process> = pids().into_iter().filter_map(Process::read).collect();
    // Another agent's connector is that one's to look after: a trial beside the one that serves.
    let agents: BTreeSet<u32> = all.iter().filter(|one| one.name == AGENT).map(|one| one.pid).collect();
    let ours = |process: &Process| {
        let stranger = process.runs_tunnel && !agents.contains(&process.parent);
        process.parent != own && (stranger || known.contains(&process.pid) || known.contains(&process.parent))
    };
    all.into_iter().filter(ours).map(Process::searched).collect()
}

/// Who listens on these addresses, also by listening on all of the host's.
pub fn listeners(wanted: &[SocketAddr]) -> Vec<Listener> {
    let tables = [("/proc/net/tcp", false), ("/proc/net/tcp6", true)];
    let rows = tables.iter().flat_map(|(path, six)| rows(&fs::read_to_string(path).unwrap_or_default(), *six));
    let taken = |address: &SocketAddr| {
        wanted
            .iter()
            .any(|one| one.port() == address.port() && (one.ip() == address.ip() || address.ip().is_unspecified()))
    };
    let rows: Vec<_> = rows.filter(|(address, _, _)| taken(address)).collect();
    let owners = if rows.is_empty() { vec![] } else { owners(&rows.iter().map(|(_, _, inode)| *inode).collect()) };
    let owner = |inode| owners.iter().find(|(found, _)| *found == inode).map(|(_, pid)| *pid);
    rows.into_iter()
        .map(|(address, uid, inode)| Listener { address, uid, process: owner(inode).and_then(Process::read) })
        .collect()
}

/// The processes that hold these sockets open, as far as they may be looked at.
fn owners(inodes: &BTreeSet<u64>) -> Vec<(u64, u32)> {
    let mut found = vec![];
    for pid in pids() {
        for entry in fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten() {
            let inode = fs::read_link(entry.path()).ok().and_then(|to| socket(&to));
            found.extend(inode.filter(|inode| inodes.contains(inode)).map(|inode| (inode, pid)));
        }
    }
    found
}

fn socket(link: &Path) -> Option<u64> {
    link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

/// The listening sockets of a table (proc(5), `/proc/net/tcp`): address, user, inode.
fn rows(table: &str, six: bool) -> Vec<(SocketAddr, u32, u64)> {
    let row = |line: &str| {
        let mut fields = line.split_whitespace().skip(1);
        let (local, _, state) = (fields.next()?, fields.next()?, fields.next()?);
        let (uid, inode) = (fields.nth(3)?, fields.nth(1)?);
        let (ip, port) = local.split_once(':')?;
        let address = SocketAddr::new(ip_of(ip, six)?, u16::from_str_radix(port, 16).ok()?);
        (state == LISTEN).then_some((address, uid.parse().ok()?, inode.parse().ok()?))
    };
    table.lines().skip(1).filter_map(row).collect()
}

/// Words of four bytes, each in the host's order.
fn ip_of(hex: &str, six: bool) -> Option<IpAddr> {
    let word = |at: usize| Some(u32::from_str_radix(hex.get(at * 8..at * 8 + 8)?, 16).ok()?.to_ne_bytes());
    if !six {
        return Some(Ipv4Addr::from(word(0)?).into());
    }
    let mut bytes = [0; 16];
    for (at, four) in bytes.chunks_mut(4).enumerate() {
        four.copy_from_slice(&word(at)?);
    }
    Some(Ipv6Addr::from(bytes).to_canonical())
}

/// The processes that are the agent's connectors, as its status says.
fn connectors(facts: &Facts) -> Vec<u32> {
    facts.live_status().into_iter().flat_map(|status| &status.connectors).filter_map(|one| one.pid).collect()
}

/// The connectors are the agent's children, and there is no other cloudflared.
pub fn tree(facts: &Facts) -> Found {
    let processes = match &facts.processes {
        Ok(processes) => processes,
        Err(why) => return Found::not_known(why),
    };
    let agent = facts.live_status().map(|status| status.agent.pid);
    let ours = connectors(facts);
    let child = |process: &&Process| agent == Some(process.parent);
    let strangers = processes.iter().filter(|one| one.runs_tunnel && !child(one) && !ours.contains(&one.pid));
    let mut wrong: Vec<String> = strangers
        .map(|one| {
            format!("process {} is a cloudflared that the agent did not start (its parent is {})", one.pid, one.parent)
        })
        .collect();
    for pid in &ours {
        match processes.iter().find(|one| one.pid == *pid) {
            Some(process) if child(&process) => {}
            Some(process) => {
                wrong.push(format!("the connector {pid} is a child of {}, not of the agent", process.parent))
            }
            None => wrong.push(format!("the connector {pid} of the status has just ended")),
        }
    }
    if wrong.is_empty() {
        return Found::pass(format!("{} connectors, all the agent's; no other cloudflared", ours.len()));
    }
    let first = wrong.remove(0);
    wrong.into_iter().fold(Found::warn(first), Found::and)
}

/// No command line holds a secret.
pub fn no_secret_in_argv(facts: &Facts) -> Found {
    let processes = match &facts.processes {
        Ok(processes) => processes,
        Err(why) => return Found::not_known(why),
    };
    let shown = |one: &Process| {
        format!("the command line of process {} ({}) holds {}", one.pid, one.name, one.secrets.join(", "))
    };
    let wrong = processes.iter().filter(|one| !one.secrets.is_empty()).map(shown).collect();
    Found::from_wrongs(wrong, vec![], format!("{} processes checked", processes.len()))
}

/// Nobody but the agent's connectors listens on the metrics addresses.
pub fn metrics_port(facts: &Facts) -> Found {
    let foreign = |one: &Connector| match &one.ready {
        Ready::Foreign { owner } => Some(format!("{} is answered by {owner}", one.metrics)),
        _ => None,
    };
    let mut wrong: Vec<String> = vec![];
    let answered: Vec<String> = facts.connectors.iter().filter_map(foreign).collect();
    let listeners = match &facts.early.listeners {
        Ok(listeners) => listeners,
        Err(why) => return Found::from_wrongs(answered, vec![why.clone()], ""),
    };
    let agent = facts.live_status().map(|status| status.agent.pid);
    let ours = connectors(facts);
    for Listener { address, uid, process } in listeners {
        let used =
            facts.live_status().is_some_and(|status| status.connectors.iter().any(|one| one.metrics == *address));
        match process {
            Some(one) if ours.contains(&one.pid) || agent == Some(one.parent) => {}
            Some(one) => wrong.push(format!(
                "{address} is taken by process {} ({}), not by the agent's connector",
                one.pid, one.name
            )),
            // Whose it is shows in /ready, above.
            None if used => {}
            None => wrong.push(format!("{address} is taken by a process of user {uid}; as root, doctor names it")),
        }
    }
    wrong.extend(answered);
    let addresses = facts.settings.connector.metrics.map(|address| address.to_string());
    Found::from_wrongs(wrong, vec![], format!("no other process listens on {}", addresses.join(" or ")))
}
