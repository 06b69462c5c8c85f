"""Where things are."""

from pathlib import Path
import os

ROOT = Path(__file__).resolve().parents[2]
CASES = ROOT / "vm-tests" / "cases"
# Images, and what a run leaves. Under target/, so that `make clean` takes it along.
WORK = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).resolve() / "vm-tests"
RESULTS = WORK / "results"
FAILED = WORK / "failed"
# The authority of the edge's certificate, as every host finds it. The layers have it in them, so it outlives a run.
AUTHORITY = WORK / "authority"
PAGE = ROOT / "docs" / "generated" / "vm-results.md"
