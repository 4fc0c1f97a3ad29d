"""Run as a program: the verdicts of the maths verifier on the pairs in a JSON file, with the ANTLR runtime that is in use."""

from __future__ import annotations

import importlib.metadata
import json
import sys
import warnings
from pathlib import Path


def main() -> None:
    """Print a JSON object with the runtime, the warnings and one [label, reason] a pair."""
    from hero_rl.types import Rollout
    from hero_rl.verifiers import MathVerifier

    pairs = json.loads(Path(sys.argv[1]).read_text())
    rows = [Rollout(prompt_id="p", problem="", reference=a, response=f"\\boxed{{{b}}}") for a, b in pairs]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with MathVerifier(workers=1, deadline_s=60.0) as verifier:
            verdicts = [[one.label, one.reason] for one in verifier.verify(rows)]
            checks = verifier.stats.sandbox.checks
    version = importlib.metadata.version("antlr4-python3-runtime")
    messages = [str(one.message) for one in caught]
    sys.stdout.write(json.dumps({"antlr": version, "warnings": messages, "verdicts": verdicts, "checks": checks}))


if __name__ == "__main__":
    main()
