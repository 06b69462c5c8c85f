#!/bin/sh
# Proves that a binary is static: no interpreter, no shared library; and that it runs.
set -eu
binary=$1
if readelf --program-headers "$binary" | grep -q INTERP; then
    echo "$binary asks for an interpreter: it is not static" >&2
    exit 1
fi
if readelf --dynamic "$binary" | grep -q NEEDED; then
    echo "$binary needs shared libraries: it is not static" >&2
    exit 1
fi
echo "$binary is static, $(stat --format=%s "$binary") bytes: $("$binary" --version)"
