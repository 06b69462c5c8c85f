"""A cloudflared that is killed is started again by the agent, at once, and systemd has nothing to do."""

import time

from harness.waiting import expect

TIER = "nspawn"


def run(host):
    host.standins.start()
    host.boot()
    connector, agent = host.registered(), host.agent()
    began = time.monotonic()
    host.sh(f"kill -KILL {connector['pid']}")
    host.registered(but=connector["pid"])
    took = time.monotonic() - began
    host.alone()
    expect(host.agent() == agent and host.show("NRestarts") == "0", "the agent was restarted, too")
    return f"registered again after {took:.1f} s"
