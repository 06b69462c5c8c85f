#!/bin/sh
# Lets systemd's own parser read a unit, with a program in ExecStart that exists on a build host.
set -eu
unit=$1
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
sed 's,^ExecStart=/usr/bin/cflared-agent,ExecStart=/bin/true,' "$unit" >"$scratch/$(basename "$unit")"
complaints=$(systemd-analyze verify --man=no "$scratch/$(basename "$unit")" 2>&1) || {
    printf '%s\n' "$complaints" >&2
    exit 1
}
# It prints unknown directives and exits 0 all the same.
case $complaints in
*"$(basename "$unit")"*) printf '%s\n' "$complaints" >&2; exit 1 ;;
esac
echo "$unit: systemd $(systemd-analyze --version | head -n 1 | cut -d' ' -f2) accepts every directive"
