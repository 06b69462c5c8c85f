"""docs/events.md, as data: what a line of the log must carry."""

import re

from .paths import ROOT

PRIORITIES = {"error": "3", "warn": "4", "info": "6", "debug": "7"}


def rows(section):
    """The cells of a section's table."""
    page = (ROOT / "docs/events.md").read_text().split(f"## {section}\n")[1].split("\n## ")[0]
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in page.splitlines() if line.startswith("| `")]


def names(cell):
    """What stands between backticks."""
    return re.findall("`([^`]+)`", cell)


def documented(section):
    """The priorities that each event may have; an event without a fixed level has all of them."""
    return {event: {PRIORITIES[level] for level in row[1].split(", ") if level in PRIORITIES} or set(PRIORITIES.values())
            for row in rows(section) for event in names(row[0])}


def fields():
    """The fields that each event of the agent carries."""
    return {names(row[0])[0]: {f"CFLARED_{name.upper()}" for name in names(row[2])} for row in rows("Of the agent")}
