//! Misbehaving on the edge's order. No recording has these: they are what an agent has to survive.

use super::state::Shared;
use crate::edge::Order;
use nix::sys::signal::{Signal, raise};
use nix::unistd::{dup2_stderr, dup2_stdout};
use std::fs::OpenOptions;

/// Does as ordered.
pub fn obey(shared: &Shared, order: Order) {
    match order {
        // The receiver is in `main` for as long as the process runs.
        Order::Exit { status } => drop(shared.exit.send(status)),
        Order::Crash => drop(raise(Signal::SIGKILL)),
        Order::Freeze => drop(raise(Signal::SIGSTOP)),
        Order::CloseOutput => close_output(),
        Order::Flood { bytes } => shared.log.raw(vec![b'#'; bytes]),
        Order::Print { line } => shared.log.plain(&line),
        Order::HangReady => shared.state().ready_hangs = true,
        Order::ForeignId { connector } => shared.state().shown_connector = connector,
    }
}

/// The reader of the pipes sees their end; the numbers 1 and 2 stay taken, so that no socket gets them.
fn close_output() {
    if let Ok(null) = OpenOptions::new().write(true).open("/dev/null") {
        // They cannot fail on a descriptor that is open.
        let _ = dup2_stdout(&null);
        let _ = dup2_stderr(&null);
    }
}
