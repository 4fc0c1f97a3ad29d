"""The difference of two sides on the same problems, with its interval and its p-value."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from hero_rl.errors import InputError
from hero_rl.measures.arrays import numbered
from hero_rl.types import FloatArray, IntArray

_ROUNDING = 1e-12


class PairedDifference(NamedTuple):
    """The second side less the first."""

    value: float
    low: float
    high: float
    p_value: float
    """Two-sided."""
    standard_error: float


def paired_difference(
    first_RP: ArrayLike, second_RP: ArrayLike, *, strata_P: ArrayLike | None = None, level: float = 0.95
) -> PairedDifference:
    """Return the difference in the mean over problems, with Student's interval.

    With one run per side it is the paired t-test over problems (for 0/1 values, close to McNemar's test). With several runs
    (training seeds) a side, runs are a second source of chance: the variance is the one over problems plus the one over runs
    less the one over single cells, and the degrees of freedom are those of the runs.

    Args:
        first_RP: shape (R1, P) or (P,): for each run and problem the mean over its responses, finite.
        second_RP: shape (R2, P) or (P,), the same problems in the same order.
        strata_P: shape (P,), names or numbers: the mean is taken inside each stratum (benchmark) and then over strata, each
            counting the same. None: one stratum.
        level: coverage of the interval.

    Returns:
        Without an interval and a p-value (NaN) for fewer than two problems. Where every problem differs by the same amount
        there is no spread to measure: p is that of the sign test, 2^(1 - P), or 1 without a difference.

    Raises:
        InputError: other shapes, values that are not finite, or one run against several.

    Reference: Miller 2024 (arXiv 2411.00640), section 4.2, for one run; Cameron, Gelbach & Miller 2011 for two ways of
    clustering.

    >>> found = paired_difference([0.0, 0.5, 0.5, 1.0], [0.5, 0.5, 1.0, 1.0])
    >>> round(found.value, 3), round(found.standard_error, 3), round(found.p_value, 3)
    (0.25, 0.144, 0.182)
    """
    first, second = _runs("first", first_RP), _runs("second", second_RP)
    problems = first.shape[1]
    if second.shape[1] != problems:
        raise InputError(f"paired_difference: {problems} problems against {second.shape[1]}; give the same on both sides")
    if (len(first) == 1) != (len(second) == 1):
        raise InputError(
            f"paired_difference: {len(first)} runs against {len(second)}; one run per side, or at least two on both: how much "
            "a side varies between its runs cannot be seen from one"
        )
    strata = np.zeros(problems, dtype=np.intp) if strata_P is None else numbered("paired_difference", strata_P, problems)
    sizes = np.bincount(strata)
    weight_P = 1.0 / (sizes.size * sizes[strata])
    pulls = [-_pull(first, strata, weight_P), _pull(second, strata, weight_P)]
    value = float((weight_P * (second.mean(axis=0) - first.mean(axis=0))).sum())
    if problems < 2 or sizes.min() < 2:
        return PairedDifference(value, math.nan, math.nan, math.nan, math.nan)
    error = math.sqrt(_variance(pulls, sizes, strata))
    if error < _ROUNDING:
        p_value = 1.0 if abs(value) < _ROUNDING else 2.0 ** (1 - problems)
        return PairedDifference(value, value, value, p_value, 0.0)
    several = len(first) > 1
    degrees = min(problems - sizes.size, len(first) + len(second) - 2) if several else problems - sizes.size
    from scipy.stats import t

    half = float(t.ppf((1 + level) / 2, degrees)) * error
    return PairedDifference(value, value - half, value + half, float(2 * t.sf(abs(value) / error, degrees)), error)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return the p-values adjusted for their number, however the tests depend on each other; NaN stays NaN, uncounted.

    Reference: Holm 1979.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    order = sorted((p, place) for place, p in enumerate(p_values) if not math.isnan(p))
    adjusted, highest = [math.nan] * len(p_values), 0.0
    for rank, (p, place) in enumerate(order):
        highest = max(highest, min(1.0, p * (len(order) - rank)))
        adjusted[place] = highest
    return adjusted


def _runs(side: str, values: ArrayLike) -> FloatArray:
    found = np.atleast_2d(np.asarray(values, dtype=np.float64))
    if found.ndim != 2 or not found.size or not np.isfinite(found).all():
        raise InputError(f"paired_difference: the {side} side must be finite numbers of shape (runs, problems)")
    return found


def _pull(values_RP: FloatArray, strata_P: IntArray, weight_P: FloatArray) -> FloatArray:
    """Return the contribution of each cell to the mean of its side, less that of the average cell of its stratum."""
    sizes = np.bincount(strata_P)
    means = np.bincount(strata_P, weights=values_RP.mean(axis=0)) / sizes
    return weight_P * (values_RP - means[strata_P]) / len(values_RP)


def _variance(pulls: Sequence[FloatArray], sizes: IntArray, strata_P: IntArray) -> float:
    by_problem = sum(pull.sum(axis=0) for pull in pulls)
    over_problems = float(((by_problem**2) * (sizes / (sizes - 1))[strata_P]).sum())
    if len(pulls[0]) == 1:
        return over_problems
    over_runs = sum(len(pull) / (len(pull) - 1) * float((pull.sum(axis=1) ** 2).sum()) for pull in pulls)
    single = sum(float((pull**2).sum()) for pull in pulls)
    return max(over_problems + over_runs - single, over_problems, over_runs)
