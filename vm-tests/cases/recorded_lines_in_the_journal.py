"""Every line that a real cloudflared was seen to print is in the journal with its event, level and fields, and no key."""

import json
import re
import unicodedata
from collections import Counter

from harness.events import documented
from harness.paths import ROOT
from harness.standins import payload
from harness.waiting import eventually, expect

TIER = "nspawn"
STANDIN_ONLY = "it prints lines on order"
LONG = True
RECORDED = ROOT / "tests/recorded"
CLOUDFLARED = "/usr/bin/cloudflared"
LINES = "/usr/share/case/lines"
# Prints what is to be printed in place of running, and then lives until it is stopped.
PLAYER = f"""#!/bin/sh
case "$*" in
*" run") cat {LINES} >&2; exec sleep infinity ;;
*) exec {CLOUDFLARED}.away "$@" ;;
esac
"""
FIELDS = {"error": "ERROR", "connIndex": "CONN_INDEX", "connection": "CONNECTION", "ip": "IP", "location": "LOCATION",
          "protocol": "PROTOCOL"}
# What no recording has: of these, others have shown logs (the table of symptoms names them).
REPORTED = [
    {"level": "error", "message": "Failed to dial a quic connection", "error": "timeout: no recent network activity", "connIndex": 2},
    {"level": "error", "message": "Failed to serve quic connection", "error": "timeout: no recent network activity", "connIndex": 2},
    {"level": "error", "message": "Request failed", "error": "dial tcp 10.0.0.9:3306: connect: connection refused", "connIndex": 1},
    {"level": "info", "message": "a line of a later release", "connIndex": 3, "location": "iad01"},
]
# The events that neither has: the words are those of the table, which the public source prints. Each list is a child's.
EDGE = "Unable to establish connection with Cloudflare edge"
PRINTED = [
    ["panic: runtime error: invalid memory address or nil pointer dereference", "[signal SIGSEGV: segmentation violation code=0x1]",
     "goroutine 1 [running]:", "main.main()", "\t/src/main.go:1 +0x1d"],
    [json.dumps(line) for line in (
        {"level": "error", "message": EDGE, "error": "context canceled", "connIndex": 1, "ip": "127.0.0.1"},
        {"level": "error", "message": "Unable to establish connection.", "connIndex": 1},
        {"level": "debug", "message": "edge discovery: it has found something"},
        {"level": "error", "message": "Metrics server failed", "error": "accept: too many open files"},
        {"level": "info", "message": "Cannot determine default configuration path."},
        {"level": "info", "message": "Updated to new configuration", "version": 7},
        {"level": "warn", "message": "observer channel buffer is full"},
        {"level": "error", "message": "Failed to demux datagram", "error": "EOF", "connIndex": 0},
        {"level": "error", "message": "Closing quic stream due to timeout while writing", "connIndex": 0},
        {"level": "error", "message": "Request failed", "error": "a reason that nobody has seen", "connIndex": 0},
        {"level": "error", "message": "unable to send local configuration", "error": "timeout", "connIndex": 0},
    )],
    # Of a library, whose logger dates its lines.
    ["2026/11/27 11:10:21 timeout waiting for SETTINGS frames from 127.0.0.1:7844"],
]
SECRET = json.loads(json.loads(payload())["credentials_json"])["TunnelSecret"]
TOKEN = "eyJhIjoiMDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWYiLCJ0IjoiNmZmNDJhZTIifQ"
LEAKS = [f"failed to parse credentials: {SECRET}", json.dumps({"level": "error", "message": "bad token", "error": f"token {TOKEN}"}),
         json.dumps({"level": "info", "message": f"secret={SECRET}", "tunnelSecret": SECRET})]
LAST = "that was the last line"


def outputs():
    """What children are to print, by name: each recording as it is, for a line means what those before it make it mean."""
    recorded = {str(path.relative_to(RECORDED)): path.read_text().split("\n") for path in sorted(RECORDED.rglob("*.log"))}
    expect(len(recorded) > 100, f"the recordings are there: {len(recorded)}")
    return {**recorded, **{f"printed {number}": lines for number, lines in enumerate(PRINTED)}}


def parsed(text):
    """A line as an object, without its time, which the journal has for itself."""
    try:
        line = json.loads(text)
    except ValueError:
        line = None
    if not isinstance(line, dict):
        return {"message": text}
    line.pop("time", None)
    return line


def like(text):
    """What a text may be in the journal: what may be a key is struck out."""
    parts = re.split(r"([A-Za-z0-9+/=_]{20,})", str(text))
    return "".join(f"(?:{re.escape(part)}|\\[redacted\\])" if odd % 2 else re.escape(part) for odd, part in enumerate(parts))


