"""The network namespace tier: the agent as a process, without systemd, in a network of its own."""

import json
import os
import signal
import subprocess
from pathlib import Path

from .host import AUTHORITY_FILE, PATIENCE, Host, settings
from .namespaces import command
from .standins import AWS_PORT
from .waiting import Failed, expect


class Bare(Host):
    """Directories in memory, and the installed programs."""

    def __init__(self, standins, logs, installed):
        super().__init__(standins, logs)
        command("mount", "-t", "tmpfs", "tmpfs", "/mnt")
        self.installed, self.process = installed, None
        self.directory = Path("/mnt")
        for name in ("etc", "run"):
            (self.directory / name).mkdir(mode=0o700)

    def endpoints(self):
        """They are in the environment: see `boot`."""

    def boot(self, **rooms):
        """Starts the agent with settings."""
        rooms.setdefault("paths", {}).update(config_dir=f"{self.directory}/etc", runtime_dir=f"{self.directory}/run")
        rooms.setdefault("connector", {})["binary"] = str(self.installed / "usr/bin/cloudflared")
        file = self.directory / "agent.yml"
        file.write_text(settings(authority=self.installed / AUTHORITY_FILE.lstrip("/"), **rooms))
        with open(self.logs / "console.log", "ab") as log:
            self.process = subprocess.Popen(
                [self.installed / "usr/bin/cflared-agent", "--settings", file, "run"], stdin=subprocess.DEVNULL, stdout=log,
                stderr=log, env={"PATH": os.environ["PATH"], "AWS_ENDPOINT_URL": f"http://{self.gateway}:{AWS_PORT}"})

    def down(self, seconds=PATIENCE):
        """Stops the agent in order."""
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(seconds)
        expect(status == 0, f"the agent exited {status}")

    def status(self):
        """The agent's status file."""
        try:
            return json.loads((self.directory / "run/status.json").read_text())
        except FileNotFoundError:
            raise Failed("there is no status yet") from None

    def agent(self):
        """The agent's process id."""
        return self.process.pid

    def evidence(self):
        """The log is kept already."""
