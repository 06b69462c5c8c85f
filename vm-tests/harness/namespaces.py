"""The namespaces of one case: a network with nothing but loopback, mounts, processes, and a cgroup of its own.

Link-local addresses of the machine must stay out of reach: whoever calls `enter` must already be in a new network
namespace, and is refused otherwise.
"""

import ctypes
import os
import socket
import subprocess

METADATA = "169.254.169.254"
# Everything that a case starts ends with it: its process is the first of its process namespace.
# And with the runner, should that be killed.
NEW = ["setpriv", "--pdeathsig", "KILL", "unshare", "--net", "--mount", "--ipc", "--pid", "--fork",
       "--kill-child=SIGKILL", "--propagation", "private"]
CGROUPS = "/sys/fs/cgroup"
GROUPS = "cflared-vm-tests"


def identity():
    """The network namespace this process is in."""
    return os.stat("/proc/self/ns/net").st_ino


def refuse_unless_new(outside):
    """Ends the process if this is the network `outside`, or one that leads anywhere."""
    interfaces = [name for _, name in socket.if_nameindex()]
    if identity() == int(outside) or interfaces != ["lo"] or os.getpid() != 1:
        raise SystemExit(f"vm-test: this is no namespace that it made itself (interfaces: {interfaces}); use `make vm-test`")


def enter(outside):
    """Makes the new namespaces usable."""
    # Before anything may look into it, /proc is to show this process namespace.
    refuse_unless_new(outside)
    command("mount", "-t", "proc", "proc", "/proc")
    command("mount", "-t", "sysfs", "sysfs", "/sys")
    command("ip", "link", "set", "lo", "up")
    command("ip", "address", "add", f"{METADATA}/32", "dev", "lo")


def remove_cgroups(name):
    """Takes away what `own_cgroup` and the systemd in it made; called outside, after the case's end."""
    for mount in (f"{CGROUPS}/unified", CGROUPS):
        for directory, _, _ in os.walk(f"{mount}/{GROUPS}/{name}", topdown=False):
            try:
                os.rmdir(directory)
            except OSError:
                # A process that is still being torn down; the next run takes the rest.
                return


def own_cgroup(name):
    """Goes into a cgroup of its own (version 2, whatever the machine uses), for systemd to be the root of."""
    command("mount", "-t", "cgroup2", "cgroup2", CGROUPS)
    group = f"{CGROUPS}/{GROUPS}/{name}"
    os.makedirs(group, exist_ok=True)
    with open(f"{group}/cgroup.procs", "w") as procs:
        procs.write("0")
    # From here on it is the root, as in a container.
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(0x02000000):  # CLONE_NEWCGROUP
        raise SystemExit(f"vm-test: failed to make a cgroup namespace: {os.strerror(ctypes.get_errno())}")
    command("umount", CGROUPS)
    command("mount", "-t", "cgroup2", "cgroup2", CGROUPS)


def command(*words):
    """Runs a command that must work."""
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"vm-test: failed to run {' '.join(words)}: {done.stderr.strip()}; it takes root, and a kernel that "
                         "allows namespaces, cgroups and overlays")
