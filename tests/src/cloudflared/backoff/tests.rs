use super::*;

fn said(backoff: &mut Backoff, times: usize) -> Vec<String> {
    (0..times).map(|_| go(backoff.next().said)).collect()
}

#[test]
fn says_what_the_recordings_say() {
    let mut backoff = Backoff::new(5);
    assert_eq!(said(&mut backoff, 8), ["2s", "4s", "8s", "16s", "32s", "1m4s", "1m4s", "1m4s"], "never registered");
    backoff.settle();
    assert_eq!(said(&mut backoff, 3), ["1s", "4s", "8s"], "lost after a registration");
}

#[test]
fn waits_less_than_it_says_only_at_the_top() {
    let mut backoff = Backoff::new(5);
    let limits: Vec<u64> = (0..7).map(|_| backoff.next().limit.as_secs()).collect();
    assert_eq!(limits, [2, 4, 8, 16, 32, 32, 32]);
}

#[test]
fn rounds_grow_to_320_seconds_and_start_over() {
    let (mut rounds, now) = (Rounds::new(5), Instant::now());
    let limits: Vec<u64> = (0..6).map(|_| rounds.limit(now).as_secs()).collect();
    assert_eq!(limits, [20, 40, 80, 160, 320, 320]);
    rounds.settle(now, |longest| longest);
    assert_eq!(rounds.limit(now + Duration::from_secs(1281)).as_secs(), 20);
}

#[test]
fn the_command_line_bounds_both() {
    let mut backoff = Backoff::new(2);
    assert_eq!(said(&mut backoff, 5), ["2s", "4s", "8s", "8s", "8s"]);
    assert_eq!(backoff.next().limit.as_secs(), 4);
    assert!(backoff.at_its_longest());
    let (mut rounds, now) = (Rounds::new(1), Instant::now());
    assert_eq!([rounds.limit(now).as_secs(), rounds.limit(now).as_secs()], [20, 20]);
}
