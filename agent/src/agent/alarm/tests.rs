use super::*;
use crate::agent::Clock;
use std::time::Duration;
use tokio::time::timeout;

#[tokio::test]
async fn it_rings_at_the_moment_it_was_set_to_last() {
    let (alarm, clock) = (Alarm::new().unwrap(), Clock::start());
    alarm.ring(Mono::default()).await.unwrap();
    alarm.ring(clock.mono()).await.unwrap();
    let moment = clock.mono() + Duration::from_millis(30);
    let given_up = timeout(Duration::from_millis(1), alarm.ring(clock.mono() + Duration::from_millis(5))).await;
    assert!(given_up.is_err());
    // The earlier moment passes, and is not what it is set to any more.
    std::thread::sleep(Duration::from_millis(10));
    alarm.ring(moment).await.unwrap();
    assert!(clock.until(moment).is_zero());
}
