//! Keeps the program from connecting to where it must not.
//!
//! What a name resolves to is known to the program alone, at the moment when it connects. So the kernel asks the agent about every
//! connect(2) of the child (seccomp_unotify(2), Linux 5.5): a thread reads the address out of the child's memory, and has the call
//! go on or fail with EACCES. The child could change the address after that; a fence is against those who configure the program,
//! not against the program itself.

use super::process::{Process, SpawnError};
use nix::errno::Errno;
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::File;
use std::io::{self, PipeReader};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::{Arc, mpsc};
use tokio::process::Command;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tracing::warn;

/// Where the program connects to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// An address on the network.
    Address(SocketAddr),
    /// A socket of this host; a name in the abstract namespace has `@` in front.
    Socket(PathBuf),
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Socket(path) => path.display().fmt(f),
        }
    }
}

/// Where the program must not connect. It is asked on a thread that may wait, and the connection waits for the answer.
#[derive(Clone)]
pub struct Forbids(Arc<dyn Fn(&Destination) -> bool + Send + Sync>);

impl Forbids {
    /// Every place that `forbids` is true of.
    pub fn all(forbids: impl Fn(&Destination) -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(forbids))
    }
}

impl fmt::Debug for Forbids {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Forbids")
    }
}

/// Enough to read an address and to write a log line.
const STACK: usize = 256 * 1024;

/// What came of the thread that was to spawn.
enum Begun {
    /// The child was executed within a fence, or could not be executed.
    Fenced(Result<Process, SpawnError>),
    /// There is no fence to be had here.
    Unfenced(Command, io::Error),
}

impl Process {
    /// As [`Process::spawn`]; and the child, with all that it forks, connects nowhere that `forbids` names. Where the kernel or a
    /// sandbox has no fence to give, the child runs without, and the log says so.
    ///
    /// # Errors
    /// As [`Process::spawn`].
    pub async fn spawn_fenced(command: Command, forbids: Forbids) -> Result<Self, SpawnError> {
        let (give, take) = mpsc::channel();
        let runtime = Handle::current();
        // The filter is that thread's own and passes to what it spawns.
        let thread = std::thread::Builder::new().name("fence".into()).stack_size(STACK).spawn(move || {
            if let Ok((command, begun)) = take.recv() {
                spawn_and_watch(command, begun, &runtime, &forbids);
            }
        });
        let begun = match thread {
            Err(error) => Begun::Unfenced(command, error),
            Ok(_) => {
                let (begun, heard) = oneshot::channel();
                give.send((command, begun)).expect("the thread waits for it");
                heard.await.expect("the thread answers before it ends")
            }
        };
        match begun {
            Begun::Fenced(spawned) => spawned,
            Begun::Unfenced(command, error) => {
                warn!(%error, event = "fence_missing", "the connector's connections are not checked: a name may change its address");
                Self::spawn(command)
            }
        }
    }
}

/// The life of the thread. The child dies with the thread that spawned it, so the thread stays until the child has ended.
fn spawn_and_watch(command: Command, begun: oneshot::Sender<Begun>, runtime: &Handle, forbids: &Forbids) {
    let (listener, (ended, held)) = match raise().and_then(|listener| Ok((listener, io::pipe()?))) {
        Ok(raised) => raised,
        Err(error) => return drop(begun.send(Begun::Unfenced(command, error))),
    };
    let _entered = runtime.enter();
    let spawned = Process::spawn(command).map(|process| process.holding(held));
    // If nobody waits for it any more, it is dropped and thereby killed.
    drop(begun.send(Begun::Fenced(spawned)));
    watch(&listener, &ended, forbids);
}

/// Answers the kernel until the process that holds the other end of `ended` is no more.
fn watch(listener: &OwnedFd, ended: &PipeReader, forbids: &Forbids) {
    let mut readable = true;
    loop {
        let mut polled =
            [PollFd::new(listener.as_fd(), PollFlags::POLLIN), PollFd::new(ended.as_fd(), PollFlags::POLLIN)];
        match poll(&mut polled, PollTimeout::NONE) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(_) => return,
        }
        let [asked, ended] = polled.map(|polled| polled.revents().unwrap_or(PollFlags::empty()));
        if !ended.is_empty() {
            return;
        }
        if asked.contains(PollFlags::POLLIN) {
            answer(listener, forbids, &mut readable);
        }
    }
}

/// Answers one question.
fn answer(listener: &OwnedFd, forbids: &Forbids, readable: &mut bool) {
    // The kernel may have withdrawn it: its thread was killed, or goes elsewhere for a signal.
    let Ok(question) = receive(listener) else { return };
    let [_, address, length, ..] = question.data.args;
    let forbidden = match address_at(question.pid, address, length) {
        Ok(to) => to.is_some_and(|to| (forbids.0)(&to)),
        Err(error) => {
            // Another security module keeps memory private (ptrace(2), Yama's scope 2). It is said once.
            if std::mem::take(readable) {
                warn!(%error, event = "fence_missing", "the connector's connections are not checked: their addresses cannot be read");
            }
            false
        }
    };
    reply(listener, question.id, forbidden);
}

