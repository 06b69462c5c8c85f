"""docs/migration.md, in place and back, by its own commands: clients always have a registered connector."""

import json
import re

from harness.host import AUTHORITY_FILE
from harness.paths import ROOT
from harness.standins import EDGE_PORTS, LOOPBACK, TUNNEL, payload
from harness.waiting import eventually, expect

TIER = "nspawn"
EDGE = " ".join(f"--edge {LOOPBACK}:{port}" for port in EDGE_PORTS) + f" --cacert {AUTHORITY_FILE}"
BOOTSTRAP = """#!/bin/sh
# As the old one: no check, and `>` on the live files.
mkdir -p /etc/cloudflared
cat /root/secret/config.yml > /etc/cloudflared/config.yml
cat /root/secret/credentials.json > /etc/cloudflared/credentials.json
chmod 0600 /etc/cloudflared/*
"""
BOOTSTRAP_UNIT = """[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/local/sbin/cloudflared-bootstrap
[Install]
WantedBy=multi-user.target
"""
UNIT = f"""[Unit]
Requires=cloudflared-bootstrap.service
After=cloudflared-bootstrap.service
[Service]
Restart=always
ExecStart=/usr/bin/cloudflared tunnel --no-autoupdate --config /etc/cloudflared/config.yml \
--cred-file /etc/cloudflared/credentials.json --metrics 127.0.0.1:2000 {EDGE} run
[Install]
WantedBy=multi-user.target
"""


def step(number):
    """The commands of a step of the page; the stand-in for cloudflared has to be told where its edge is."""
    page = (ROOT / "docs/migration.md").read_text()
    block = re.search(rf"^### {number}\. .*?^```sh\n(.*?)^```", page, re.S | re.M).group(1)
    return "set -e; cd /var/cache\n" + block.replace("--no-autoupdate", f"--no-autoupdate {EDGE}")


def old_host(host):
    """What was there before the agent."""
    secret = json.loads(payload())
    host.sh("dpkg --purge cflared-agent", timeout=120)
    host.write("/root/secret/config.yml", secret["config_yaml"], 0o600)
    host.write("/root/secret/credentials.json", secret["credentials_json"], 0o600)
    host.write("/usr/local/sbin/cloudflared-bootstrap", BOOTSTRAP, 0o755)
    host.write("/etc/systemd/system/cloudflared-bootstrap.service", BOOTSTRAP_UNIT)
    host.write("/etc/systemd/system/cloudflared.service", UNIT)
    host.sh("systemctl daemon-reload; systemctl enable --now cloudflared.service")


def run(host):
    def connectors(number):
        eventually(f"{number} connectors", 60, lambda: len(host.standins.connectors()) == number)

    host.standins.start()
    host.boot()
    host.registered()
    old_host(host)
    connectors(1)
    since = host.standins.events()[-1]["at"]
    host.sh(step(1))
    connectors(2)
    host.sh("cd /var/cache && ln cflared-agent.deb cflared-agent_0_amd64.deb")
    host.sh(step(2), timeout=120)
    expect(host.agent() == 0, "installing started it")
    host.configure()
    host.sh(step(3), timeout=120)
    host.registered()
    host.sh(step(4))
    connectors(1)
    expect(host.status()["holds"] == [], "the hold is still there")
    expect(host.status()["blame"] is None, f"{host.status()['blame']}")
    host.alone()
    host.sh(step(5))
    connectors(2)
    host.sh(step(6), timeout=120)
    connectors(2)
    host.sh(step(7))
    connectors(1)
    expect(host.show("ActiveState", unit="cloudflared.service") == "active", "the old one does not serve")
    left = host.out("find /etc/cloudflared -type l -o -name generations")
    expect(left == "", f"there is left of the agent: {left}")
    until = host.standins.events()[-1]["at"]
    served = host.standins.edge(f"never-zero?tunnel={TUNNEL}&from={since}&until={until}")
    expect(served["held"], f"for some time nothing was registered: {served}")
    return f"there and back in {(until - since) / 1e6:.0f} s, always a registered connection"
