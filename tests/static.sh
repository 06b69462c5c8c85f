#!/bin/sh
# tests/static.sh BINARY x86_64|aarch64
# Proves that a binary is static: no interpreter, no shared library; and that it runs: what needs neither network nor
# settings gives its answer and its exit status, on another processor than this machine's too (by QEMU).
set -eu
binary=$1
processor=$2

fail() {
    echo "$binary: $*" >&2
    exit 1
}

! readelf --program-headers "$binary" | grep -q INTERP || fail "it asks for an interpreter: it is not static"
! readelf --dynamic "$binary" | grep -q NEEDED || fail "it needs shared libraries: it is not static"
! readelf --sections --wide "$binary" | grep -qE '\.(symtab|debug_)' || fail "it is not stripped"
# A place in memory that differs at each start. rustc's target for aarch64 with musl does not offer it for static programs.
[ "$processor" = aarch64 ] || readelf --file-header "$binary" | grep -q 'DYN' || fail "it is not position-independent"

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
run=
[ "$(uname -m)" = "$processor" ] || run=qemu-$processor-static

# gives STATUS WORDS ARGUMENT...: the agent ends with that status and says those words.
gives() {
    want=$1
    words=$2
    shift 2
    status=0
    $run "$binary" "$@" >"$scratch/said" 2>&1 || status=$?
    [ "$status" = "$want" ] || fail "$* ended with $status, not $want: $(cat "$scratch/said")"
    grep -q -- "$words" "$scratch/said" || fail "$* did not say \"$words\": $(cat "$scratch/said")"
}

version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' "$(dirname "$0")/../Cargo.toml")
printf 'paths: { config_dir: %s, runtime_dir: %s }\n' "$scratch" "$scratch" >"$scratch/agent.yml"
echo 'observe: { intervall: 5s }' >"$scratch/wrong.yml"
gives 0 "cflared-agent $version" --version
gives 0 "bootstrap" --help
gives 64 "unrecognized" no-such-command
gives 78 "intervall" --settings "$scratch/wrong.yml" status
gives 2 "status.json" --settings "$scratch/agent.yml" status

echo "$binary is static and runs, $(stat --format=%s "$binary") bytes"
