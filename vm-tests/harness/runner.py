"""Chooses the cases, gives each its namespaces, and gathers what they showed."""

import json
import shutil
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from . import namespaces, rootfs
from .paths import CASES, FAILED, RESULTS, ROOT, WORK
from .worker import Job, load

# Cases mostly wait, so more of them than cores run side by side. Virtual machines do not wait: one at a time, beside the others.
SIDE_BY_SIDE = 6
# A limit on a case that hangs; each wait in it has a limit of its own.
LIMIT = 600


@dataclass
class Case:
    """A case on one root file system."""

    path: Path
    title: str
    tier: str
    suite: str
    # What it needs of the stand-in for cloudflared that the real program cannot do; empty: nothing.
    standin_only: str = ""

    @property
    def name(self):
        """What `CASE=` matches and the results page shows."""
        return self.path.stem if self.suite == "bookworm" else f"{self.path.stem}-{self.suite}"


def cases(pattern):
    """The cases whose names hold one of the words of `pattern`; all of them without one."""
    found = []
    for path in sorted(CASES.glob("*.py")):
        module = load(path)
        title = module.__doc__.strip().splitlines()[0].rstrip(".")
        standin_only = getattr(module, "STANDIN_ONLY", "")
        found += [Case(path, title, module.TIER, suite, standin_only) for suite in getattr(module, "SUITES", ["bookworm"])]
    words = pattern.split()
    return [case for case in found if not words or any(word in case.name for word in words)]


class Runner:
    """Holds what is the same for all cases of a run."""

    def __init__(self, package, programs, cloudflared=None):
        self.package, self.programs = package, programs
        self.cloudflared = cloudflared.resolve() if cloudflared else programs / "cloudflared-standin"
        # What was shown with the real program does not count for the page.
        self.results = RESULTS / "real" if cloudflared else RESULTS
        self.outside = namespaces.identity()
        self.talk = threading.Lock()
        self.roots = {}

    def job(self, name, suite, case="", tier=""):
        """The order for a worker."""
        return Job(name=name, case=str(case), tier=tier, outside=self.outside, package=str(self.package),
                   programs=str(self.programs), cloudflared=str(self.cloudflared), rootfs=str(self.roots[suite]),
                   layer=str(WORK / "layers" / suite), logs=str(FAILED / name), result=str(self.results / f"{name}.json"))

    def worker(self, job, limit=LIMIT):
        """Runs a worker in new namespaces; what it said."""
        command = [*namespaces.NEW, sys.executable, "-m", "harness.worker", json.dumps(asdict(job))]
        process = subprocess.Popen(command, cwd=ROOT / "vm-tests", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.STDOUT, text=True)
        try:
            said, _ = process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            process.kill()
            said, _ = process.communicate()
            said += f"\nit did not end within {limit} s"
        return process.returncode, said

    def shell(self):
        """Boots a machine, and lets a person use it."""
        self.prepare([Case(path=CASES, title="", tier="qemu", suite="bookworm")])
        job = self.job("shell", "bookworm", tier="qemu")
        return subprocess.run([*namespaces.NEW, sys.executable, "-m", "harness.shell", json.dumps(asdict(job))],
                              cwd=ROOT / "vm-tests").returncode

    def prepare(self, chosen):
        """Root file systems, and above each a layer with the agent installed; a disk where a machine is to boot."""
        suites = [suite for suite in rootfs.SUITES if any(case.suite == suite for case in chosen)]
        with ThreadPoolExecutor(2) as pool:
            self.roots = dict(zip(suites, pool.map(rootfs.ensure, suites)))
        for suite in suites:
            disk = "qemu" if any((case.suite, case.tier) == (suite, "qemu") for case in chosen) else ""
            status, said = self.worker(self.job("prepare", suite, tier=disk))
            if status:
                raise SystemExit(f"vm-test: failed to install the agent into {suite}: {said}")

    def run(self, case):
        """Runs a case; its result. What it leaves is kept only if it failed."""
        job = self.job(case.name, case.suite, case.path, case.tier)
        shutil.rmtree(job.logs, ignore_errors=True)
        Path(job.result).unlink(missing_ok=True)
        _, said = self.worker(job)
        namespaces.remove_cgroups(case.name)
        try:
            result = json.loads(Path(job.result).read_text())
        except (OSError, ValueError):
            result = {"ok": False, "seconds": 0, "shown": f"the case ended without a result: {said}"}
        result.update(name=case.name, title=case.title, tier=case.tier, suite=case.suite)
        if result["ok"]:
            shutil.rmtree(job.logs, ignore_errors=True)
        with self.talk:
            verdict = "ok  " if result["ok"] else "FAIL"
            print(f"{verdict} {case.name} ({case.tier}, {result['seconds']} s): {result['shown']}", flush=True)
            if not result["ok"]:
                print(f"     console, journal and more: {job.logs}", flush=True)
        return result

    def run_all(self, chosen):
        """Runs all of them: the light ones side by side, and one machine at a time beside them."""
        for directory in (self.results, FAILED):
            directory.mkdir(parents=True, exist_ok=True)
        light = [case for case in chosen if case.tier != "qemu"]
        light.sort(key=lambda case: not getattr(load(case.path), "LONG", False))
        heavy = [case for case in chosen if case.tier == "qemu"]
        with ThreadPoolExecutor(1) as machines, ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
            booted, results = machines.map(self.run, heavy), pool.map(self.run, light)
            return [*results, *booted]
