#!/bin/sh
# tests/reproducible.sh [x86_64|aarch64 [PROFILE]]
# Builds the binary here, and again in a directory of another name and depth, with another cargo home, another target
# directory and the tools somewhere else, sharing nothing but the toolchain and the downloaded crates; then compares byte
# by byte. Without PROFILE nothing is optimized, which takes a fraction of the time: the paths and hashes that a build could
# leave in a binary are the same, and more of them stay. `release` compares what `make dist` hands out. The package is made
# twice as well, in another time zone, locale and umask.
set -eu

cd "$(dirname "$0")/.."
processor=${1:-x86_64}
profile=${2:-reproducible}
case $processor in x86_64) arch=amd64 ;; *) arch=arm64 ;; esac
package=$(echo target/dist/cflared-agent_*_"$arch".deb)
[ -f "$package" ] || {
    echo "reproducible: there is no package in target/dist; run make dist" >&2
    exit 1
}
first=$(packaging/binary.sh "$processor" "$profile")

# Not below target/: a longer path, but cargo would find our own settings above it.
scratch=$(mktemp -d "${TMPDIR:-/tmp}/a-directory-of-another-length.XXXXXX")
trap 'rm -rf "$scratch"' EXIT
sources=$scratch/some/where/else
mkdir -p "$sources" "$scratch/home/registry"

git ls-files -z --cached --others --exclude-standard | tar --create --null --files-from=- | tar --extract --directory="$sources"
# The crates as downloaded; they are unpacked anew.
home=${CARGO_HOME:-$HOME/.cargo}
cp -a "$home/registry/cache" "$home/registry/index" "$scratch/home/registry/"
mkdir -p "$sources/target/tools"
cp -a target/tools/bin "$sources/target/tools/bin"
# A virtual environment knows where it is, so this one is the same; it holds zig, whose own files are not what differs.
ln -s "$PWD/target/dist-venv" "$sources/target/dist-venv"

second=$(CARGO_HOME=$scratch/home CARGO_TARGET_DIR=$scratch/made CARGO_NET_OFFLINE=true \
    "$sources/packaging/binary.sh" "$processor" "$profile")
if ! cmp "$first" "$second"; then
    echo "reproducible: two builds for $processor differ; the paths that they hold:" >&2
    for one in "$first" "$second"; do
        grep -aoE "($PWD|$home|$scratch)[[:graph:]]{0,80}" "$one" | sort | uniq -c | sort -rn | head -n 5 >&2 || true
    done
    exit 1
fi
echo "reproducible: two builds for $processor ($profile) in different directories are the same $(stat --format=%s "$first") bytes"

# The package around it, made by somebody else, somewhere else.
again=$(umask 077 && TZ=Pacific/Auckland LC_ALL=C.UTF-8 \
    packaging/deb.sh "$arch" "target/dist/cflared-agent-$processor" "$scratch/packages")
cmp "$package" "$again"
echo "reproducible: $(basename "$again") is made the same in another time zone and with another umask"
