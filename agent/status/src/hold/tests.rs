use super::*;
use std::os::unix::fs::symlink;
use testing::Directory;

const BOOT: Option<&str> = Some("this boot");

fn mono(seconds: u64) -> Mono {
    Mono::new(Duration::from_secs(seconds))
}

fn held() -> Held {
    let boot_id = BOOT.map(String::from);
    Held { schema: SCHEMA, boot_id, made_at: mono(100), until: mono(200), note: "alice: maintenance".into() }
}

#[test]
fn a_hold_lasts_from_its_writing_to_its_end_within_its_boot() {
    let directory = Directory::new();
    let path = directory.path().join(HOLD_FILE);
    assert_eq!(read(&path, BOOT, mono(150)), None);
    held().write(&path).unwrap();
    let hold = Hold { until: Some(mono(200)), note: "alice: maintenance".into() };
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o644, "whoever may read the status may read it");
    for (boot, now, wanted) in [
        (BOOT, 100, Some(&hold)),
        (BOOT, 199, Some(&hold)),
        (BOOT, 200, None),
        (Some("another boot"), 150, None),
        (None, 150, Some(&hold)),
        // Written while the reader already knew what time it is, and of a boot that lasted longer.
        (BOOT, 99, Some(&hold)),
        (None, 30, None),
    ] {
        assert_eq!(read(&path, boot, mono(now)).as_ref(), wanted, "{boot:?} {now}");
    }
    assert_eq!((lift(&path).unwrap(), lift(&path).unwrap()), (true, false));
    let left: Vec<_> = fs::read_dir(directory.path()).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn what_cannot_be_used_holds_until_somebody_ends_it() {
    let directory = Directory::new();
    let path = directory.path().join(HOLD_FILE);
    let whole = serde_json::to_string(&held()).unwrap();
    let texts = [
        (String::new(), "EOF"),
        ("{".into(), "EOF"),
        (whole[..whole.len() - 9].into(), "EOF"),
        (whole.replace("\"schema\":1", "\"schema\":2"), "its schema is 2, this agent knows 1"),
        (whole.replace("\"until\"", "\"untill\""), "untill"),
        ("x".repeat(20_000), "too large"),
    ];
    for (text, told) in texts {
        fs::write(&path, &text).unwrap();
        let hold = read(&path, BOOT, mono(10_000)).unwrap();
        assert_eq!(hold.until, None);
        assert!(hold.note.contains(told) && hold.note.contains("cflared-agent hold off"), "{text}: {}", hold.note);
    }
    assert_eq!(read(&path.join("below a file"), BOOT, mono(150)), None, "nobody can have put one there");
    fs::remove_file(&path).unwrap();
    let make: [fn(&Path); 3] = [
        |path| fs::create_dir(path).unwrap(),
        |path| symlink("/etc/passwd", path).unwrap(),
        |path| nix::unistd::mkfifo(path, nix::sys::stat::Mode::S_IRWXU).unwrap(),
    ];
    for make in make {
        make(&path);
        assert_eq!(read(&path, BOOT, mono(150)).unwrap().until, None);
        let removed = fs::remove_file(&path).or_else(|_| fs::remove_dir(&path));
        removed.unwrap();
    }
}

#[test]
fn a_watch_tells_changes_only() {
    let directory = Directory::new();
    let path = directory.path().join(HOLD_FILE);
    let mut watch = Watch::new(directory.path(), BOOT.map(String::from));
    assert_eq!(watch.look(mono(150)), None, "missing from the beginning is no change");
    held().write(&path).unwrap();
    assert_eq!(watch.look(mono(150)).unwrap().unwrap().until, Some(mono(200)));
    assert_eq!(watch.look(mono(150)), None);
    let longer = Held { until: mono(300), ..held() };
    longer.write(&path).unwrap();
    assert_eq!(watch.look(mono(150)).unwrap().unwrap().until, Some(mono(300)));
    // The same again is a change that changes nothing.
    longer.write(&path).unwrap();
    assert_eq!(watch.look(mono(150)).unwrap().unwrap().until, Some(mono(300)));
    fs::write(&path, "{").unwrap();
    assert_eq!(watch.look(mono(150)).unwrap().unwrap().until, None);
    lift(&path).unwrap();
    assert_eq!(watch.look(mono(150)), Some(None));
    assert_eq!(watch.look(mono(150)), None);
    // One that had ended before the agent came.
    held().write(&path).unwrap();
    let mut later = Watch::new(directory.path(), None);
    assert_eq!(later.look(mono(250)), Some(None));
}

#[test]
fn a_hold_without_measure_ends_with_the_longest_that_there_is() {
    let directory = Directory::new();
    let path = directory.join(HOLD_FILE);
    let text = r#"{"schema":1,"boot_id":null,"made_at":{"secs":10,"nanos":0},"until":{"secs":18446744073709551615,"nanos":999999999},"note":"n"}"#;
    fs::write(&path, text).unwrap();
    let hold = read(&path, None, mono(100)).unwrap();
    assert_eq!(hold.until, Some(mono(100) + LONGEST));
}

/// Found by `fuzz_hold`: the cause quotes a key of the file.
#[test]
fn what_cannot_be_used_is_quoted_harmlessly() {
    let directory = Directory::new();
    let path = directory.path().join(HOLD_FILE);
    for key in ["\u{1b}[2Juntil", "\u{202e}litnu", "until\n", &"k".repeat(10_000)] {
        fs::write(&path, serde_json::json!({ "schema": 1, key: 1 }).to_string()).unwrap();
        let note = read(&path, BOOT, mono(1)).unwrap().note;
        assert!(note.chars().all(input::plain::is_harmless) && note.chars().count() < 400, "{note}");
    }
}
