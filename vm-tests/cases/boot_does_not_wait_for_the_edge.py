"""multi-user.target is reached though the edge swallows everything; the tunnel comes when the edge does."""

from harness.host import UNIT
from harness.waiting import expect

TIER = "nspawn"
SUITES = ["bookworm", "bullseye", "trixie"]


def run(host):
    host.standins.start()
    host.standins.conduct("black-hole")
    host.boot()
    state = host.show("ActiveState")
    expect(state == "activating", f"the agent is {state} when multi-user.target is reached")
    host.status_where("the agent waits for the edge", lambda status: status["connectors"][0]["state"] == "unregistered")
    expect(host.show("StatusText").startswith("starting: "), host.show("StatusText"))
    text = host.show("StatusText")
    host.standins.conduct("accept")
    host.registered(90)
    host.sh(f"systemctl is-active {UNIT}")
    expect(host.show("NRestarts") == "0", "systemd restarted the agent")
    return f"reached while the unit was activating: “{text}”"
