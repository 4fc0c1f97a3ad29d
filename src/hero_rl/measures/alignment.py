"""How much of a rule's update is signal: three measures on labelled rollouts that need no training.

With A the advantages of a rule, A* those of the truth (the label less its mean over the prompt) and e the scores centred inside
each prompt and label, all sums over responses:

    alignment   cos(A, A*)             its square is the share of the rollouts that work
    pressure    cos(A, e)              how much of the update is noise of the reward model, which hacking feeds on
    scale       sum A A* / sum A*^2    signal per unit of true reward: what a KL coefficient must be measured in

To first order, an update along A from n rollouts gains what one along A* gains from n cos(A, A*)^2. Source: this project's
review of its experiments; docs/audit.md says what they were checked against. A is not divided by a standard deviation.

Each measure is a product of powers of sums over prompts. Its interval is the linearised one of such a product (Taylor, or
"delta", method for clusters), with Student's quantile for as many prompts as contribute to it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from hero_rl.errors import InputError
from hero_rl.measures.arrays import deviations, labelled, numbered
from hero_rl.measures.intervals import UNKNOWN, Estimate, t_quantile
from hero_rl.types import FloatArray, IntArray


class UpdateQuality(NamedTuple):
    """The three measures of one rule."""

    alignment: Estimate
    """In [-1, 1]; negative: the update points away from the truth. Unknown without an advantage or without mixed prompts."""
    pressure: Estimate
    """In [-1, 1]; unknown where the scores do not vary among responses of one prompt and label."""
    scale: Estimate
    """1 for the advantages of the truth itself."""


def update_quality(
    advantages_B: ArrayLike, labels_B: ArrayLike, scores_B: ArrayLike, groups_B: ArrayLike, *, level: float = 0.95
) -> UpdateQuality:
    """Return the alignment, pressure and scale of some advantages.

    ``scores_B`` may be NaN where missing. With one prompt there are values without intervals.

    >>> found = update_quality([0.5, -0.5, 0.0, 0.0], [1, 0, 0, 1], [2.0, 1.0, 4.0, 3.0], [0, 0, 1, 1])
    >>> round(found.alignment.value, 4), found.scale.value
    (0.7071, 0.5)
    """
    advantages, right, groups = _checked("update_quality", advantages_B, labels_B, groups_B)
    truth = deviations(right, groups)
    noise = np.nan_to_num(deviations(np.asarray(scores_B, dtype=np.float64), groups * 2 + right.astype(np.intp)))
    own, true, noisy = (_sums(values**2, groups) for values in (advantages, truth, noise))
    signal = _sums(advantages * truth, groups)
    return UpdateQuality(
        alignment=_product([signal, own, true], (-0.5, -0.5), level).within(-1.0, 1.0),
        pressure=_product([_sums(advantages * noise, groups), own, noisy], (-0.5, -0.5), level).within(-1.0, 1.0),
        scale=_product([signal, true], (-1.0,), level),
    )


def working_share(
    advantages_B: ArrayLike, baseline_B: ArrayLike, labels_B: ArrayLike, groups_B: ArrayLike, *, level: float = 0.95
) -> Estimate:
    """Return how many times as many rollouts work as under the baseline's advantages: (cos(A, A*) / cos(A_0, A*))^2.

    The sign is that of the ratio: negative where the rule points away from the truth. The interval takes both sides as measured
    on the same prompts. Unknown unless the baseline points towards the truth.

    >>> round(working_share([1.0, -1.0, 0.0, 0.0], [1.0, 0.0, -1.0, 0.0], [1, 0, 0, 0], [0, 0, 0, 0]).value, 6)
    1.0
    """
    advantages, right, groups = _checked("working_share", advantages_B, labels_B, groups_B)
    baseline, truth = np.asarray(baseline_B, dtype=np.float64), deviations(right, groups)
    own, base = _sums(advantages**2, groups), _sums(baseline**2, groups)
    signals = _sums(advantages * truth, groups), _sums(baseline * truth, groups)
    ratio = _product([signals[0], own, signals[1], base], (-0.5, -1.0, 0.5), level)
    return Estimate(*(value * abs(value) for value in ratio))


def verifier_alignment(accepted_P: ArrayLike, size_P: ArrayLike, missed: float) -> float:
    """Return the alignment that a verifier would have if it missed some correct responses and accepted no incorrect one.

    Of a prompt with n responses, a accepted, let R = a + Binomial(n - a, missed) be correct. Then over prompts

        cos = sum a (1 - E R / n) / sqrt(sum a (1 - a / n) * sum E[R (1 - R / n)])

    Args:
        accepted_P: responses that the verifier accepts, shape (P,).
        size_P: responses, shape (P,).
        missed: share of correct responses among the rejected, in [0, 1].

    Returns:
        In [0, 1]; NaN where the verifier gives no prompt an advantage.

    >>> verifier_alignment([1, 2], [4, 4], 0.0), round(verifier_alignment([1, 0], [2, 2], 0.5), 4)
    (1.0, 0.5)
    """
    a, n = np.asarray(accepted_P, dtype=np.float64), np.asarray(size_P, dtype=np.float64)
    right = a + (n - a) * missed
    right_squared = right**2 + (n - a) * missed * (1.0 - missed)
    own, true = float((a * (1 - a / n)).sum()), float((right - right_squared / n).sum())
    return float((a * (1 - right / n)).sum()) / math.sqrt(own * true) if own > 0.0 and true > 0.0 else math.nan


def _checked(
    what: str, advantages_B: ArrayLike, labels_B: ArrayLike, groups_B: ArrayLike
) -> tuple[FloatArray, FloatArray, IntArray]:
    rows = labelled(what, advantages_B, labels_B, None)
    if not rows.scores.size:
        raise InputError(f"{what}: no rows; give at least one labelled response")
    return rows.scores, rows.labels.astype(np.float64), numbered(what, groups_B, rows.scores.size)


def _sums(values_B: FloatArray, groups_B: IntArray) -> FloatArray:
    return np.bincount(groups_B, weights=values_B).astype(np.float64, copy=False)


def _product(parts: Sequence[FloatArray], powers: Sequence[float], level: float) -> Estimate:
    """Return the product of the total of the first part and the totals of the others to their powers, each of shape (P,)."""
    first, others = parts[0], parts[1:]
    totals = [float(part.sum()) for part in others]
    if min(totals) <= 0.0:
        return UNKNOWN
    rest = math.prod(total**power for total, power in zip(totals, powers, strict=True))
    total = float(first.sum())
    pulls = [power * total * part / whole for part, whole, power in zip(others, totals, powers, strict=True)]
    influence = rest * (first + sum(pulls))
    squares = influence**2
    prompts = first.size
    if prompts < 2:
        return Estimate(total * rest, math.nan, math.nan)
    fourth = float((squares**2).sum())
    worth = float(squares.sum()) ** 2 / fourth if fourth > 0.0 else float(prompts)
    error = math.sqrt(prompts / (prompts - 1) * float(squares.sum()))
    half = t_quantile(max(1, int(worth) - 1), level) * error
    return Estimate(total * rest, total * rest - half, total * rest + half)
