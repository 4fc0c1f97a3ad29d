"""The same verdicts under all tested ANTLR runtimes, and a warning under one that was never tested."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from helpers.math_cases import EQUAL, EQUAL_BY_SYMPY, NOT_EQUAL
from helpers.places import TESTS

pytest.importorskip("math_verify", reason="the verifier 'math' needs the extra 'math'")

from hero_rl.errors import SettingsWarning
from hero_rl.verifiers.math import antlr
from hero_rl.verifiers.math.antlr import TESTED_ANTLR, antlr_version, check_math_verify

# Percent answers and what only math-verify can read are where the runtimes are known to part.
EXTRA = [
    *((r"50\%", "50"), (r"50\%", r"50\%"), ("0.5", r"50\%"), (r"\frac{1}{4}", r"25\%"), (r"12.5\%", r"\frac18")),
    *((r"\sum_{k=1}^{3} k^2", "14"), (r"\prod_{k=1}^{4} k", "24"), (r"\int_0^2 x dx", "2"), (r"\int_0^2 x dx", "3")),
    *((r"\lim_{x \to \infty} \frac{1}{x}", "0"), (r"\sum_{k=1}^{n} k", r"\sum_{j=1}^{n} j"), (r"\det(A)", r"\det(B)")),
    *((r"x^2 + \int_0^1 t dt", r"x^2 + \frac12"), (r"\sum_{i=0}^{2} 10\%", r"30\%")),
]


@pytest.fixture(scope="module", params=[version for version in TESTED_ANTLR if version != antlr_version()])
def other_runtime(request: pytest.FixtureRequest) -> Path:
    """A folder with another ANTLR runtime, installed once a machine."""
    other = request.param
    folder = Path(tempfile.gettempdir()) / f"hero-rl-antlr-{other}-{os.getuid()}"
    if not (folder / "antlr4").is_dir():
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-compile", "--target", str(folder)]
        try:
            subprocess.run([*command, f"antlr4-python3-runtime=={other}"], check=True, capture_output=True, timeout=120)
        except (subprocess.SubprocessError, OSError) as error:
            pytest.skip(f"antlr4-python3-runtime {other} cannot be installed here: {error}")
    return folder


def verdicts(pairs: Path, *, path: Path | None) -> dict[str, Any]:
    program = TESTS / "helpers" / "verdicts_here.py"
    search = [str(path)] if path else []
    package = Path(antlr.__file__).parents[3]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([*search, str(package)])}
    done = subprocess.run(
        [sys.executable, str(program), str(pairs)], capture_output=True, text=True, env=environment, check=True, timeout=280
    )
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("antlr") / "pairs.json"
    path.write_text(json.dumps([*EXTRA, *EQUAL_BY_SYMPY, *EQUAL, *NOT_EQUAL]))
    return path


@pytest.fixture(scope="module")
def here(pairs: Path) -> dict[str, Any]:
    return verdicts(pairs, path=None)


def test_all_runtimes_give_the_same_verdicts(other_runtime: Path, pairs: Path, here: dict[str, Any]) -> None:
    there = verdicts(pairs, path=other_runtime)
    assert here["antlr"] != there["antlr"]
    assert min(here["checks"], there["checks"]) >= 10  # some did go to math-verify
    assert here["verdicts"] == there["verdicts"]
    assert not any("antlr" in message for message in here["warnings"] + there["warnings"])


def test_an_untested_runtime_is_warned_about(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(antlr, "antlr_version", lambda: "4.8")
    with pytest.warns(SettingsWarning, match=r"4\.8 is installed.*pip install antlr4-python3-runtime==4\.13\.2"):
        check_math_verify("the verifier 'math'")
