"""The tunnel's secret is in no log, status, environment or command line, and the agent leaves no core."""

import json
from pathlib import Path

from harness.standins import payload
from harness.waiting import expect

TIER = "nspawn"
PLACES = ("run", "var", "tmp", "root", "home", "etc/cflared-agent")


def holders(host, secret):
    """The files that hold it, as seen from inside. Searched from here, for a search from inside is logged itself."""
    root = Path(f"/proc/{host.leader}/root")
    found = []
    for place in (*PLACES, "etc/cloudflared"):
        for path in (root / place).rglob("*"):
            try:
                if path.is_file() and not path.is_symlink() and secret in path.read_bytes():
                    found.append(str(path.relative_to(root)))
            except FileNotFoundError:
                pass  # a journal is rotated, a run file is replaced
    return found


def run(host):
    host.standins.start()
    host.boot()
    connector = host.registered()
    secret = json.loads(json.loads(payload())["credentials_json"])["TunnelSecret"].encode()[:20]
    found = holders(host, secret)
    expect(len(found) == 1 and found[0].startswith("etc/cloudflared/generations/1/"), f"the secret is in {found}")
    for pid in (host.agent(), connector["pid"]):
        text = b"".join(Path(f"/proc/{host.pid_here(pid)}/{name}").read_bytes() for name in ("environ", "cmdline"))
        expect(secret not in text, f"the secret is in the environment or command line of {pid}")
        expect(b"NOTIFY_SOCKET" not in text or pid != connector["pid"], "cloudflared could speak for the unit")
    host.sh(f"kill -ABRT {host.agent()}")
    host.registered(but=connector["pid"])
    expect(host.cores() == "", f"there are cores: {host.cores()}")
    found = holders(host, secret)
    expect(len(found) == 1, f"after the abort the secret is in {found}")
    return f"searched {', '.join(PLACES)}: only in {found[0].rsplit('/', 1)[0]}; no core after SIGABRT"
