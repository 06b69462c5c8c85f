"""A removal stops the agent in order and leaves settings and bundle; installed again, it serves from them."""

from harness.waiting import eventually, expect

TIER = "nspawn"


def run(host):
    host.standins.start()
    host.boot()
    host.all_four()
    host.sh("dpkg --remove cflared-agent", timeout=120)
    expect(host.cloudflareds() == [], "a cloudflared was left")
    lost = [event["what"] for event in host.standins.events() if event["what"] not in ("registered", "unregistered")]
    expect(lost == [], f"connections were cut: {lost}")
    expect(host.show("LoadState") != "loaded", "systemd still has the unit")
    host.sh("test ! -e /usr/bin/cflared-agent && test -e /etc/cflared-agent/agent.yml && test -e /etc/cloudflared/current")
    host.standins.stop("aws-standin")
    host.sh("dpkg --install /var/cache/cflared-agent.deb", timeout=120)
    expect(host.agent() == 0, "installing started it")
    host.start()
    expect(host.status()["installed"]["generation"] == 1, "it serves another bundle")
    return "4 unregistered, 0 cut; back from the bundle that was left, without AWS"
