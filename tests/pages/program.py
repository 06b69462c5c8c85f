"""A program `aws` that is the CLI of the virtual environment, loaded once (cli.py), and that writes down what it is called with."""

import json
import os
import pathlib
import re
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
CLI = HERE.parents[1] / "target/awscli-venv/bin/python"


class Program:
    def __init__(self, directory, program, environment):
        """Puts the program at a path. The CLI asks the endpoint that `environment` names."""
        socket, self.log = directory / "cli", directory / "calls"
        client = re.search(r'^CLIENT = """(.*?)"""', (HERE / "cli.py").read_text(), re.MULTILINE | re.DOTALL)[1]
        program.write_text(client.encode().decode("unicode_escape").format(python=sys.executable, socket=str(socket), log=str(self.log)))
        program.chmod(0o755)
        command = [str(CLI), str(HERE / "cli.py"), str(socket)]
        self.server = subprocess.Popen(command, env={**environment, "PATH": os.environ["PATH"]}, stdout=subprocess.PIPE)
        if self.server.stdout.readline() != b"listening\n":
            raise AssertionError("the AWS CLI did not load: run tests/setup.sh test")
        self.log.touch()

    def taken(self):
        """The arguments of each call since the last look."""
        found = [json.loads(line) for line in self.log.read_text().splitlines()]
        self.log.write_text("")
        return found

    def end(self):
        self.server.terminate()
        self.server.wait()
