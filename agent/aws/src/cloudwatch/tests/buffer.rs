use crate::cloudwatch::buffer::{Buffer, Outcome, Saved, jitter, until_grain_ends};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn new() -> Buffer<u32> {
    Buffer::resume(MINUTE, Saved::default())
}

/// The grains that a push would carry now.
fn take(buffer: &mut Buffer<u32>, now: u64, most: usize) -> Vec<u64> {
    buffer.take(at(now), most, |_, _| true).map(|values| values.keys().copied().collect()).unwrap_or_default()
}

#[test]
fn a_value_is_stamped_with_the_minute_that_has_ended() {
    let mut buffer = new();
    assert!(buffer.offer(at(3600), 7));
    buffer.confirm();
    assert_eq!(buffer.take(at(3600), 10, |_, _| true), Some(&BTreeMap::from([(3540, 7)])));
}

#[test]
fn what_does_not_go_with_the_newest_waits_for_a_push_of_its_own() {
    let mut buffer = new();
    for (minute, value) in [7, 8, 7, 8].into_iter().enumerate() {
        assert!(buffer.offer(at(3600 + 60 * minute as u64), value));
    }
    buffer.confirm();
    let equal = |one: &u32, other: &u32| one == other;
    assert_eq!(buffer.take(at(3780), 10, equal), Some(&BTreeMap::from([(3600, 8), (3720, 8)])));
    buffer.settle(Outcome::Delivered);
    assert_eq!(buffer.take(at(3780), 10, equal), Some(&BTreeMap::from([(3540, 7), (3660, 7)])));
}

#[test]
fn nothing_is_pushed_before_its_stamp_is_on_disk() {
    let mut buffer = new();
    buffer.offer(at(3600), 0);
    assert_eq!(take(&mut buffer, 3600, 10), [0; 0]);
    assert_eq!(buffer.waiting(), 1);
    buffer.confirm();
    assert_eq!(take(&mut buffer, 3600, 10), [3540]);
    assert_eq!(take(&mut buffer, 3600, 10), [0; 0], "one push at a time");
}

#[test]
fn each_outcome_leaves_the_value_where_it_belongs() {
    for (outcome, [delivered, lost, dropped, waiting]) in [
        (Outcome::Delivered, [1, 0, 0, 0]),
        (Outcome::Unknown, [0, 1, 0, 0]),
        (Outcome::Invalid, [0, 0, 1, 0]),
        (Outcome::NotTaken, [0, 0, 0, 1]),
    ] {
        let mut buffer = new();
        buffer.offer(at(3600), 0);
        buffer.confirm();
        take(&mut buffer, 3600, 10);
        buffer.settle(outcome);
        let counts = buffer.counts();
        assert_eq!(
            [counts.delivered, counts.lost, counts.dropped, buffer.waiting()],
            [delivered, lost, dropped, waiting]
        );
        assert_eq!(take(&mut buffer, 3600, 10).len() as u64, waiting, "{outcome:?}");
    }
}

#[test]
fn a_clock_that_steps_an_hour_ahead_and_back_stamps_no_minute_twice_and_goes_on() {
    let mut buffer = new();
    let mut pushed = Vec::new();
    let mut minute = |buffer: &mut Buffer<u32>, now: u64| {
        buffer.offer(at(now), 0);
        buffer.confirm();
        pushed.extend(take(buffer, now, 10));
        buffer.settle(Outcome::Delivered);
    };
    (100..110).for_each(|n| minute(&mut buffer, n * 60));
    (170..175).for_each(|n| minute(&mut buffer, n * 60));
    (108..180).for_each(|n| minute(&mut buffer, n * 60));
    let unique: BTreeSet<u64> = pushed.iter().copied().collect();
    assert_eq!(unique.len(), pushed.len(), "no minute twice");
    assert_eq!(unique, (99..179).map(|n| n * 60).collect(), "and none is missing");
    assert_eq!(buffer.counts().repeated, 2 + 5);
}

#[test]
fn a_value_from_the_future_waits_for_its_time() {
    let mut buffer = new();
    buffer.offer(at(7200), 0);
    buffer.offer(at(3600), 0);
    buffer.confirm();
    assert_eq!(take(&mut buffer, 3600, 10), [3540]);
    buffer.settle(Outcome::Delivered);
    assert_eq!(take(&mut buffer, 7199, 10), [0; 0]);
    assert_eq!(take(&mut buffer, 7200, 10), [7140]);
}

#[test]
fn the_newest_go_first_and_a_batch_has_its_size() {
    let mut buffer = new();
    (10..20).for_each(|n| assert!(buffer.offer(at(n * 60), 0)));
    buffer.confirm();
    assert_eq!(take(&mut buffer, 1200, 3), [16 * 60, 17 * 60, 18 * 60]);
}

#[test]
fn a_day_is_kept_and_the_oldest_dropped_and_counted() {
    let mut buffer = new();
    (1..=1500).for_each(|n| {
        buffer.offer(at(n * 60), 0);
        buffer.confirm();
    });
    assert_eq!((buffer.waiting(), buffer.counts().dropped), (1440, 60));
    assert_eq!(take(&mut buffer, 1500 * 60, 2000).first(), Some(&(60 * 60)));
}

#[test]
fn what_an_agent_knew_and_did_not_account_for_is_lost_to_the_next() {
    let mut buffer = new();
    (10..13).for_each(|n| assert!(buffer.offer(at(n * 60), 0)));
    buffer.confirm();
    take(&mut buffer, 720, 1);
    buffer.settle(Outcome::Delivered);
    let saved = serde_json::from_str(&serde_json::to_string(&buffer.save()).unwrap()).unwrap();
    let mut next: Buffer<u32> = Buffer::resume(MINUTE, saved);
    assert_eq!((next.counts().offered, next.counts().delivered, next.counts().lost, next.waiting()), (3, 1, 2, 0));
    assert!(!next.offer(at(720), 0), "nobody knows whether it was pushed");
    assert!(next.offer(at(780), 0));
}

