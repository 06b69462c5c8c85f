#!/bin/sh
# tests/unit.sh UNIT...
# Lets systemd's own parser read the units, with a program in ExecStart and ExecReload that exists on a build host; holds
# each directive against the version of systemd that brought it; and holds the agent's exposure against its limit.
set -eu

# What Ubuntu 22.04 has.
newest=249
# `systemd-analyze security` counts in tenths: 1.1.
exposure=11
table=$(dirname "$0")/systemd-directives.txt
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

for unit in "$@"; do
    sed 's,^\(ExecStart\|ExecReload\)=/usr/bin/cflared-agent,\1=/bin/true,' "$unit" >"$scratch/$(basename "$unit")"
done
complaints=$(cd "$scratch" && systemd-analyze verify --man=no -- * 2>&1) || {
    printf '%s\n' "$complaints" >&2
    exit 1
}
# It prints unknown directives and exits 0 all the same.
for unit in "$@"; do
    case $complaints in
    *"$(basename "$unit")"*) printf '%s\n' "$complaints" >&2; exit 1 ;;
    esac
done

awk -v newest=$newest '
    FILENAME == ARGV[1] { if ($1 ~ /^[0-9]/) added[$2, $3] = $1; next }
    /^\[/ { section = substr($0, 2, length($0) - 2); next }
    /^[A-Za-z]+=/ {
        directive = substr($0, 1, index($0, "=") - 1)
        if (!((section, directive) in added)) why = "is not in " ARGV[1] "; add the version that brought it"
        else if (added[section, directive] > newest) why = "is of systemd " added[section, directive]
        else next
        print FILENAME ":" FNR ": " directive "= in [" section "] " why
        bad = 1
    }
    END { exit bad }' "$table" "$@" >&2

for unit in "$@"; do
    [ "$(basename "$unit")" = cflared-agent.service ] || continue
    systemd-analyze security --offline=true --threshold=$exposure --no-pager "$unit" >"$scratch/security" || {
        grep -v '^✓' "$scratch/security" >&2
        exit 1
    }
    # The last line is the figure.
    tail -n 1 "$scratch/security" | sed 's/^[^A-Za-z]*//'
done
echo "$#" "units: systemd $(systemd-analyze --version | head -n 1 | cut -d' ' -f2) accepts every directive, none newer than $newest"
