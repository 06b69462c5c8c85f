"""Where things are."""

from pathlib import Path
import os

ROOT = Path(__file__).resolve().parents[2]
CASES = ROOT / "vm-tests" / "cases"
# Images, and what a run leaves. Under target/, so that `make clean` takes it along.
WORK = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).resolve() / "vm-tests"
RESULTS = WORK / "results"
FAILED = WORK / "failed"
PAGE = ROOT / "docs" / "vm-results.md"
