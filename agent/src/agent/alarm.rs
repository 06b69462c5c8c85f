//! The loop's only timer.

use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::time::Duration;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Rings once. It is a timer of the kernel, because tokio's wheel wakes up to twice on the way to a moment
/// that is seconds away, each time for nothing.
#[derive(Debug)]
pub(super) struct Alarm {
    /// The descriptor of `timer`. Fields are dropped in this order, so it is given up before it is closed.
    ready: AsyncFd<RawFd>,
    timer: TimerFd,
}

impl Alarm {
    /// One that is not set. Must be made on the runtime.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn new() -> io::Result<Self> {
        let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC)?;
        let descriptor = timer.as_fd().as_raw_fd();
        // SAFETY: the timer stays in `Self` and keeps the descriptor open for longer than it is registered.
        #[allow(unsafe_code)]
        let ready = unsafe { AsyncFd::register_with_interest(descriptor, Interest::READABLE)? };
        Ok(Self { ready, timer })
    }

    /// Done after `wait`. Waiting can be given up, and the alarm set anew.
    ///
    /// # Errors
    /// The kernel refuses the timer.
    pub async fn ring(&self, wait: Duration) -> io::Result<()> {
        // Zero would switch the timer off.
        let wait = TimeSpec::from_duration(wait.max(Duration::from_nanos(1)));
        self.timer.set(Expiration::OneShot(wait), TimerSetTimeFlags::empty())?;
        self.ready.async_io(Interest::READABLE, |_| Ok(self.timer.wait()?)).await
    }
}

#[cfg(test)]
mod tests;
