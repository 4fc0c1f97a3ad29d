"""The verifier ``math``: find the answer, compare it literally, as things of a kind, then symbolically, and judge."""

from __future__ import annotations

from hero_rl.verifiers.math.verifier import MathStats, MathVerifier, compare

__all__ = ["MathStats", "MathVerifier", "compare"]
