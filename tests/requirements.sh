#!/bin/sh
# tests/requirements.sh: from each requirements.in, which names what is wanted, the requirements.txt with everything that it needs and
# the hashes of all of its files, for every platform. It takes uv, of any version; pip refuses what has another hash.
set -eu

cd "$(dirname "$0")/.."
for wanted in packaging/requirements.in tests/requirements.in tests/awscli/requirements.in tests/terraform/checkov-requirements.in; do
    listed=${wanted%.in}.txt
    echo "# Made by tests/requirements.sh from ${wanted##*/}." >"$listed.new"
    uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --no-emit-find-links "$wanted" >>"$listed.new"
    mv "$listed.new" "$listed"
done
