//! One read of the secret: one version, strictly parsed into a payload that cannot be printed.

pub mod payload;
