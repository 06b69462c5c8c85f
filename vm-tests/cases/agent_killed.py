"""SIGKILL of the agent: cloudflared goes with it, systemd starts it again, and the tunnel is back."""

import time

from harness.host import UNIT
from harness.waiting import eventually, expect

TIER = "nspawn"
SUITES = ["bookworm", "bullseye", "trixie"]


def run(host):
    host.standins.start()
    host.boot()
    took = []
    # Five times: there is no limit after which systemd gives up.
    for turn in range(5):
        connector, agent = host.registered(), host.agent()
        began = time.monotonic()
        host.sh(f"kill -KILL {agent}")
        host.registered(but=connector["pid"])
        took.append(time.monotonic() - began)
        eventually("the old cloudflared is gone", 30, lambda: connector["pid"] not in host.cloudflareds())
        host.alone()
        expect(int(host.show("NRestarts")) == turn + 1, f"NRestarts={host.show('NRestarts')}")
    host.sh(f"systemctl is-active {UNIT}")
    return f"registered again after {min(took):.1f} to {max(took):.1f} s, five times; no orphan"
