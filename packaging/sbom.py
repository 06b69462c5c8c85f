#!/usr/bin/env python3
"""Writes the bill of materials of the agent's binary, in CycloneDX's JSON: packaging/sbom.py x86_64|aarch64 FILE.

It names every crate that is linked, and the macros that cargo ran, with version, licence, source and hash.
tests/sbom.py holds it against the list inside the binary.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def run(*command, **more):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, **more).stdout


def linked(triple):
    """Name and version of what cargo builds the agent from, for a target."""
    form = ["--prefix", "none", "--format", "{p}", "--locked"]
    tree = run("cargo", "tree", "--package", "cflared-agent", "--edges", "normal", "--target", triple, *form, cwd=ROOT)
    return {(line.split()[0], line.split()[1].removeprefix("v")) for line in tree.splitlines()}


def described(triple, scratch):
    """What cargo-cyclonedx says of the agent. It writes beside the manifests, so it gets a copy of the agent's packages."""
    for name in ["Cargo.toml", "Cargo.lock"]:
        shutil.copy(ROOT / name, scratch)
    shutil.copytree(ROOT / "agent", scratch / "agent")
    manifest = scratch / "Cargo.toml"
    text = manifest.read_text()
    members = re.search(r"^members = (\[.*?\])", text, re.MULTILINE | re.DOTALL)[1]
    ours = [name for name in re.findall('"(.*?)"', members) if name.split("/")[0] == "agent"]
    manifest.write_text(text.replace(members, json.dumps(ours)))
    path = f"{ROOT}/target/tools/bin:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "SOURCE_DATE_EPOCH": run(ROOT / "packaging/epoch.sh").strip()}
    form = ["--format", "json", "--spec-version", "1.5", "--describe", "binaries", "--no-build-deps", "--quiet"]
    run("cargo", "cyclonedx", "--target", triple, *form, cwd=scratch / "agent", env=environment)
    text = (scratch / "agent/cflared-agent_bin.cdx.json").read_text()
    # The names of our own packages hold their directory.
    return json.loads(text.replace(f"file://{scratch}", "file:///src"))


def main(processor, out):
    triple = f"{processor}-unknown-linux-musl"
    with tempfile.TemporaryDirectory() as scratch:
        bill = described(triple, Path(scratch).resolve())
    # It takes a crate for a part that only an optional feature, which is off, would bring: `cargo metadata` does not tell.
    parts = linked(triple)
    bill["components"] = [part for part in bill["components"] if (part["name"], part["version"]) in parts]
    kept = {part["bom-ref"] for part in bill["components"]} | {bill["metadata"]["component"]["bom-ref"]}
    bill["dependencies"] = [
        {**entry, "dependsOn": [ref for ref in entry.get("dependsOn", []) if ref in kept]}
        for entry in bill["dependencies"]
        if entry["ref"] in kept
    ]
    Path(out).write_text(json.dumps(bill, indent=2) + "\n")


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] not in ("x86_64", "aarch64"):
        sys.exit("usage: packaging/sbom.py x86_64|aarch64 FILE")
    main(*sys.argv[1:])
