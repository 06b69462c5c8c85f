use super::*;
use std::process::Command;
use testing::fake::Dir;

fn at(seconds: u64) -> Mono {
    Mono::new(Duration::from_secs(seconds))
}

/// Looks once more, until nobody looks any more.
async fn look(binary: &mut Binary, now: u64, executed: Option<Stamp>) -> Vec<String> {
    binary.look(at(now));
    let mut told = Vec::new();
    while let Some(seen) = binary.seen().await {
        told.extend(binary.take(seen, executed).map(|version| version.to_string()));
    }
    told
}

fn says(dir: &Dir, version: &str) -> PathBuf {
    dir.script(&format!("echo $1 >> $D/asked; echo 'cloudflared version {version} (built 2026-08-14-1122 UTC)'"))
}

#[tokio::test]
async fn another_file_is_told_of_once_when_it_stays_and_answers() {
    let dir = Dir::new();
    let path = says(&dir, "2026.8.2");
    let runs = Stamp::of(&path);
    let mut binary = Binary::new(&path, Duration::from_secs(5));
    let none: [&str; 0] = [];
    for now in [0, 60, 120] {
        assert_eq!(look(&mut binary, now, runs).await, none);
    }
    says(&dir, "2026.9.1");
    assert_eq!(look(&mut binary, 179, runs).await, none, "not due yet");
    assert_eq!(look(&mut binary, 180, runs).await, none, "it may be on its way");
    assert_eq!(dir.read("asked"), "");
    assert_eq!(look(&mut binary, 240, runs).await, ["2026.9.1"]);
    assert_eq!(look(&mut binary, 300, runs).await, none);
    // A third one, before the second was taken up; then the second was, and a fourth comes.
    says(&dir, "2026.9.2");
    assert_eq!(look(&mut binary, 360, runs).await, none);
    assert_eq!(look(&mut binary, 420, runs).await, ["2026.9.2"]);
    let runs = Stamp::of(&path);
    assert_eq!(look(&mut binary, 480, runs).await, none);
    says(&dir, "2026.9.3");
    assert_eq!(look(&mut binary, 540, runs).await, none);
    assert_eq!(look(&mut binary, 600, runs).await, ["2026.9.3"]);
    assert_eq!(dir.read("asked"), "--version\n".repeat(3));
}

#[tokio::test]
async fn what_changes_is_missing_or_says_nothing_is_not_told_of_until_it_does() {
    let dir = Dir::new();
    let path = says(&dir, "2026.8.2");
    let runs = Stamp::of(&path);
    let mut binary = Binary::new(&path, Duration::from_secs(5));
    let none: [&str; 0] = [];
    // Being written: another size at each look.
    for now in 0..4 {
        dir.script(&format!("exit 1 # {}", "x".repeat(now as usize)));
        assert_eq!(look(&mut binary, 60 * now, runs).await, none);
    }
    assert_eq!(binary.trouble, None, "it was not executed");
    assert_eq!(look(&mut binary, 240, runs).await, none);
    assert!(binary.trouble.as_ref().is_some_and(|trouble| trouble.contains("read the version")), "{binary:?}");
    std::fs::remove_file(&path).unwrap();
    assert_eq!(look(&mut binary, 300, runs).await, none);
    says(&dir, "2026.9.1");
    assert_eq!(look(&mut binary, 360, runs).await, none);
    assert_eq!(look(&mut binary, 420, None).await, none, "no child was ever executed");
    assert_eq!(look(&mut binary, 480, runs).await, none);
    assert_eq!(look(&mut binary, 540, runs).await, ["2026.9.1"]);
}

#[tokio::test]
async fn a_file_that_is_replaced_while_it_is_asked_is_not_told_of() {
    let dir = Dir::new();
    let path = says(&dir, "2026.8.2");
    let runs = Stamp::of(&path);
    let mut binary = Binary::new(&path, Duration::from_secs(5));
    dir.script("mv $D/next $D/cloudflared; echo 'cloudflared version 2026.9.1 (built 2026-08-14-1122 UTC)'");
    let copied = Command::new("cp").arg("-p").arg(&path).arg(dir.join("next")).status().unwrap();
    assert!(copied.success());
    let none: [&str; 0] = [];
    assert_eq!(look(&mut binary, 0, runs).await, none);
    assert_eq!(look(&mut binary, 60, runs).await, none);
    assert_eq!(binary.candidate, Stamp::of(&path));
}
