//! The agent's own sources, for tests that hold a page against them.

use std::fs;
use std::path::{Path, PathBuf};

/// A page of `docs/`.
pub fn page(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(name)).unwrap()
}

/// What is built into the agent, from all its crates, tests left out.
pub fn sources() -> Vec<String> {
    let home = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = below(home);
    let built = files.iter().filter(|path| {
        let parts = path.strip_prefix(home).unwrap().iter();
        !parts.into_iter().any(|part| ["examples", "testing", "tests", "tests.rs"].iter().any(|other| part == *other))
    });
    built
        .filter(|path| path.extension().is_some_and(|end| end == "rs"))
        .map(|path| fs::read_to_string(path).unwrap())
        .collect()
}

fn below(path: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { below(&path) } else { vec![path] }).collect()
}
