"""`cflared-agent doctor` on a host with one thing wrong."""

import socket
import time
from collections.abc import Callable
from dataclasses import dataclass

from .standins import AWS_PORT, LOOPBACK
from .traffic import ORIGIN_PORT
from .waiting import Failed, eventually, expect

# What the short view of Run Command shows.
LIMIT = 2500
# It ends within 15 s by itself; the rest is for a machine that does other things.
SECONDS = 30
AGENT = "setpriv --reuid cflared-agent --regid cflared-agent --clear-groups "
# What an agent that runs writes by itself.
LIVELY = ("/run/cflared-agent/status.json", "/run/cflared-agent/state.json", "/run/cflared-agent\t")


class Origin:
    """Takes connections where the rules lead to, until it is closed."""

    def __init__(self):
        self.open()

    def open(self):
        self.listener = socket.create_server((LOOPBACK, ORIGIN_PORT), backlog=64)

    def close(self):
        # A listener with connections in its queue does not go away by closing alone.
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


class Patient:
    """A host, and what doctor says of it."""

    def __init__(self, host):
        self.host, self.origin, self.told = host, Origin(), []

    def ask(self, user="", endpoint=True, words=""):
        """Runs it as root or as somebody else; how it ended."""
        environment = f"AWS_ENDPOINT_URL=http://{LOOPBACK}:{AWS_PORT} " if endpoint else ""
        return self.host.sh(f"cd /; {environment}timeout {SECONDS} {user}cflared-agent doctor {words}", check=False, timeout=2 * SECONDS)

    def listing(self):
        """Every file that somebody might have changed, with owner, mode, size and time."""
        found = self.host.out("find /etc /usr /opt /root /home /tmp /run/cflared-agent /var -xdev -not -path '/var/log/journal*' "
                              "-printf '%p\\t%m %u %g %s %T@ %l\\n'").splitlines()
        return [line for line in found if not line.startswith(LIVELY)]

    def healthy(self):
        """Nothing is wrong yet, so that what is found later is the fault."""
        def fine():
            done = self.ask()
            expect(done.rc == 0, f"exit {done.rc}: {done.out}{done.err}")
            return done
        return eventually("doctor finds nothing", 120, fine, every=1)

    def names(self, fault, *words, endpoint=True):
        """As root and as the agent's user, its first line holds all of `words`, and it is short, quick, and changes nothing."""
        before = self.listing()
        for who, user in (("root", ""), ("the agent's user", AGENT)):
            began = time.monotonic()
            done = self.ask(user, endpoint)
            took = time.monotonic() - began
            first = done.out.split("\n", 1)[0]
            told = f"{fault}, as {who}: exit {done.rc} after {took:.1f} s, {len(done.out)} characters\n{done.out}{done.err}"
            expect(done.rc == 1, told)
            missing = [word for word in words if word not in first]
            expect(missing == [], f"the first line has not {missing}: {told}")
            expect(len(done.out) <= LIMIT and done.err == "", f"too long: {told}")
            expect(took < SECONDS, f"too slow: {told}")
        after = self.listing()
        changed = sorted(set(before) ^ set(after))
        expect(changed == [], f"{fault}: doctor changed {changed[:5]}")
        self.told.append(f"{fault}: “{first[:120]}”")


@dataclass
class Fault:
    """One thing wrong: how it comes and goes, and what the first line must say."""

    name: str
    plant: Callable
    heal: Callable
    words: tuple
    # Whether doctor is told where AWS's stand-in is, too.
    endpoint: bool = True


def survey(patient, faults):
    """Plants all faults, one after the other, and fails with all that failed."""
    failed = []
    for fault in faults:
        fault.plant()
        try:
            patient.names(fault.name, *fault.words, endpoint=fault.endpoint)
        except Failed as failure:
            failed.append(str(failure))
        finally:
            fault.heal()
    expect(failed == [], "\n\n".join(failed))
