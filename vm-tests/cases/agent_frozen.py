"""A frozen agent is found by systemd's watchdog, ended and replaced; no cloudflared is left over."""

import time

from harness.waiting import eventually, expect

TIER = "nspawn"
LONG = True


def run(host):
    host.standins.start()
    host.boot()
    connector, agent = host.registered(), host.agent()
    began = time.monotonic()
    host.sh(f"kill -STOP {agent}")
    host.registered(180, but=connector["pid"])
    took = time.monotonic() - began
    expect(host.agent() not in (0, agent), "it is the same agent")
    eventually("the old cloudflared is gone", 30, lambda: connector["pid"] not in host.cloudflareds())
    host.alone()
    eventually("systemd says why", 30, lambda: host.journal("-u", "cflared-agent.service", "--grep", "[Ww]atchdog"))
    expect(host.cores() == "", f"there are cores: {host.cores()}")
    return f"registered again {took:.0f} s after the freeze (WatchdogSec=60); no core, no orphan"
