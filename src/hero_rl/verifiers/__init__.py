"""Verifiers: correct, incorrect or abstain for each response, with a reason."""

from __future__ import annotations

from hero_rl.verifiers.column import ColumnVerifier
from hero_rl.verifiers.compat import HendrycksVerifier, MathVerifyVerifier
from hero_rl.verifiers.exact import ExactVerifier
from hero_rl.verifiers.math import MathVerifier

__all__ = ["ColumnVerifier", "ExactVerifier", "HendrycksVerifier", "MathVerifier", "MathVerifyVerifier"]
