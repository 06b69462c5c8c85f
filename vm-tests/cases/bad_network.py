"""With 100 ms of round trip and 10 % loss the tunnel comes up and stays up, and nothing is restarted."""

import time

from harness.waiting import expect, stays

TIER = "qemu"


def run(host):
    host.standins.start()
    host.boot()
    host.registered(180)
    host.sh("systemctl stop cflared-agent", timeout=180)
    device = host.out("ip -o route get 10.0.2.2 | sed 's/.* dev \\([^ ]*\\).*/\\1/'")
    host.sh(f"tc qdisc replace dev {device} root netem delay 100ms loss 10%")
    began = time.monotonic()
    host.sh("systemctl start cflared-agent", timeout=300)
    connector = host.registered(180)
    took = time.monotonic() - began
    stays("the tunnel is up", 30, lambda: host.status()["health"]["state"] in ("registered", "degraded"), every=2)
    expect(host.registered()["pid"] == connector["pid"] and host.show("NRestarts") == "0", "something was restarted")
    dropped = host.out(f"tc -s qdisc show dev {device}").replace("\n", " ")
    expect("dropped 0" not in dropped, f"nothing was dropped: {dropped}")
    return f"registered {took:.0f} s after the start (emulated), stayed so; {dropped[dropped.find('Sent'):][:70].strip()}"
