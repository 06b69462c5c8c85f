#!/bin/sh
# tests/setup.sh demo|test|real|check|dist|image|release|bench|vm-test
# Installs what that make target needs, or names what it cannot install. Says and does nothing when all of it is there.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
deny=0.20.2
auditable=0.7.7
cyclonedx=0.5.9
missing=
packages=

say() { echo "setup: $*" >&2; }
has() { command -v "$1" >/dev/null 2>&1; }

# lack TEXT: what cannot be installed from here.
lack() {
    missing="$missing
  $*"
}

# need COMMAND PACKAGE...: a program that Debian packages.
need() {
    command=$1
    shift
    has "$command" || packages="$packages $*"
}

# Installs the Debian packages that are missing, which takes root. All of them are named at once if that cannot be.
install_packages() {
    [ -n "$packages" ] || return 0
    if [ "$(id -u)" != 0 ] || ! has apt-get; then
        lack "Debian packages: sudo apt-get install$packages"
        return 0
    fi
    say "installing$packages"
    # shellcheck disable=SC2086 # a list of words
    if ! { apt-get update -q &&
        DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends --allow-downgrades $packages; } >&2
    then
        lack "Debian packages (see above): apt-get install$packages"
    fi
}

# The toolchain of rust-toolchain.toml, without what only other targets need. rustup does not always do this by itself.
need_rust() {
    channel=$(sed -n 's/^channel = "\(.*\)"/\1/p' "$root/rust-toolchain.toml")
    need cc gcc libc6-dev
    if ! has cargo && [ -x "${CARGO_HOME:-$HOME/.cargo}/bin/cargo" ]; then
        lack "cargo is installed and not in PATH: . \"${CARGO_HOME:-$HOME/.cargo}/env\""
    elif ! has cargo; then
        lack "cargo: install rustup as https://rustup.rs says"
    elif ! has rustup; then
        # A cargo of another kind may do; it says what it lacks.
        :
    elif ! rustup run "$channel" rustc --version >/dev/null 2>&1; then
        say "installing Rust $channel"
        rustup toolchain install "$channel" --profile minimal --no-self-update >&2 ||
            lack "Rust $channel (see above): rustup toolchain install $channel"
    fi
}

# need_component NAME COMMAND...: a part of the toolchain.
need_component() {
    name=$1
    shift
    (cd "$root" && "$@") >/dev/null 2>&1 && return 0
    if has rustup; then
        say "installing $name"
        rustup component add --toolchain "$channel" "$name" >&2 && return 0
    fi
    lack "$name: rustup component add --toolchain $channel $name"
}

# need_target TRIPLE: the standard library for it.
need_target() {
    sysroot=$(cd "$root" && rustc --print sysroot 2>/dev/null) || return 0
    [ -d "$sysroot/lib/rustlib/$1/lib" ] && return 0
    if has rustup; then
        say "installing the target $1"
        rustup target add --toolchain "$channel" "$1" >&2 && return 0
    fi
    lack "the target $1: rustup target add --toolchain $channel $1"
}

# need_python: to be asked for before install_packages.
need_python() {
    # ensurepip is a package of its own on Debian, and `venv` is not enough without it.
    has python3 && python3 -c 'import ensurepip, venv' 2>/dev/null || packages="$packages python3 python3-venv"
}

# need_venv NAME REQUIREMENTS [OPTION...]: what is wanted from PyPI, each file by its hash, in target/NAME; the options are pip's.
need_venv() {
    name=$1 venv=$root/target/$1 wanted=$2
    shift 2
    # A copy of what was installed; written last, so that half an installation does not pass for a whole one.
    installed=$venv/installed-requirements.txt
    if cmp -s "$wanted" "$installed" && "$venv/bin/python" -c '' 2>/dev/null; then
        return 0
    fi
    say "installing what ${wanted#"$root/"} lists into target/$name"
    mkdir -p "$root/target"
    if ! { python3 -m venv --clear "$venv" &&
        "$venv/bin/pip" install --quiet --disable-pip-version-check --require-hashes "$@" --requirement "$wanted"; } >&2
    then
        lack "$wanted (see above): check the network and pip's settings"
        return 0
    fi
    cp "$wanted" "$installed"
}

# need_schema: what the AWS provider takes in each resource, in target/schema-venv; 320 kB from a package of 54 MB, whose Python is
# not compiled, for nothing runs it.
need_schema() {
    need_venv schema-venv "$root/tests/terraform/schema-requirements.txt" --no-deps --no-compile
    schema=$root/target/schema-venv/aws-5.99.1.json.gz
    reader=$root/tests/terraform/schema.py
    [ -z "$missing" ] || return 0
    [ -s "$schema" ] && [ -n "$(find "$schema" -newer "$reader")" ] && return 0
    say "reading the AWS provider's schema, once"
    package=$(echo "$root"/target/schema-venv/lib/python3*/site-packages/cdktf_cdktf_provider_aws)
    if "$root/target/venv/bin/python" "$reader" "$package" "$schema.new"; then
        mv "$schema.new" "$schema"
    else
        lack "the AWS provider's schema (see above): $reader could not read $package"
    fi
}

