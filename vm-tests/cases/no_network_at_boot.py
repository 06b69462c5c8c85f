"""A boot without any network ends; when metadata, AWS and the edge are there, so is the tunnel."""

import time

from harness.namespaces import METADATA, command
from harness.waiting import expect, stays

TIER = "nspawn"


def run(host):
    command("ip", "address", "del", f"{METADATA}/32", "dev", "lo")
    host.boot()
    host.sh("systemctl is-active multi-user.target")
    stays("the unit is being started", 15, lambda: host.show("ActiveState") == "activating", every=1)
    command("ip", "address", "add", f"{METADATA}/32", "dev", "lo")
    host.standins.start()
    began = time.monotonic()
    host.registered(120)
    took = time.monotonic() - began
    expect(host.show("NRestarts") == "0", "it was restarted")
    return f"multi-user.target without a network; registered {took:.1f} s after there was one"
