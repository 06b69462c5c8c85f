#!/bin/sh
# tests/real.sh [PART...]
# Runs the tests that drive cloudflared with the real one that CLOUDFLARED names, in a network namespace that has only lo, and
# writes docs/generated/cloudflared.md. Without a PART, all of them run: conducts, hard, checks, conformance, demo, traffic, e2e,
# faults; each writes its own part of the page.
# What only the stand-in can do is left out, named and counted. Exit status 0: all was right.
set -eu

cd "$(dirname "$0")/.."
: "${CLOUDFLARED:?set it to a real cloudflared, such as /usr/bin/cloudflared}"
[ -x "$CLOUDFLARED" ] || {
    echo "real: $CLOUDFLARED is not there; https://pkg.cloudflare.com says how to install cloudflared" >&2
    exit 1
}
parts=${*:-conducts hard checks conformance demo traffic e2e faults}
target=${CARGO_TARGET_DIR:-$PWD/target}

if [ "${REAL_ALONE:-}" != yes ]; then
    # Crates are fetched before the network goes away.
    cargo build --workspace --bins
    cargo test --workspace --no-run
    REAL_ALONE=yes exec tests/alone.sh "$0" "$@"
fi

export CLOUDFLARED CARGO_NET_OFFLINE=true
logs=$target/real
mkdir -p "$logs"

# left_out FILE...: what they name so; the tests' harness prints dots before it.
left_out() {
    cat "$@" | grep -o 'left out with the real cloudflared: .*' | sort -u || true
}

# run NAME COMMAND...: keeps what it prints, and goes on if it fails.
failed=
rows=
run() {
    name=$1
    shift
    began=$(date +%s)
    if "$@" >"$logs/$name.log" 2>&1; then result=right; else result=WRONG failed="$failed $name"; fi
    took=$(($(date +%s) - began))
    left=$(left_out "$logs/$name.log" | wc -l)
    counts=$(sed -n 's/^test result: [a-zA-Z]*\. \([0-9]* passed; [0-9]* failed\);.*/\1/p' "$logs/$name.log" | tail -1)
    echo "$name: $result, $took s, ${counts:-no tests}, $left left out"
    rows="$rows| $name | $result | $took | ${counts:-–} | $left |
"
}

# The workspace's features are those that the programs were built with: nothing is built twice.
tests() {
    test=$1
    shift
    cargo test --quiet --workspace --test "$test" -- --nocapture "$@"
}

echo "the real program: $("$CLOUDFLARED" --version)"
for part in $parts; do
    case $part in
    conducts) run conducts "$target/debug/real" conducts ;;
    hard) run hard "$target/debug/real" hard ;;
    checks) run checks tests e2e a_host_that_is_well whatever_cloudflared_says an_image_with_this_cloudflared ;;
    conformance) run conformance tests conformance ;;
    demo) run demo "$target/debug/demo" ;;
    traffic)
        for transport in quic http2; do
            TRANSPORT=$transport
            export TRANSPORT
            run "traffic-$transport" tests traffic
            unset TRANSPORT
        done
        ;;
    e2e) run e2e tests e2e ;;
    faults)
        FAULTS=all
        export FAULTS
        run faults tests faults
        unset FAULTS
        ;;
    *)
        echo "real: there is no part $part" >&2
        exit 64
        ;;
    esac
done
all_left_out=$(left_out "$logs"/*.log)
echo "$all_left_out"

# Only a whole run speaks for a commit.
if [ $# = 0 ]; then
    page=docs/generated/cloudflared.md
    sed '/^## The other parts$/,$d' "$page" >"$logs/page.md"
    {
        cat "$logs/page.md"
        cat <<'END'

## The other parts

What else `make real` ran, with the same program. What needs something that only the stand-in does, as to print on order or to show
a foreign id, is left out and named below.

END
        printf '| part | result | seconds | tests | left out |\n|---|---|---|---|---|\n%s' "$rows"
        [ -z "$all_left_out" ] || printf '\n%s\n' "$all_left_out" | sed 's/^left out with the real cloudflared: /- /'
    } | cat -s >"$page"
fi
[ -z "$failed" ] || {
    echo "real: went wrong:$failed; see $logs" >&2
    exit 1
}
