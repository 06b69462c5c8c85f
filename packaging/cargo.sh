#!/bin/sh
# Stands in for cargo under cargo-auditable, which names itself as the compiler's wrapper by its whole path. cargo hashes that
# path into the names of our own crates' symbols, so that a binary would depend on where the tool is. The bare name, found
# in PATH, is the same everywhere.
RUSTC_WORKSPACE_WRAPPER=cargo-auditable exec cargo "$@"
