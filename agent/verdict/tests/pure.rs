//! The verdict knows no clock, no file and no runtime: its dependencies and the parts of std that it uses show it.
#![allow(clippy::unwrap_used)] // a test may fail

use std::fs;
use std::path::{Path, PathBuf};

fn files_below(path: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}

#[test]
fn the_verdict_knows_no_clock_no_file_and_no_runtime() {
    let home = Path::new(env!("CARGO_MANIFEST_DIR"));
    let manifest = fs::read_to_string(home.join("Cargo.toml")).unwrap();
    let dependencies = manifest.split("[dependencies]").nth(1).unwrap().split("\n[").next().unwrap();
    assert_eq!(dependencies.trim(), "serde.workspace = true");
    let sources = files_below(&home.join("src"));
    assert!(sources.len() > 20, "{sources:?}");
    for path in sources {
        let text = fs::read_to_string(&path).unwrap();
        for banned in ["std::fs", "std::net", "std::process", "std::env", "Instant", "SystemTime", "std::thread"] {
            assert!(!text.contains(banned), "{} uses {banned}", path.display());
        }
    }
}
