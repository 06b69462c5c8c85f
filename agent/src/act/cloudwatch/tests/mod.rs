mod buffer;
mod metrics;
mod push;
mod stamped;
