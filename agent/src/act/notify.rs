//! Notifications to systemd (`sd_notify(3)`), and the interval of its watchdog.
//!
//! The messages are those of the sd-notify crate; they are sent from here, because the crate's socket blocks, and a
//! service manager that is stuck must cost messages and nothing else.

use input::plain;
use sd_notify::NotifyState;
use std::env;
use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// The longest status text, in characters; a person reads it in one line of `systemctl status`.
const LONGEST_STATUS: usize = 512;

/// Something to tell systemd.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// The service is up.
    Ready,
    /// The service is going down.
    Stopping,
    /// The loop made progress.
    Watchdog,
    /// Starting or stopping may take this much longer, counted from now.
    ExtendTimeout(Duration),
    /// What is going on, in a line. Sent only if it differs from the last one.
    Status(String),
}

/// Where systemd listens, if it does.
#[derive(Debug, Clone, Default)]
pub struct Notifier {
    socket: Option<SocketAddr>,
    watchdog: Option<Duration>,
}

impl Notifier {
    /// The one that the environment names: `NOTIFY_SOCKET`, `WATCHDOG_USEC`, `WATCHDOG_PID`. Without a socket
    /// everything is a no-op.
    ///
    /// # Errors
    /// `NOTIFY_SOCKET` is neither an absolute path nor an abstract name (`@…`) that fits into an address.
    pub fn from_env() -> io::Result<Self> {
        let socket = env::var_os("NOTIFY_SOCKET").map(|name| address(&name)).transpose()?;
        Ok(Self { watchdog: socket.as_ref().and(sd_notify::watchdog_enabled()), socket })
    }

    /// One that sends to `socket`, with a watchdog that bites after `watchdog` of silence.
    ///
    /// # Errors
    /// As [`Notifier::from_env`].
    pub fn to(socket: &OsStr, watchdog: Option<Duration>) -> io::Result<Self> {
        Ok(Self { socket: Some(address(socket)?), watchdog })
    }

    /// How often [`Notice::Watchdog`] is due: half of what systemd waits for, as `sd_watchdog_enabled(3)` advises.
    pub fn watchdog_period(&self) -> Option<Duration> {
        self.watchdog.map(|silence| silence / 2)
    }

    /// Sends all of `pending` in one datagram, without waiting. Nothing pending: nothing is sent.
    pub(super) fn send(&self, pending: &Pending) -> io::Result<()> {
        let text = pending.message();
        match &self.socket {
            Some(address) if !text.is_empty() => {
                let socket = UnixDatagram::unbound()?;
                socket.set_nonblocking(true)?;
                socket.send_to_addr(text.as_bytes(), address).map(drop)
            }
            _ => Ok(()),
        }
    }
}

fn address(name: &OsStr) -> io::Result<SocketAddr> {
    match name.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name),
        [b'/', ..] => SocketAddr::from_pathname(name),
        _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "NOTIFY_SOCKET must begin with / or @")),
    }
}

/// What is to be told: any number of notices, merged, so it never grows.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Pending {
    ready: bool,
    stopping: bool,
    watchdog: bool,
    extend: Option<Duration>,
    status: Option<String>,
}

impl Pending {
    /// Adds one more.
    pub fn add(&mut self, notice: Notice) {
        match notice {
            // The start is over: an extension that waits still is void.
            Notice::Ready => (self.ready, self.extend) = (true, None),
            Notice::Stopping => self.stopping = true,
            Notice::Watchdog => self.watchdog = true,
            Notice::ExtendTimeout(by) => self.extend = Some(by),
            Notice::Status(text) => self.status = Some(one_line(&text)),
        }
    }

    /// Puts back what could not be sent; what came since then counts.
    pub fn put_back(&mut self, unsent: Self) {
        self.ready |= unsent.ready;
        self.stopping |= unsent.stopping;
        self.watchdog |= unsent.watchdog;
        self.extend = self.extend.or(unsent.extend);
        self.status = self.status.take().or(unsent.status);
    }

    /// Whether there is nothing to tell.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn message(&self) -> String {
        let microseconds = |by: Duration| u32::try_from(by.as_micros()).unwrap_or(u32::MAX);
        let states = [
            self.ready.then_some(NotifyState::Ready),
            self.stopping.then_some(NotifyState::Stopping),
            self.watchdog.then_some(NotifyState::Watchdog),
            self.extend.map(|by| NotifyState::ExtendTimeoutUsec(microseconds(by))),
            self.status.as_deref().map(NotifyState::Status),
        ];
        states.into_iter().flatten().map(|state| format!("{state}\n")).collect()
    }
}

/// A line break in a status text would be taken for the next assignment.
fn one_line(text: &str) -> String {
    plain::line(text, LONGEST_STATUS)
}
