"""A cloudflared that takes too much memory is killed alone, at the unit's limit; the agent starts another."""

import time

from harness.host import UNIT
from harness.waiting import eventually, expect

TIER = "qemu"
STANDIN_ONLY = "it takes memory on order"
PIECE = 128 << 20


def run(host):
    host.standins.start()
    host.boot()
    limit = int(host.show("MemoryMax"))
    total = int(host.out("awk '/MemTotal/ {print $2 * 1024}' /proc/meminfo"))
    expect(0.5 < limit / total < 0.7, f"MemoryMax is {limit} of {total}")
    connector, agent = host.registered(180), host.agent()
    # Lines that it has to hold until somebody has read them, faster than they can be read.
    began = time.monotonic()

    def leaks_until_it_dies():
        host.standins.edge("order", {"scope": {}, "order": {"do": "flood", "bytes": PIECE}})
        return connector["pid"] not in host.cloudflareds()
    eventually("cloudflared is killed", 180, leaks_until_it_dies, every=0.5)
    host.registered(180, but=connector["pid"])
    took = time.monotonic() - began
    host.alone()
    expect(host.agent() == agent, "the agent was restarted, too")
    shown = host.show("NRestarts", "ActiveState", "Result")
    expect(shown == {"NRestarts": "0", "ActiveState": "active", "Result": "success"}, str(shown))
    killed = [entry["MESSAGE"] for entry in host.journal("-k", "--grep", "Killed process")]
    expect(len(killed) == 1 and "cloudflared" in killed[0], f"the kernel killed {killed}")
    used = int(host.show("MemoryCurrent"))
    return (f"killed at {limit >> 20} of {total >> 20} MiB, registered again after {took:.0f} s (emulated); agent and "
            f"{UNIT} went on; {used >> 20} MiB in use after it")
