//! Owns the child processes: spawn, log relay, signals, drain, respawn.
