"""The power fails at 20 moments of an install: there is always the old or the new pair, whole, and it serves."""

import base64
import json
import time

from harness.standins import TUNNEL
from harness.waiting import Failed, eventually, expect

TIER = "qemu"
MOMENTS = 20


def reads(host):
    """How often the secret was read so far."""
    requests = host.standins.aws("state")["requests"]
    return sum("GetSecretValue" in json.dumps(request) for request in requests)


def install(host):
    """Begins an install; resolves when the secret has been sent."""
    before = reads(host)
    host.order("AWS_ENDPOINT_URL=http://10.0.2.2:4566 cflared-agent bootstrap; date >/run/installed")
    eventually("the secret is read", 120, lambda: reads(host) > before, every=0.005)


def pair(store):
    """Which version the store holds, and whether something half-made lies beside it. Anything torn is a failure."""
    current = (store / "current").readlink()
    generation = store / current
    config = (generation / "config.yml").read_text()
    credentials = json.loads((generation / f"{TUNNEL}.json").read_text())
    meta = json.loads((generation / "meta.json").read_text())
    secret = base64.b64decode(credentials["TunnelSecret"])
    versions = [number for number in (1, 2) if secret == bytes([(number * 37 + 91) % 256]) * 32]
    expect(len(versions) == 1, f"the credentials of {current} are of no version: {meta}")
    expect(config.startswith(f"# version {versions[0]}\n") and config.endswith("http_status:404\n"),
           f"a torn pair in {current}: credentials of version {versions[0]}, config {config!r}")
    for name in ("config.yml", f"{TUNNEL}.json"):
        expect((store / name).is_symlink(), f"{name} is no link")
    others = [path.name for path in (store / "generations").iterdir() if path.name != current.name]
    return versions[0], others


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
