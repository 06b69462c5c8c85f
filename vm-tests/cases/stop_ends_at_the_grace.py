"""A stream that never ends holds a stop up for the grace period and no longer."""

import time

from harness.host import UNIT
from harness.traffic import Origin, working_stream
from harness.waiting import expect

TIER = "nspawn"


def run(host):
    host.configure(connector={"grace_period": "6s"})
    host.standins.start()
    host.boot()
    host.registered()
    origin = Origin()
    stream = working_stream()
    began = time.monotonic()
    host.sh(f"systemctl stop {UNIT}", timeout=120)
    took = time.monotonic() - began
    expect(took >= 5.5, f"it was over after {took:.1f} s of a grace of 6 s")
    expect(host.show("Result") == "success", host.show("Result"))
    expect(not stream.echo(), "the stream lives on")
    expect(host.cloudflareds() == [], "a cloudflared was left")
    del origin
    return f"stopped after {took:.1f} s of a grace of 6 s"
