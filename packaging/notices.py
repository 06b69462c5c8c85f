#!/usr/bin/env python3
"""Prints the licences of the crates that are linked into the agent: packaging/notices.py x86_64|aarch64.

Most of them ask that their notice goes with a binary. Each text is printed once, after the names of the crates that
carry it; a crate that carries none is named with its licence's identifier and its authors.
"""

import json
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NOTICE = re.compile(r"(licen[cs]e|copying|copyright|notice|unlicense)", re.IGNORECASE)
RULE = "-" * 78


def cargo(*arguments):
    command = ["cargo", *arguments, "--locked"]
    return subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout


def linked(triple):
    """Name and version of the crates in the binary, our own apart."""
    form = ["--prefix", "none", "--format", "{p}", "--edges", "normal,no-proc-macro"]
    tree = cargo("tree", "--package", "cflared-agent", "--target", triple, *form)
    names = {(line.split()[0], line.split()[1].removeprefix("v")) for line in tree.splitlines()}
    return {(name, version) for name, version in names if not name.startswith("cflared-")}


def texts(package):
    """The notices in a crate's own directory; not those of the tests and the vendored tools below it."""
    directory = Path(package["manifest_path"]).parent
    files = sorted(file for file in directory.iterdir() if file.is_file() and NOTICE.match(file.name))
    for file in files:
        yield "\n".join(line.rstrip() for line in file.read_text(errors="replace").strip().splitlines())


def main(processor):
    triple = f"{processor}-unknown-linux-musl"
    parts = linked(triple)
    carriers, bare = defaultdict(list), []
    for package in json.loads(cargo("metadata", "--format-version", "1", "--filter-platform", triple))["packages"]:
        if (package["name"], package["version"]) not in parts:
            continue
        name = f"{package['name']} {package['version']} ({package['license'] or package['license_file']})"
        found = list(dict.fromkeys(texts(package)))
        for text in found:
            carriers[text].append(name)
        if not found:
            bare.append(f"{name}: {', '.join(package['authors']) or package['repository']}")
    print("cflared-agent is Apache-2.0. Linked into it are these, under the licences that follow.")
    for text, names in sorted(carriers.items(), key=lambda item: item[1]):
        print(f"\n{RULE}\n" + "\n".join(sorted(names)) + f"\n{RULE}\n\n{text}")
    if bare:
        print(f"\n{RULE}\nWithout a text of their own:\n" + "\n".join(sorted(bare)))


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1] not in ("x86_64", "aarch64"):
        sys.exit("usage: packaging/notices.py x86_64|aarch64")
    main(sys.argv[1])
