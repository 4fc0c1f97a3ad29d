"""Statistics of ragged groups: responses in any order, groups of any size, missing values as NaN.

Everything is one pass over flat arrays (``bincount`` and ``ufunc.at``), so ten million responses cost about a second and no
Python loop runs over prompts.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hero_rl.errors import InputError
from hero_rl.types import LEARNED_YES, MAX_MAGNITUDE, FloatArray, IntArray


class Groups(NamedTuple):
    """Which group each response belongs to."""

    index_B: IntArray
    """Shape (B,), group number of each response, in 0 .. size - 1."""
    size: int
    """Number of groups, P."""


def index_groups(groups_B: ArrayLike | Groups) -> Groups:
    """Return group numbers 0 .. P-1 for labels, integers or strings in any order; the result of an earlier call unchanged.

    Raises:
        InputError: not one-dimensional, or labels of kinds that cannot be sorted together.
    """
    if isinstance(groups_B, Groups):
        return groups_B
    labels_B = np.asarray(groups_B)
    if labels_B.ndim != 1:
        raise InputError(f"groups must be one label per response, got an array of shape {labels_B.shape}; flatten it first")
    if labels_B.size == 0:
        return Groups(np.zeros(0, dtype=np.intp), 0)
    if np.issubdtype(labels_B.dtype, np.integer) and int(labels_B.max()) - int(labels_B.min()) <= 4 * labels_B.size:
        return _index_dense(labels_B)
    try:
        _, index_B = np.unique(labels_B, return_inverse=True)
    except TypeError as error:
        raise InputError(f"groups must be all integers or all strings ({error}); is a label missing?") from error
    return Groups(index_B.astype(np.intp, copy=False), int(index_B.max()) + 1)


def number_groups(groups_B: ArrayLike | Groups) -> Groups:
    """Return what ``index_groups`` does, with text numbered in the order of its first appearance.

    Engines name prompts at random, and the order of groups decides the last digit of a sum.
    """
    if isinstance(groups_B, Groups):
        return groups_B
    labels_B = np.asarray(groups_B)
    if labels_B.ndim != 1 or labels_B.dtype.kind != "U":
        return index_groups(labels_B)
    numbers: dict[str, int] = {}
    index_B = np.array([numbers.setdefault(label, len(numbers)) for label in labels_B.tolist()], dtype=np.intp)
    return Groups(index_B, len(numbers))


def _index_dense(labels_B: NDArray[np.integer]) -> Groups:
    """Return what ``index_groups`` does, by a lookup table instead of a sort."""
    low, high = int(labels_B.min()), int(labels_B.max())
    # widened first where the type is narrow: in int8, 127 - (-128) is -1
    wide_B = labels_B if labels_B.dtype.itemsize == 8 else labels_B.astype(np.int64)
    offset_B = (wide_B - low).astype(np.intp, copy=False)
    present = np.zeros(high - low + 1, dtype=np.intp)
    present[offset_B] = 1
    count = int(present.sum())
    if count == present.size:
        return Groups(offset_B, count)
    return Groups((np.cumsum(present) - 1)[offset_B], count)


def group_sum(values_B: FloatArray, groups: Groups) -> FloatArray:
    """Return the sum of each group, shape (P,)."""
    return np.bincount(groups.index_B, weights=values_B, minlength=groups.size).astype(np.float64, copy=False)


def group_min_max(values_B: FloatArray, groups: Groups) -> tuple[FloatArray, FloatArray]:
    """Return the smallest and the largest known value of each group, shape (P,) each; +inf and -inf where there is none."""
    low_P, high_P = np.full(groups.size, np.inf), np.full(groups.size, -np.inf)
    np.fmin.at(low_P, groups.index_B, values_B)
    np.fmax.at(high_P, groups.index_B, values_B)
    return low_P, high_P


def any_differ(values_B: FloatArray, groups: Groups) -> bool:
    """Return whether some group has known values that differ."""
    low_P, high_P = group_min_max(values_B, groups)
    return bool((high_P > low_P).any())


class GroupMoments(NamedTuple):
    """Mean and spread of each group over its non-missing values."""

    mean_P: FloatArray
    """Shape (P,); NaN where a group has no value."""
    std_P: FloatArray
    """Shape (P,); NaN where a group has fewer than 1 + ddof values."""
    count_P: FloatArray
    """Shape (P,); number of non-missing values."""


def group_moments(values_B: FloatArray, groups: Groups, *, ddof: int = 0) -> GroupMoments:
    """Return mean and standard deviation of each group, NaN values left out.

    Two passes (mean, then deviations), so that a large common offset does not swallow a small spread.
    """
    known_B = ~np.isnan(values_B)
    everything_known = bool(known_B.all())
    count_P = np.bincount(groups.index_B, None if everything_known else known_B, groups.size).astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean_P = group_sum(values_B if everything_known else np.where(known_B, values_B, 0.0), groups) / count_P
        deviation_B = mean_P[groups.index_B]
        np.subtract(values_B, deviation_B, out=deviation_B)
        if not everything_known:
            deviation_B[~known_B] = 0.0
        std_P = np.sqrt(group_sum(np.square(deviation_B, out=deviation_B), groups) / (count_P - ddof))
    std_P[count_P < 1 + ddof] = np.nan
    return GroupMoments(mean_P, std_P, count_P)


def group_ranks(values_B: FloatArray, groups: Groups) -> FloatArray:
    """Return the rank of each value in its group, from 0 up; tied values share the middle of their ranks."""
    order = np.lexsort((values_B, groups.index_B))
    index = groups.index_B[order]
    new_group = np.diff(index, prepend=-1) != 0
    starts = np.flatnonzero(new_group | (np.diff(values_B[order], prepend=np.nan) != 0.0))
    place = np.arange(index.size) - np.flatnonzero(new_group)[np.cumsum(new_group) - 1]
    length = np.diff(starts, append=index.size)
    ranks_B = np.empty(index.size)
    ranks_B[order] = np.repeat(place[starts] + (length - 1) / 2.0, length)
    return ranks_B


def group_wins(labels_B: FloatArray, scores_B: FloatArray, groups: Groups) -> tuple[FloatArray, FloatArray]:
    """Return how many pairs of a 1 and a 0 in each group the 1 wins by its score (a tie: half), and all pairs; (P,) each."""
    ones_P = group_sum(labels_B, groups)
    wins_P = group_sum(group_ranks(scores_B, groups) * labels_B, groups) - ones_P * (ones_P - 1.0) / 2.0
    return wins_P, ones_P * (np.bincount(groups.index_B, minlength=groups.size) - ones_P)


def check_signals(
    verdicts_B: ArrayLike, scores_B: ArrayLike, groups_B: ArrayLike | Groups
) -> tuple[FloatArray, FloatArray, Groups]:
    """Return the three inputs of every rule as arrays; raise ``InputError`` for other shapes or impossible values."""
    verdicts, scores = np.asarray(verdicts_B, dtype=np.float64), np.asarray(scores_B, dtype=np.float64)
    groups = index_groups(groups_B)
    if not (verdicts.shape == scores.shape == groups.index_B.shape):
        raise InputError(
            f"verdicts {verdicts.shape}, scores {scores.shape} and groups {groups.index_B.shape}: give one entry per response"
        )
    odd = ~((verdicts == 0.0) | (verdicts == 1.0) | (verdicts == LEARNED_YES) | np.isnan(verdicts))
    if odd.any():
        where = int(np.flatnonzero(odd)[0])
        raise InputError(
            f"verdict {float(verdicts[where])!r} at row {where}: a verdict is 1 (correct), 0 (incorrect), NaN (abstain) or "
            f"{LEARNED_YES} (a model says correct)"
        )
    too_large = np.abs(scores) > MAX_MAGNITUDE
    if too_large.any():
        where = int(np.flatnonzero(too_large)[0])
        raise InputError(
            f"score {float(scores[where])!r} at row {where}: scores must be finite and below {MAX_MAGNITUDE:g}; "
            "give NaN where the reward model returned nothing"
        )
    return verdicts, scores, groups