def escaped(message):
    """A message as the log's line has it, without what would break the line."""
    controls = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
    return "".join(controls.get(c, f"\\u{{{ord(c):x}}}") if unicodedata.category(c) == "Cc" else c for c in message)


def fits(entry, line):
    """Whether an entry is that line, with all of its fields."""
    return re.match(like(escaped(line.get("message", "").rstrip()).strip()), str(entry["MESSAGE"]).strip()) and all(
        re.fullmatch(like(line[name]) if name in line else "None", str(entry.get(f"CFLARED_{field}"))) for name, field in FIELDS.items())


def stands_for(entries):
    """How many lines these are: an entry may stand for some that repeat."""
    return sum(int(entry.get("CFLARED_REPEATED", 1)) for entry in entries)


def check(name, texts, entries):
    """Each line is there as often as it was printed, with all of its fields, and nothing else is."""
    counts = Counter(json.dumps(parsed(text), sort_keys=True) for text in texts)
    for line, count in counts.items():
        same = stands_for([entry for entry in entries if fits(entry, json.loads(line))])
        expect(same >= count, f"{name}: {same} of {count} are there with all of their fields: {line}")
    expect(stands_for(entries) == len(texts), f"{name}: {len(texts)} lines became {stands_for(entries)}")


def printed_until_last(host, *since):
    """The lines of cloudflared in the journal, once the last one is."""
    def entries():
        found = host.journal("--all", *since, "SYSLOG_IDENTIFIER=cloudflared")
        return found if any(entry["MESSAGE"].startswith(LAST) for entry in found) else None
    return eventually("all lines are in the journal", 60, entries)


def play(host, texts):
    """Has a child of a new agent print these lines; its entries, of which the last come with the agent's end."""
    host.write(LINES, "\n".join([*texts, LAST, ""]))
    # The entry that the cursor names is systemd's, of this command. journalctl 252 passes over one that fits if told to begin
    # after a cursor that does not.
    cursor = host.out("journalctl --sync && journalctl -n 0 --show-cursor").split("cursor: ")[1]
    since = f"--cursor={cursor}"
    host.sh("rm -f /run/cflared-agent/state.json && systemctl start --no-block cflared-agent")
    printed_until_last(host, since)
    host.sh("systemctl stop cflared-agent && journalctl --sync")
    return printed_until_last(host, since)


def run(host):
    host.standins.start()
    host.write("/etc/systemd/system/cflared-agent.service.d/50-case.conf", "[Service]\nEnvironment=CFLARED_AGENT_LOG=debug\n")
    host.boot()
    host.all_four()
    for line in [*map(json.dumps, REPORTED), *LEAKS, LAST]:
        host.standins.edge("order", {"scope": {}, "order": {"do": "print", "line": line}})
    found = printed_until_last(host)
    missing = [line for line in REPORTED if not any(fits(entry, line) for entry in found)]
    expect(missing == [], f"not there with all of their fields: {missing}")
    host.sh(f"systemctl stop cflared-agent; mv {CLOUDFLARED} {CLOUDFLARED}.away")
    host.write(CLOUDFLARED, PLAYER, 0o755)
    played = outputs()
    for name, texts in played.items():
        # An empty line says nothing, and is left out.
        texts = [text for text in texts if text]
        entries = play(host, texts)
        check(name, [*texts, LAST], entries)
        found += entries
    known = documented("Of cloudflared")
    wrong = [entry for entry in found if entry["PRIORITY"] not in known[entry["CFLARED_EVENT"]]]
    expect(wrong == [], f"not as docs/events.md says: {wrong[:2]}")
    unseen = set(known) - {entry["CFLARED_EVENT"] for entry in found}
    expect(unseen == set(), f"events that were not seen: {unseen}")
    common = {"CFLARED_RUN", "CFLARED_TUNNEL", "CFLARED_ENVIRONMENT", "CFLARED_STATE", "_SYSTEMD_UNIT"}
    bare = [entry for entry in found if not common <= set(entry)]
    expect(bare == [], f"without {common}: {bare[:1]}")
    everything = host.out("journalctl --no-pager --all -o export", timeout=120)
    kept = [secret for secret in (SECRET, TOKEN) if secret[:20] in everything]
    expect(kept == [], f"in the journal: {kept}")
    return f"{stands_for(found)} lines of {len(played)} outputs, {len(known)} events; {len(LEAKS)} lines with keys were struck out"
