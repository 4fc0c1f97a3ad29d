"""Intervals in closed form for responses that come in clusters, where a bootstrap over a million rows would take minutes."""

from __future__ import annotations

import math
from functools import lru_cache
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike

from hero_rl.measures.arrays import labelled, numbered
from hero_rl.measures.intervals import Estimate
from hero_rl.types import FloatArray

UNKNOWN = Estimate(float("nan"), float("nan"), float("nan"))


@lru_cache(maxsize=4096)
def _t_quantile(degrees: int, level: float) -> float:
    """Return the t with P(|T| < t) = level for Student's T, to seven digits or better.

    Reference: Abramowitz & Stegun 26.7.3 and 26.7.4 (finite sums), 26.7.5 (many degrees of freedom).
    """
    z = NormalDist().inv_cdf((1 + level) / 2)
    if degrees > 1000:
        first, second = (z**3 + z) / 4, (5 * z**5 + 16 * z**3 + 3 * z) / 96
        return z + first / degrees + second / degrees**2
    low, high = 0.0, math.pi / 2  # of the angle whose tangent is t / sqrt(degrees)
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _t_coverage(middle, degrees) < level else (low, middle)
    return math.tan(low) * math.sqrt(degrees)


def _t_coverage(angle: float, degrees: int) -> float:
    """Return P(|T| < sqrt(degrees) tan(angle))."""
    odd = degrees % 2
    power = math.cos(angle) if odd else 1.0
    total = term = 0.0 if degrees == 1 else power
    for k in range(2 + odd, degrees - 1, 2):
        term *= (k - 1) / k * math.cos(angle) ** 2
        total += term
    return 2 / math.pi * (angle + math.sin(angle) * total) if odd else math.sin(angle) * total


def share_interval(flags_B: ArrayLike, among_B: ArrayLike, clusters_B: ArrayLike, *, level: float = 0.95) -> Estimate:
    """Return the share of the rows in ``among_B`` that have the flag, with Wilson's interval for the effective number of rows.

    n_eff = p (1 - p) / SE^2, SE being the clustered standard error; the number of clusters where p is 0 or 1. Unlike the normal
    interval it stays inside [0, 1] and has a width at 0 and 1.

    NaN without rows; no interval for a single cluster.

    Reference: Dean & Pagano 2015 (modified Wilson interval for complex surveys); Liang & Zeger 1986 for SE.

    >>> [round(value, 3) for value in share_interval([0] * 100, [1] * 100, range(100))]
    [0.0, 0.0, 0.038]
    """
    among = np.asarray(among_B, dtype=np.bool_)
    flags = np.asarray(flags_B, dtype=np.bool_)[among].astype(np.float64)
    if not flags.size:
        return UNKNOWN
    index = numbered("share_interval", np.asarray(clusters_B)[among], flags.size)
    clusters, p = int(index.max()) + 1, float(flags.mean())
    if clusters < 2:
        return Estimate(p, float("nan"), float("nan"))
    sums = np.bincount(index, weights=flags - p)
    variance = clusters / (clusters - 1) * float((sums**2).sum()) / flags.size**2
    worth = p * (1.0 - p) / variance if variance > 0.0 and 0.0 < p < 1.0 else float(clusters)
    worth = min(worth, float(flags.size))  # more where clusters balance out by chance
    z = _t_quantile(clusters - 1, level)
    centre = (p + z * z / (2 * worth)) / (1 + z * z / worth)
    half = z / (1 + z * z / worth) * math.sqrt(p * (1 - p) / worth + z * z / (4 * worth * worth))
    return Estimate(p, max(0.0, centre - half) if p else 0.0, min(1.0, centre + half) if p < 1 else 1.0)


def auroc_interval(scores_B: ArrayLike, labels_B: ArrayLike, clusters_B: ArrayLike, *, level: float = 0.95) -> Estimate:
    """Return the AUROC over all rows, with the interval from its structural components summed by cluster.

    Correct and incorrect rows may share a cluster. NaN where a class is absent.

    Reference: Obuchowski 1997 (clustered AUROC), DeLong et al. 1988 (structural components).
    """
    rows = labelled("auroc_interval", scores_B, labels_B, None)
    positive, negative = rows.scores[rows.labels], rows.scores[~rows.labels]
    if not positive.size or not negative.size:
        return UNKNOWN
    component = np.empty(rows.scores.size)
    component[rows.labels] = _share_below(np.sort(negative), positive)
    component[~rows.labels] = 1.0 - _share_below(np.sort(positive), negative)
    value = float(component[rows.labels].mean())
    index = numbered("auroc_interval", clusters_B, rows.scores.size)
    clusters = int(index.max()) + 1
    if clusters < 2:
        return Estimate(value, float("nan"), float("nan"))
    pull = (component - value) / np.where(rows.labels, positive.size, negative.size)
    sums = np.bincount(index, weights=pull)
    half = _t_quantile(clusters - 1, level) * math.sqrt(clusters / (clusters - 1) * float((sums**2).sum()))
    return Estimate(value, max(0.0, value - half), min(1.0, value + half))


def mean_of_clusters(values_P: ArrayLike, *, level: float = 0.95) -> Estimate:
    """Return the mean of one number per cluster, NaN left out, with Student's interval."""
    values = np.asarray(values_P, dtype=np.float64)
    known = values[~np.isnan(values)]
    mean = float(known.mean()) if known.size else float("nan")
    if known.size < 2:
        return Estimate(mean, float("nan"), float("nan"))
    half = _t_quantile(known.size - 1, level) * float(known.std(ddof=1)) / math.sqrt(known.size)
    return Estimate(mean, mean - half, mean + half)


def _share_below(sorted_other: FloatArray, values: FloatArray) -> FloatArray:
    """Return for each value the share of the others below it, ties counted half."""
    below = np.searchsorted(sorted_other, values, "left")
    not_above = np.searchsorted(sorted_other, values, "right")
    return (below + not_above) / (2.0 * sorted_other.size)
