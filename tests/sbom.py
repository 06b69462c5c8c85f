"""Holds a bill of materials against cargo's own answer, and against the list in the binary: sbom.py BINARY SBOM TRIPLE.

The bill must name exactly the crates that cargo links (and the macros that it runs) for this package and target. The list
in the binary, in its section .dep-v0 (JSON, compressed by zlib; the format is cargo-auditable's), must name all of the
linked ones; it may name some more, for cargo-auditable sees the features that the other packages of the workspace ask for.
"""

import json
import subprocess
import sys
import zlib


def output(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def linked(triple, edges):
    """The crates that cargo builds into the agent for a target."""
    form = ["--prefix", "none", "--format", "{p}", "--locked"]
    tree = output("cargo", "tree", "--package", "cflared-agent", "--edges", edges, "--target", triple, *form)
    return {(line.split()[0], line.split()[1].removeprefix("v")) for line in tree.splitlines()}


def audited(binary):
    """The crates that the binary says are linked into it."""
    for line in output("readelf", "--sections", "--wide", binary).splitlines():
        words = line.split()
        if ".dep-v0" in words:
            offset, size = (int(word, 16) for word in words[words.index(".dep-v0") + 3 :][:2])
            data = open(binary, "rb").read()[offset : offset + size]
            packages = json.loads(zlib.decompress(data))["packages"]
            return {(p["name"], p["version"]) for p in packages if p.get("kind", "runtime") == "runtime"}
    sys.exit(f"{binary}: it has no section .dep-v0; build it with cargo auditable")


def main(binary, sbom, triple):
    bill = json.load(open(sbom))
    components = bill["components"] + [bill["metadata"]["component"]]
    listed = {(c["name"], c["version"]) for c in components}
    wanted = linked(triple, "normal")
    inside = linked(triple, "normal,no-proc-macro")
    problems = [f"missing from the bill: {name} {version}" for name, version in sorted(wanted - listed)]
    problems += [f"in the bill and not linked: {name} {version}" for name, version in sorted(listed - wanted)]
    problems += [f"missing in the binary's list: {name} {version}" for name, version in sorted(inside - audited(binary))]
    problems += [f"no licence: {c['name']}" for c in components if not c.get("licenses")]
    problems += [f"no hash: {c['name']}" for c in components if "file:" not in c["purl"] and not c.get("hashes")]
    if problems:
        sys.exit("\n".join([f"{sbom} and {binary}:"] + problems))
    print(f"{sbom}: {len(listed)} crates, each with its licence, {len(inside)} of them in the binary, whose list agrees")


main(*sys.argv[1:])
