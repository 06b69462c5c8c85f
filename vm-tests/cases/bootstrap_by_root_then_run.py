"""`cflared-agent bootstrap` as root leaves what the agent's user can run from, at once and without AWS."""

from harness.host import UNIT
from harness.waiting import expect

TIER = "nspawn"


def run(host):
    host.standins.start()
    host.boot()
    host.sh(f"systemctl stop {UNIT}; rm -rf /etc/cloudflared/*")
    host.sh("AWS_ENDPOINT_URL=http://127.0.0.1:4566 cflared-agent bootstrap")
    owners = host.out("find /etc/cloudflared -mindepth 1 -printf '%u:%g %m %y %P\\n'").splitlines()
    expect(all(line.startswith("cflared-agent:cflared-agent ") for line in owners), str(owners))
    expect(all(" 600 " in line or " 700 " in line or " l " in line for line in owners), str(owners))
    host.standins.stop("aws-standin")
    host.start()
    expect(host.status()["installed"]["generation"] == 1, "it serves another bundle")
    return f"{len(owners)} files and links, all of cflared-agent, 0600 or 0700; served without AWS"
