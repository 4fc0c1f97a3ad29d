"""The verifier ``math``: find the answer, compare it literally, then symbolically in the sandbox, and judge."""

from __future__ import annotations

from hero_rl.verifiers.math.verifier import MathStats, MathVerifier

__all__ = ["MathStats", "MathVerifier"]
