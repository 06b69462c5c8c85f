#!/bin/sh
# packaging/deb.sh ARCH BINARY DIRECTORY
# Makes DIRECTORY/cflared-agent_VERSION_ARCH.deb around a binary that was built for ARCH (amd64 or arm64), and prints its
# path. The same inputs give the same bytes. It builds the workspace's programs for this machine (the pages are made from
# the command line's own description), and needs no root.
set -eu

if [ $# != 3 ]; then
    echo "usage: packaging/deb.sh amd64|arm64 BINARY DIRECTORY" >&2
    exit 64
fi
arch=$1
binary=$(realpath "$2")
mkdir -p "$3"
out=$(realpath "$3")
cd "$(dirname "$0")/.."
here=packaging

fail() {
    echo "deb.sh: $*" >&2
    exit 1
}

# The two bytes of an ELF header that name its processor.
machine=$(od -An -tx1 -j18 -N2 "$binary" | tr -d ' ')
case $arch:$machine in
amd64:3e00) processor=x86_64 ;;
arm64:b700) processor=aarch64 ;;
amd64:* | arm64:*) fail "$binary is not built for $arch (its ELF machine is $machine)" ;;
*) fail "$arch is not an architecture that is packaged; use amd64 or arm64" ;;
esac

version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)
logged=$(sed -n '1s/^cflared-agent (\(.*\)) .*/\1/p' $here/debian/changelog)
[ "$version" = "$logged" ] ||
    fail "Cargo.toml is at $version and packaging/debian/changelog at $logged; add the version's entry to the changelog"
# Every time stamp in the package is that of its changelog entry.
SOURCE_DATE_EPOCH=$($here/epoch.sh)
export SOURCE_DATE_EPOCH

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
root=$scratch/root
umask 022

# put MODE FILE TARGET
put() { install -D -m "$1" "$2" "$root$3"; }
# A name or time in the gzip header would differ from build to build.
zipped() { gzip -9n <"$1" >"$scratch/zipped" && put 644 "$scratch/zipped" "$2"; }

# PAGES is that program, if it is built already.
[ -n "${PAGES-}" ] || cargo build --quiet --workspace --bins
"${PAGES:-${CARGO_TARGET_DIR:-target}/debug/cflared-pages}" "$scratch/pages"

put 755 "$binary" /usr/bin/cflared-agent
put 644 $here/files/agent.yml /etc/cflared-agent/agent.yml
put 644 $here/files/needrestart.conf /etc/needrestart/conf.d/cflared-agent.conf
put 644 $here/files/sysusers.conf /usr/lib/sysusers.d/cflared-agent.conf
put 644 $here/files/tmpfiles.conf /usr/lib/tmpfiles.d/cflared-agent.conf
# 10: any other file may raise what this one sets.
put 644 $here/files/sysctl.conf /usr/lib/sysctl.d/10-cflared-agent.conf
put 644 $here/files/preset /usr/lib/systemd/system-preset/80-cflared-agent.preset
put 644 "$scratch/pages/completions/cflared-agent.bash" /usr/share/bash-completion/completions/cflared-agent
put 644 "$scratch/pages/completions/_cflared-agent" /usr/share/zsh/vendor-completions/_cflared-agent
put 644 "$scratch/pages/completions/cflared-agent.fish" /usr/share/fish/vendor_completions.d/cflared-agent.fish
# The pages that doctor's remedies lead to, and those that they lead to: not in doc/, which minimal images leave out.
for page in runbook.md $(sed -n 's/.*](\([a-z-]*\.md\).*/\1/p' docs/runbook.md docs/events.md | sort -u); do
    put 644 "docs/$page" "/usr/share/cflared-agent/$page"
done
put 644 $here/debian/copyright /usr/share/doc/cflared-agent/copyright
put 644 $here/debian/lintian-overrides /usr/share/lintian/overrides/cflared-agent
$here/notices.py $processor >"$scratch/notices"
zipped "$scratch/notices" /usr/share/doc/cflared-agent/third-party-licences.gz
zipped $here/debian/changelog /usr/share/doc/cflared-agent/changelog.gz
for page in "$scratch"/pages/man/*.8; do
    zipped "$page" "/usr/share/man/man8/$(basename "$page").gz"
done

# Every unit there is; those that say where they are wanted are enabled.
units='' enabled=''
for unit in systemd/*.service systemd/*.target systemd/*.timer systemd/*.socket systemd/*.path; do
    [ -f "$unit" ] || continue
    name=$(basename "$unit")
    put 644 "$unit" "/usr/lib/systemd/system/$name"
    units="$units $name"
    grep -q '^\[Install\]' "$unit" && enabled="$enabled $name"
done

ln -s ../../cflared-agent/runbook.md "$root/usr/share/doc/cflared-agent/runbook.md"

mkdir "$root/DEBIAN"
(cd "$root" && find etc usr -type f -print0 | LC_ALL=C sort -z | xargs -0 md5sum) >"$root/DEBIAN/md5sums"
size=$(du --apparent-size --summarize --block-size=1K "$root/usr" | cut -f1)
for file in control conffiles postinst prerm postrm; do
    sed -e "s/@VERSION@/$version/; s/@ARCH@/$arch/; s/@SIZE@/$size/" \
        -e "s/ @UNITS@/$units/; s/ @ENABLED@/$enabled/" "$here/debian/$file" >"$root/DEBIAN/$file"
done
chmod 755 "$root/DEBIAN/postinst" "$root/DEBIAN/prerm" "$root/DEBIAN/postrm"
find "$root" -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +

deb=$out/cflared-agent_${version}_$arch.deb
# xz: Debian 11's dpkg cannot read zstd.
dpkg-deb --root-owner-group -Zxz --build "$root" "$deb" >/dev/null
echo "$deb"
