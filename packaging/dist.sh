#!/bin/sh
# packaging/dist.sh: everything that is handed out, in target/dist/: for each processor the binary, its bill of materials
# and the package, and SHA256SUMS over all. What is wrong with any of it ends the run.
set -eu

cd "$(dirname "$0")/.."
dist=target/dist
rm -rf "$dist"
mkdir -p "$dist"

for pair in x86_64:amd64 aarch64:arm64; do
    processor=${pair%:*}
    binary=$dist/cflared-agent-$processor
    cp "$(packaging/binary.sh "$processor")" "$binary"
    tests/static.sh "$binary" "$processor"
    packaging/sbom.py "$processor" "$binary.cdx.json"
    python3 tests/sbom.py "$binary" "$binary.cdx.json" "$processor-unknown-linux-musl"
    deb=$(packaging/deb.sh "${pair#*:}" "$binary" "$dist")
    echo "$deb: $(stat --format=%s "$deb") bytes"
done

# As root it says that it should not be; it runs nothing of the package.
lintian --allow-root --fail-on error,warning "$dist"/*.deb
echo "lintian finds no error and no warning in $(cd "$dist" && echo *.deb)"

(cd "$dist" && sha256sum -- * >SHA256SUMS.new && mv SHA256SUMS.new SHA256SUMS)
