//! One instance in virtual time: its life, whose fault it is, and whether it is safe to be replaced.

#![allow(clippy::unwrap_used)] // a test may fail

mod blame;
mod blip;
mod carried;
mod guard;
mod handover;
mod life;
mod lifecycle;
mod refusal;
mod world;
