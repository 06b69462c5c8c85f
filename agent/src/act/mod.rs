//! Everything the agent does to the outside: systemd, CloudWatch, Auto Scaling, status and state files, its own metrics.
//!
//! This room executes, batches and rate-limits; it must not decide. Small blocking work on this host goes through one
//! [`writer::Writer`], whose thread may wait so that the loop never does.

pub mod control;
pub mod notify;
pub mod prometheus;
pub mod state;
pub mod writer;
