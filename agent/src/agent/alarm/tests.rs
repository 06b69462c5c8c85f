use super::*;
use crate::agent::Clock;
use tokio::time::timeout;

#[tokio::test]
async fn it_rings_after_what_it_was_set_to_last() {
    let (alarm, clock) = (Alarm::new().unwrap(), Clock::start());
    alarm.ring(Duration::ZERO).await.unwrap();
    alarm.ring(Duration::ZERO).await.unwrap();
    // On a busy machine it may have rung before it is given up.
    while timeout(Duration::ZERO, alarm.ring(Duration::from_millis(5))).await.is_ok() {}
    // The earlier wait is over, and is not what it is set to any more.
    std::thread::sleep(Duration::from_millis(10));
    let moment = clock.mono() + Duration::from_millis(30);
    alarm.ring(clock.until(moment)).await.unwrap();
    assert!(clock.until(moment).is_zero());
}
