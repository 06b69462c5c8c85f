#!/bin/sh
# Installs what the tests need from PyPI into target/venv. Does nothing when that is done already.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
wanted=$root/tests/requirements.txt
venv=$root/target/venv
# A copy of what was installed; written last, so that half an installation does not pass for a whole one.
installed=$venv/installed-requirements.txt

if cmp -s "$wanted" "$installed" && "$venv/bin/python" -c '' 2>/dev/null; then
    exit 0
fi

if ! command -v python3 >/dev/null; then
    echo "setup.sh: python3 is missing; install it: sudo apt-get install python3 python3-venv" >&2
    exit 1
fi
if ! python3 -c 'import ensurepip, venv' 2>/dev/null; then
    echo "setup.sh: python3 cannot make virtual environments; install that part: sudo apt-get install python3-venv" >&2
    exit 1
fi

echo "setup.sh: installing $(grep -v '^#' "$wanted" | tr '\n' ' ')into $venv"
mkdir -p "$root/target"
python3 -m venv --clear "$venv"
if ! "$venv/bin/pip" install --quiet --disable-pip-version-check --requirement "$wanted"; then
    echo "setup.sh: failed to install from PyPI (see above); check the network or pip's settings, then run it again" >&2
    exit 1
fi
cp "$wanted" "$installed"
