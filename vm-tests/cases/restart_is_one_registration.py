"""`systemctl restart` costs one re-registration, from the installed bundle, though AWS is away."""

import time

from harness.waiting import expect

TIER = "nspawn"


def run(host):
    host.standins.start()
    host.boot()
    first = host.registered()
    host.standins.stop("aws-standin")
    began = time.monotonic()
    host.sh("systemctl restart cflared-agent", timeout=120)
    took = time.monotonic() - began
    host.registered(but=first["pid"])
    host.alone()
    connectors = {event["who"]["connector"] for event in host.standins.events()}
    expect(len(connectors) == 2, f"{len(connectors)} connectors were seen at the edge")
    return f"{took:.1f} s from stop to registered"
