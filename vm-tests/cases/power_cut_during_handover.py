"""The power fails at each step of a hand-over: the pair on the disk is whole, and one connector is back from it."""

import time

from harness.host import UNIT
from harness.store import pair
from harness.waiting import Failed, eventually, expect

TIER = "qemu"


def read(host, before):
    """The secret was sent, and is about to be installed."""
    return host.standins.reads() > before["reads"]


def registered(host, before):
    """The new connector is registered, beside the old one."""
    return len(host.standins.connectors()) == 2


def draining(host, before):
    """The new one serves, and the old one says goodbye."""
    return any(event["what"] == "unregistered" for event in host.standins.events()[before["events"]:])


# What is waited for, and how much later the power fails, in seconds. An emulated install takes some tenths.
# Without a client, which finds no way from here into the machine, the old one is gone a moment after its goodbye.
CUTS = [(read, 0), (read, 0.3), (registered, 0), (draining, 0)]


def hand_over(host, step):
    """Begins a hand-over to version 2, and returns when it has come to `step`."""
    host.standins.aws("fault", {"scope": "GetSecretValue", "trouble": "throttled"})
    host.sh(f"date -s @{int(time.time())}; systemctl start {UNIT}", timeout=180)
    host.registered(180)
    before = {"reads": host.standins.reads(), "events": len(host.standins.events())}
    host.standins.aws("clear", {"scope": "GetSecretValue"})
    eventually(step.__doc__, 120, lambda: step(host, before), every=0.005)


def serves(host):
    """Whether version 2 serves, alone."""
    version = host.out("head -n 1 /etc/cloudflared/config.yml")
    expect(version == "# version 2", f"{version} serves")
    host.alone()
    return True


def run(host):
    host.standins.start()
    host.boot()
    host.configure(secret={"poll_interval": "10s"}, handover={"settle": "3s"})
    host.registered(180)
    host.sh(f"systemctl stop {UNIT}; sync", timeout=180)
    host.standins.put_secret(2)
    host.freeze()
    seen = []
    for step, later in CUTS:
        host.thaw()
        hand_over(host, step)
        time.sleep(later)
        host.power_cut()
        try:
            version, _ = pair(host.files("/etc/cloudflared"))
        except (OSError, ValueError) as error:
            raise Failed(f"cut {step.__name__} + {later} s: the store is torn: {error}") from None
        began = time.monotonic()
        host.boot()
        host.registered(180)
        took = time.monotonic() - began
        expect(len(host.standins.connectors()) <= 2, "more connectors than a hand-over has")
        eventually("version 2 serves alone", 180, lambda: serves(host), every=1)
        seen.append(f"{step.__name__}+{later}: version {version}, registered {took:.0f} s after power-on")
        host.power_cut()
    return f"{len(CUTS)} cuts, 0 torn: {'; '.join(seen)}"
