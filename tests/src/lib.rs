//! Stand-ins and harness of the end-to-end tests. Each stand-in is a program of its own too (`src/bin/`), so that a
//! person can drive the agent by hand.

// The stand-ins model things that have clocks.
#![allow(clippy::disallowed_methods)]

pub mod http;

pub mod imds;

pub mod anew;
pub mod aws;

pub mod edge;

pub mod dns;

pub mod mysql;

pub mod tunnelrpc;

pub mod load;

pub mod cloudflared;

pub mod world;

pub mod documents;

pub mod demo;

pub mod real;
