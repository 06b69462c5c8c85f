//! Against real servers on loopback, whose requests are counted.

#![allow(clippy::disallowed_methods)] // The tests measure.

mod calls;
mod metadata;
pub mod server;
mod tls;
mod types;
pub mod world;
