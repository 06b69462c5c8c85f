//! The clocks of one agent, which can be set without touching the host's.

use super::{Host, beside};
use anyhow::Context;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

/// Shifts the clocks of every agent that is started on its host after it was made.
///
/// A library that is preloaded into the agent does it; its children do not get it. libfaketime would do as well, were it
/// not for root, who must install it, and for what a killed process leaves in `/dev/shm`.
pub struct Clock(File);

/// Where the shift of the time of day lies in the file, and that of the time since boot.
const WALL: u64 = 0;
const MONOTONIC: u64 = 8;

impl Clock {
    /// The clocks of `host`'s agents, right for now.
    ///
    /// # Errors
    /// There is no C compiler, or the host's directory is not writable.
    pub fn of(host: &mut Host) -> anyhow::Result<Self> {
        let path = host.directory().join("clock");
        let file = File::create_new(&path)?;
        file.write_all_at(&[0; 16], 0)?;
        let library = library().context("failed to compile clock.c: is there a C compiler named cc?")?;
        host.environment.push(("LD_PRELOAD".into(), library.display().to_string()));
        host.environment.push(("WORLD_CLOCK".into(), path.display().to_string()));
        Ok(Self(file))
    }

    /// Sets the time of day so many seconds ahead of the host's; negative: behind.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn set_wall(&self, ahead: i64) -> anyhow::Result<()> {
        Ok(self.0.write_all_at(&(ahead * 1_000_000_000).to_ne_bytes(), WALL)?)
    }

    /// Sets both clocks ahead of the host's: the time that a test has no patience for has passed.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn set_ahead(&self, ahead: Duration) -> anyhow::Result<()> {
        let shift = i64::try_from(ahead.as_nanos())?.to_ne_bytes();
        self.0.write_all_at(&shift, WALL)?;
        Ok(self.0.write_all_at(&shift, MONOTONIC)?)
    }
}

/// Compiled once by this process, beside its programs.
fn library() -> Option<PathBuf> {
    static COMPILED: OnceLock<Option<PathBuf>> = OnceLock::new();
    let compile = || {
        let (library, own) = (beside("world-clock.so"), beside(&format!("world-clock-{}.so", std::process::id())));
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/src/world/clock.c");
        let status = Command::new("cc").args(["-O1", "-shared", "-fPIC", "-o"]).arg(&own).arg(source).status();
        // By a rename, as another test run may have it loaded.
        (status.ok()?.success() && std::fs::rename(&own, &library).is_ok()).then_some(library)
    };
    COMPILED.get_or_init(compile).clone()
}
