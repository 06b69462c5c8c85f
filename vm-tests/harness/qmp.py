"""QEMU's monitor: stops a machine and writes its memory to a file, to go on from there any number of times."""

import json
import socket

from .waiting import Failed, eventually


class Monitor:
    """A connection to the monitor of one running QEMU."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(60)
        self.socket.connect(str(path))
        self.lines = self.socket.makefile("rb")
        self.lines.readline()
        self.order("qmp_capabilities")

    def order(self, name, **arguments):
        """Carries out one command; its answer."""
        self.socket.sendall(json.dumps({"execute": name, "arguments": arguments}).encode() + b"\n")
        while True:
            answer = json.loads(self.lines.readline())
            if "error" in answer:
                raise Failed(f"QEMU refuses {name}: {answer['error']['desc']}")
            if "return" in answer:
                return answer["return"]

    def save(self, path):
        """Stops the machine and writes its memory to `path`."""
        self.order("stop")
        self.order("migrate", uri=f"exec:cat >{path}")

        def over():
            status = self.order("query-migrate").get("status")
            if status == "failed":
                raise SystemExit(f"vm-test: failed to write the machine's memory to {path}")
            return status == "completed"
        eventually("the memory is written", 120, over)
