//! Root works as the agent's user on the agent's files, which that user has to read and replace later.

use anyhow::Context;
use nix::unistd::{Gid, Uid, geteuid, setgid, setgroups, setuid};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Becomes the owner of `dir` if that is somebody else and we are root. A directory that is missing changes nothing.
///
/// # Errors
/// The kernel forbids it.
pub fn become_owner(dir: &Path) -> anyhow::Result<()> {
    let Ok(metadata) = std::fs::metadata(dir) else { return Ok(()) };
    if !geteuid().is_root() || metadata.uid() == 0 {
        return Ok(());
    }
    let name = dir.display();
    setgroups(&[]).context("failed to drop root's groups")?;
    setgid(Gid::from_raw(metadata.gid())).with_context(|| format!("failed to drop to the group of {name}"))?;
    setuid(Uid::from_raw(metadata.uid())).with_context(|| format!("failed to drop to the owner of {name}"))
}
