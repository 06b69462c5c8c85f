"""A reboot while AWS cannot be reached serves from the last good bundle."""

from harness.waiting import expect

TIER = "nspawn"


def run(host):
    host.standins.start()
    host.boot()
    host.registered()
    before = host.status()["installed"]
    host.down()
    host.standins.stop("aws-standin")
    host.boot()
    host.registered()
    expect(host.status()["installed"] == before, "it serves another bundle")
    text = host.show("StatusText")
    return f"generation {before['generation']} before and after; “{text[:160]}”"
