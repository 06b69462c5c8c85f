"""The nspawn tier: systemd as process 1 of a container, on an overlay that is gone with the case."""

import os
import signal
import subprocess
from pathlib import Path

from .host import PATIENCE, Done, Host
from .namespaces import command, own_cgroup
from .waiting import Failed, eventually

STAGE = Path("/mnt")


def overlay(layers):
    """Mounts `layers` (topmost first) read-only under a new writable one, in memory; the merged root."""
    command("mount", "-t", "tmpfs", "tmpfs", str(STAGE))
    for name in ("upper", "work", "root"):
        (STAGE / name).mkdir()
    lower = ":".join(str(layer) for layer in layers)
    command("mount", "-t", "overlay", "overlay", "-o",
            f"lowerdir={lower},upperdir={STAGE}/upper,workdir={STAGE}/work", str(STAGE / "root"))
    return STAGE / "root"


class Container(Host):
    """A booted container that shares the case's network."""

    def __init__(self, standins, logs, layers, name):
        super().__init__(standins, logs)
        own_cgroup(name)
        self.root = overlay(layers)
        # Kept on disk, so that it can be read after the container's end.
        (self.root / "var/log/journal").mkdir(parents=True, exist_ok=True)
        self.nspawn = self.leader = None

    def boot(self, seconds=PATIENCE):
        """Boots, and waits until multi-user.target is reached, which must not depend on the tunnel."""
        with open(self.logs / "console.log", "ab") as console:
            self.nspawn = subprocess.Popen(
                ["systemd-nspawn", "--quiet", "--boot", "--register=no", "--keep-unit", "--directory", self.root,
                 "--machine=case", "--console=pipe", "--resolv-conf=off", "--timezone=off", "--link-journal=no",
                 "--kill-signal=SIGRTMIN+3"],
                stdin=subprocess.DEVNULL, stdout=console, stderr=console,
                # /tmp is a directory of the disk, as on the instances.
                env={**os.environ, "SYSTEMD_NSPAWN_TMPFS_TMP": "0"})
        self.leader = eventually("systemd is there", seconds, self.find_leader)
        eventually("systemd takes commands", seconds, lambda: self.execute("true", 10).rc == 0)
        self.booted(seconds)

    def find_leader(self):
        """Process 1 of the container, as seen from here."""
        if self.nspawn.poll() is not None:
            raise SystemExit(f"vm-test: systemd-nspawn ended with {self.nspawn.returncode}; see {self.logs}/console.log")
        children = Path(f"/proc/{self.nspawn.pid}/task/{self.nspawn.pid}/children").read_text().split()
        for child in children:
            if os.path.exists(f"/proc/{child}/root/run/systemd/private"):
                return int(child)
        return None

    def down(self, seconds=PATIENCE):
        """Shuts down in order."""
        self.nspawn.send_signal(signal.SIGTERM)
        self.ended(seconds)

    def fill_disk(self):
        """Leaves no block and no inode on the root file system; `free_disk` undoes it."""
        used = os.statvfs(STAGE)
        blocks = (used.f_blocks - used.f_bfree) * used.f_frsize // os.sysconf("SC_PAGE_SIZE")
        command("mount", "-o", f"remount,nr_blocks={blocks},nr_inodes={used.f_files - used.f_ffree}", str(STAGE))

    def free_disk(self):
        """Gives the root file system room again."""
        command("mount", "-o", "remount,size=2G,nr_inodes=1000000", str(STAGE))

    def ended(self, seconds):
        try:
            self.nspawn.wait(seconds)
        except subprocess.TimeoutExpired:
            raise Failed(f"the container did not end within {seconds} s") from None

    def execute(self, script, timeout):
        """Runs a script by the container's systemd: with its rights, not with ours."""
        words = ["nsenter", "--target", str(self.leader), "--all", "systemd-run", "--quiet", "--wait", "--pipe", "--collect",
                 "--setenv=PATH=/usr/sbin:/usr/bin:/sbin:/bin", "/bin/sh", "-c", script]
        try:
            done = subprocess.run(words, capture_output=True, text=True, timeout=timeout, stdin=subprocess.DEVNULL)
        except subprocess.TimeoutExpired:
            raise Failed(f"`{script}` did not end within {timeout} s") from None
        return Done(done.returncode, done.stdout, done.stderr)

    def write(self, path, text, mode=0o644):
        """Writes a file of the container; before the boot, too."""
        target = self.root / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        # Who reads it meanwhile reads the old one or the new one, and never an empty one.
        new = target.with_name(f"{target.name}.new")
        new.write_text(text)
        new.chmod(mode)
        new.replace(target)

    def link(self, target, path):
        """Makes a symbolic link in the container; before the boot, too."""
        (self.root / path.lstrip("/")).symlink_to(target)

    def pid_here(self, pid):
        """The process id by which the container's process `pid` is known here, to signal what systemd-run cannot reach."""
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    ids = [line for line in (entry / "status").read_text().splitlines() if line.startswith("NSpid:")]
                    same = os.stat(entry / "ns/pid").st_ino == os.stat(f"/proc/{self.leader}/ns/pid").st_ino
                except OSError:
                    continue
                if same and ids[0].split()[-1] == str(pid):
                    return int(entry.name)
        raise Failed(f"no process {pid} in the container")
