"""What decides a verifier's verdicts beside its options: its own code, and the packages underneath.

A version number is not enough: code changes between releases, and a verdict that was stored before must not be found after.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
from pathlib import Path

from hero_rl.types import Verifier

_HERE = Path(__file__).parent
MATH_PACKAGES = ("math-verify", "latex2sympy2_extended", "antlr4-python3-runtime", "sympy", "mpmath", "pint")
"""Distributions under the maths verifiers; verdicts change with the ANTLR runtime, for one."""


@functools.cache
def code_identity(*sources: str, packages: tuple[str, ...] = ()) -> str:
    """A text that changes whenever these sources or packages do.

    Args:
        sources: files and folders of ``hero_rl.verifiers``, such as ``"exact.py"`` or ``"math"``.
        packages: distributions whose versions count.
    """
    content = hashlib.sha256()
    for source in sources:
        path = _HERE / source
        for file in sorted(path.glob("*.py")) if path.is_dir() else [path]:
            # an installation without sources has the version below, and nothing more exact
            content.update(file.name.encode() + (file.read_bytes() if file.is_file() else b""))
    versions = [f"{name}={_version(name)}" for name in ("hero-rl", *packages)]
    return ", ".join([f"code={content.hexdigest()[:16]}", *versions])


def columns_of(*verifiers: Verifier) -> tuple[str, ...]:
    """Return the columns of ``Rollout.extra`` that these verifiers say they read, sorted."""
    return tuple(sorted({name for verifier in verifiers for name in verifier.columns}))


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "absent"
