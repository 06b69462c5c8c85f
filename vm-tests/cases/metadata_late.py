"""The metadata service answers only 60 s after the boot: no restart, and the tunnel comes with it."""

import time

from harness.waiting import expect, stays

TIER = "nspawn"
LONG = True


def run(host):
    host.standins.start(metadata=False)
    host.boot()
    host.sh("systemctl is-active multi-user.target")
    stays("the unit is being started", 60, lambda: host.show("ActiveState") == "activating", every=2)
    text = host.show("StatusText")
    host.standins.start_metadata()
    began = time.monotonic()
    host.registered()
    took = time.monotonic() - began
    expect(host.show("ActiveState", "NRestarts") == {"ActiveState": "active", "NRestarts": "0"}, "it was restarted")
    return f"registered {took:.1f} s after it answered; until then: “{text[:120]}”"
