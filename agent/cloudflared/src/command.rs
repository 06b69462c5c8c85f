//! Executes the program with a clean environment: it inherits only what is named here.

use nix::libc;
use nix::sys::prctl::set_pdeathsig;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use nix::sys::stat::{Mode, umask};
use nix::unistd::{Pid, getppid};
use std::io;
use std::path::Path;
use std::process::Stdio;
use tokio::process::Command;

/// The variables of the agent's environment that the program gets; every other one stays behind.
///
/// `PATH` and `HOME`: without `HOME` it executes a shell to find its home directory. `SSL_CERT_*`: where the roots are
/// on an unusual host. `GO*`: the knobs of its runtime, of which operators need memory limits (1 GiB hosts) and
/// `GODEBUG=tlsmlkem=0` (middleboxes that drop large handshakes).
///
/// So it never sees `NOTIFY_SOCKET` (it would report itself ready to systemd), `WATCHDOG_*`, `TUNNEL_*` (each is a flag
/// of its own, over the config file), `AWS_*` (credentials) or proxies.
const PASSED_ON: [&str; 8] =
    ["PATH", "HOME", "SSL_CERT_FILE", "SSL_CERT_DIR", "GODEBUG", "GOMEMLIMIT", "GOGC", "GOMAXPROCS"];

/// No core file, and no core handler: the kernel writes no file smaller than a page, and 1 is the one value that also
/// stops a dump into a pipe, which 0 does not (core(5) says that the limit is not enforced for pipes; the exception is
/// in `fs/coredump.c`). A core would hold the tunnel's secret.
const CORE_LIMIT: libc::rlim_t = 1;

/// A command that executes `binary` in a process group of its own, with a scrubbed environment, no descriptor but the
/// first three, default signal handling, no core dumps and umask 077. Its standard input is empty; its outputs are
/// pipes. It is killed when it is dropped, and gets SIGTERM when the agent dies.
///
/// The kernel ties "the agent dies" to the *thread* that spawns: spawn from one that lives as long as the agent.
pub fn command(binary: &Path) -> Command {
    let mut command = Command::new(binary);
    command
        .env_clear()
        .envs(PASSED_ON.iter().filter_map(|name| Some((name, std::env::var_os(name)?))))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    isolate(&mut command);
    command
}

/// Has the child shed what it inherited and would keep over exec(2).
// Unsafe, because the closure runs between fork(2) and exec(2), where only async-signal-safe functions may be called:
// it makes plain system calls, allocates nothing and takes no lock.
#[allow(unsafe_code)]
fn isolate(command: &mut Command) {
    let agent = Pid::this();
    let before_exec = move || {
        // Before all else: until here the agent's handlers are in force, and would tell the agent of our signals.
        for signal in 1..=libc::SIGRTMAX() {
            // SAFETY: the default action is no function. Errors are of signals that cannot be handled anyway.
            unsafe { libc::signal(signal, libc::SIG_DFL) };
        }
        sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)?;
        set_pdeathsig(Signal::SIGTERM)?;
        if getppid() != agent {
            // It died before the line above, which says nothing of the past.
            return Err(io::Error::from_raw_os_error(libc::ESRCH));
        }
        // SAFETY: marking a descriptor close-on-exec invalidates no memory. Kernels before 5.11 know no such call; the
        // agent itself opens nothing without the mark, so all that is lost is what the agent's own parent left open.
        unsafe { libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC) };
        forbid_core()?;
        umask(Mode::S_IRWXG | Mode::S_IRWXO);
        Ok(())
    };
    // SAFETY: see above.
    unsafe { command.pre_exec(before_exec) };
}

/// Keeps this process, and what it executes, from leaving a core.
///
/// # Errors
/// The kernel refuses, which no known one does.
pub fn forbid_core() -> nix::Result<()> {
    // The second is for a process whose own hard limit is 0: a limit cannot be raised.
    setrlimit(Resource::RLIMIT_CORE, CORE_LIMIT, CORE_LIMIT).or_else(|_| setrlimit(Resource::RLIMIT_CORE, 0, 0))
}

#[cfg(test)]
mod tests;
