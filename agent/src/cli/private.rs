//! Nothing of this process' memory, which holds the tunnel's secret and AWS keys, gets out.

use cloudflared::forbid_core;
use nix::sys::prctl::set_dumpable;

/// No core is written or handed to a handler, whatever the signal, and nobody but root can attach to the process or read
/// its memory (prctl(2), `PR_SET_DUMPABLE`). A program that is executed loses the second, and sheds the rest by itself.
///
/// # Errors
/// A sandbox forbids the calls.
pub fn keep_memory_private() -> nix::Result<()> {
    forbid_core()?;
    set_dumpable(false)
}
