use super::*;
use crate::act::notify::Notifier;
use std::fs;
use std::time::Duration;
use testing::{Directory, run};

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
    let id = status::boot_id().unwrap();
    assert_eq!(id.len(), 36, "{id}");
    assert_eq!(status::boot_id().unwrap(), id);
}

/// What an agent wrote that was registered, and was told to stop.
const LIVED: &str = include_str!("lived.json");
/// A moment soon after that.
const SOON: u64 = 27_000;

/// Takes up what an agent before this one, or somebody else, left, and lives on with it for a day: 0 if it is dropped.
fn taken_up(input: &[u8]) -> usize {
    use cflared_verdict::{Carried, Config, Event, Verdict};
    let Ok(state) = parse(input, None, mono(SOON)) else { return 0 };
    let Ok(carried) = serde_json::from_value::<Carried>(state.carried.clone()) else { return 1 };
    let mut verdict = Verdict::new(Config::default(), 1, carried, mono(SOON));
    for later in [0, 1, 60, 3600, 90_000] {
        let now = mono(SOON + later);
        verdict.handle(now, Event::Wake);
        let _ = (verdict.view(now), verdict.wake_at(now), verdict.carry());
    }
    2 + std::iter::from_fn(|| verdict.poll_decision()).count().min(16)
}

#[test]
fn fuzz_carried_state() {
    use cflared_verdict::{Carried, Config, Event, Verdict};
    let mut fresh = Verdict::new(Config::default(), 1, Carried::default(), mono(SOON));
    fresh.handle(mono(SOON), Event::Identified { installed: None });
    let state = State { carried: serde_json::to_value(fresh.carry()).unwrap(), running: true, ..State::empty(None) };
    let seeds = [State::empty(None), state].map(|state| serde_json::to_vec(&state).unwrap());
    testing::fuzz::fuzz("carried-state", seeds.into_iter().chain([LIVED.as_bytes().to_vec()]), taken_up);
}

/// The places of all numbers.
fn numbers(value: &serde_json::Value, at: String, found: &mut Vec<String>) {
    match value {
        serde_json::Value::Number(_) => found.push(at),
        serde_json::Value::Array(all) => {
            all.iter().enumerate().for_each(|(index, value)| numbers(value, format!("{at}/{index}"), found));
        }
        serde_json::Value::Object(all) => {
            all.iter().for_each(|(key, value)| numbers(value, format!("{at}/{key}"), found));
        }
        _ => {}
    }
}

#[test]
fn no_number_of_a_state_ends_the_agent() {
    let lived: serde_json::Value = serde_json::from_str(LIVED).unwrap();
    assert!(taken_up(LIVED.as_bytes()) >= 2, "as it is, it is taken up");
    let mut places = vec![];
    numbers(&lived, String::new(), &mut places);
    assert!(places.len() > 20, "{places:?}");
    for place in places {
        for number in ["0", "-1", "4294967295", "9223372036854775807", "18446744073709551615", "1e308", "0.5"] {
            let mut changed = lived.clone();
            *changed.pointer_mut(&place).unwrap() = serde_json::from_str(number).unwrap();
            // The seconds and the nanoseconds of a moment are read together.
            let _ = taken_up(changed.to_string().as_bytes());
        }
    }
}

/// `hold.json` likewise.
#[test]
fn fuzz_hold() {
    let directory = Directory::new();
    let file = directory.path().join("hold.json");
    let seeds = [
        r#"{"schema":1,"boot_id":null,"made_at":{"secs":1,"nanos":0},"until":{"secs":9,"nanos":0},"note":"a"}"#,
        r#"{"schema":1,"note":"a"}"#,
        "{}",
    ];
    testing::fuzz::fuzz("hold", seeds.map(|seed| seed.as_bytes().to_vec()), |input| {
        fs::write(&file, input).unwrap();
        let hold = status::hold::read(&file, None, Mono::default());
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
