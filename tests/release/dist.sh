#!/bin/sh
# tests/release/dist.sh: what packaging/dist.sh leaves in target/dist, around an agent that was built before: AGENT, and PAGES for its
# manual; both of this tree's sources and version. Everything but the compiler is the release's own.
set -eu

processor=$(uname -m)
rm -rf target/dist
mkdir -p target/dist
cp "$AGENT" "target/dist/cflared-agent-$processor"
packaging/deb.sh "$(dpkg --print-architecture)" "target/dist/cflared-agent-$processor" target/dist
packaging/sbom.py "$processor" "target/dist/cflared-agent-$processor.cdx.json"
