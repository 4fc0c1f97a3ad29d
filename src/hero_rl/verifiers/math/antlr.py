"""Which ANTLR runtime is underneath math-verify, and whether that is one that was tested."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import warnings

from hero_rl.errors import SettingsWarning, require

TESTED_ANTLR = ("4.13.2", "4.11.0", "4.9.3")
"""Runtimes under which a test shows the same verdicts. The extra ``math`` pins the first; verl comes with the last."""
_DISTRIBUTION = "antlr4-python3-runtime"


def check_math_verify(purpose: str, *, stacklevel: int = 2) -> None:
    """Check that what the extra ``math`` installs is there, with a tested ANTLR runtime.

    Raises:
        MissingDependencyError: one of the packages is not installed.

    Warns:
        SettingsWarning: the ANTLR runtime is none of ``TESTED_ANTLR``.
    """
    for package in ("math_verify", "antlr4", "mpmath", "pint"):
        if importlib.util.find_spec(package) is None:  # found, not imported: importing them takes a second
            require(package, extra="math", purpose=purpose)
    installed = antlr_version()
    if installed not in TESTED_ANTLR:
        warnings.warn(
            f"{purpose} is tested with {_DISTRIBUTION} {', '.join(TESTED_ANTLR)}, and {installed or 'none'} is installed: "
            f"math-verify reads some answers differently with it. pip install {_DISTRIBUTION}=={TESTED_ANTLR[0]}",
            SettingsWarning,
            stacklevel=stacklevel + 1,
        )


def antlr_version() -> str | None:
    """Return the version of the ANTLR runtime that an import would find; None where there is none."""
    try:
        return importlib.metadata.version(_DISTRIBUTION)
    except importlib.metadata.PackageNotFoundError:
        return None
