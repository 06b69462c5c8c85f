use super::*;

#[test]
fn a_duration_is_given_or_off_and_nothing_holds_for_ever() {
    for (text, wanted) in [
        ("off", Wish::Off),
        ("2h", Wish::For(Duration::from_secs(7200))),
        ("1s", Wish::For(SHORTEST)),
        ("7d", Wish::For(LONGEST)),
    ] {
        assert_eq!(wish(text), Ok(wanted));
    }
    for text in ["", "on", "2", "0s", "999ms", "7d 1s", "2y", "-2h", "OFF", "2 parsecs"] {
        let told = wish(text).unwrap_err();
        assert!(told.contains("allowed: 1s to 7d"), "{text}: {told}");
    }
}

#[test]
fn a_note_is_short_and_printable() {
    let note = note(Some(&format!(" a\u{1b}[31m\nb {} ", "x".repeat(1000))));
    assert!(!note.contains(char::is_control), "{note:?}");
    assert!(note.contains(": a [31m b xxx") && note.chars().count() < 300, "{note}");
}

#[test]
fn an_agent_shows_a_hold_when_it_is_this_one() {
    let at = |seconds| Some((SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)).into());
    let hold = |by: &str, seconds, note: &str| Hold { by: by.into(), until: at(seconds), note: note.into() };
    let wanted = hold(OPERATOR, 100, "alice");
    for (shown, is_shown) in [
        (vec![], false),
        (vec![hold("tag", 100, "alice")], false),
        (vec![hold(OPERATOR, 100, "alice")], true),
        (vec![hold("tag", 7, "yes"), hold(OPERATOR, 101, "alice")], true),
        (vec![hold(OPERATOR, 99, "alice")], true),
        (vec![hold(OPERATOR, 110, "alice")], false),
        (vec![hold(OPERATOR, 100, "bob")], false),
        (vec![Hold { until: None, ..wanted.clone() }], false),
    ] {
        assert_eq!(shows(&shown, Some(&wanted)), is_shown, "{shown:?}");
    }
    assert!(shows(&[], None) && shows(&[hold("tag", 1, "yes")], None));
    assert!(!shows(&[wanted], None));
}
