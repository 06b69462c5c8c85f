//! Facts about the child program: its version, how it is spawned, what its log lines mean. A leaf: it knows no room.