/// What the child passes; none: it is of another family.
fn address_at(thread: u32, at: u64, length: u64) -> io::Result<Option<Destination>> {
    let mut bytes = [0; size_of::<libc::sockaddr_un>()];
    let length = usize::try_from(length).unwrap_or(usize::MAX).min(bytes.len());
    let bytes = &mut bytes[..length];
    File::open(format!("/proc/{thread}/mem"))?.read_exact_at(bytes, at)?;
    Ok(parse(bytes))
}

/// Reads a `sockaddr_in`, a `sockaddr_in6` or a `sockaddr_un` (ip(7), ipv6(7), unix(7)).
fn parse(bytes: &[u8]) -> Option<Destination> {
    let (family, rest) = bytes.split_first_chunk::<2>()?;
    if i32::from(u16::from_ne_bytes(*family)) == libc::AF_UNIX {
        return socket(rest).map(Destination::Socket);
    }
    let (port, rest) = rest.split_first_chunk::<2>()?;
    let ip: IpAddr = match i32::from(u16::from_ne_bytes(*family)) {
        libc::AF_INET => (*rest.first_chunk::<4>()?).into(),
        libc::AF_INET6 => (*rest.get(4..)?.first_chunk::<16>()?).into(),
        _ => return None,
    };
    Some(Destination::Address(SocketAddr::new(ip, u16::from_be_bytes(*port))))
}

/// A path up to its NUL, or behind a NUL a name in the abstract namespace.
fn socket(name: &[u8]) -> Option<PathBuf> {
    let text = |bytes: &[u8]| OsStr::from_bytes(bytes).to_owned();
    match name.split_first()? {
        (0, []) => None,
        (0, name) => Some([OsStr::new("@").to_owned(), text(name)].into_iter().collect::<OsString>().into()),
        _ => name.split(|byte| *byte == 0).next().map(|path| text(path).into()),
    }
}

// ---- the kernel's interface: seccomp(2), seccomp_unotify(2)

/// Puts the filter on this thread, and on all that it will spawn.
// Unsafe, because the system call takes a pointer to a program of instructions, which lives until it returns.
#[allow(unsafe_code)]
fn raise() -> io::Result<OwnedFd> {
    /// `AUDIT_ARCH_*` of linux/audit.h.
    const ARCHITECTURE: u32 = if cfg!(target_arch = "x86_64") { 0xc000_003e } else { 0xc000_00b7 };
    let load = |offset: usize| libc::sock_filter {
        code: (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16,
        jt: 0,
        jf: 0,
        k: offset as u32,
    };
    let skip_unless = |value: u32, skipped: u8| libc::sock_filter {
        code: (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16,
        jt: 0,
        jf: skipped,
        k: value,
    };
    let end = |with: u32| libc::sock_filter { code: (libc::BPF_RET | libc::BPF_K) as u16, jt: 0, jf: 0, k: with };
    let mut program = [
        load(std::mem::offset_of!(libc::seccomp_data, arch)),
        skip_unless(ARCHITECTURE, 3),
        load(std::mem::offset_of!(libc::seccomp_data, nr)),
        skip_unless(libc::SYS_connect as u32, 1),
        end(libc::SECCOMP_RET_USER_NOTIF),
        end(libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    // Without it an unprivileged thread may have no filter.
    nix::sys::prctl::set_no_new_privs()?;
    let install = |flags: libc::c_ulong| {
        // SAFETY: the program and its instructions live until the call returns.
        let fd = unsafe {
            libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, std::ptr::from_ref(&program))
        };
        // SAFETY: a descriptor that the kernel has just made is nobody else's.
        Errno::result(fd).map(|fd| unsafe { OwnedFd::from_raw_fd(fd as i32) })
    };
    let listener = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER;
    // A signal, of which Go's runtime sends itself many, should not make the child ask again (Linux 5.19).
    match install(listener | libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV) {
        Err(Errno::EINVAL) => Ok(install(listener)?),
        installed => Ok(installed?),
    }
}

// Unsafe, because the kernel fills a structure, which must be zero before.
#[allow(unsafe_code)]
fn receive(listener: &OwnedFd) -> nix::Result<libc::seccomp_notif> {
    // SAFETY: it consists of numbers.
    let mut question: libc::seccomp_notif = unsafe { std::mem::zeroed() };
    // SAFETY: the structure is the one that this request fills, and ours alone.
    Errno::result(unsafe { libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_RECV, &mut question) })?;
    Ok(question)
}

// Unsafe, because the kernel reads and writes a structure.
#[allow(unsafe_code)]
fn reply(listener: &OwnedFd, id: u64, forbidden: bool) {
    let (error, flags) =
        if forbidden { (-libc::EACCES, 0) } else { (0, libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE as u32) };
    let mut answer = libc::seccomp_notif_resp { id, val: 0, error, flags };
    // A question that was withdrawn needs no answer.
    // SAFETY: the structure is the one that this request reads, and ours alone.
    let _ = unsafe { libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_SEND, &mut answer) };
}

#[cfg(test)]
mod tests;