#[test]
fn counts_that_were_tampered_with_cannot_break_the_sum() {
    let saved = r#"{"counts":{"offered":1,"delivered":18446744073709551615,"lost":7}}"#;
    let buffer: Buffer<u32> = Buffer::resume(MINUTE, serde_json::from_str(saved).unwrap());
    assert_eq!(buffer.counts().offered, u64::MAX);
}

#[test]
fn the_end_of_a_grain_is_at_most_one_grain_away() {
    assert_eq!(until_grain_ends(at(3600), MINUTE), MINUTE);
    assert_eq!(until_grain_ends(Duration::from_millis(3_659_750), MINUTE), Duration::from_millis(250));
    assert_eq!(until_grain_ends(Duration::from_millis(1_250), at(1)), Duration::from_millis(750));
}

#[test]
fn jitter_is_fixed_bounded_and_spread() {
    let id = |n: u32| format!("i-{:017x}", u64::from(n) * 0x1234_5678_9abc);
    assert_eq!(jitter("i-0123456789abcdef0", MINUTE), jitter("i-0123456789abcdef0", MINUTE));
    let mut seconds = [0_u32; 15];
    for n in 0..10_000 {
        let jitter = jitter(&id(n), MINUTE);
        assert!(jitter < Duration::from_secs(15));
        seconds[usize::try_from(jitter.as_secs()).unwrap()] += 1;
    }
    assert!(seconds.iter().all(|n| (467..867).contains(n)), "10,000 instances over 15 s: {seconds:?}");
    assert!((0..1000).all(|n| jitter(&id(n), at(1)) < Duration::from_millis(250)));
}

/// What can happen to an agent and its clock.
#[derive(Debug, Clone)]
enum Happening {
    /// So many seconds go by.
    Pass(u64),
    /// The clock is set.
    Step(i64),
    /// A grain ended: offer, save, confirm if the save worked.
    Offer { saved: bool },
    /// The agent pushes up to so many grains.
    Take(usize),
    /// The push ends; for an unknown outcome: whether CloudWatch has it.
    Settle(Outcome, bool),
    /// The agent dies and another takes up what is on disk.
    Restart,
    /// The agent dies after a save that worked and before it heard so.
    DieAfterSave,
}

fn happening() -> impl Strategy<Value = Happening> {
    let outcome = prop::sample::select(vec![Outcome::Delivered, Outcome::Unknown, Outcome::NotTaken, Outcome::Invalid]);
    prop_oneof![
        4 => (1..90_u64).prop_map(Happening::Pass),
        1 => (-90_000..90_000_i64).prop_map(Happening::Step),
        1 => (-120..120_i64).prop_map(Happening::Step),
        8 => prop::bool::weighted(0.6).prop_map(|saved| Happening::Offer { saved }),
        8 => (1..5_usize).prop_map(Happening::Take),
        6 => (outcome, any::<bool>()).prop_map(|(outcome, has)| Happening::Settle(outcome, has)),
        4 => Just(Happening::Restart),
        1 => Just(Happening::DieAfterSave),
    ]
}

proptest! {
    #[test]
    fn no_grain_is_ever_delivered_twice_and_each_one_is_accounted_for(
        happenings in prop::collection::vec(happening(), 1..200),
    ) {
        let mut now = 1_000_000_u64;
        let mut disk = String::from("{}");
        let mut buffer = new();
        let mut in_flight = Vec::new();
        let mut cloudwatch: BTreeMap<u64, u32> = BTreeMap::new();
        for happening in happenings {
            match happening {
                Happening::Pass(seconds) => now += seconds,
                Happening::Step(by) => now = now.saturating_add_signed(by).max(100_000),
                Happening::Offer { saved } => {
                    buffer.offer(at(now), 0);
                    if saved {
                        disk = serde_json::to_string(&buffer.save()).unwrap();
                        buffer.confirm();
                    }
                }
                Happening::Take(most) => {
                    if let Some(values) = buffer.take(at(now), most, |_, _| true) {
                        in_flight = values.keys().copied().collect();
                    }
                }
                Happening::Settle(outcome, has) => {
                    if outcome == Outcome::Delivered || (outcome == Outcome::Unknown && has) {
                        in_flight.iter().for_each(|grain| *cloudwatch.entry(*grain).or_default() += 1);
                    }
                    in_flight.clear();
                    buffer.settle(outcome);
                }
                Happening::Restart | Happening::DieAfterSave => {
                    // The worst case: what was in flight did arrive.
                    in_flight.drain(..).for_each(|grain| *cloudwatch.entry(grain).or_default() += 1);
                    if let Happening::DieAfterSave = happening {
                        buffer.offer(at(now), 0);
                        disk = serde_json::to_string(&buffer.save()).unwrap();
                    }
                    buffer = Buffer::resume(MINUTE, serde_json::from_str(&disk).unwrap());
                }
            }
            let counts = buffer.counts();
            prop_assert_eq!(counts.offered, counts.delivered + counts.lost + counts.dropped + buffer.waiting());
            prop_assert!(cloudwatch.values().all(|times| *times == 1), "twice: {cloudwatch:?}");
            prop_assert!(counts.delivered <= cloudwatch.len() as u64, "nothing is counted as delivered that was not");
        }
    }
}
