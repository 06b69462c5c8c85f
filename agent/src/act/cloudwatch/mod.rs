//! Datapoints for CloudWatch: one moment stamped at most once, whatever the clock, the network or a restart does.
//!
//! [`buffer`] holds the rules and is pure, [`metrics`] names the metrics, [`push`] is the task that owns both and calls
//! `PutMetricData`.

pub mod buffer;
pub mod metrics;
pub mod push;

mod call;
mod stamped;

pub use buffer::{Counts, Saved, until_grain_ends};
pub use metrics::{Dimensions, Sample};
pub use push::{CloudWatch, Config, View};
pub use stamped::Stamped;

#[cfg(test)]
mod tests;
