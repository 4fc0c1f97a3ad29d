"""Ranking of correct above incorrect responses: over all, inside prompts, and at a fixed false-positive rate.

Ties count half, so that a constant score gets 0.5.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from hero_rl.errors import InputError
from hero_rl.measures.arrays import Labelled, labelled, numbered, weights
from hero_rl.rewards.groups import Groups, group_sum, group_wins
from hero_rl.types import BoolArray, FloatArray, IntArray


def auroc(scores_B: ArrayLike, labels_B: ArrayLike, *, weights_B: ArrayLike | None = None) -> float:
    """Return the probability that a correct response outscores an incorrect one; NaN where a class is absent.

    Pooled over prompts, it also credits a score for knowing which prompts are easy, which no rule can use; see ``group_auroc``.

    >>> auroc([0.9, 0.4, 0.6, 0.1], [1, 1, 0, 0])
    0.75
    """
    _, positive, negative = _by_score(labelled("auroc", scores_B, labels_B, weights_B))
    total = positive.sum() * negative.sum()
    if not total:
        return float("nan")
    return float((positive * (np.cumsum(negative) - negative / 2)).sum() / total)


class PairCounts(NamedTuple):
    """The pairs of a correct and an incorrect response of each prompt, in arrays of shape (P,)."""

    won: FloatArray
    """Pairs in which the correct response has the higher score; a tie counts half."""
    pairs: FloatArray
    """All pairs; 0 where the prompt's labels are all equal."""
    first: IntArray
    """One row of each prompt, whose weight is the prompt's."""


def pair_counts(scores_B: ArrayLike, labels_B: ArrayLike, groups_B: ArrayLike) -> PairCounts:
    """Return the pairs inside each prompt, in the order of the prompts' names."""
    rows = labelled("pair_counts", scores_B, labels_B, None)
    index = numbered("pair_counts", groups_B, rows.scores.size)
    groups = Groups(index, int(index.max(initial=-1)) + 1)
    won, pairs = group_wins(rows.labels.astype(np.float64), rows.scores, groups)
    return PairCounts(won, pairs, np.unique(index, return_index=True)[1])


def pair_accuracy(counts: PairCounts, *, weights_B: ArrayLike | None = None) -> float:
    """Return the share of the pairs inside prompts that the score orders correctly; NaN where there is no pair.

    Every *pair* counts the same; ``group_auroc`` counts prompts.

    >>> pair_accuracy(pair_counts([3, 1, 2, 5], [1, 0, 0, 1], ["a", "a", "b", "b"]))
    1.0
    """
    weight_P = _of_prompts(counts, weights_B)
    total = float((weight_P * counts.pairs).sum())
    return float((weight_P * counts.won).sum()) / total if total else float("nan")


def group_auroc(counts: PairCounts, *, weights_B: ArrayLike | None = None) -> float:
    """Return the mean over mixed prompts of the AUROC among a prompt's responses; NaN where no prompt is mixed."""
    weight_P = _of_prompts(counts, weights_B) * (counts.pairs > 0)
    total = float(weight_P.sum())
    return float((weight_P * counts.won / np.maximum(counts.pairs, 1)).sum()) / total if total else float("nan")


def auroc_of_groups(scores_B: FloatArray, right_B: BoolArray, groups_B: IntArray, among_B: BoolArray) -> FloatArray:
    """Return the AUROC inside each group, among some rows; NaN for a group without right and wrong ones."""
    found = np.full(int(groups_B.max(initial=-1)) + 1, np.nan)
    if among_B.any():
        groups = groups_B[among_B]
        counts = pair_counts(scores_B[among_B], right_B[among_B], groups)
        mixed = counts.pairs > 0
        found[groups[counts.first[mixed]]] = counts.won[mixed] / counts.pairs[mixed]
    return found


def recall_at_fpr(scores_B: ArrayLike, labels_B: ArrayLike, p_fpr: float, *, weights_B: ArrayLike | None = None) -> float:
    """Return the share of the correct responses accepted at the best limit that accepts at most ``p_fpr`` of the incorrect.

    Limits are observed scores, not interpolated. NaN where a class is absent.
    """
    if not 0.0 <= p_fpr <= 1.0:
        raise InputError(f"a false-positive rate of {p_fpr} is no share; give a number in [0, 1]")
    _, positive, negative = _by_score(labelled("recall_at_fpr", scores_B, labels_B, weights_B))
    if not positive.sum() or not negative.sum():
        return float("nan")
    recall, fpr = (np.cumsum(part[::-1])[::-1] / part.sum() for part in (positive, negative))
    return float(recall[fpr <= p_fpr + 1e-12].max(initial=0.0))


def weighted_share(flags_B: ArrayLike, among_B: ArrayLike, *, weights_B: ArrayLike | None = None) -> float:
    """Return the share of the rows in ``among_B`` that have the flag; NaN where there are none."""
    among = np.asarray(among_B, dtype=np.bool_)
    weight_B = weights("weighted_share", weights_B, among.size) * among
    total = float(weight_B.sum())
    return float((weight_B * np.asarray(flags_B, dtype=np.bool_)).sum()) / total if total else float("nan")


def _by_score(rows: Labelled) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return the different scores from low to high, and the weights of the correct and incorrect rows at each."""
    scores, place = np.unique(rows.scores, return_inverse=True)
    groups = Groups(place.astype(np.intp, copy=False), scores.size)
    positive, negative = (group_sum(rows.weights * own, groups) for own in (rows.labels, ~rows.labels))
    return scores, positive, negative


def _of_prompts(counts: PairCounts, weights_B: ArrayLike | None) -> FloatArray:
    return np.ones(counts.pairs.size) if weights_B is None else np.asarray(weights_B, dtype=np.float64)[counts.first]
