"""The results page."""

import subprocess

from .paths import PAGE

HEAD = """# Results on a real systemd

Written by `make vm-test`, which runs in CI; [vm-tests.md](vm-tests.md) says what the tiers are. A case that fails is not in here:
then the page is not written. Times are of one run on 2 cores, with its boots.

"""
TIERS = ["netns", "nspawn", "qemu"]
SYSTEMD = {"bullseye": "Debian 11, systemd 247", "bookworm": "Debian 12, systemd 252", "trixie": "Debian 13, systemd 257"}


def render(results, took):
    """The page of a whole run."""
    version = subprocess.run(["git", "describe", "--always"], capture_output=True, text=True).stdout.strip()
    lines = [HEAD, f"{len(results)} cases in {took} s, of the sources at `{version}`.\n"]
    for tier in TIERS:
        of_tier = [result for result in results if result["tier"] == tier]
        if not of_tier:
            continue
        lines += [f"\n## {tier}: {len(of_tier)}\n", "| case | on | shows | seen | s |", "|---|---|---|---|---:|"]
        for result in sorted(of_tier, key=lambda result: result["name"]):
            on = SYSTEMD[result["suite"]] if tier != "netns" else "no systemd"
            lines.append(f"| {result['name']} | {on} | {result['title']} | {result['shown']} | {result['seconds']} |")
    return "\n".join(lines) + "\n"


def write(results, took):
    """Writes it."""
    PAGE.write_text(render(results, took))
