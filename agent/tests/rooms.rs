//! Data flows one way: a room imports rooms above it in `lib.rs`, the leaf and the verdict's vocabulary, nothing else.
#![allow(clippy::unwrap_used)] // a test may fail

use std::fs;
use std::path::{Path, PathBuf};

/// The rooms in the order of the flow, as `lib.rs` lists them.
fn rooms() -> Vec<String> {
    let list = fs::read_to_string(source().join("lib.rs")).unwrap();
    let name = |line: &str| line.strip_prefix("pub mod ")?.strip_suffix(';').map(String::from);
    list.lines().filter_map(name).collect()
}

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn files_below(path: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}

/// The rooms that a source names as `crate::room` or in `use crate::{room, …}`.
fn imports(text: &str, rooms: &[String]) -> Vec<String> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices("crate::") {
        let rest = &text[at + "crate::".len()..];
        let named = match rest.strip_prefix('{') {
            Some(list) => first_words(list),
            None => vec![first_word(rest)],
        };
        found.extend(named.into_iter().filter(|name| rooms.contains(name)));
    }
    found
}

/// The first words of the entries of a list up to its closing brace.
fn first_words(list: &str) -> Vec<String> {
    let (mut depth, mut words, mut entry) = (0, Vec::new(), String::new());
    for c in list.chars() {
        match c {
            '}' if depth == 0 => break,
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => words.push(first_word(&std::mem::take(&mut entry))),
            _ if depth == 0 => entry.push(c),
            _ => {}
        }
    }
    words.push(first_word(&entry));
    words
}

fn first_word(text: &str) -> String {
    text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

#[test]
fn a_room_uses_only_rooms_above_it() {
    let rooms = rooms();
    // More and more of them are crates, whose order the compiler holds.
    assert!(
        ["agent", "cli"].iter().all(|room| rooms.contains(&(*room).to_owned())),
        "lib.rs lists the rooms: {rooms:?}"
    );
    let mut wrong = Vec::new();
    for (place, room) in rooms.iter().enumerate() {
        let (folder, file) = (source().join(room), source().join(format!("{room}.rs")));
        let mut files = if folder.is_dir() { files_below(&folder) } else { vec![] };
        files.extend(file.is_file().then_some(file));
        assert!(!files.is_empty(), "{room} has no file");
        for path in files {
            let text = fs::read_to_string(&path).unwrap();
            for used in imports(&text, &rooms) {
                if rooms[place + 1..].contains(&used) {
                    wrong.push(format!("{} uses {used}, which is below {room}", path.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_verdict_knows_no_clock_no_file_and_no_runtime() {
    let manifest = fs::read_to_string(source().join("../verdict/Cargo.toml")).unwrap();
    let dependencies = manifest.split("[dependencies]").nth(1).unwrap().split("\n[").next().unwrap();
    assert_eq!(dependencies.trim(), "serde.workspace = true");
    for path in files_below(&source().join("../verdict/src")) {
        let text = fs::read_to_string(&path).unwrap();
        for banned in ["std::fs", "std::net", "std::process", "std::env", "Instant", "SystemTime", "std::thread"] {
            assert!(!text.contains(banned), "{} uses {banned}", path.display());
        }
    }
}

#[test]
fn imports_are_found_in_every_form() {
    let rooms: Vec<String> = ["act", "log", "secret"].map(String::from).into();
    let text = "use status;\nuse crate::{log, secret::{self, Read}};\nlet x = crate::log::init();";
    assert_eq!(imports(text, &rooms), ["act", "log", "secret", "log"]);
}
