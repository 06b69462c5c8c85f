//! cflared-agent: makes a Cloudflare Tunnel on EC2 run itself.
//!
//! Each module is a room of the flow that `docs/architecture.md` draws; a room uses only rooms above it in this list,
//! and `tests/rooms.rs` holds the imports against that order.

pub mod act;

pub mod checks;

pub mod log;

pub mod agent;

pub mod cli;
