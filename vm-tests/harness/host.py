"""A host that runs the agent: what containers and virtual machines have in common."""

import json
import shlex
from dataclasses import dataclass

from .standins import AWS_PORT, EDGE_PORTS, LOOPBACK
from .waiting import Failed, eventually, expect

UNIT = "cflared-agent.service"
STATUS = "/run/cflared-agent/status.json"
SETTINGS = "/etc/cflared-agent/agent.yml"
# Where a host has the certificate of the edge's authority.
AUTHORITY_FILE = "/etc/ssl/edge-standin.pem"
ENDPOINTS = f"/etc/systemd/system/{UNIT}.d/10-endpoints.conf"
# A machine that is emulated or busy needs more; nothing is asserted on how long it took.
PATIENCE = 60


@dataclass
class Done:
    """How a command ended."""

    rc: int
    out: str
    err: str


def settings(edge=LOOPBACK, authority=AUTHORITY_FILE, **rooms):
    """The agent's settings, as JSON, which is YAML: what leads to the edge, and `rooms` over it."""
    arguments = [word for port in EDGE_PORTS for word in ("--edge", f"{edge}:{port}")] + ["--cacert", str(authority)]
    merged = {"connector": {"extra_args": arguments}}
    for room, keys in rooms.items():
        merged.setdefault(room, {}).update(keys)
    return json.dumps(merged, indent=1) + "\n"


def endpoints(gateway):
    """The drop-in that sends the agent's AWS calls to the stand-in. The metadata service has its real address."""
    return f"[Service]\nEnvironment=AWS_ENDPOINT_URL=http://{gateway}:{AWS_PORT}\n"


class Host:
    """What a case works with. A tier adds `boot`, `down`, `execute` and `write`."""

    # Where the stand-ins are, as seen from the host.
    gateway = LOOPBACK

    def __init__(self, standins, logs):
        self.standins, self.logs = standins, logs

    def sh(self, script, check=True, timeout=PATIENCE):
        """Runs a shell script as root, through the host's systemd."""
        done = self.execute(script, timeout)
        expect(not check or done.rc == 0, f"`{script}` exited {done.rc}: {done.out}{done.err}")
        return done

    def out(self, script, **more):
        """What a script prints."""
        return self.sh(script, **more).out.strip()

    def configure(self, **rooms):
        """Writes settings, over those that lead to the stand-ins."""
        self.write(SETTINGS, settings(edge=self.gateway, **rooms))

    def drop_in(self, text, unit=UNIT, name="50-case.conf"):
        """Adds to a unit for this case."""
        self.write(f"/etc/systemd/system/{unit}.d/{name}", text)
        self.sh("systemctl daemon-reload")

    def endpoints(self):
        """Leads the agent to the stand-ins, before the first boot."""
        self.write(ENDPOINTS, endpoints(self.gateway))

    def show(self, *properties, unit=UNIT):
        """Properties of a unit, as systemd shows them: the value of one, or a dictionary of several."""
        wanted = ",".join(properties)
        lines = self.out(f"systemctl show -p {wanted} {unit}").splitlines()
        values = dict(line.split("=", 1) for line in lines)
        return values if len(properties) > 1 else values.get(properties[0], "")

    def status(self):
        """The agent's status file."""
        text = self.sh(f"cat {STATUS}").out
        return json.loads(text)

    def status_where(self, what, look, seconds=PATIENCE):
        """Waits for a status for which `look` is true."""
        def found():
            status = self.status()
            try:
                seen = look(status)
            except (LookupError, TypeError):
                # What it looks for is not in there yet, as a connector in the first status.
                seen = None
            expect(seen, f"{status['health']} {status['connectors']} {status['trouble']}")
            return status
        return eventually(what, seconds, found)

    def registered(self, seconds=PATIENCE, but=None):
        """Waits for a connector that the agent and the edge call registered with 2 connections or more; its part of the
        status. `but` is the process id that it must not have."""
        def connector():
            for connector in self.status()["connectors"]:
                if connector["state"] == "registered" and connector["connections"] >= 2 and connector["pid"] != but:
                    at_the_edge = self.standins.connectors()
                    expect(connector["connector_id"] in at_the_edge, f"the edge has {at_the_edge}")
                    return connector
            raise Failed(str(self.status()["health"]))
        return eventually("a connector is registered", seconds, connector)

    def booted(self, seconds=PATIENCE):
        """Waits until the boot is over, but for what multi-user.target does not wait for."""
        eventually("multi-user.target is reached", seconds,
                   lambda: self.sh("systemctl is-active multi-user.target", check=False).rc == 0)

    def start(self, seconds=PATIENCE):
        """Starts the agent; returns what is registered."""
        self.sh(f"systemctl start {UNIT}", timeout=seconds)
        return self.registered(seconds)

    def all_four(self):
        """Waits until the connector has all its connections."""
        def full():
            connector = self.registered()
            return connector["connections"] == 4 and connector
        return eventually("four connections", PATIENCE, full)

    def cores(self):
        """Core files, wherever they may have been put."""
        return self.out("find / -xdev \( -name core -o -name 'core.[0-9]*' -o -path '/var/lib/systemd/coredump/*' \) "
                        "-type f -not -path '/proc/*' || true")

    def agent(self):
        """The process id of the agent, in the host; 0 when it does not run."""
        return int(self.show("MainPID"))

    def cloudflareds(self):
        """The process ids of all running cloudflareds that do not wait to be reaped."""
        done = self.sh("ps -C cloudflared -o pid=,stat=", check=False)
        lines = [line.split() for line in done.out.splitlines()]
        return [int(pid) for pid, state in lines if not state.startswith("Z")]

    def journal(self, *words):
        """Entries of the journal, as dictionaries."""
        text = self.out(f"journalctl --no-pager -o json {shlex.join(words)}", timeout=2 * PATIENCE)
        return [json.loads(line) for line in text.splitlines()]

    def logged(self, what, text, *words, seconds=PATIENCE):
        """Waits for an entry whose message holds `text`, of the agent's unit."""
        words = words or ("-u", UNIT)
        def entry():
            return [entry for entry in self.journal(*words) if text in str(entry.get("MESSAGE"))]
        return eventually(what, seconds, entry)

    def alone(self):
        """Exactly one cloudflared runs, and it is a child of the agent that runs."""
        children = self.cloudflareds()
        expect(len(children) == 1, f"these cloudflareds run: {children}")
        parent = int(self.out(f"ps -o ppid= -p {children[0]}"))
        expect(parent == self.agent(), f"the parent of cloudflared is {parent}, the agent is {self.agent()}")

    def evidence(self):
        """Keeps what explains a failure; nothing in here may fail."""
        for name, script in {
            "journal.txt": "journalctl --no-pager -o short-precise",
            "units.txt": "systemctl --no-pager list-jobs; systemctl --no-pager --failed; systemctl --no-pager status "
                         f"{UNIT}; ps -ef",
            "status.json": f"cat {STATUS}",
        }.items():
            try:
                (self.logs / name).write_text(self.sh(script, check=False, timeout=20).out)
            except Exception as error:  # whatever it is, the case's own failure is what is reported
                (self.logs / name).write_text(f"not to be had: {error}\n")
