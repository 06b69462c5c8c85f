//! Which boot of the host this is.

/// The kernel's id of this boot. None in a sandbox that hides it (`ProcSubset=pid`): the runtime directory is emptied
/// by a reboot all the same.
pub fn boot_id() -> Option<String> {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(id.trim().to_owned())
}
