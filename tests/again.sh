#!/bin/sh
# tests/again.sh TIMES PACKAGE [FILTER...]
# Runs the tests of a package whose names hold one of the filters again and again, beside a busy loop for each core: what rests
# on speed or on luck shows. Properties get new random input each time. Prints what failed, and the output of it.
#     tests/again.sh 200 cflared-agent connector::tests
#     tests/again.sh 20 cflared-tests reload
set -eu

if [ $# -lt 2 ]; then
    echo "usage: tests/again.sh TIMES PACKAGE [FILTER...]" >&2
    exit 64
fi
times=$1
package=$2
shift 2
cd "$(dirname "$0")/.."
root=$(pwd)
directory=$(cargo pkgid --package "$package" | sed 's,^path+file://,,; s,#.*,,')
cargo test --quiet --package "$package" --no-run
programs=$(cargo test --package "$package" --no-run 2>&1 | sed -n 's/^ *Executable .* (\(.*\))$/\1/p')

output=$(mktemp)
loops=
# shellcheck disable=SC2086 # a list of words
end() { kill $loops 2>/dev/null || true; rm -f "$output"; }
trap end EXIT
trap 'exit 1' INT TERM
for _ in $(seq "$(nproc)"); do
    sh -c 'while :; do :; done' &
    loops="$loops $!"
done

cd "$directory"
failed=0
for program in $programs; do
    program=$(cd "$root" && realpath "$program")
    # A program without such a test is no run.
    "$program" --list "$@" 2>/dev/null | grep -q ': test$' || continue
    for run in $(seq "$times"); do
        RUST_TEST_THREADS=${RUST_TEST_THREADS:-6} "$program" "$@" >"$output" 2>&1 && continue
        failed=$((failed + 1))
        echo "run $run of $(basename "$program"):"
        cat "$output"
    done
    echo "$(basename "$program"): $times runs, the last: $(sed -n 's/^test result: //p' "$output")"
done
echo "$failed runs failed"
[ "$failed" = 0 ]
