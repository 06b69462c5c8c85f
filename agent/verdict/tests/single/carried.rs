//! What an agent takes over from the one before it, if that can be true.

use crate::world::{World, at};
use cflared_verdict::{Carried, Config, Ready, Verdict};
use serde_json::{Value, json};

/// What a world carries that has been out for some minutes, as it lies on the disk.
fn saved() -> (Value, u64) {
    let mut world = World::registered();
    world.ready = Ready::No;
    world.run(200);
    let second = world.now.since_boot().as_secs();
    (serde_json::to_value(world.verdict.carry()).unwrap(), second)
}

/// What is said of it when a new agent starts at that second; `None`: it is taken.
fn dropped(saved: &Value, second: u64) -> Option<String> {
    let carried: Carried = serde_json::from_value(saved.clone()).unwrap();
    let mut verdict = Verdict::new(Config::default(), 1, carried, at(second));
    let said = std::iter::from_fn(|| verdict.poll_decision())
        .find(|decision| decision.what.contains("the previous agent's state"));
    // Whatever it was, it is no reason to stop.
    verdict.handle(at(second + 1), cflared_verdict::Event::Wake);
    said.map(|decision| decision.evidence)
}

#[test]
fn what_was_saved_is_taken() {
    let (saved, second) = saved();
    assert_eq!(dropped(&saved, second), None);
    assert_eq!(dropped(&serde_json::to_value(Carried::default()).unwrap(), 5), None);
}

#[test]
fn what_cannot_be_true_is_dropped_and_said() {
    let (good, second) = saved();
    assert!(dropped(&good, second - 100).unwrap().contains("future"), "the clock of the boot never steps back");
    let most = json!({"secs": u64::MAX, "nanos": 0});
    for (path, value, word) in [
        ("/schema", json!(1), "schema"),
        ("/started", most.clone(), "future"),
        ("/outage/since", most.clone(), "future"),
        ("/ladder/restarted/at", most.clone(), "future"),
        ("/ladder/restarted/times", json!(0), "restarts"),
        ("/ladder/restarted/times", json!(u32::MAX), "restarts"),
        ("/blips", json!([most.clone()]), "future"),
    ] {
        let mut bad = good.clone();
        let place = bad.pointer_mut(path).unwrap_or_else(|| panic!("{path} in {good}"));
        *place = value;
        let said = dropped(&bad, second).unwrap_or_else(|| panic!("{path} was taken"));
        assert!(said.contains(word), "{path}: {said}");
    }
}
