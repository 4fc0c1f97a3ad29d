"""Graders that behave as others do, for comparing and for reproducing the paper. Not better: the same, and killable."""

from __future__ import annotations

from hero_rl.verifiers.compat.hendrycks import HendrycksVerifier
from hero_rl.verifiers.compat.math_verify import MathVerifyVerifier

__all__ = ["HendrycksVerifier", "MathVerifyVerifier"]
