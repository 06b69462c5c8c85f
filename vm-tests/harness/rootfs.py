"""Root file systems of Debian, made with mmdebstrap and kept by the hash of their recipe."""

from hashlib import sha256
import os
import shutil
import subprocess

from .paths import WORK

MIRROR = "http://deb.debian.org/debian"
# bookworm serves as the virtual machine's disk, too. Ubuntu 22.04 has systemd 249: between the first two.
SUITES = {"bullseye": 247, "bookworm": 252, "trixie": 257}
BASE = "systemd,systemd-sysv,dbus,libnss-systemd,ca-certificates,iproute2,procps"
MACHINE = BASE + ",udev,linux-image-cloud-amd64,initramfs-tools,zstd,kmod,python3,e2fsprogs"
# A list of modules instead of a guess by what the building machine has.
INITRAMFS = (
    'mkdir -p "$1/etc/initramfs-tools/conf.d" "$1/usr/share/initramfs-tools/modules.d" && '
    'printf "MODULES=list\\nCOMPRESS=zstd\\n" >"$1/etc/initramfs-tools/conf.d/vm.conf" && '
    'printf "virtio_pci\\nvirtio_blk\\next4\\n" >"$1/usr/share/initramfs-tools/modules.d/vm.conf"'
)
# Host keys and the like have no place in an image, and its id is to be made at its first boot.
CUSTOMIZE = 'truncate -s 0 "$1/etc/machine-id"; passwd --root "$1" --delete root >/dev/null; rm -f "$1/etc/resolv.conf"'


def recipe(suite):
    """The command that makes the root file system of `suite`, without where to."""
    command = ["mmdebstrap", "--mode=root", "--variant=minbase", f"--customize-hook={CUSTOMIZE}"]
    if suite == "bookworm":
        return [*command, f"--include={MACHINE}", f"--essential-hook={INITRAMFS}"]
    return [*command, f"--include={BASE}"]


def ensure(suite):
    """The unpacked root file system of `suite`; it is only ever read."""
    command = recipe(suite)
    name = f"{suite}-{sha256(repr([command, MIRROR]).encode()).hexdigest()[:12]}"
    root = WORK / "images" / name
    if root.is_dir():
        return root
    scratch = root.with_name(f"{name}.new")
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.parent.mkdir(parents=True, exist_ok=True)
    log = scratch.with_suffix(".log")
    with open(log, "wb") as out:
        done = subprocess.run([*command, suite, scratch, MIRROR], stdout=out, stderr=subprocess.STDOUT,
                              stdin=subprocess.DEVNULL, env={**os.environ, "LC_ALL": "C"})
    if done.returncode:
        raise SystemExit(f"vm-test: failed to make the root file system of {suite}; see {log}")
    for old in scratch.parent.glob(f"{suite}-*"):
        if old.is_dir() and old != scratch:
            shutil.rmtree(old)
    scratch.rename(root)
    return root
