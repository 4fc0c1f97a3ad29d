"""Coverage-guided fuzzing of everything that the maths verifier does with a text in its own process.

    pip install atheris
    python benchmarks/fuzz_verifier.py -max_total_time=300 -timeout=2 [CORPUS_FOLDER]

The input is a reference and an answer, split at the first NUL. A finding is an exception that escapes, a check that breaks
inside (the verifier would abstain with the reason `error`), or one that takes longer than `-timeout` seconds. The sandbox
is not part of it: what happens there is killed at its deadline. `tests/verifiers/math/test_typed.py` holds a smaller search
by hypothesis, which needs nothing installed.
"""

from __future__ import annotations

import sys

try:
    import atheris
except ModuleNotFoundError:
    sys.exit("fuzz_verifier needs the package atheris: pip install atheris")

with atheris.instrument_imports(include=["hero_rl.verifiers"]):
    from hero_rl.verifiers.math.stages import Pair, compare_pair, find_pair


def check(data: bytes) -> None:
    """One input."""
    reference, _, answer = data.decode("utf-8", errors="surrogateescape").partition("\0")
    found = find_pair(reference, answer)
    for pair in (found, Pair(reference[:2000], answer[:2000])):
        if isinstance(pair, Pair):
            stage = compare_pair(pair)
            if stage.failed:
                raise AssertionError(f"the comparison broke: {stage.forms}")


if __name__ == "__main__":
    atheris.Setup(sys.argv, check)
    atheris.Fuzz()
