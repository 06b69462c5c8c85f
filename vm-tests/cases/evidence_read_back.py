"""The evidence of 50 decisions and 200 lines of cloudflared comes out of the journal complete and in order."""

import json
import re

from harness.evidence import read_back
from harness.waiting import eventually, expect

TIER = "nspawn"
STANDIN_ONLY = "it prints 200 lines on order"
DECISIONS, LINES = 50, 200
HELD = {"adv:env": "dev", "adv:cflared-hold": "the case"}


def run(host):
    host.configure(connector={"grace_period": "1s"}, observe={"interval": "500ms"}, handover={"settle": "100ms"}, cloudwatch={"interval": "1s"},
                   verdict={"startup_grace": "2s", "recheck_secret_after": "1s", "probe_after": "2s", "restart_after": "3s", "condemn_after": "5s"})
    host.standins.start()
    host.boot()
    host.registered()
    while len(host.status()["journal"]) < DECISIONS:
        host.sh("cflared-agent reload")
    host.registered(120)
    lines = [json.dumps({"level": "info", "message": f"line {number} of {LINES}: {'é' * 100}"}) for number in range(1, LINES + 1)]
    for line in lines:
        host.standins.edge("order", {"scope": {}, "order": {"do": "print", "line": line}})
    host.logged("the last line", f"line {LINES} of {LINES}", "SYSLOG_IDENTIFIER=cloudflared")
    host.standins.imds("instance", {"tags": HELD})
    host.standins.conduct("refuse")
    host.standins.edge("drop", {})
    evidence = eventually("the whole evidence", 120, lambda: read_back(host))
    expect(len(evidence["decision"]) == DECISIONS, f"{len(evidence['decision'])} decisions")
    expect(evidence["decision"][0]["at"] >= evidence["decision"][-1]["at"], "the newest is not first")
    printed = max(evidence["lines"].values(), key=len)
    expect(len(printed) == LINES, f"{len(printed)} lines")
    numbers = [int(found[1]) for line in printed if (found := re.search(rf"line (\d+) of {LINES}", line))]
    # What the connector said of its loss came later, and took the place of the first ones.
    expect(len(numbers) > LINES // 2 and numbers == list(range(LINES, LINES - len(numbers), -1)), f"not in order: {numbers}")
    return f"{DECISIONS} decisions, and {LINES} lines, of which {len(numbers)} of the {LINES} printed on order, the newest first"
