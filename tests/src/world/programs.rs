//! Where the programs are.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// A program of the virtual environment that `tests/setup.sh` makes.
///
/// # Panics
/// It is not there.
pub fn venv(program: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/venv/bin").join(program);
    assert!(path.exists(), "{} is missing: run tests/setup.sh, then this test again", path.display());
    path
}

/// The agent. A test builds it, once: what is tested is what the sources say. The programs of this workspace are built
/// along with it.
///
/// # Panics
/// It does not build: there is nothing to test.
pub fn agent_binary() -> PathBuf {
    if !is_test() {
        return beside("cflared-agent");
    }
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let build = || {
        let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut build = Command::new(cargo);
        build.args(["build", "--quiet", "--workspace", "--bins"]);
        build.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
        // What cargo tells a test of its package is no setting: build scripts would run again for it, and again without.
        let of_this_package =
            |name: &str| ["CARGO_PKG_", "CARGO_MANIFEST_"].iter().any(|begin| name.starts_with(begin));
        for (name, _) in env::vars_os().filter(|(name, _)| name.to_str().is_some_and(of_this_package)) {
            build.env_remove(name);
        }
        let status = build.status();
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
    let mut directory = own_directory();
    if is_test() {
        directory.pop();
    }
    directory.join(name)
}

/// Whether this program is a test, which cargo puts into a directory of their own.
fn is_test() -> bool {
    own_directory().ends_with("deps")
}

fn own_directory() -> PathBuf {
    let mut path = env::current_exe().expect("Linux tells where a program is");
    path.pop();
    path
}
