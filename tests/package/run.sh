#!/bin/sh
# tests/package/run.sh DEB
# Installs, upgrades, removes and purges a package with dpkg in a Debian chroot, and holds what is there afterwards against
# what docs/packaging.md promises. The chroot has no network, no processes but its own, and is made anew each time from
# a tar that is kept in target/chroot. Root is not needed where user namespaces and newuidmap are allowed.
set -eu

deb=$(realpath "$1")
here=$(dirname "$(realpath "$0")")
cache=$here/../../target/chroot
suite=bookworm
include=ca-certificates,systemd

# The recipe's hash names the tar.
recipe=$(printf '%s %s %s\n' 1 "$suite" "$include" | sha256sum | cut -c1-16)
tar=$cache/$suite-$recipe.tar
mkdir -p "$cache"
if [ ! -f "$tar" ]; then
    echo "package: making $tar, once" >&2
    mmdebstrap --quiet --variant=minbase --include="$include" "$suite" "$tar.new.$$.tar"
    mv "$tar.new.$$.tar" "$tar"
fi

scratch=$(mktemp -d)
map=
[ "$(id -u)" = 0 ] || map="--map-auto --map-root-user"
# What is unpacked belongs to mapped users: they remove it.
# shellcheck disable=SC2064,SC2086 # a list of words
trap "unshare $map rm -rf '$scratch'" EXIT
# shellcheck disable=SC2086 # a list of words
unshare $map --mount --net --pid --ipc --uts --fork --kill-child "$here/cases.sh" "$deb" "$tar" "$scratch"
