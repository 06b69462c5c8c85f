"""A stop gets cloudflared one SIGTERM: an open stream finishes, then everything is unregistered and gone."""

import time

from harness.host import UNIT
from harness.traffic import Origin, working_stream
from harness.waiting import eventually, expect, stays

TIER = "nspawn"
SUITES = ["bookworm", "bullseye", "trixie"]


def run(host):
    host.standins.start()
    host.boot()
    host.all_four()
    origin = Origin()
    stream = working_stream()
    began = time.monotonic()
    host.sh(f"systemctl stop --no-block {UNIT}")
    eventually("it drains", 30, lambda: "draining" in host.show("StatusText"))
    stays("the stream works while it drains", 4, stream.echo)
    expect(len(host.cloudflareds()) == 1, "cloudflared was gone before its stream was")
    stream.close()
    eventually("it has stopped", 60, lambda: host.show("ActiveState") == "inactive")
    took = time.monotonic() - began
    expect(host.cloudflareds() == [], "a cloudflared was left")
    expect(host.standins.edge("state")["clients"]["cut"] == 0, "the stream was cut")
    expect(host.show("Result") == "success", host.show("Result"))
    signals = eventually("the signal is in the journal", 30,
                         lambda: host.journal("SYSLOG_IDENTIFIER=cloudflared", "--grep", "due to signal"))
    expect(len(signals) == 1, f"cloudflared got {len(signals)} signals")
    unregistered = [event for event in host.standins.events() if event["what"] == "unregistered"]
    expect(len(unregistered) == 4, f"{len(unregistered)} of 4 connections said goodbye")
    del origin
    return f"the stream worked through a stop of {took:.0f} s; 1 signal, 4 of 4 unregistered"
