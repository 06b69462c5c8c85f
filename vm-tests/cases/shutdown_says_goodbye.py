"""A shutdown of the host unregisters every connection before the network goes."""

from harness.waiting import expect

TIER = "nspawn"


def run(host):
    host.standins.start()
    host.boot()
    host.all_four()
    host.down(120)
    counts = {}
    for event in host.standins.events():
        counts[str(event["what"])] = counts.get(str(event["what"]), 0) + 1
    expect(counts == {"registered": 4, "unregistered": 4}, str(counts))
    return "4 registered, 4 unregistered, none lost"
