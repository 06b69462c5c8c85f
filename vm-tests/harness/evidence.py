"""The evidence in the journal, as a reader of it takes it and the saved query puts it together."""

import json

from .standins import TUNNEL
from .waiting import expect


def read_back(host):
    """The newest evidence by its kinds, each newest first; nothing until all pieces are there. The reader drops what is too long
    (null) and writes what is not printable as numbers; the order is that of packaging/aws/queries/evidence."""
    entries = host.journal("CFLARED_EVENT=evidence")
    newest = max((entry["CFLARED_EVIDENCE"] for entry in entries), default=None)
    pieces = sorted((entry for entry in entries if entry["CFLARED_EVIDENCE"] == newest), key=lambda entry: entry["CFLARED_PART"])
    if not pieces or len(pieces) < int(pieces[0]["CFLARED_PART"].split("/")[1]):
        return None
    parts = [f"{number:03}/{len(pieces):03}" for number in range(1, len(pieces) + 1)]
    expect([piece["CFLARED_PART"] for piece in pieces] == parts, "parts are missing")
    found = {}
    for piece in pieces:
        expect(all(isinstance(value, str) for value in piece.values()), f"a reader would lose a field: {piece}")
        found.setdefault(piece["CFLARED_KIND"], []).append(piece["MESSAGE"].split(" evidence=")[0])
    found["status"] = json.loads("".join(found["status"]))
    expect(found["status"]["tunnel"] == TUNNEL, f"the status is not whole: {found['status']}")
    found["decision"] = [json.loads(text) for text in found["decision"]]
    moments = [decision["at"] for decision in found["decision"]]
    expect(moments == sorted(moments, reverse=True), f"decisions are not newest first: {moments}")
    found["lines"] = {kind: texts for kind, texts in found.items() if kind.startswith("line of ")}
    return found
