use crate::cloudwatch::Stamped;
use crate::cloudwatch::stamped::MOST_RANGES;
use proptest::prelude::*;
use std::collections::BTreeSet;

fn ranges(stamped: &Stamped) -> Vec<(u64, u64)> {
    stamped.clone().into()
}

#[test]
fn minutes_in_a_row_are_one_range() {
    let mut stamped = Stamped::default();
    (0..1000).for_each(|minute| stamped.insert(minute * 60, minute * 60 + 60));
    assert_eq!(ranges(&stamped), [(0, 60_000)]);
    assert_eq!(serde_json::to_string(&stamped).unwrap(), "[[0,60000]]");
}

#[test]
fn another_grain_than_before_does_not_stamp_twice() {
    let mut stamped = Stamped::default();
    stamped.insert(60, 120);
    for second in [60, 70, 110] {
        assert!(stamped.overlaps(second, second + 10), "{second}");
    }
    assert!(!stamped.overlaps(50, 60));
    assert!(!stamped.overlaps(120, 130));
}

#[test]
fn fifteen_days_are_remembered_and_the_oldest_forgotten() {
    const DAY: u64 = 86_400;
    let mut stamped = Stamped::default();
    // An hour ahead by a clock that was wrong, long before the rest is stamped.
    stamped.insert(100 * DAY, 100 * DAY + 3600);
    (0..20 * 24).for_each(|hour| stamped.insert(hour * 3600, (hour + 1) * 3600));
    assert_eq!(ranges(&stamped), [(5 * DAY + 3600, 20 * DAY), (100 * DAY, 100 * DAY + 3600)]);
}

#[test]
fn a_file_that_was_tampered_with_is_put_in_order() {
    let stamped: Stamped =
        serde_json::from_str("[[50,40],[100,200],[150,300],[10,20],[0,18446744073709551615]]").unwrap();
    assert!(ranges(&stamped).iter().all(|(from, to)| from < to));
    assert!(ranges(&stamped).len() <= 1);
}

/// The ranges that those minutes are.
fn exactly(minutes: &BTreeSet<u64>) -> Vec<(u64, u64)> {
    let mut ranges: Vec<(u64, u64)> = vec![];
    for minute in minutes {
        match ranges.last_mut() {
            Some((_, end)) if *end == minute * 60 => *end += 60,
            _ => ranges.push((minute * 60, minute * 60 + 60)),
        }
    }
    ranges
}

/// Stamps minutes, and holds the set against all of them each time: exact as long as they never were more ranges than are
/// kept; from then on it may hold more, up to what lies between two stamped moments.
fn stamp(minutes: impl IntoIterator<Item = u64>) {
    let (mut stamped, mut model, mut exact) = (Stamped::default(), BTreeSet::new(), true);
    for minute in minutes {
        stamped.insert(minute * 60, minute * 60 + 60);
        model.insert(minute);
        let (kept, all) = (ranges(&stamped), exactly(&model));
        exact &= all.len() <= MOST_RANGES;
        assert!(kept.len() <= MOST_RANGES);
        assert!(kept.windows(2).all(|pair| pair[0].1 < pair[1].0), "sorted and apart: {kept:?}");
        assert!(model.iter().all(|minute| stamped.overlaps(minute * 60, minute * 60 + 60)));
        assert!(kept.iter().all(|(from, _)| all.iter().any(|(start, _)| start == from)), "{kept:?} of {all:?}");
        assert!(kept.iter().all(|(_, to)| all.iter().any(|(_, end)| end == to)), "{kept:?} of {all:?}");
        assert!(!exact || kept == all, "{kept:?}, not {all:?}");
    }
}

/// Found by chance: a gap that was closed stays closed, also when a minute between two other ranges leaves room again.
#[test]
fn a_closed_gap_stays_closed_when_there_is_room_again() {
    let apart = (0..=MOST_RANGES as u64).map(|number| number * 2);
    stamp(apart.chain([101]));
}

proptest! {
    #[test]
    fn what_was_stamped_stays_stamped_and_the_set_stays_small(minutes in prop::collection::vec(0..5000_u64, 0..150)) {
        stamp(minutes);
    }
}
