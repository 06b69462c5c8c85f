mod buffer;
mod metrics;
mod peers;
mod push;
mod stamped;
