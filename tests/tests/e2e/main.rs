//! The whole agent, end to end: the real program against the stand-ins, in scaled-down times.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)] // a test may fail, and measures time

mod clock;
mod cloud;
mod connector;
mod life;
mod support;
mod systemd;
