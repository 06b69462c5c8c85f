"""The layer of an image that has the agent in it: installed in a chroot, as a build host does it."""

import os
import shutil
import re
import subprocess

from .host import AUTHORITY_FILE, ENDPOINTS, SETTINGS, endpoints, settings
from .machine import GATEWAY
from .namespaces import command
from .paths import ROOT

VERSION = re.search(r'^version = "(.*)"$', (ROOT / "Cargo.toml").read_text(), re.MULTILINE)[1]
IMAGE = '{"image": "ami-0123456789abcdef0", "built_at": "2026-11-01T00:00:00Z", ' \
        f'"agent_version": "{VERSION}", "cloudflared_version": "2026.8.2"}}\n'


def layer(rootfs, target, package, cloudflared, authority):
    """Installs `package`, a cloudflared and the certificate that it is to trust into a new layer `target` above `rootfs`."""
    shutil.rmtree(target, ignore_errors=True)
    for name in ("upper", "work", "root"):
        (target / name).mkdir(parents=True)
    root = target / "root"
    command("mount", "-t", "overlay", "overlay", "-o",
            f"lowerdir={rootfs},upperdir={target}/upper,workdir={target}/work", str(root))
    shutil.copy(cloudflared, root / "usr/bin/cloudflared")
    shutil.copy(package, root / "var/cache/cflared-agent.deb")
    # systemd-sysusers of Debian 11 changes modes by way of /proc.
    command("mount", "-t", "proc", "proc", str(root / "proc"))
    done = subprocess.run(["chroot", root, "dpkg", "--install", "/var/cache/cflared-agent.deb"], capture_output=True, text=True,
                          env={"PATH": os.environ["PATH"], "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"})
    (target / "dpkg.log").write_text(done.stdout + done.stderr)
    if done.returncode:
        raise SystemExit(f"vm-test: failed to install {package}: see {target}/dpkg.log")
    write(root / SETTINGS.lstrip("/"), settings())
    write(root / AUTHORITY_FILE.lstrip("/"), authority)
    write(root / "usr/lib/cflared-agent/image.json", IMAGE)
    command("umount", str(root / "proc"))
    command("umount", str(root))


def write(path, text):
    """Writes a file, with its directories."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


NETWORK = "[Match]\nName=e*\n[Network]\nAddress=10.0.2.15/24\nGateway=10.0.2.2\n"
GUEST_UNIT = """[Unit]
Description=Takes the harness's commands
DefaultDependencies=no
After=local-fs.target
[Service]
ExecStart=/usr/bin/python3 /usr/local/lib/vm-tests-guest.py
Restart=always
[Install]
WantedBy=sysinit.target
"""


NOT_NEEDED = ["e2scrub_reap.service", "e2scrub_all.timer", "getty@tty1.service", "serial-getty@ttyS0.service",
              "systemd-logind.service", "apt-daily.timer", "apt-daily-upgrade.timer", "fstrim.timer"]


def disk(rootfs, target):
    """Makes a bootable disk, with its kernel beside it, of a layer and what is below it."""
    root = target / "root"
    command("mount", "-t", "tmpfs", "tmpfs", "/mnt")
    os.makedirs("/mnt/upper")
    os.makedirs("/mnt/work")
    command("mount", "-t", "overlay", "overlay", "-o",
            f"lowerdir={target}/upper:{rootfs},upperdir=/mnt/upper,workdir=/mnt/work", str(root))
    write(root / "etc/systemd/network/10-vm.network", NETWORK)
    write(root / "etc/systemd/system/vm-tests-guest.service", GUEST_UNIT)
    shutil.copy(os.path.join(os.path.dirname(__file__), "guest_agent.py"), root / "usr/local/lib/vm-tests-guest.py")
    write(root / SETTINGS.lstrip("/"), settings(edge=GATEWAY))
    write(root / ENDPOINTS.lstrip("/"), endpoints(GATEWAY))
    command("systemctl", "--root", str(root), "enable", "--quiet", "vm-tests-guest.service", "systemd-networkd.service")
    # Slow under emulation, and nothing that is tested.
    command("systemctl", "--root", str(root), "mask", "--quiet", *NOT_NEEDED)
    for name, pattern in {"vmlinuz": "vmlinuz-*", "initrd.img": "initrd.img-*"}.items():
        shutil.copy(next((root / "boot").glob(pattern)), target / name)
    command("mke2fs", "-q", "-t", "ext4", "-d", str(root), str(target / "disk.raw"), "2G")
    command("umount", str(root))
