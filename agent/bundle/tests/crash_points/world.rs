//! A config directory, the program that installs into it, and what must be true of it at any time.

use cflared_bundle::{Found, Store};
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;
use tempfile::TempDir;

/// The example, built.
pub fn program() -> &'static str {
    static PROGRAM: OnceLock<String> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
            .args(["build", "--message-format=json", "--example", "install"])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .expect("cargo runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout)
            .expect("cargo prints JSON")
            .lines()
            .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
            .find_map(|message| Some(message.get("executable")?.as_str()?.to_owned()))
            .expect("cargo names the example's executable")
    })
}

/// A directory of its own, removed at the end.
pub struct World {
    pub dir: PathBuf,
    _removed: TempDir,
}

impl World {
    /// A config directory into which those versions were installed, one after the other.
    pub fn with(versions: &[u64]) -> Self {
        let world = Self::named();
        fs::create_dir(&world.dir).expect("a new directory");
        // Whatever the umask is.
        fs::set_permissions(&world.dir, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("it is ours");
        for version in versions {
            world.install(*version);
        }
        world
    }

    fn named() -> Self {
        let removed = tempfile::Builder::new().prefix("cflared-crash-").tempdir().expect("a temporary directory");
        Self { dir: removed.path().join("etc"), _removed: removed }
    }

    /// A copy of it as it is.
    pub fn copy(&self) -> Self {
        let copy = Self::named();
        let status = Command::new("cp").arg("-a").arg(&self.dir).arg(&copy.dir).status().expect("cp runs");
        assert!(status.success());
        copy
    }

    /// The command line that installs that version.
    pub fn command(&self, version: u64) -> [String; 3] {
        [program().into(), self.dir.to_str().expect("test paths are UTF-8").into(), version.to_string()]
    }

    /// Runs it.
    pub fn try_install(&self, version: u64) -> Output {
        let command = self.command(version);
        Command::new(&command[0]).args(&command[1..]).output().expect("the example runs")
    }

    /// Runs it, and it must succeed.
    pub fn install(&self, version: u64) {
        let output = self.try_install(version);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// What `current` shows: none, or one version's whole pair, by every way that leads to it.
    pub fn shown(&self) -> Option<u64> {
        let current = self.dir.join("current");
        if let Err(error) = fs::symlink_metadata(&current) {
            assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
            assert_eq!(self.found(), Found::Nothing);
            return None;
        }
        let version = pair(&current);
        assert_eq!(pair(&self.dir), version, "the links beside `current` show what it shows");
        match self.found() {
            Found::Whole(installed) => assert_eq!(installed.version.0, format!("version-{version}")),
            other => panic!("the agent does not accept what is installed: {other:?}"),
        }
        Some(version)
    }

    fn found(&self) -> Found {
        Store::open(&self.dir).expect("the store opens").installed("i-00000000000000001", Some("dev"))
    }

    /// The versions that lie there as whole generations.
    pub fn versions(&self) -> BTreeSet<u64> {
        let generations = self.dir.join("generations");
        let Ok(entries) = fs::read_dir(&generations) else { return BTreeSet::new() };
        let names = entries.map(|entry| entry.expect("it can be listed").file_name().into_string().expect("UTF-8"));
        names.filter(|name| name.parse::<u64>().is_ok()).map(|name| pair(&generations.join(name))).collect()
    }

    /// Every path in it, with numbers of generations left out.
    pub fn names(&self) -> Vec<String> {
        let mut names = Vec::new();
        walk(&self.dir, &mut |path, _| {
            let path = path.strip_prefix(&self.dir).expect("it is inside").to_str().expect("UTF-8").to_owned();
            let parts = path.split('/').map(|part| if part.parse::<u64>().is_ok() { "N" } else { part });
            names.push(parts.collect::<Vec<_>>().join("/"));
        });
        names.sort();
        names
    }

    /// Every directory is 0700 and every file 0600, finished or not.
    pub fn assert_private(&self) {
        walk(&self.dir, &mut |path, metadata| {
            let wanted = if metadata.is_dir() { 0o700 } else { 0o600 };
            assert!(metadata.is_symlink() || metadata.mode() & 0o7777 == wanted, "{}", path.display());
        });
    }
}

/// The tunnel of a version, as the example has it.
pub fn tunnel(version: u64) -> String {
    format!("00000000-0000-4000-8000-{:012}", version / 10)
}

/// The version of the config and the credentials in a directory, which must be the same.
fn pair(dir: &Path) -> u64 {
    let config = fs::read_to_string(dir.join("config.yml")).expect("there is a config");
    let version = config.lines().next().and_then(|line| line.strip_prefix("# version ")?.parse().ok());
    let version = version.expect("the config is whole");
    assert!(config.contains(&tunnel(version)) && config.ends_with("3306\n"), "the config is whole");
    let credentials = fs::read(dir.join(format!("{}.json", tunnel(version)))).expect("there are credentials");
    let credentials: serde_json::Value = serde_json::from_slice(&credentials).expect("the credentials are whole");
    assert_eq!(credentials["AccountTag"], format!("account-{version}"), "both are of one version");
    version
}

fn walk(dir: &Path, see: &mut impl FnMut(&Path, &fs::Metadata)) {
    for entry in fs::read_dir(dir).expect("a directory") {
        let path = entry.expect("it can be listed").path();
        let metadata = fs::symlink_metadata(&path).expect("it is still there");
        see(&path, &metadata);
        if metadata.is_dir() {
            walk(&path, see);
        }
    }
}
