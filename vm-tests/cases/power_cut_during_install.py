"""The power fails at 20 moments of an install: there is always the old or the new pair, whole, and it serves."""

import time

from harness.store import pair
from harness.waiting import Failed, eventually, expect

TIER = "qemu"
MOMENTS = 20


def install(host):
    """Begins an install; resolves when the secret has been sent."""
    before = host.standins.reads()
    host.order("AWS_ENDPOINT_URL=http://10.0.2.2:4566 cflared-agent bootstrap; date >/run/installed")
    eventually("the secret is read", 120, lambda: host.standins.reads() > before, every=0.005)


def run(host):
    host.standins.start()
    host.boot()
    host.registered(180)
    host.sh("systemctl stop cflared-agent; sync", timeout=180)
    host.standins.put_secret(2)
    host.freeze()
    host.thaw()
    install(host)
    began = time.monotonic()
    eventually("it is installed", 120, lambda: host.execute("test -e /run/installed", 10).rc == 0, every=0.01)
    span = time.monotonic() - began
    host.power_cut()
    seen = []
    for moment in range(MOMENTS):
        host.thaw()
        install(host)
        # Closer to each other towards the end: first it is checked what was sent, and then it is written.
        time.sleep(span * (moment / (MOMENTS - 1)) ** 0.5)
        if moment == MOMENTS - 1:
            eventually("the last one is installed", 120, lambda: host.execute("test -e /run/installed", 10).rc == 0)
        host.power_cut()
        try:
            seen.append(pair(host.files("/etc/cloudflared")))
        except (OSError, ValueError) as error:
            raise Failed(f"after moment {moment} the store is torn: {error}") from None
    # The last one boots, and serves without AWS from what it has.
    host.standins.stop("aws-standin")
    host.boot()
    host.registered(180)
    old = sum(version == 1 for version, _ in seen)
    expect(0 < old < MOMENTS, f"all cuts were on one side of the install: {seen}")
    half = sum(bool(others) for _, others in seen)
    return (f"{MOMENTS} cuts in {span * 1000:.0f} ms: {old} times the old pair, {MOMENTS - old} the new, {half} with "
            "another generation beside it; 0 torn")
