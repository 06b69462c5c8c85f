"""A frozen cloudflared is found and replaced by the agent."""

import time

from harness.waiting import eventually, expect

TIER = "nspawn"


def run(host):
    host.configure(verdict={"startup_grace": "5s", "recheck_secret_after": "4s", "probe_after": "5s", "restart_after": "6s"})
    host.standins.start()
    host.boot()
    connector, agent = host.registered(), host.agent()
    began = time.monotonic()
    host.sh(f"kill -STOP {connector['pid']}")
    host.registered(120, but=connector["pid"])
    took = time.monotonic() - began
    eventually("the frozen one is gone", 60, lambda: connector["pid"] not in host.cloudflareds())
    host.alone()
    expect(host.agent() == agent, "the agent was restarted, too")
    return f"another one registered after {took:.0f} s (restart_after: 6s); the agent stayed"
