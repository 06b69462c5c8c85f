"""`systemctl start` returns when the tunnel is registered, and not before."""

import time

from harness.waiting import expect

TIER = "nspawn"
SUITES = ["bookworm", "bullseye", "trixie"]


def run(host):
    host.standins.start()
    host.boot()
    # A connector that is told to stop in its first registration exits at once, and over QUIC the edge keeps what it registered
    # until it is idle for too long. One that has registered says goodbye.
    host.all_four()
    host.sh("systemctl stop cflared-agent.service")
    expect(host.standins.connectors() == set(), f"when stop returned, the edge had {host.standins.connectors()}")
    before = len(host.standins.events())
    began = time.monotonic()
    host.sh("systemctl start cflared-agent.service")
    took = time.monotonic() - began
    at_the_edge = host.standins.connectors()
    expect(len(at_the_edge) == 1, f"when start returned, the edge had {at_the_edge}")
    expect(len(host.standins.events()) > before, "nothing was registered since the stop")
    expect(host.show("ActiveState", "SubState") == {"ActiveState": "active", "SubState": "running"}, "it is not active")
    host.registered()
    host.alone()
    return f"returned after {took:.1f} s, registered"
