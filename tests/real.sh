#!/bin/sh
# tests/real.sh [PART...]
# Runs the tests that drive cloudflared with the real one that CLOUDFLARED names, in a network namespace that has only lo, and
# writes docs/cloudflared.md. Without a PART, all of them run: conducts, conformance, demo, traffic, e2e, faults.
# What only the stand-in can do is left out, named and counted. Exit status 0: all was right.
set -eu

cd "$(dirname "$0")/.."
: "${CLOUDFLARED:?set it to a real cloudflared, such as /usr/bin/cloudflared}"
[ -x "$CLOUDFLARED" ] || {
    echo "real: $CLOUDFLARED is not there; https://pkg.cloudflare.com says how to install cloudflared" >&2
    exit 1
}
parts=${*:-conducts conformance demo traffic e2e faults}
target=${CARGO_TARGET_DIR:-$PWD/target}

if [ "${REAL_ALONE:-}" != yes ]; then
    # Crates are fetched before the network goes away.
    cargo build --workspace --bins
    cargo test --workspace --no-run
    as_root=--map-root-user
    [ "$(id -u)" != 0 ] || as_root=
    # shellcheck disable=SC2086 # no word, or one
    REAL_ALONE=yes exec unshare --net $as_root "$0" "$@"
fi

ip link set lo up
export CLOUDFLARED CARGO_NET_OFFLINE=true
logs=$target/real
mkdir -p "$logs"

# run NAME COMMAND...: keeps what it prints, and goes on if it fails.
failed=
run() {
    name=$1
    shift
    began=$(date +%s)
    if "$@" >"$logs/$name.log" 2>&1; then result=right; else result=WRONG failed="$failed $name"; fi
    echo "$name: $result, $(($(date +%s) - began)) s, $(grep -c '^left out with the real cloudflared' "$logs/$name.log" || true) left out"
}

tests() {
    cargo test --quiet -p cflared-tests "$@" -- --nocapture
}

echo "the real program: $("$CLOUDFLARED" --version)"
for part in $parts; do
    case $part in
    conducts) run conducts "$target/debug/real" ;;
    conformance) run conformance tests --test conformance ;;
    demo) run demo "$target/debug/demo" ;;
    traffic)
        for transport in quic http2; do
            run "traffic-$transport" env TRANSPORT=$transport cargo test --quiet -p cflared-tests --test traffic -- --nocapture
        done
        ;;
    e2e) run e2e tests --test e2e ;;
    faults) run faults env FAULTS=all cargo test --quiet -p cflared-tests --test faults -- --nocapture ;;
    *)
        echo "real: there is no part $part" >&2
        exit 64
        ;;
    esac
done
grep -h '^left out with the real cloudflared' "$logs"/*.log | sort | uniq || true
[ -z "$failed" ] || {
    echo "real: went wrong:$failed; see $logs" >&2
    exit 1
}
