"""A clock that steps by an hour, forth and back, changes no decision and costs no connection."""

from harness.waiting import expect, stays

TIER = "qemu"
OFFSETS = {"forth": "+1 hour", "back": "-2 hours", "forth again": "+1 hour"}


def run(host):
    host.standins.start()
    host.boot()
    connector, agent = host.registered(180), host.agent()
    events = len(host.standins.events())
    # Their times are told by the clock of the moment, and move with it: they are counted.
    decisions = len(host.status()["journal"])
    for name, offset in OFFSETS.items():
        written = host.status()["written_at"]
        host.sh(f"date -s '{offset}'")
        host.status_where(f"it goes on after a step {name}", lambda status: status["written_at"] != written, 120)
        stays(f"the tunnel is up after a step {name}", 15, lambda: undisturbed(host, connector, agent), every=2)
    after = host.status()["journal"][decisions:]
    expect(all("restart" not in entry["what"] and "unhealthy" not in entry["what"] for entry in after), str(after))
    more = [event["what"] for event in host.standins.events()[events:] if event["what"] != "registered"]
    expect(more == [], f"at the edge: {more}")
    told = ", ".join(entry["what"] for entry in after) or "none"
    return f"+1 h, -2 h, +1 h: the same agent, cloudflared and connections; decisions meanwhile: {told}"


def undisturbed(host, connector, agent):
    """The tunnel is up, by the same processes."""
    status = host.status()
    now = status["connectors"][0]
    return (status["health"]["state"], now["pid"], host.agent()) == ("registered", connector["pid"], agent)
