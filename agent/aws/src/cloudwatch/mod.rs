//! Datapoints for CloudWatch: one moment stamped at most once, whatever the clock, the network or a restart does.
//!
//! [`buffer`] holds the rules and is pure, [`metrics`] names the metrics, [`push`] is the task that owns both and calls
//! `PutMetricData`. [`peers`] reads back what the others reported, less [`reported`]: our own.

pub mod buffer;
pub mod metrics;
pub mod peers;
pub mod push;
pub mod reported;

mod call;
mod durations;
mod stamped;

pub use buffer::{Counts, Saved, until_grain_ends};
pub use durations::{BOUNDS, Durations};
pub use metrics::{Dimensions, Sample, version_label};
pub use peers::PeerReader;
pub use push::{CloudWatch, Config, View};
pub use stamped::Stamped;

#[cfg(test)]
mod tests;
