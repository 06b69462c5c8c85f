use super::*;
use crate::act::notify::Notifier;
use crate::act::testing::{Directory, run};
use std::fs;
use std::time::Duration;

fn mono(seconds: u64) -> Mono {
    Mono::new(Duration::from_secs(seconds))
}

fn some_boot() -> Option<String> {
    Some("5f0c1c5e-0000-4000-8000-000000000001".into())
}

fn full() -> State {
    State {
        saved_at: mono(100),
        carried: serde_json::json!({ "refused": ["v1"], "deep": { "n": 1 } }),
        cloudwatch: serde_json::from_str(r#"{"stamped":[[60,180]],"counts":{"offered":2,"delivered":2}}"#).unwrap(),
        restarts: Restarts { connector: 3, agent: 1 },
        running: true,
        ..State::empty(some_boot())
    }
}

#[test]
fn what_was_saved_is_loaded_again() {
    run(async {
        let directory = Directory::new();
        let writer = Arc::new(Writer::start(directory.path(), Notifier::default()).unwrap());
        let file = StateFile::new(State::empty(some_boot()), writer.clone());
        file.save(mono(100), |state| *state = full()).await.unwrap();
        let loaded = State::load(&directory.path().join(writer::STATE_FILE), some_boot(), mono(101));
        assert_eq!(loaded, Loaded { state: full(), warning: None });
    });
}

#[test]
fn saves_that_overlap_keep_each_others_part() {
    run(async {
        let directory = Directory::new();
        let writer = Arc::new(Writer::start(directory.path(), Notifier::default()).unwrap());
        let file = StateFile::new(State::empty(None), writer);
        let first = file.save(mono(1), |state| state.restarts.agent = 7);
        let second = file.save(mono(2), |state| state.restarts.connector = 8);
        second.await.unwrap();
        first.await.unwrap();
        let loaded = State::load(&directory.path().join(writer::STATE_FILE), None, mono(3));
        assert_eq!(loaded.state.restarts, Restarts { connector: 8, agent: 7 });
        assert_eq!(loaded.state, file.get());
    });
}

#[test]
fn a_missing_state_is_empty_without_a_word() {
    let directory = Directory::new();
    let loaded = State::load(&directory.path().join("state.json"), some_boot(), mono(1));
    assert_eq!(loaded, Loaded { state: State::empty(some_boot()), warning: None });
}

#[test]
fn a_state_that_cannot_be_used_is_empty_with_a_warning() {
    let directory = Directory::new();
    let path = directory.path().join("state.json");
    let other_boot = serde_json::to_vec(&State { boot_id: Some("other".into()), ..full() }).unwrap();
    let later = serde_json::to_vec(&State { saved_at: mono(500), ..full() }).unwrap();
    let cases: [(&[u8], &str); 8] = [
        (b"", "EOF"),
        (b"\xff\xfe\x00", "expected value"),
        (b"[]", "invalid length 0"),
        (br#"{"schema":2}"#, "its schema is 2, this agent knows 1"),
        (br#"{"schema":1}"#, "missing field"),
        (&other_boot, "another boot"),
        (&later, "saved later than now"),
        (&[b' '; 5 * 1024 * 1024], "too large"),
    ];
    for (bytes, cause) in cases {
        fs::write(&path, bytes).unwrap();
        let loaded = State::load(&path, some_boot(), mono(200));
        assert_eq!(loaded.state, State::empty(some_boot()));
        let warning = loaded.warning.unwrap();
        assert!(warning.contains(cause) && warning.contains("starting without it"), "{cause}: {warning}");
    }
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert!(State::load(&path, some_boot(), mono(200)).warning.unwrap().contains("directory"));
}

#[test]
fn the_boot_has_an_id_here() {
    let id = boot_id().unwrap();
    assert_eq!(id.len(), 36, "{id}");
    assert_eq!(boot_id().unwrap(), id);
}

/// What an agent before this one, or somebody else, left: it is taken up or dropped, and what is taken up does no harm later.
#[test]
fn fuzz_carried_state() {
    use cflared_verdict::{Carried, Config, Event, Verdict};
    let now = Mono::default() + Duration::from_secs(1000);
    let verdict = |carried| Verdict::new(Config::default(), 1, carried, now);
    let mut lived = verdict(Carried::default());
    lived.handle(now, Event::Identified { installed: None });
    let state = State { carried: serde_json::to_value(lived.carry()).unwrap(), running: true, ..State::empty(None) };
    let seeds = [State::empty(None), state].map(|state| serde_json::to_vec(&state).unwrap());
    testing::fuzz::fuzz("carried-state", seeds, |input| {
        let Ok(state) = parse(input, None, now) else { return 0 };
        let Ok(carried) = serde_json::from_value::<Carried>(state.carried.clone()) else { return 1 };
        let mut verdict = verdict(carried);
        for later in [0, 1, 60, 3600, 90_000] {
            let now = now + Duration::from_secs(later);
            verdict.handle(now, Event::Wake);
            let _ = (verdict.view(now), verdict.wake_at(now), verdict.carry());
        }
        2 + std::iter::from_fn(|| verdict.poll_decision()).count().min(16)
    });
}

/// `hold.json` likewise.
#[test]
fn fuzz_hold() {
    let directory = Directory::new();
    let file = directory.path().join("hold.json");
    let seeds =
        [r#"{"schema":1,"boot_id":null,"until":{"secs":1,"nanos":0},"note":"a"}"#, r#"{"schema":1,"note":"a"}"#, "{}"];
    testing::fuzz::fuzz("hold", seeds.map(|seed| seed.as_bytes().to_vec()), |input| {
        fs::write(&file, input).unwrap();
        let hold = crate::act::hold::read(&file, None, Mono::default());
        hold.map(|hold| {
            assert!(
                hold.note.chars().count() <= 400 && hold.note.chars().all(input::plain::is_harmless),
                "{}",
                hold.note
            );
            hold.until.is_some()
        })
    });
}
