//! cflared-agent: makes a Cloudflare Tunnel on EC2 run itself.
//!
//! The crates of the flow that `docs/architecture.md` draws meet here: the loop connects them, [`act`] writes what others read,
//! [`checks`] judges a host and an image, and [`cli`] has a file for each command.

pub mod act;

pub mod checks;

pub mod report;

pub mod log;

pub mod agent;

pub mod cli;
