"""The virtual machine tier: QEMU without KVM, with a kernel, a disk, a clock and memory limits of its own.

Slirp, its network, runs in the case's namespace: the guest reaches the stand-ins (the metadata service at its real
address, the rest at 10.0.2.2, which is loopback here), and there is nothing else.
"""

import itertools
import json
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

from .host import Done, Host
from .qmp import Monitor
from .waiting import Failed, eventually, expect

# Slirp's name for the loopback of the case's namespace.
GATEWAY = "10.0.2.2"
# An emulated processor is 5 to 10 times slower than a real one.
PATIENCE = 180
# Where the disk is made writable for the case.
SCRATCH = Path("/mnt")


class Machine(Host):
    """A machine with the agent installed on its disk."""

    gateway = GATEWAY

    def __init__(self, standins, logs, layer, memory=1024):
        super().__init__(standins, logs)
        self.layer, self.memory, self.qemu, self.link = layer, memory, None, None
        self.ids = itertools.count(1)
        self.scratch = SCRATCH / f"vm-tests-{os.getpid()}"
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", SCRATCH], check=True)
        self.scratch.mkdir()
        self.disk = self.scratch / "disk.qcow2"
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", layer / "disk.raw", self.disk], check=True)

    def endpoints(self):
        """They are on the disk already, so that the first power-on is like any other."""

    def write(self, path, text, mode=0o644):
        """Writes a file of the running guest, which reads the old one or the new one and never an empty one."""
        self.sh(f"mkdir -p $(dirname {path}) && cat >{path}.new <<'END-OF-FILE'\n{text.rstrip()}\nEND-OF-FILE\n"
                f"chmod {mode:o} {path}.new && mv {path}.new {path}")

    def boot(self, seconds=PATIENCE):
        """Powers on, and waits until multi-user.target is reached."""
        self.power_on()
        self.connect(seconds)
        self.booted(seconds)

    def power_on(self, memory=None):
        """Starts QEMU; with `memory`, a file that `freeze` wrote, it goes on from there."""
        incoming = ["-incoming", f"exec:cat {memory}"] if memory else []
        with open(self.logs / "qemu.log", "ab") as log:
            self.qemu = subprocess.Popen(
                ["qemu-system-x86_64", "-machine", "q35", "-cpu", "max", "-smp", "2", "-m", f"{self.memory}M",
                 "-accel", "tcg,thread=multi", "-display", "none", "-nodefaults", "-no-user-config",
                 "-kernel", self.layer / "vmlinuz", "-initrd", self.layer / "initrd.img",
                 "-append", "root=/dev/vda rw console=ttyS0 panic=-1",
                 "-drive", f"file={self.disk},if=virtio,format=qcow2,cache=writeback",
                 "-netdev", "user,id=net", "-device", "virtio-net-pci,netdev=net",
                 "-device", "virtio-serial", "-chardev", f"socket,id=agent,path={self.scratch}/agent,server=on,wait=off",
                 "-device", "virtserialport,chardev=agent,name=vm-tests",
                 "-chardev", f"file,id=console,path={self.logs}/console.log,append=on", "-serial", "chardev:console",
                 "-qmp", f"unix:{self.scratch}/qmp,server=on,wait=off", *incoming],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def connect(self, seconds):
        """Waits until the guest takes commands."""
        def attempt():
            expect(self.qemu.poll() is None, f"QEMU ended with {self.qemu.returncode}: see {self.logs}/qemu.log")
            if self.link is None:
                self.link = socket.socket(socket.AF_UNIX)
                try:
                    self.link.connect(f"{self.scratch}/agent")
                except OSError as error:
                    self.link = None
                    raise Failed(str(error)) from None
            return self.execute("true", 5).rc == 0
        eventually("the machine takes commands", seconds, attempt, every=0.3)

    def order(self, script, timeout=PATIENCE):
        """Sends a script to the guest's own agent and does not wait; its number."""
        number = next(self.ids)
        self.link.sendall(json.dumps({"id": number, "sh": script, "timeout": timeout}).encode() + b"\n")
        return number

    def execute(self, script, timeout):
        """Runs a script by the guest's own agent."""
        deadline = time.monotonic() + timeout + 5
        try:
            self.link.settimeout(timeout + 5)
            number, buffer = self.order(script, timeout), b""
            while time.monotonic() < deadline:
                self.link.settimeout(max(0.1, deadline - time.monotonic()))
                part = self.link.recv(1 << 16)
                if not part:
                    raise Failed("the machine is gone")
                buffer += part
                while b"\n" in buffer:
                    line, buffer = buffer.split(b"\n", 1)
                    answer = self.parsed(line)
                    # Answers to commands that were given up on are passed over.
                    if answer and answer["id"] == number:
                        return Done(answer["rc"], answer["out"], answer["err"])
        except (OSError, AttributeError) as error:
            raise Failed(f"`{script}` was not answered: {error}") from None
        raise Failed(f"`{script}` did not end within {timeout} s")

    @staticmethod
    def parsed(line):
        try:
            return json.loads(line)
        except ValueError:
            return None

    def power_cut(self):
        """What was not on disk is lost."""
        self.qemu.send_signal(signal.SIGKILL)
        self.qemu.wait()
        self.gone()
        (self.scratch / "qmp").unlink(missing_ok=True)

    def freeze(self):
        """Ends the machine and keeps its memory and its disk, for `thaw`."""
        Monitor(self.scratch / "qmp").save(self.scratch / "memory")
        self.power_cut()
        shutil.copy(self.disk, self.scratch / "frozen.qcow2")

    def thaw(self, seconds=PATIENCE):
        """Goes on from where `freeze` ended it."""
        shutil.copy(self.scratch / "frozen.qcow2", self.disk)
        self.power_on(self.scratch / "memory")
        eventually("QEMU answers", seconds, lambda: os.path.exists(self.scratch / "qmp") and self.go_on())
        self.connect(seconds)

    def go_on(self):
        """Starts the processors of a machine whose memory is there."""
        try:
            monitor = Monitor(self.scratch / "qmp")
        except OSError as error:
            raise Failed(str(error)) from None
        eventually("the memory is read", 120, lambda: monitor.order("query-status")["status"] == "paused")
        monitor.order("cont")
        return True

    def files(self, path):
        """A directory of the disk of a machine that is off, as the next boot would find it: its journal is replayed."""
        raw, copy = self.scratch / "look.raw", self.scratch / "look"
        shutil.rmtree(copy, ignore_errors=True)
        copy.mkdir()
        subprocess.run(["qemu-img", "convert", "-O", "raw", self.disk, raw], check=True)
        checked = subprocess.run(["e2fsck", "-p", raw], capture_output=True, text=True)
        expect(checked.returncode < 4, f"the file system is damaged: {checked.stdout}{checked.stderr}")
        subprocess.run(["debugfs", "-R", f"rdump {path} {copy}", raw], check=True, capture_output=True)
        raw.unlink()
        return copy / Path(path).name

    def gone(self):
        """Forgets a machine that is off."""
        if self.link:
            self.link.close()
        self.link = None

    def down(self, seconds=PATIENCE):
        """Shuts down in order."""
        self.execute("systemctl poweroff --no-block", 20)
        try:
            self.qemu.wait(seconds)
        except subprocess.TimeoutExpired:
            raise Failed(f"the machine did not power off within {seconds} s") from None
        self.gone()
