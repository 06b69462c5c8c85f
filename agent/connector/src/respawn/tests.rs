use super::*;
use proptest::prelude::*;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_stable_child_is_replaced_at_once_and_a_crash_loop_is_slowed_down() {
    let mut policy = Respawn::new(Times::default(), 7);
    assert_eq!(policy.after(30 * SECOND), Duration::ZERO);
    for base in [1, 2, 4, 8, 16, 30, 30, 30] {
        let delay = policy.after(29 * SECOND);
        assert!(delay >= base * SECOND && delay < 2 * base * SECOND, "{base} s: {delay:?}");
    }
    assert_eq!(policy.after(Duration::from_secs(86_400)), Duration::ZERO);
    assert!(policy.after(Duration::ZERO) < 2 * SECOND, "stable running forgives the past");
}

#[test]
fn a_child_that_was_never_stable_is_not_replaced_at_once() {
    assert!(Respawn::new(Times::default(), 7).after(Duration::ZERO) >= SECOND);
}

#[test]
fn instances_do_not_march_in_step() {
    let delay = |seed| Respawn::new(Times::default(), seed).after(Duration::ZERO);
    assert_eq!(delay(1), delay(1));
    assert_ne!(delay(1), delay(2));
}

proptest! {
    #[test]
    fn no_delay_is_out_of_bounds(seed: u64, lives in prop::collection::vec(0u64..60, 1..50)) {
        let mut policy = Respawn::new(Times::default(), seed);
        for ran in lives.into_iter().map(Duration::from_secs) {
            let delay = policy.after(ran);
            prop_assert_eq!(delay.is_zero(), ran >= 30 * SECOND);
            prop_assert!(delay.is_zero() || (delay >= SECOND && delay <= 60 * SECOND));
        }
    }
}
