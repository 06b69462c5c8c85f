"""A machine to look around in: `make vm-shell`. The stand-ins run, the agent serves, and each line is a command in it."""

import json
import sys
from pathlib import Path

from . import namespaces
from .machine import Machine
from .standins import Standins
from .waiting import Failed
from .worker import Job

WELCOME = """
A virtual machine without KVM, in a network of its own. Each line is run in it as root (120 s at most); an empty line or
the end of input powers it off. To break something:
  !edge outage            POST to a control of a stand-in: !imds, !aws or !edge (docs/by-hand.md has them)
  !edge conduct {"conduct": "accept"}
  !edge state             GET, as it needs no body
"""
# Controls that only tell.
TELL = ("state", "events", "registered", "never-zero")


def control(standins, line):
    """Asks a stand-in."""
    name, what, *body = line.split(" ", 2)
    ask = {"imds": standins.imds, "aws": standins.aws, "edge": standins.edge}.get(name)
    if not ask:
        raise Failed(f"there is no stand-in {name}: imds, aws or edge")
    method = "GET" if what.startswith(TELL) else "POST"
    return json.dumps(ask(what, json.loads(body[0]) if body else None, method), indent=1)


def serve(host):
    """Reads lines until there is none."""
    while True:
        print("vm# ", end="", flush=True)
        line = sys.stdin.readline().strip()
        if not line:
            return
        try:
            if line.startswith("!"):
                print(control(host.standins, line[1:]))
                continue
            done = host.execute(line, 120)
            print(done.out + done.err, end="" if done.rc == 0 else f"[exit {done.rc}]\n")
        except (Failed, ValueError) as error:
            print(error)


def main():
    job = Job(**json.loads(sys.argv[1]))
    namespaces.enter(job.outside)
    logs = Path(job.logs)
    logs.mkdir(parents=True, exist_ok=True)
    standins = Standins(Path(job.programs), logs)
    host = Machine(standins, logs, Path(job.layer))
    standins.start()
    print("booting; half a minute or more", flush=True)
    host.boot()
    host.registered(300)
    print(host.sh("cflared-agent status").out + WELCOME)
    serve(host)
    host.down()


if __name__ == "__main__":
    main()
