"""The results page."""

import json

from .paths import PAGE, RESULTS
from .worker import digest

HEAD = """# Results on a real systemd

Written by `make vm-test`, which runs in CI; [vm-tests.md](../vm-tests.md) says what the tiers are. The page is written
when every case has passed with the same package, each in its last run. Times are on 2 cores, with boots.

"""
TIERS = ["netns", "nspawn", "qemu"]
SYSTEMD = {"bullseye": "Debian 11, systemd 247", "bookworm": "Debian 12, systemd 252", "trixie": "Debian 13, systemd 257"}


def results(cases, package):
    """What the cases showed of this package, each in its last run. Nothing, if one of them failed or was last run with
    another package."""
    found, wanted = [], digest(package)
    for case in cases:
        path = RESULTS / f"{case.name}.json"
        result = json.loads(path.read_text()) if path.exists() else {}
        if not result.get("ok") or result.get("package") != wanted:
            return []
        found.append((case, result))
    return found


def render(found, package):
    """The page."""
    lines = [HEAD, f"{len(found)} cases on `{package.name}`.\n"]
    for tier in TIERS:
        rows = [(case, result) for case, result in found if case.tier == tier]
        if not rows:
            continue
        lines += [f"\n## {tier}: {len(rows)}\n", "| case | on | shows | seen | s |", "|---|---|---|---|---:|"]
        for case, result in rows:
            on = SYSTEMD[case.suite] if tier != "netns" else "no systemd"
            seen = result["shown"].replace("|", "\\|")
            lines.append(f"| {case.name} | {on} | {case.title} | {seen} | {result['seconds']} |")
    return "\n".join(lines) + "\n"


def write(cases, package):
    """Writes the page, if all of the cases have been shown of this package; whether they have."""
    found = results(cases, package)
    if found:
        PAGE.write_text(render(found, package))
    return bool(found)
