"""What stands for the programs that the pages call and that are not here: each call is held against its form, and answered as far as the next
command of a page needs it."""

import json
import os
import pathlib
import sys

import forms

SECRET = "bWFkZSB1cCwgYW5kIG5vIHNlY3JldCBvZiBhbnlib2R5IQ=="


def main():
    program, given = pathlib.Path(sys.argv[0]).name, sys.argv[1:]
    if program in ("cflared-agent", "session-manager-plugin"):
        return  # what happens on an instance, and how a person gets there
    wrong = forms.wrong([program, *given])
    if wrong:
        sys.exit(wrong)
    if program == "cloudflared":
        cloudflared(given)
    elif program == "terraform" and given[0] == "output":
        print(1)


def cloudflared(given):
    if "create" in given:
        file = pathlib.Path(given[given.index("--credentials-file") + 1])
        file.write_text(json.dumps({"AccountTag": "made-up", "TunnelSecret": SECRET, "TunnelID": os.environ["TUNNEL"]}))
    elif "validate" in given:
        if "ingress:" not in pathlib.Path(given[given.index("--config") + 1]).read_text():
            sys.exit("the config has no ingress")
        print("OK")
