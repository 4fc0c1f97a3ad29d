"""Intervals where responses of one prompt resemble each other: the unit is the prompt, not the response.

Those in closed form are for a million rows, where a bootstrap would take minutes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from hero_rl.errors import InputError
from hero_rl.measures.arrays import finite, labelled, numbered
from hero_rl.types import FloatArray

Z_95 = 1.959963984540054


class Estimate(NamedTuple):
    """A value and its 95% confidence interval (or of another level)."""

    value: float
    low: float
    high: float

    def within(self, low: float, high: float) -> Estimate:
        """Return the estimate of a quantity that cannot lie outside these bounds."""
        return Estimate(*np.clip(self, low, high).tolist())


UNKNOWN = Estimate(float("nan"), float("nan"), float("nan"))


def bootstrap(
    measure: Callable[[FloatArray], float],
    clusters_B: ArrayLike,
    *,
    draws: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Estimate:
    """Return the measure on all rows, with the percentile interval over draws of whole clusters.

    A draw takes as many clusters as there are, with replacement; ``measure`` gets how often each row's cluster was drawn. Draws
    on which it is undefined (NaN: a class is absent) are left out. With one cluster the interval is NaN.

    Args:
        measure: from weights of shape (B,) to a number.
        clusters_B: one prompt's responses are one cluster.
        draws: number of draws.
        level: share of draws inside the interval.
        seed: of the draws; the same for two measures makes their intervals comparable.

    Reference: Davison & Hinkley 1997, section 3.8 (resampling of whole clusters).
    """
    names = np.asarray(clusters_B)
    if not names.size or draws < 1 or not 0.0 < level < 1.0:
        raise InputError(f"bootstrap: {names.size} rows, draws={draws}, level={level}: need rows, draws, and a level in (0, 1)")
    index = numbered("bootstrap", names, names.size)
    value = measure(np.ones(names.size))
    clusters = int(index.max()) + 1
    if clusters < 2 or math.isnan(value):
        return Estimate(value, float("nan"), float("nan"))
    rng = np.random.default_rng(seed)
    shares = np.full(clusters, 1.0 / clusters)
    found = np.array([measure(rng.multinomial(clusters, shares)[index].astype(np.float64)) for _ in range(draws)])
    known = found[~np.isnan(found)]
    if not known.size:
        return Estimate(value, float("nan"), float("nan"))
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    return Estimate(value, float(low), float(high))


def clustered_standard_error(values_B: ArrayLike, clusters_B: ArrayLike, *, small_sample: bool = False) -> float:
    """Return the standard error of the mean of values that resemble each other inside a cluster.

    With d = value - mean:  sqrt(sum over clusters of (sum over its rows of d)^2) / B.

    ``small_sample`` multiplies the variance by C / (C - 1), C the number of clusters. NaN with fewer than two clusters.

    Reference: Liang & Zeger 1986; Miller 2024 (arXiv 2411.00640), section 2.2, which writes it as a double sum inside clusters.
    """
    values = finite("clustered_standard_error", values_B)
    index = numbered("clustered_standard_error", clusters_B, values.size)
    clusters = int(index.max()) + 1 if values.size else 0
    if clusters < 2:
        return float("nan")
    sums = np.bincount(index, weights=values - values.mean())
    correction = clusters / (clusters - 1) if small_sample else 1.0
    return float(np.sqrt(correction * (sums**2).sum()) / values.size)


def mean_interval(values_B: ArrayLike, clusters_B: ArrayLike, *, z: float = Z_95) -> Estimate:
    """Return the mean and its normal interval of z clustered standard errors (with the small-sample correction)."""
    values = finite("mean_interval", values_B)
    if not values.size:
        return Estimate(float("nan"), float("nan"), float("nan"))
    mean, half = float(values.mean()), z * clustered_standard_error(values, clusters_B, small_sample=True)
    return Estimate(mean, mean - half, mean + half)


def crossed_interval(values_SP: ArrayLike, *, level: float = 0.95) -> Estimate:
    """Return the mean over seeds and problems, with an interval for other seeds and other problems.

    With x_sp = mean + seed_s + problem_p + rest_sp:

        V_S = var(means of the seeds) / S                            seeds, and what is left in a cell
        V_P = var(means of the problems) / P - var(rest) / (S P)     problems alone, at least 0
        half-width = sqrt(t(S - 1)^2 V_S + t(P - 1)^2 V_P)

    t(n) is Student's quantile; half-widths add in squares. It is never narrower than Student's interval over the seeds alone,
    nor (where seeds agree by chance) than the one over problems. With normal values it covers 95 to 98.5 times in 100 from 3
    seeds on. It is about other seeds of the same making and other problems of the same kind, not about another task.

    ``values_SP`` has one row per seed, with the same problems in the same order; for a paired comparison the differences. With
    one seed the interval is over problems, and says nothing about other seeds. NaN bounds for a single value.

    Reference: Cameron, Gelbach & Miller 2011 (variance with two ways of clustering); Graybill & Wang 1980 (half-widths of
    components added in squares).

    >>> [round(value, 3) for value in crossed_interval([[0.0, 0.5, 1.0], [0.5, 0.5, 1.5]])]
    [0.667, -1.788, 3.122]
    """
    values = np.asarray(values_SP, dtype=np.float64)
    if values.ndim != 2 or not values.size or not np.isfinite(values).all():
        raise InputError(f"crossed_interval: got shape {values.shape}; need finite values of shape (seeds, problems)")
    seeds, problems = values.shape
    mean = float(values.mean())
    by_seed, by_problem = values.mean(axis=1), values.mean(axis=0)
    if seeds == 1 and problems == 1:
        return Estimate(mean, math.nan, math.nan)
    if seeds == 1:
        half = t_quantile(problems - 1, level) * math.sqrt(float(by_problem.var(ddof=1)) / problems)
        return Estimate(mean, mean - half, mean + half)
    over_seeds = float(by_seed.var(ddof=1)) / seeds
    over_problems = least = 0.0
    if problems > 1:
        rest = values - by_seed[:, None] - by_problem[None, :] + mean
        left = float((rest**2).sum()) / ((seeds - 1) * (problems - 1))
        over_cells = float(by_problem.var(ddof=1)) / problems
        over_problems = max(0.0, over_cells - left / (seeds * problems))
        least = t_quantile(problems - 1, level) * math.sqrt(over_cells)
    squared = t_quantile(seeds - 1, level) ** 2 * over_seeds
    if over_problems:
        squared += t_quantile(problems - 1, level) ** 2 * over_problems
    half = max(math.sqrt(squared), least)
    return Estimate(mean, mean - half, mean + half)


def p_value(interval: Callable[[float], Estimate], null: float = 0.0) -> float:
    """Return the two-sided p-value of ``null``: 1 minus the highest level at which the interval leaves it out.

    ``interval`` gives the estimate at a level. Not below 1e-9; NaN where its bounds are.
    """
    if math.isnan(interval(0.5).low):
        return math.nan
    low, high = 0.0, 1.0 - 1e-9
    for _ in range(40):
        middle = (low + high) / 2
        found = interval(middle)
        low, high = (low, middle) if found.low <= null <= found.high else (middle, high)
    return 1.0 - low


@lru_cache(maxsize=4096)
def t_quantile(degrees: int, level: float) -> float:
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
    z = t_quantile(clusters - 1, level)
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
    half = t_quantile(clusters - 1, level) * math.sqrt(clusters / (clusters - 1) * float((sums**2).sum()))
    return Estimate(value, max(0.0, value - half), min(1.0, value + half))


def mean_of_clusters(values_P: ArrayLike, *, level: float = 0.95) -> Estimate:
    """Return the mean of one number per cluster, NaN left out, with Student's interval."""
    values = np.asarray(values_P, dtype=np.float64)
    known = values[~np.isnan(values)]
    mean = float(known.mean()) if known.size else float("nan")
    if known.size < 2:
        return Estimate(mean, float("nan"), float("nan"))
    half = t_quantile(known.size - 1, level) * float(known.std(ddof=1)) / math.sqrt(known.size)
    return Estimate(mean, mean - half, mean + half)


def clusters_missing(estimate: Estimate, null: float, clusters: int, *, close: float) -> int:
    """Return how many more clusters would tell an estimate from ``null`` if it stayed where it is.

    Intervals narrow with the square root of the clusters; nearer to ``null`` than ``close`` counts as ``close``. At least a
    tenth more.
    """
    half = (estimate.high - estimate.low) / 2.0
    return math.ceil(clusters * max(0.1, (half / max(close, abs(estimate.value - null))) ** 2 - 1.0))


def _share_below(sorted_other: FloatArray, values: FloatArray) -> FloatArray:
    """Return for each value the share of the others below it, ties counted half."""
    below = np.searchsorted(sorted_other, values, "left")
    not_above = np.searchsorted(sorted_other, values, "right")
    return (below + not_above) / (2.0 * sorted_other.size)
