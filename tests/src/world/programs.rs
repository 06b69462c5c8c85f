//! Where the programs are.

use std::env;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

/// The agent, built once by whoever asks first: what is tested is what the sources say.
///
/// # Panics
/// It does not build: there is nothing to test.
pub fn agent_binary() -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let build = || {
        let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let status = Command::new(cargo)
            .args(["build", "--quiet", "--workspace", "--bins"])
            .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
            .status();
        assert!(status.is_ok_and(|status| status.success()), "the agent does not build");
        beside("cflared-agent")
    };
    BUILT.get_or_init(build).clone()
}

/// A program of this workspace, which cargo puts into the directory of this one, or above it if this is a test.
///
/// # Panics
/// This program does not know where it is.
pub fn beside(name: &str) -> PathBuf {
    let mut directory = env::current_exe().expect("Linux tells where a program is");
    directory.pop();
    if directory.ends_with("deps") {
        directory.pop();
    }
    directory.join(name)
}
