"""What the unit takes away is gone, for the agent and for cloudflared, while both work."""

import re

from harness.host import UNIT
from harness.waiting import expect

TIER = "nspawn"
SUITES = ["bookworm", "bullseye", "trixie"]
# Commands that must not work in the unit's mounts and with its user, and what they would show.
FORBIDDEN = {
    "touch /usr/x": "writes to /usr",
    "touch /etc/x": "writes to /etc",
    "touch /etc/cflared-agent/agent.yml": "writes its own settings",
    "touch /tmp/x /var/tmp/x": "writes to /tmp",
    "ls /home/* /root": "reads home directories",
    "test -e /dev/vda -o -e /dev/mem -o -e /dev/kmsg": "sees devices",
    "test -e /proc/meminfo -o -e /proc/sys": "sees more of /proc than processes",
    "cp /bin/true /run/cflared-agent/x && /run/cflared-agent/x": "executes what it wrote",
}


def exposure(host, systemd):
    """The figure that this systemd gives to the unit as it runs."""
    if systemd < 250:
        return "exposure is not shown by this version in the same way"
    return "exposure " + re.search(r"level for \S+: (\d+\.\d)", host.out(f"systemd-analyze security --no-pager {UNIT}"))[1]


def run(host):
    host.standins.start()
    host.boot()
    connector = host.registered()
    for pid in (host.agent(), connector["pid"]):
        status = dict(line.split(":\t", 1) for line in host.out(f"cat /proc/{pid}/status").splitlines() if ":\t" in line)
        expect((status["NoNewPrivs"], status["Seccomp"]) == ("1", "2"), f"{pid}: no seccomp or new privileges")
        for kind in ("CapBnd", "CapEff", "CapPrm", "CapAmb"):
            expect(int(status[kind], 16) == 0, f"{pid} has capabilities: {kind} {status[kind]}")
        limits = host.out(f"cat /proc/{pid}/limits")
        expect("Max open files            16384" in limits, limits)
        expect("Max core file size        1 " in limits, limits)
    uid = host.out("id -u cflared-agent")
    systemd = int(host.out("systemctl --version").split()[1])
    for script, what in FORBIDDEN.items():
        if what.startswith("executes") and systemd < 248:
            continue  # NoExecPaths= is of 248
        done = host.sh(f"nsenter -t {host.agent()} -m -- setpriv --reuid {uid} --regid {uid} --clear-groups sh -c '{script}'",
                       check=False)
        expect(done.rc != 0, f"the agent {what}: {done.out}{done.err}")
    host.sh(f"nsenter -t {host.agent()} -m -- setpriv --reuid {uid} --regid {uid} --clear-groups "
            "touch /etc/cloudflared/allowed /run/cflared-agent/allowed")
    return f"{len(FORBIDDEN)} attempts refused; {exposure(host, systemd)}"
