//! The log: a bounded queue to a thread of its own, so that a stuck reader costs lines and not the tunnel.
