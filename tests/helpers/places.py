"""Where things lie outside the tests."""

from pathlib import Path

TESTS = Path(__file__).parents[1]
ROOT = TESTS.parent
DOCS = ROOT / "docs"
BENCHMARKS = ROOT / "benchmarks"
SHARED = ROOT.parent / "shared" / "data"  # real labelled data for measuring; not part of the project
