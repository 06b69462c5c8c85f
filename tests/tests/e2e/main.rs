//! The whole agent, end to end: the real program against the stand-ins, in scaled-down times.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)] // a test may fail, and measures time
#![allow(clippy::print_stdout, clippy::print_stderr)] // it tells what it did, and what it could not do here

mod alarms;
mod bad_input;
mod clock;
mod cloud;
mod command_line;
mod connector;
mod datapoints;
mod doctor;
mod endless;
mod environments;
mod fleet;
mod golden;
mod hard;
mod hold;
mod hostile;
mod hosts;
mod identity;
mod image;
mod kill_points;
mod leaks;
mod life;
mod lifecycle;
mod log;
mod metrics;
mod payload;
mod policy;
mod probes;
mod promptness;
mod reload;
mod remote;
mod report;
mod secret;
mod ssrf;
mod status;
mod store;
mod support;
mod systemd;
mod validate;
mod wait;
