"""Every line that a real cloudflared was seen to print is in the journal with its event, level and fields, and no key."""

import json
import re

from harness.events import documented
from harness.paths import ROOT
from harness.standins import payload
from harness.waiting import eventually, expect

TIER = "nspawn"
FIELDS = {"error": "ERROR", "connIndex": "CONN_INDEX", "connection": "CONNECTION", "ip": "IP", "location": "LOCATION",
          "protocol": "PROTOCOL"}
# What no recording has: of these, others have shown logs (the table of symptoms names them).
REPORTED = [
    {"level": "error", "message": "Failed to dial a quic connection", "error": "timeout: no recent network activity", "connIndex": 2},
    {"level": "error", "message": "Failed to serve quic connection", "error": "timeout: no recent network activity", "connIndex": 2},
    {"level": "error", "message": "Request failed", "error": "dial tcp 10.0.0.9:3306: connect: connection refused", "connIndex": 1},
    {"level": "info", "message": "a line of a later release", "connIndex": 3, "location": "iad01"},
]
SECRET = json.loads(json.loads(payload())["credentials_json"])["TunnelSecret"]
TOKEN = "eyJhIjoiMDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWYiLCJ0IjoiNmZmNDJhZTIifQ"
LEAKS = [f"failed to parse credentials: {SECRET}", json.dumps({"level": "error", "message": "bad token", "error": f"token {TOKEN}"}),
         json.dumps({"level": "info", "message": f"secret={SECRET}", "tunnelSecret": SECRET})]
LAST = "that was the last line"


def recorded():
    """Each line once, as an object; those that name a connector last, for the agent believes them."""
    lines = {}
    for path in sorted((ROOT / "agent/tests/recorded").glob("*.log")):
        for text in path.read_text().splitlines():
            try:
                line = json.loads(text)
            except ValueError:
                line = {"message": text}
            line.pop("time", None)
            lines[json.dumps(line, sort_keys=True)] = line
    return sorted([*lines.values(), *REPORTED], key=lambda line: line["message"].startswith("Generated Connector ID"))


def like(text):
    """What a text may be in the journal: what may be a key is struck out."""
    parts = re.split(r"([A-Za-z0-9+/=_]{20,})", str(text).strip())
    return "".join(f"(?:{re.escape(part)}|\\[redacted\\])" if odd % 2 else re.escape(part) for odd, part in enumerate(parts))


def fits(entry, line):
    """Whether an entry is that line, with all of its fields."""
    return re.match(like(line.get("message", "")), str(entry["MESSAGE"]).strip()) and all(
        re.fullmatch(like(line[name]) if name in line else "None", str(entry.get(f"CFLARED_{field}"))) for name, field in FIELDS.items())


def run(host):
    host.standins.start()
    host.write("/etc/systemd/system/cflared-agent.service.d/50-case.conf", "[Service]\nEnvironment=CFLARED_AGENT_LOG=debug\n")
    host.boot()
    host.all_four()
    lines = recorded()
    for line in [*(json.dumps(line) if "level" in line else line["message"] for line in lines), *LEAKS, LAST]:
        host.standins.edge("order", {"scope": {}, "order": {"do": "print", "line": line}})

    def entries():
        found = host.journal("SYSLOG_IDENTIFIER=cloudflared")
        return found if any(entry["MESSAGE"].startswith(LAST) for entry in found) else None
    found = eventually("all lines are in the journal", 60, entries)
    missing = [line for line in lines if not any(fits(entry, line) for entry in found)]
    expect(missing == [], f"{len(missing)} lines are not there with all of their fields, such as {missing[:2]}")
    known = documented("Of cloudflared")
    wrong = [entry for entry in found if entry["PRIORITY"] not in known[entry["CFLARED_EVENT"]]]
    expect(wrong == [], f"not as docs/events.md says: {wrong[:2]}")
    unseen = set(known) - {entry["CFLARED_EVENT"] for entry in found}
    expect(unseen == set(), f"events that were not seen: {unseen}")
    common = {"CFLARED_RUN", "CFLARED_TUNNEL", "CFLARED_ENVIRONMENT", "CFLARED_STATE", "_SYSTEMD_UNIT"}
    bare = [entry for entry in found if not common <= set(entry) and entry["CFLARED_STATE"] != "starting"]
    expect(bare == [], f"without {common}: {bare[:1]}")
    everything = host.out("journalctl --no-pager --all -o export", timeout=120)
    kept = [secret for secret in (SECRET, TOKEN) if secret[:20] in everything]
    expect(kept == [], f"in the journal: {kept}")
    return f"{len(lines)} different lines, {len(known)} events; {len(LEAKS)} lines with keys were struck out"
