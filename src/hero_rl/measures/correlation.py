"""Correlations of a score with something that it should not follow, such as length."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from hero_rl.measures.arrays import deviations, finite, numbered, weights
from hero_rl.types import FloatArray


def rank_correlation(x_B: ArrayLike, y_B: ArrayLike, *, weights_B: ArrayLike | None = None) -> float:
    """Return Spearman's correlation, ties at their middle rank; NaN where either side is constant.

    >>> round(rank_correlation([1, 2, 3, 4], [1, 4, 9, 16]), 6)
    1.0
    """
    x, y = finite("rank_correlation", x_B), finite("rank_correlation", y_B)
    weight = weights("rank_correlation", weights_B, x.size)
    return _correlation(_middle_ranks(x, weight), _middle_ranks(y, weight), weight)


def within_correlation(x_B: ArrayLike, y_B: ArrayLike, cells_B: ArrayLike, *, weights_B: ArrayLike | None = None) -> float:
    """Return Pearson's correlation after subtracting the mean of each cell from both; NaN where a rest is constant.

    With cells of one prompt and one verdict, it says whether the longer of two responses *of equal verdict to the same prompt*
    gets the higher score: that harder prompts have longer responses and lower scores is no bias.
    Weights are equal inside a cell.
    """
    x, y = finite("within_correlation", x_B), finite("within_correlation", y_B)
    weight = weights("within_correlation", weights_B, x.size)
    cell = numbered("within_correlation", cells_B, x.size)
    return _correlation(deviations(x, cell), deviations(y, cell), weight)


def _middle_ranks(values: FloatArray, weight: FloatArray) -> FloatArray:
    _, place = np.unique(values, return_inverse=True)
    mass = np.bincount(place, weights=weight)
    return (np.cumsum(mass) - mass / 2)[place]


def _correlation(x: FloatArray, y: FloatArray, weight: FloatArray) -> float:
    total = weight.sum()
    if not total:
        return float("nan")
    x, y = x - (weight * x).sum() / total, y - (weight * y).sum() / total
    spread = float(np.sqrt((weight * x * x).sum() * (weight * y * y).sum()))
    # rounding leaves a spread of about 1e-15 where a side is constant
    return float((weight * x * y).sum() / spread) if spread > 1e-12 * max(1.0, float(total)) else float("nan")