# need_tool NAME VERSION: a program from crates.io, in target/tools. cargo's own record tells which version is there. They work
# for seconds, so they are not optimized, which would take minutes.
need_tool() {
    tools=$root/target/tools
    if [ -x "$tools/bin/$1" ] && grep -q "^\"$1 $2 " "$tools/.crates.toml" 2>/dev/null; then
        return 0
    fi
    say "building $1 $2, once"
    (cd "$root" && CARGO_PROFILE_DEV_DEBUG=0 CARGO_INCREMENTAL=0 cargo install "$1" --version "$2" --locked --quiet \
        --debug --root "$tools" --target-dir "$tools/build") >&2 ||
        lack "$1 (see above): cargo install $1 --version $2 --locked --root target/tools"
}

# What is missing is told at once, not one by one.
finish() {
    rm -rf "$root/target/tools/build"
    [ -z "$missing" ] && return 0
    say "not everything is there. Do this, then run it again:$missing"
    exit 1
}

case ${1-} in
demo)
    need_rust
    install_packages
    ;;
test)
    need_rust
    need strace strace
    need jq jq
    need journalctl systemd
    need_python
    install_packages
    finish
    need_venv venv "$root/tests/requirements.txt"
    need_venv awscli-venv "$root/tests/awscli/requirements.txt"
    need_schema
    ;;
real)
    need_rust
    need unshare util-linux
    need ip iproute2
    need_python
    install_packages
    finish
    need_venv venv "$root/tests/requirements.txt"
    ;;
check)
    need_rust
    need systemd-analyze systemd
    need unshare util-linux
    need ip iproute2
    need chromium chromium
    need_python
    install_packages
    finish
    need_venv venv "$root/tests/requirements.txt"
    need_schema
    need_venv checkov-venv "$root/tests/terraform/checkov-requirements.txt"
    need_component rustfmt cargo fmt --version
    need_component clippy cargo clippy --version
    need_tool cargo-deny "$deny"
    ;;
dist)
    need_rust
    need musl-gcc musl-tools
    need readelf binutils
    need qemu-aarch64-static qemu-user-static
    need lintian lintian
    need mmdebstrap mmdebstrap
    need_python
    [ "$(id -u)" = 0 ] || need newuidmap uidmap
    install_packages
    finish
    need_target x86_64-unknown-linux-musl
    need_target aarch64-unknown-linux-musl
    need_venv dist-venv "$root/packaging/requirements.txt"
    need_tool cargo-auditable "$auditable"
    need_tool cargo-cyclonedx "$cyclonedx"
    ;;
image)
    need_rust
    need shellcheck shellcheck
    need mmdebstrap mmdebstrap
    need apt-ftparchive apt-utils
    need gpg gpg
    need minisign minisign
    need_python
    [ "$(id -u)" = 0 ] || lack "root, to change the root directory: sudo make image"
    install_packages
    finish
    need_venv venv "$root/tests/requirements.txt"
    need_venv awscli-venv "$root/tests/awscli/requirements.txt"
    need_tool cargo-cyclonedx "$cyclonedx"
    ;;
release)
    # `make dist`, which it calls, installs the rest.
    need git git
    need minisign minisign
    need python3 python3
    install_packages
    ;;
bench)
    need_rust
    need strace strace
    need musl-gcc musl-tools
    need_python
    install_packages
    finish
    need_target x86_64-unknown-linux-musl
    need_tool cargo-auditable "$auditable"
    need_venv awscli-venv "$root/tests/awscli/requirements.txt"
    ;;
vm-test)
    need_rust
    need musl-gcc musl-tools
    need python3 python3
    need mmdebstrap mmdebstrap
    need systemd-nspawn systemd-container
    need unshare util-linux
    need ip iproute2
    need mke2fs e2fsprogs
    # Both of the distribution's own release: a qemu-utils that is newer keeps the other from being installed.
    need qemu-system-x86_64 qemu-system-x86 "qemu-utils/$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)"
    need qemu-img qemu-utils
    install_packages
    finish
    need_target x86_64-unknown-linux-musl
    need_tool cargo-auditable "$auditable"
    ;;
*)
    say "usage: tests/setup.sh demo|test|real|check|dist|image|release|bench|vm-test"
    exit 64
    ;;
esac
finish
