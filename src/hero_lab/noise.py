"""Verifiers and scores of any quality without training: noise that is fixed by what is judged, and sums of scores."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np

from hero_rl.types import FloatArray, Rollout, Scorer

_NORMAL = NormalDist()


def uniform_of(*parts: object) -> float:
    """A number strictly between 0 and 1 that is fixed by the parts, and else as good as random."""
    raw = hashlib.blake2b("\0".join(map(str, parts)).encode(), digest_size=8).digest()
    return ((int.from_bytes(raw, "big") >> 12) + 0.5) / 2**52


def normal_of(*parts: object) -> float:
    """Return a number of the standard normal distribution, fixed as that of ``uniform_of``."""
    return _NORMAL.inv_cdf(uniform_of(*parts))


class ChanceScorer(Scorer):
    """A standard normal number for each prompt and response, always the same one: an AUROC of one half. A Scorer."""

    name = "lab-chance"

    def __init__(self, *, seed: int = 0) -> None:
        """Other numbers for every seed."""
        self.seed = seed

    async def ascore(self, rollouts: Sequence[Rollout], /) -> FloatArray:
        """Return the numbers, shape (B,)."""
        return np.array([normal_of(self.seed, r.problem, r.response, r.finished is False) for r in rollouts], dtype=np.float64)


class SumScorer(Scorer):
    """A weighted sum of scores. A Scorer.

    ``[(scorer, 1.0), (ChanceScorer(), 2.0)]`` is a score with noise of two standard deviations.
    """

    name = "lab-sum"

    def __init__(self, parts: Sequence[tuple[Scorer, float]]) -> None:
        """Add these scorers' scores, times their weights."""
        self.parts = tuple(parts)

    async def ascore(self, rollouts: Sequence[Rollout], /) -> FloatArray:
        """Return the sums, shape (B,)."""
        return np.sum([weight * await scorer.ascore(rollouts) for scorer, weight in self.parts], axis=0)

    def close(self) -> None:
        """Close the parts."""
        for scorer, _ in self.parts:
            scorer.close()
