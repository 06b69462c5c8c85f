#!/bin/sh
# packaging/binary.sh x86_64|aarch64 [PROFILE]
# Builds the static agent for that processor and prints where it is. The binary does not depend on where the sources,
# cargo's home and the toolchain are: tests/reproducible.sh proves it. In it is the list of what it was built from
# (cargo-auditable), which scanners of images read. `tests/setup.sh dist` installs the tools. PROFILE is a profile of
# Cargo.toml, `release` if none is named.
set -eu

cd "$(dirname "$0")/.."
root=$(pwd)
target=${CARGO_TARGET_DIR:-$root/target}
tools=$root/target

case ${1-} in
x86_64) build=build ;;
# Debian's cross compilers have no musl; zig brings its own.
aarch64) build=zigbuild ;;
*)
    echo "usage: packaging/binary.sh x86_64|aarch64 [PROFILE]" >&2
    exit 64
    ;;
esac
triple=$1-unknown-linux-musl
profile=${2:-release}

# Paths get into a binary through panic messages. What cargo's own hashes say does not hang on these flags.
home=${CARGO_HOME:-$HOME/.cargo}
sysroot=$(rustc --print sysroot)
RUSTFLAGS="--remap-path-prefix=$root=/src --remap-path-prefix=$home=/cargo --remap-path-prefix=$sysroot=/rust"
# What build scripts made. The last prefix that fits is taken, so this one holds below the sources too.
RUSTFLAGS="$RUSTFLAGS --remap-path-prefix=$target=/target"
# The few C files (of the crypto library), by either compiler.
TARGET_CFLAGS="-ffile-prefix-map=$home=/cargo -ffile-prefix-map=$target=/target"
export RUSTFLAGS TARGET_CFLAGS
# Zig's own caches, with the rest of what is built.
export ZIG_GLOBAL_CACHE_DIR="$target/zig" ZIG_LOCAL_CACHE_DIR="$target/zig" CARGO_ZIGBUILD_CACHE_DIR="$target/zigbuild"
PATH=$tools/dist-venv/bin:$tools/tools/bin:$PATH
export PATH

CARGO=$root/packaging/cargo.sh cargo-auditable auditable $build --quiet --locked --profile "$profile" --target "$triple" --package cflared-agent >&2
echo "$target/$triple/$profile/cflared-agent"
