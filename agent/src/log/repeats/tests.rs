use super::*;
use proptest::prelude::*;
use tracing::Level;

fn at(milliseconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(1_000_000 + milliseconds)
}

fn line(message: &str, milliseconds: u64) -> Box<Record> {
    let mut record = Record::new(Level::INFO, "test", Default::default());
    record.message = message.into();
    record.time = at(milliseconds);
    Box::new(record)
}

/// How many of `count` lines, one a millisecond from `from` on, are written.
fn written(repeats: &mut Repeats, message: &str, from: u64, count: u64) -> usize {
    (from..from + count).filter(|ms| repeats.admit(line(message, *ms)).is_some()).count()
}

fn counts(held: Vec<Held>) -> Vec<(String, u64)> {
    held.into_iter().map(|held| (held.last.message.clone(), held.count)).collect()
}

#[test]
fn the_first_ten_are_written_and_the_rest_is_told_when_the_window_is_over() {
    let mut repeats = Repeats::default();
    assert_eq!(written(&mut repeats, "a", 0, 10), 10);
    assert_eq!(repeats.until_over(at(10)), None, "nothing is held back");
    assert_eq!(written(&mut repeats, "a", 10, 90), 0);
    assert_eq!(written(&mut repeats, "b", 100, 3), 3, "another line is not concerned");
    assert_eq!(repeats.until_over(at(1000)), Some(Duration::from_secs(29)));
    assert_eq!(counts(repeats.over(at(29_999))), []);
    let mut over = repeats.over(at(30_000));
    let told = over.pop().unwrap().told();
    assert_eq!((told.message.as_str(), told.time), ("a", at(99)));
    assert_eq!(told.fields, [("repeated", Value::Unsigned(90))]);
    assert_eq!(counts(over), []);
    assert_eq!(written(&mut repeats, "a", 30_001, 20), 10, "it begins anew");
}

#[test]
fn lines_that_differ_in_a_field_or_a_level_are_different() {
    let mut repeats = Repeats::default();
    for number in 0..4_u64 {
        let of = |ms| {
            let mut record = line("a", ms);
            record.fields.push(("conn_index", Value::Unsigned(number)));
            record
        };
        assert_eq!((0..20).filter(|ms| repeats.admit(of(*ms)).is_some()).count(), 10);
    }
    let mut warning = line("a", 0);
    warning.level = Level::WARN;
    assert!(repeats.admit(warning).is_some());
}

#[test]
fn a_clock_that_was_set_back_holds_nothing_back_for_long() {
    let mut repeats = Repeats::default();
    written(&mut repeats, "a", 100_000, 20);
    assert_eq!(repeats.until_over(at(0)), Some(Duration::ZERO));
    assert_eq!(counts(repeats.over(at(0))), [("a".into(), 10)]);
    assert_eq!(written(&mut repeats, "a", 0, 5), 5);
}

#[test]
fn the_end_tells_all() {
    let mut repeats = Repeats::default();
    written(&mut repeats, "a", 0, 12);
    written(&mut repeats, "b", 100, 11);
    assert_eq!(counts(repeats.all()), [("a".into(), 2), ("b".into(), 1)]);
    assert_eq!(counts(repeats.all()), []);
}

#[test]
fn only_so_many_lines_are_remembered_and_the_others_are_written() {
    let mut repeats = Repeats::default();
    for number in 0..1000 {
        assert_eq!(written(&mut repeats, &number.to_string(), 0, 1), 1);
    }
    assert_eq!(repeats.kinds.len(), KINDS);
    assert_eq!(written(&mut repeats, "late", 0, 100), 100);
    assert_eq!(written(&mut repeats, "later", 60_000, 100), 10, "those of before are forgotten");
}

proptest! {
    #[test]
    fn each_line_is_written_or_counted(lines in prop::collection::vec((0..80_u32, 0..3000_u64), 0..2000)) {
        let (mut repeats, mut now, mut accounted) = (Repeats::default(), 0, 0);
        for (name, pause) in &lines {
            now += pause;
            accounted += repeats.over(at(now)).iter().map(|held| held.count).sum::<u64>();
            accounted += u64::from(repeats.admit(line(&name.to_string(), now)).is_some());
            prop_assert!(repeats.kinds.len() <= KINDS);
        }
        accounted += repeats.all().iter().map(|held| held.count).sum::<u64>();
        prop_assert_eq!(accounted, lines.len() as u64);
    }
}
