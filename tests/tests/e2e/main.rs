//! The whole agent, end to end: the real program against the stand-ins, in scaled-down times.
#![allow(clippy::unwrap_used, clippy::print_stderr, clippy::disallowed_methods)] // a test may fail, tell, and measure time

mod clock;
mod cloud;
mod connector;
mod datapoints;
mod leaks;
mod life;
mod log;
mod support;
mod systemd;
