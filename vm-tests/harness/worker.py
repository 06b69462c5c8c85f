"""One case, in namespaces of its own: `python3 -m harness.worker '<a Job as JSON>'`, started by the runner."""

import importlib.util
import json
import sys
import time
import traceback
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from . import install, namespaces
from .container import Container
from .standins import Standins, authority
from .waiting import Failed


@dataclass
class Job:
    """What the runner orders."""

    name: str
    # A case's file; empty: the layer with the agent is made.
    case: str
    tier: str
    outside: int
    package: str
    programs: str
    # The program that is installed as /usr/bin/cloudflared.
    cloudflared: str
    rootfs: str
    layer: str
    logs: str
    result: str


def load(path):
    """The module of a case."""
    spec = importlib.util.spec_from_file_location(Path(path).stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def host_for(job, standins, logs):
    """The kind of host that the tier has."""
    if job.tier == "nspawn":
        return Container(standins, logs, [f"{job.layer}/upper", job.rootfs], job.name)
    if job.tier == "qemu":
        from .machine import Machine
        return Machine(standins, logs, Path(job.layer))
    from .bare import Bare
    return Bare(standins, logs, Path(job.layer) / "upper")


def run(job):
    """Runs the case; what it showed."""
    logs = Path(job.logs)
    logs.mkdir(parents=True, exist_ok=True)
    standins = Standins(Path(job.programs), logs)
    host = host_for(job, standins, logs)
    host.endpoints()
    try:
        return load(job.case).run(host)
    except BaseException:
        host.evidence()
        raise


def digest(path):
    """What tells one package from another."""
    return sha256(Path(path).read_bytes()).hexdigest()


def main():
    job = Job(**json.loads(sys.argv[1]))
    namespaces.enter(job.outside)
    if not job.case:
        programs = Path(job.programs)
        install.layer(Path(job.rootfs), Path(job.layer), job.package, job.cloudflared, authority(programs))
        if job.tier == "qemu":
            install.disk(Path(job.rootfs), Path(job.layer))
        return
    began = time.monotonic()
    result = {"ok": False, "shown": ""}
    try:
        result = {"ok": True, "shown": run(job)}
    except Failed as failure:
        result["shown"] = str(failure)
    except BaseException:
        result["shown"] = traceback.format_exc()
    result["seconds"] = round(time.monotonic() - began, 1)
    result["package"] = digest(job.package)
    Path(job.result).write_text(json.dumps(result))
    # The process namespace ends with this, and all that runs in it.
    sys.exit(not result["ok"])


if __name__ == "__main__":
    main()
